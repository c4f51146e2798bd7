import numpy as np
import pytest

from mman_jax.data.synthetic import process as synthetic
from mman_jax.evaluation import evidence, paired
from mman_jax.study import summary
from mman_jax.systems.mman import CLAIMS
from mman_jax.tasks import Classes

TASK = Classes("auto", ("no", "yes"))
UTTERANCES = {
    "conversation": ["a", "a", "a", "b", "b"],
    "position": [0, 1, 2, 0, 1],
    "label": [0, 1, 1, 0, 1],
}


@pytest.mark.parametrize(
    ("kind", "interval", "expected"),
    [
        ("more", (0.001, 0.05), "yes"),
        ("more", (-0.05, -0.001), "no"),
        ("more", (-0.01, 0.05), "undecided"),
        ("level", (-0.019, 0.019), "yes"),
        ("level", (-0.03, 0.01), "undecided"),
        ("level", (0.021, 0.05), "no"),
        ("level", (-0.05, -0.021), "no"),
    ],
)
def test_verdicts(kind, interval, expected):
    assert summary.verdict(kind, *interval) == expected


def test_a_comparison_by_hand():
    first = [[0, 1, 1, 0, 1], [0, 1, 1, 0, 0], [0, 1, 1, 0, 1]]
    second = [[0, 0, 0, 0, 1], [0, 1, 0, 0, 1], [0, 0, 0, 0, 1]]
    found = paired.compare(TASK, first, second, UTTERANCES)
    assert found["difference"] == pytest.approx(14 / 15 - 10 / 15)
    # The seeds' votes: the first is right everywhere, the second not on utterances 1 and 2.
    assert (found["only_first"], found["only_second"]) == (2, 0)
    assert found["p_mcnemar"] == pytest.approx(0.5)
    low, high = found["interval"]
    assert low < found["difference"] < high


def test_accuracy_by_position_by_hand():
    right = TASK.score_each([[0, 1, 0, 0, 0], [1, 1, 1, 0, 1]], UTTERANCES["label"])
    found = summary.by_position(TASK, {"x": right}, UTTERANCES["position"])
    assert found["bins"] == [
        {"from": 1, "to": 1, "utterances": 2},
        {"from": 2, "to": 2, "utterances": 2},
        {"from": 3, "to": 4, "utterances": 1},
    ]
    assert found["accuracy"]["x"] == [0.75, 0.75, 0.5]


def test_every_claim_is_judged_with_its_comparison():
    comparison = {"difference": 0.01, "interval": [0.005, 0.015], "p_bootstrap": 0.01}
    pairs = [{"first": f, "second": s} | comparison for _, f, s, _ in CLAIMS]
    sizes = {"clstm_mma": 1, "clstm_lf": 4, "clstm_ef": 2, "mman": 4}
    judged = summary.judge(pairs, sizes)
    assert [claim["verdict"] for claim in judged] == ["yes"] * len(CLAIMS)
    assert "25 % of the second's" in judged[1]["note"]


def test_a_filter_uses_the_evidence_that_it_has():
    corpus = synthetic.generate(synthetic.process(), (5, 5, 40), 3)
    process = synthetic.process()
    test = np.array([part == "test" for part in corpus.split])
    scored = np.repeat(test, corpus.lengths)
    utterances = {
        "conversation": np.repeat(corpus.conversation_ids, corpus.lengths)[scored].tolist(),
        "position": np.concatenate([np.arange(n) for n in corpus.lengths])[scored].tolist(),
        "label": corpus.labels[scored].tolist(),
    }

    def answers(*evidence, **settings):
        posterior = synthetic.posterior(process, corpus, *evidence, **settings)
        return [posterior.argmax(-1)[scored].tolist()]

    shares, beside, kinds = evidence.used(
        corpus,
        utterances,
        {"all": answers(), "late": answers("late"), "forgets": answers(context=False)},
    )
    assert list(kinds) == ["joint", "context", "speech", "visual", "text"]
    assert set(shares["all"].values()) == {1.0}
    assert shares["late"]["joint"] == 0.0
    assert shares["late"]["context"] > 0.5
    assert shares["forgets"]["context"] == 0.0
    # The labels are drawn, and so side with the likelier answer, though not always; what does not
    # look at the utterances sides with neither.
    assert all(0.5 < share < 1 for share in beside[evidence.LABELS].values())
    blind = np.random.default_rng(0).choice(corpus.labels[scored], (400, int(scored.sum())))
    drawn, _, _ = evidence.used(corpus, utterances, {"blind": blind})
    for kind, share in beside[evidence.CHANCE].items():
        assert drawn["blind"][kind] == pytest.approx(share, abs=0.02)
