"""Comparisons of trials: their numbers, and trials that are refused."""

import json
import pathlib

import numpy as np
import pytest

from mman_jax.errors import InputError
from mman_jax.evaluation import significance
from mman_jax.report import comparison, markdown
from mman_jax.study import compared
from tests.children import run as command
from tests.study import test_pooled

LABELS = [0, 1, 0, 1]
DIGESTS = {"sha256": "f0", "utterances": "u0", "modalities": {"text": "t0"}}


def change(path, **fields):
    """Changes fields of a JSON file, at paths of names joined by two underscores."""
    content = json.loads(path.read_text())
    for field, value in fields.items():
        *way, last = field.split("__")
        at = content
        for name in way:
            at = at[name]
        at[last] = value
    path.write_text(json.dumps(content))


def trial(folder, answers, order=(0, 1, 2, 3), name="S1"):
    """A finished trial with these answers [3, 4] of seeds to two conversations, listed in another
    order.
    """
    test_pooled.trial(folder, "S1")
    utterances = {
        "conversation": [f"{name}{'ab'[i // 2]}" for i in order],
        "position": [i % 2 for i in order],
        "label": [LABELS[i] for i in order],
    }
    given = np.array(answers)[:, list(order)].tolist()
    others = {
        "auto__tower_answers": {"t": np.array([LABELS] * 3)[:, list(order)].tolist()},
        "auto__baseline_answers": [[0] * 4],
    }
    change(folder / "analysis.json", auto__answers=given, auto__utterances=utterances, **others)
    corpus = json.loads((folder / "results.json").read_text())["corpus"]
    change(folder / "results.json", corpus=corpus | {"dimensions": {"text": 3}})
    (folder / "corpus.json").write_text(json.dumps(DIGESTS))
    data = {"protocol": "auto", "split": "", "folds": "", "fold": ""}
    (folder / "config.json").write_text(json.dumps({"data": data}))
    return folder


@pytest.fixture
def three(tmp_path):
    right, half, wrong = [0, 1, 0, 1], [0, 1, 1, 0], [1, 0, 1, 0]
    return [
        trial(tmp_path / "right", [right] * 3),
        trial(tmp_path / "half", [half, half, right], order=(3, 1, 0, 2)),
        trial(tmp_path / "wrong", [wrong] * 3),
    ]


def test_all_pairs_by_hand(three):
    found = compared.compare(three, command="again")
    pairs = {(x["first"], x["second"]): x for x in found["comparisons"]}
    assert list(pairs) == [("right", "half"), ("right", "wrong"), ("half", "wrong")]
    # Of the 12 answers `half` has 2, 2 and 4 right.
    np.testing.assert_allclose([x["difference"] for x in pairs.values()], [1 / 3, 1, 2 / 3])
    assert pairs["right", "wrong"]["only_first"] == 4
    assert pairs["right", "wrong"]["p_mcnemar"] == pytest.approx(2 / 2**4)
    for test in ("p_bootstrap", "p_mcnemar"):
        corrected = significance.holm([x[test] for x in pairs.values()])
        assert [x[f"{test}_holm"] for x in pairs.values()] == corrected
    assert [run["name"] for run in found["runs"]] == ["right", "half", "wrong"]
    (row, *_) = comparison.scores(found).plain  # in per cent
    assert all(float(cell.split(" ±")[0]) > 1 for cell in row[3:]), row
    written = markdown.render(comparison.document([found]))
    assert "| right over wrong | +100.00 |" in written
    assert "again" in written


def test_a_run_is_compared_with_its_tower_and_with_the_baseline(three):
    wrong = three[2]
    tower, linear = (wrong.with_name(f"wrong:{name}") for name in ("t", "linear"))
    found = compared.compare([wrong, tower, linear])
    pairs = {(x["first"], x["second"]): x["difference"] for x in found["comparisons"]}
    # The tower answers all four right, the baseline two.
    expected = [-1, -0.5, 0.5]
    assert pairs == dict(
        zip([("wrong", "wrong:t"), ("wrong", "wrong:linear"), ("wrong:t", "wrong:linear")],
            expected, strict=True)
    )  # fmt: skip
    assert [run["seeds"]["auto"] for run in found["runs"]] == [[0, 1, 2], [0, 1, 2], [0]]
    names = [row[0] for row in comparison.scores(found).rows]
    assert names == ["wrong", "wrong:t", "wrong:linear", "linear baseline", "majority answer"]
    with pytest.raises(InputError, match="no tower 'u'") as error:
        compared.compare([wrong, wrong.with_name("wrong:u")])
    assert str(wrong) in error.value.place


def test_what_the_systems_read_and_their_publications(three):
    sees = {"cells": "utterances", "context": True, "future": True, "speakers": True}
    change(three[0] / "results.json", **{"class": "sdt"}, sees=sees)
    found = compared.compare(three, command="again")
    ((name, year, reads, size, scores, epoch),) = comparison.systems(found).plain
    assert (name, year, epoch) == ("right", "2024", "best on the test part")
    assert reads == "utterances, speakers, earlier turns, later turns"
    assert "74.08 (IEMOCAP, weighted F1 of six classes)" in scores
    assert size == str(found["runs"][0]["parameters"])
    of_others = compared.compare(three[1:])
    for results, has_table in ((found, True), (of_others, False)):
        names = [table.name for table in comparison.tests_and_parts(results)]
        assert ("systems" in names) == has_table


def test_the_order_of_utterances_changes_nothing(tmp_path):
    answers = [[0, 1, 1, 0], [0, 0, 0, 1], [1, 1, 0, 0]]
    same = [trial(tmp_path / "a", answers), trial(tmp_path / "b", answers, order=(2, 0, 3, 1))]
    (pair,) = compared.compare(same)["comparisons"]
    assert (pair["difference"], pair["only_first"], pair["only_second"]) == (0, 0, 0)


def test_against_one(three):
    found = compared.compare(three[:2], against=three[2])["comparisons"]
    assert [(x["first"], x["second"]) for x in found] == [("right", "wrong"), ("half", "wrong")]
    found = compared.compare(three, against=three[0])["comparisons"]
    assert [(x["first"], x["second"]) for x in found] == [("half", "right"), ("wrong", "right")]


def folds(study, system, answers):
    for name in ("S1", "S2"):
        folder = trial(study / "folds" / name / "systems" / system, answers, name=name)
        change(folder / "config.json", data__folds="sessions", data__fold=name)
    return study / "systems" / system


def test_folds_are_scored_together(tmp_path):
    right, wrong = [[0, 1, 0, 1]] * 3, [[1, 1, 0, 1]] * 3
    paths = [folds(tmp_path, "mman", right), folds(tmp_path, "clstm", wrong)]
    (pair,) = compared.compare(paths)["comparisons"]
    assert (pair["difference"], pair["only_first"]) == (0.25, 2)
    (tmp_path / "folds" / "S2" / "systems" / "clstm" / "results.json").unlink()
    with pytest.raises(InputError, match=r"S2.*not finished"):
        compared.compare(paths)


def test_other_modalities_and_features_are_compared(three):
    """A system of another modality on the same utterances is of the same corpus."""
    corpus = three[1] / "corpus.json"
    corpus.write_text(json.dumps(DIGESTS | {"sha256": "f1", "modalities": {"speech": "s0"}}))
    assert compared.compare(three)["notes"] == []
    corpus.write_text(json.dumps(DIGESTS | {"sha256": "f1", "modalities": {"text": "t1"}}))
    found = compared.compare(three)
    first, second = (run["name"] for run in found["runs"][:2])
    assert found["notes"] == [f"{second} and {first} have different features of text."]
    assert found["notes"][0] in markdown.render(comparison.document([found]))


@pytest.mark.parametrize(
    ("file", "fields", "said"),
    [
        ("results.json", {"protocol": "mman4"}, "protocol mman4"),
        ("corpus.json", {"sha256": "f1", "utterances": "u1"}, "another corpus"),
        ("corpus.json", {"sha256": 3}, "no digests"),
        ("config.json", {"data": None}, "as this version"),
        ("results.json", {"corpus__dimensions": None}, "as this version"),
        ("corpus.json", {"test": DIGESTS}, "tested on another corpus"),
        ("results.json", {"classes": ["a", "c"]}, "classes"),
        ("results.json", {"corpus__split": "by hand"}, "another split"),
        ("config.json", {"data__fold": "S2"}, "another split"),
        ("analysis.json", {"auto__utterances__label": [1, 1, 0, 1]}, "other test utterances"),
        ("analysis.json", {"auto__answers": None}, "as this version"),
        ("analysis.json", {"auto__answers": [[0, 1, 2, 0]]}, "not classes"),
        ("analysis.json", {"auto__answers": [[0, 1]]}, "as this version"),
    ],
    ids=lambda value: str(value)[:40],
)
def test_what_cannot_be_compared_is_refused(three, file, fields, said):
    if "protocol" in fields:
        change(
            three[1] / "analysis.json",
            mman4=json.loads((three[1] / "analysis.json").read_text())["auto"],
        )
    change(three[1] / file, **fields)
    with pytest.raises(InputError, match=said) as error:
        compared.compare(three)
    assert str(three[1]) in str(error.value)


def test_trials_must_be_several_and_finished(three, tmp_path):
    for paths, words in (
        (three[:1], "a single trial"),
        ([three[0], three[0] / ".." / "right"], "given twice"),
        ([three[0], tmp_path / "nowhere"], "no trial"),
    ):
        with pytest.raises(InputError, match=words):
            compared.compare(paths)
    (three[1] / "corpus.json").write_text(json.dumps({"sha256": "f1"}))
    with pytest.raises(InputError, match="unreadable predictions"):
        compared.compare(three)
    for name, words in (("analysis", r"no analysis\.json"), ("results", "not finished")):
        (three[1] / f"{name}.json").unlink()
        with pytest.raises(InputError, match=words):
            compared.compare(three)


def test_other_scores_of_classes(three):
    found = compared.compare(three[1:], score="weighted_f1")
    (pair,) = found["comparisons"]
    assert "p_mcnemar" not in pair
    # Of answers [0, 1, 1, 0] F1 is 1/2 of both classes, twice, and once all are right.
    assert pair["difference"] == pytest.approx((0.5 + 0.5 + 1) / 3)
    with pytest.raises(InputError, match=r"score: unknown 'weighted_f2'; expected 'weighted_f1'"):
        compared.compare(three, score="weighted_f2")


def test_names_are_as_short_as_possible():
    paths = [pathlib.Path(path) for path in ("a/x", "b/x", "b/y")]
    assert compared.distinct(paths) == ["a/x", "b/x", "b/y"]
    assert compared.distinct(paths[1:]) == ["x", "y"]


def test_the_command_writes_both_files(three, tmp_path):
    output = tmp_path / "output"
    ended = command("experiments.compare", str(three[0]), f"--output={output}", str(three[2]))
    assert ended.returncode == 0, ended.stderr
    assert "right over wrong" in ended.stdout
    found = json.loads((output / "comparison.json").read_text())
    assert found["comparisons"][0]["difference"] == 1.0
    assert (output / "comparison.md").read_text().startswith("# 2 trials compared")
    ended = command("experiments.compare", str(three[0]), f"--output={tmp_path / 'none'}")
    assert (ended.returncode, ended.stderr.count("\n")) == (2, 1)
    assert not (tmp_path / "none").exists()
