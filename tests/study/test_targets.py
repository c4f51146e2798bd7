"""A study of a target: trained, compared by errors, and reported."""

import json

import numpy as np
import pytest

from mman_jax.cli.terminal.screen import Screen
from mman_jax.evaluation import paired
from mman_jax.study import paper, summary
from mman_jax.tasks import Numbers
from mman_jax.tasks.ratings import Target
from tests import gallery, tiny

pytestmark = pytest.mark.usefixtures("blank_pictures")


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    folder = tmp_path_factory.mktemp("study")
    path = gallery.write_corpus(folder, gallery.rated())
    config = gallery.on(path, tiny.recipe(epochs=1), target="sentiment")
    config.train.select = "loss"
    paper.run(config, folder / "study", Screen(quiet=True), names=("clstm_mma", "clstm_ef"))
    return folder / "study"


@pytest.mark.e2e
def test_the_report_tells_errors(finished):
    results = json.loads((finished / "results.json").read_text())
    assert results["classes"] == ["sentiment"]
    mma, ef = (results["systems"][name] for name in ("clstm_mma", "clstm_ef"))
    assert np.mean(mma["errors"]) == pytest.approx(mma["test"]["mae"]["mean"], abs=1e-3)
    pair, *linear = results["comparisons"]
    assert {x["second"] for x in linear} == {"linear"}
    assert pair["difference"] == pytest.approx(
        ef["test"]["mae"]["mean"] - mma["test"]["mae"]["mean"], abs=1e-3
    )
    (claim,) = results["claims"]
    assert claim["claim"] == "attention beats concatenation"
    told = (finished / "report.md").read_text()
    for words in ("Acc2", "Acc7", "mean of training", "Predicted: sentiment", "CCC"):
        assert words in told
    for name in ("seeds", "attention_clstm_mma", "conversation_clstm_mma"):
        assert (finished / "figures" / f"{name}.png").is_file()
    assert mma["attention"]["by_class"] == {}
    assert isinstance(mma["attention"]["conversation"]["answers"][0], float)
    missing = results["missing"]["clstm_ef"]
    assert set(missing) == {"speech", "text"}
    # Its answers come from the text: without it they are further off.
    assert missing["text"]["mae"]["mean"] != pytest.approx(ef["test"]["mae"]["mean"], abs=1e-6)
    assert "Missing modalities" in told
    assert "nan" not in told.lower().split()


def test_errors_by_hand():
    utterances = {"label": [[1.0, None], [0.0, 2.0]], "conversation": ["a", "b"]}
    names = ("sentiment", "arousal")
    task = Numbers("auto", names, tuple(Target(name, "", 0.0, 1.0) for name in names))
    answers = [[[1.5, 9.0], [1.0, 4.0]]], [[[2.0, 0.0], [0.0, 0.0]]], [[[2.5, 9.0], [2.0, 5.0]]]
    first = task.score_each(answers[0], utterances["label"])
    assert first.tolist() == [[0.5, 1.5]]
    pair = paired.compare(task, answers[0], answers[1], utterances)
    assert pair["difference"] == pytest.approx(0.0)
    better = paired.compare(task, answers[0], answers[2], utterances)
    assert better["interval"] == pytest.approx([1, 1])
    by = summary.by_position(task, {"x": first}, [0, 1])
    assert by["mae"] == {"x": [0.5, 1.5]}


@pytest.mark.e2e
def test_folds_of_a_target_are_pooled(finished, tmp_path):
    path = finished.parent / "corpus.npz"
    config = gallery.on(path, tiny.recipe(epochs=1), target="sentiment", folds="3")
    config.train.update(select="loss", refit=True)
    paper.run(config, tmp_path, Screen(quiet=True), names=("clstm_text",))
    results = json.loads((tmp_path / "results.json").read_text())
    text = results["systems"]["clstm_text"]
    assert len(text["folds"]) == 3
    before = text["before_refit"]
    for test in (text["test"], before["test"], before["towers"]["text"]["test"]):
        assert test["mae"]["mean"] > 0
        assert len(test["acc7"]["per_fold"]) == 3
    assert before["test"]["mae"] != text["test"]["mae"]
    told = (tmp_path / "report.md").read_text()
    for words in ("Test MAE of every fold", "Training again"):
        assert words in told
