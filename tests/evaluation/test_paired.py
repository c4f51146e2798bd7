"""Intervals and paired tests over speakers or conversations."""

import numpy as np
import pytest
import scipy.stats

from mman_jax.evaluation import paired, significance
from mman_jax.tasks import Classes, Numbers, ratings

TASK = Classes("auto", ("calm", "angry"))


def columns(conversations, speakers=None):
    found = {"conversation": conversations}
    return found if speakers is None else found | {"groups/speaker": speakers}


@pytest.mark.parametrize(
    ("speakers", "unit", "of"),
    [
        (None, "conversations", [0, 0, 1, 2]),
        (["x", "y", "x", "y"], "speakers", [0, 1, 0, 1]),
        (["x", "y", "z", "z"], "conversations", [0, 0, 1, 2]),  # as many as conversations
        (["x", "x", "x", "x"], "conversations", [0, 0, 1, 2]),  # a single one
        (["x", "x", "", ""], "conversations", [0, 0, 1, 2]),  # not all are known
    ],
)
def test_speakers_are_resampled_if_they_are_fewer_than_conversations(speakers, unit, of):
    found = paired.units(columns(["a", "a", "b", "c"], speakers))
    assert (found.unit, found.of.tolist(), found.count) == (unit, of, max(of) + 1)


def test_an_interval_is_the_bootstrap_of_scipy():
    random = np.random.default_rng(0)
    labels = random.integers(0, 2, 300)
    answers = np.where(random.random(300) < 0.7, labels, 1 - labels)
    utterances = columns([f"{i:03d}" for i in range(300)]) | {"label": labels}
    found = paired.intervals(TASK, {"system": answers[None]}, utterances)["system"]
    right = (answers == labels).astype(float)
    options = {"method": "percentile", "rng": 1}
    theirs = scipy.stats.bootstrap((right,), np.mean, **options).confidence_interval
    np.testing.assert_allclose(found["accuracy"], theirs, atol=0.01)

    def recall(labels, right):
        return np.mean([right[labels == c].mean() for c in range(2)])

    theirs = scipy.stats.bootstrap((labels, right), recall, paired=True, vectorized=False,
                                   n_resamples=2000, **options).confidence_interval  # fmt: skip
    np.testing.assert_allclose(found["unweighted_recall"], theirs, atol=0.01)


def test_few_speakers_who_differ_widen_the_interval():
    """Ten speakers of ten conversations each, predicted either always or never correctly."""
    speakers = np.repeat([f"s{i}" for i in range(10)], 10)
    labels = np.zeros(100, int)
    answers = {"system": (np.repeat(np.arange(10), 10) % 2)[None]}
    conversations = [f"c{i:03d}" for i in range(100)]
    widths = []
    for known in (None, speakers.tolist()):
        utterances = columns(conversations, known) | {"label": labels}
        low, high = paired.intervals(TASK, answers, utterances)["system"]["accuracy"]
        widths.append(high - low)
    assert widths[1] > 2.5 * widths[0]
    # A share of ten draws of one half each.
    low, high = scipy.stats.binom(10, 0.5).ppf([0.025, 0.975]) / 10
    assert widths[1] == pytest.approx(high - low)


def test_all_scores_of_numbers_have_intervals():
    random = np.random.default_rng(0)
    rated = random.uniform(-3, 3, (80, 1)).astype("f4")
    target = ratings.target("sentiment", rated[:, 0])
    task = Numbers("auto", ("sentiment",), (target,))
    answers = (rated + random.normal(size=(3, 80, 1))).astype("f4")
    utterances = columns([f"c{i // 4:02d}" for i in range(80)]) | {"label": rated}
    found = paired.intervals(task, {"system": answers}, utterances)["system"]
    scores = task.scores(np.stack([task.tally(x, rated) for x in answers]))
    assert {"mae", "ccc", "acc7"} <= found.keys() <= scores.keys()
    for key, (low, high) in found.items():
        assert low < scores[key]["mean"] < high


def test_a_single_unit_has_no_interval():
    utterances = columns(["a"] * 4) | {"label": np.arange(4) % 2}
    assert paired.intervals(TASK, {"system": np.zeros((1, 4), int)}, utterances) == {}


def test_a_comparison_resamples_the_same_units():
    random = np.random.default_rng(0)
    speakers = np.repeat(["x", "y", "z"], 20)
    labels = random.integers(0, 2, 60)
    first, second = (random.integers(0, 2, (2, 60)) for _ in range(2))
    utterances = columns(list(map(str, range(60))), speakers.tolist()) | {"label": labels}
    found = paired.compare(TASK, first, second, utterances)
    expected = significance.bootstrap(first == labels, second == labels, speakers)
    assert found["interval"] == [expected.low, expected.high]
