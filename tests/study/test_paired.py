"""Trials that answer numbers, compared by their scores."""

import dataclasses
import json

import numpy as np
import pytest

from mman_jax.errors import InputError
from mman_jax.evaluation import paired, significance
from mman_jax.report import comparison, markdown
from mman_jax.study import compared
from mman_jax.tasks import Numbers, ratings
from tests.study.test_compared import change, trial

RATED = np.float32([[-2.0], [0.5], [1.0], [np.nan], [2.4], [-0.2]])
WHERE = {"conversation": ["a", "a", "b", "b", "c", "c"], "position": [0, 1, 0, 1, 0, 1]}
TARGET = ratings.target("sentiment", RATED[:, 0])


def answers(shift, seeds=3):
    drawn = np.random.default_rng(0).normal(size=(seeds, len(RATED), 1))
    return np.nan_to_num(RATED) + shift * drawn


def rated_trial(folder, given, order=range(6), target=TARGET):
    """A finished trial of one target, listed in another order."""
    trial(folder, np.zeros((3, 4), int))
    task = Numbers("auto", (target.name,), (target,))
    test = task.scores(np.stack([task.tally(x, RATED) for x in given]))
    order = list(order)
    label = [[None if x != x else float(x) for x in RATED[i]] for i in order]
    utterances = {name: [values[i] for i in order] for name, values in WHERE.items()}
    change(folder / "analysis.json", auto__answers=given[:, order].tolist(),
           auto__utterances=utterances | {"label": label})  # fmt: skip
    whole = json.loads((folder / "results.json").read_text())
    for field in ("classes", "baseline"):
        whole.pop(field, None)
    loss = whole["validation"]["loss"]
    head = {"validation": test | {"loss": loss}, "test": test, "test_oracle": {"ccc": loss}}
    whole |= head | {"targets": [dataclasses.asdict(target)]}
    whole["towers"]["t"] |= head
    (folder / "results.json").write_text(json.dumps(whole))
    return folder


@pytest.fixture
def two(tmp_path):
    near, far = (answers(shift) for shift in (0.1, 2.0))
    return [
        rated_trial(tmp_path / "near", near),
        rated_trial(tmp_path / "far", far, order=(5, 3, 1, 4, 0, 2)),
    ]


def test_numbers_are_compared_by_the_score_chosen(two):
    found = compared.compare(two)
    (pair,), (near, far) = found["comparisons"], (run["test"]["auto"] for run in found["runs"])
    assert found["score"] == "mae"
    assert found["classes"] == {"auto": ["sentiment"]}
    # Less is better: that of the second less that of the first.
    assert pair["difference"] == pytest.approx(far["mae"]["mean"] - near["mae"]["mean"], rel=1e-5)
    assert pair["interval"][0] > 0
    assert pair["p_bootstrap_holm"] == pair["p_bootstrap"] < 0.05
    for score in ("ccc", "pearson_r", "acc7", "f1_without_zero"):
        (pair,) = compared.compare(two, score=score)["comparisons"]
        expected = near[score]["mean"] - far[score]["mean"]
        assert pair["difference"] == pytest.approx(expected, abs=1e-5)
    written = markdown.render(comparison.document([found]))
    assert "the second trial's MAE less the first's." in written
    assert "| Acc7 |" in written
    assert "McNemar" not in written
    assert "majority" not in written


def test_by_conversation_they_are_the_errors_drawn_by_conversation():
    near, far = (answers(shift, seeds) for shift, seeds in ((0.4, 2), (0.5, 3)))
    kept = ~np.isnan(RATED[:, 0])
    where = {name: np.array(values)[kept] for name, values in WHERE.items()}
    where["label"] = RATED[kept]
    task = Numbers("auto", ("sentiment",), (TARGET,))
    found = paired.compare(task, near[:, kept], far[:, kept], where, "mae")
    errors = [task.score_each(x[:, kept], where["label"]) for x in (near, far)]
    expected = significance.bootstrap(-errors[0], -errors[1], where["conversation"])
    np.testing.assert_allclose(found["interval"], [expected.low, expected.high], atol=1e-6)
    assert found["difference"] == pytest.approx(expected.mean, abs=1e-6)


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"auto__answers": [[[0.0]] * 5] * 3}, "as this version"),
        ({"auto__answers": [[[None]] * 6] * 3}, "not numbers"),
        ({"auto__utterances__label": [[1.0]] * 6}, "other test utterances"),
        ({"auto__utterances__label": [["high"]] * 6}, "as this version"),
    ],
)
def test_answers_that_are_none_are_refused(two, fields, said):
    change(two[1] / "analysis.json", **fields)
    with pytest.raises(InputError, match=said):
        compared.compare(two)


def test_numbers_and_classes_are_not_compared(two, tmp_path):
    classes = trial(tmp_path / "classes", [[0, 1, 1, 0]] * 3)
    with pytest.raises(InputError, match="answers classes; expected numbers"):
        compared.compare([two[0], classes])
    other = dataclasses.replace(TARGET, name="valence")
    valence = rated_trial(tmp_path / "valence", answers(1.0), target=other)
    with pytest.raises(InputError, match=r"targets .*valence.*sentiment"):
        compared.compare([two[0], valence])
    with pytest.raises(InputError, match=r"unknown 'accuracy'; expected .*acc7"):
        compared.compare(two, score="accuracy")
