from experiments.benchmark import sweeping

SAID = """\
inside training, by 3 groups: 1 validates, the 2 others train
all, trial 1/2: all 1.3012, 30 s; batch=30
towers, trial 1/2: speech 1.3012, text 1.1000, 12 s; dropout=0.3 hidden=300; dropout=0.3
towers, trial 2/2: speech 1.2812, text 1.1200 (pruned), 8 s; dropout=0.1 hidden=30; dropout=0.2
"""


def test_seconds_are_those_that_each_trial_prints():
    assert sweeping.by_search(SAID) == {"all": [30], "towers": [12, 8]}
