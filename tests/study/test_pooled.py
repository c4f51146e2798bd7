"""Scores over folds against a computation by hand."""

import json

import numpy as np
import pytest

from mman_jax.errors import InputError
from mman_jax.report import contents, tables
from mman_jax.study import pooled
from mman_jax.tasks import Classes
from mman_jax.tasks.score import over_seeds, spread
from tests.report import fake

pytestmark = pytest.mark.usefixtures("blank_pictures")

COUNTS = {
    # By fold and seed, rows the true class: of four utterances, and of six.
    "S1": {0: [[2, 0], [1, 1]], 1: [[1, 1], [0, 2]], 2: [[2, 0], [2, 0]]},
    "S2": {0: [[3, 0], [3, 0]], 2: [[0, 3], [0, 3]]},
}


TASK = Classes("auto", ("a", "b"))


def trial(folder, name):
    """A finished trial's two files; its validation counts are its test counts in reverse."""
    folder.mkdir(parents=True)
    counts = np.array(list(COUNTS[name].values()))
    seeds, scored = list(COUNTS[name]), int(counts[0].sum())
    loss = [0.5 + seed for seed in seeds]
    head = {
        "validation": TASK.scores(counts[:, ::-1, ::-1]) | {"loss": over_seeds(loss)},
        "test": TASK.scores(counts),
        "test_oracle": {"accuracy": over_seeds([1.0 - 0.1 * seed for seed in seeds])},
        "best_epoch": [10 + seed for seed in seeds],
    }
    part = {"conversations": 2, "utterances": scored + 1, "classes": {"a": 2, "b": scored - 2}}
    found = {
        "system": "x", "protocol": "auto", "classes": ["a", "b"], "seeds": seeds,
        "failed": [{"seed": 1}] if 1 not in seeds else [], "parameters": {"total": 7},
        "corpus": {"path": "p", "split": name, "parts": dict.fromkeys(pooled._PARTS, part)},
        "seconds": {"all": 2.0}, "towers": {"t": head}, "ceiling": 0.1 * scored,
        "ceiling_late_fusion": 0.5, "ceiling_without_order": 0.05 * scored, **head,
    }  # fmt: skip
    linear = np.array([[[scored // 2, 0], [scored // 2, 0]]])  # it always answers the first class
    parts = dict.fromkeys(("validation", "test"), TASK.scores(linear))
    found["baseline"] = {"system": "linear"} | parts
    (folder / "results.json").write_text(json.dumps(found))
    both = dict.fromkeys(("validation", "test"), counts.tolist())
    both["validation"] = counts[:, ::-1, ::-1].tolist()
    # Of a class half of all: as many of the first are right as the seed's number.
    half = scored // 2
    before = {"test": [[[seed, half - seed], [half, 0]] for seed in seeds]}
    told = {
        "answers": [[min(seed, 1)] * scored for seed in seeds],
        "tower_answers": {"t": [[0] * scored for _ in seeds]},
        "baseline_answers": [[0] * scored],
        "baseline_counts": dict.fromkeys(("validation", "test"), linear.tolist()),
        "utterances": {"conversation": [name] * scored, "position": [0] * scored,
                       "label": [0] * scored, "groups/half": ["x", "y"] * (scored // 2)},
        "counts": {"system": both, "towers": {"t": both},
                   "ensemble": {"test": counts[:1].tolist()},
                   "before_refit": {"system": before, "towers": {"t": before}}},
        "sizes": {p: {"conversations": 2, "utterances": scored} for p in pooled._PARTS},
        "curves": {"t": {"train_loss": [1.0] * scored}}, "trainable": 7,
        "attention": None, "missing": {},
        "calibration": {"temperature": float(scored)}
        | dict.fromkeys(("validation", "test"), dict.fromkeys(
            ("before", "after"), [[scored, 0.5 * scored, 0.5 * scored + 1]] * 15)),
    }  # fmt: skip
    (folder / "analysis.json").write_text(json.dumps({"auto": told}))
    return folder


@pytest.fixture
def folders(tmp_path):
    return {name: trial(tmp_path / name, name) for name in COUNTS}


def test_pooled_scores_by_hand(folders):
    found = pooled.results_of(pooled.read(folders))
    together = sum(np.array(next(iter(COUNTS[name].values()))) for name in COUNTS)
    assert found["ensemble"]["test"]["confusion"] == together.tolist()
    # Seed 1 failed in the second fold. Right of ten: seed 0 has 3 + 3, seed 2 has 2 + 3.
    assert found["seeds"] == [0, 2]
    assert found["failed"] == [{"fold": "S2", "seed": 1}]
    for part in ("validation", "test"):
        accuracy = found[part]["accuracy"]
        np.testing.assert_allclose(accuracy["per_seed"], [0.6, 0.5])
        np.testing.assert_allclose(
            [accuracy["mean"], accuracy["std"]], [0.55, np.std([6, 5], ddof=1) / 10]
        )
        # Of fold S1 3 and 2 of 4, of fold S2 3 and 3 of 6.
        np.testing.assert_allclose(accuracy["per_fold"], [2.5 / 4, 0.5])
        np.testing.assert_allclose(accuracy["std_folds"], np.std([2.5 / 4, 0.5], ddof=1))
    assert found["test"]["confusion"] == [
        [2 + 3 + 2 + 0, 0 + 0 + 0 + 3],
        [1 + 3 + 2 + 0, 1 + 0 + 0 + 3],
    ]
    # The mean over two classes of 5 utterances each: recalls of seed 0 are 5/5 and 1/5.
    np.testing.assert_allclose(found["test"]["unweighted_recall"]["per_seed"], [0.6, 0.5])
    np.testing.assert_allclose(found["test"]["majority_accuracy"], 0.5)
    # Of seed 0 all folds' counts are [[5, 0], [4, 1]]: F1 of 2 * 5 / (5 + 9) and 2 / (5 + 1).
    first, second = found["test"]["per_class"]
    np.testing.assert_allclose(first["f1"]["per_seed"][0], 10 / 14)
    np.testing.assert_allclose(second["precision"]["per_seed"][0], 1.0)
    assert (first["support"], second["support"]) == (5, 5)
    np.testing.assert_allclose(found["test"]["macro_f1"]["per_seed"][0], (10 / 14 + 1 / 3) / 2)
    np.testing.assert_allclose(found["validation"]["loss"]["per_seed"], [0.5, 2.5])
    np.testing.assert_allclose(found["test_oracle"]["accuracy"]["per_seed"], [1.0, 0.8])
    before = found["before_refit"]["test"]["accuracy"]
    np.testing.assert_allclose(before["per_seed"], [0, (2 + 2) / 10])
    np.testing.assert_allclose(before["per_fold"], [1 / 4, 1 / 6])
    assert found["before_refit"]["towers"]["t"]["test"]["accuracy"] == before
    assert found["best_epoch"] == [10, 12, 10, 12]
    of_tower = found["towers"]["t"]["test"]
    assert of_tower["confusion"] == found["test"]["confusion"]
    assert of_tower["accuracy"]["per_fold"] == found["test"]["accuracy"]["per_fold"]
    assert found["seconds"] == {"all": 4.0}
    np.testing.assert_allclose(found["ceiling"], (0.4 * 4 + 0.6 * 6) / 10)
    np.testing.assert_allclose(found["ceiling_without_order"], (0.2 * 4 + 0.3 * 6) / 10)
    assert found["corpus"]["parts"]["test"]["classes"] == {"a": 4, "b": 6}


def test_intervals_and_the_baseline_of_all_folds(folders):
    """Of ten utterances of the first class, one seed answers all right and one none."""
    found = pooled.results_of(pooled.read(folders))
    assert found["resampled"] == {"unit": "conversations", "count": 2}
    assert found["test"]["accuracy"]["interval"] == [0, 1]
    assert found["towers"]["t"]["test"]["accuracy"]["interval"] == [1, 1]
    linear = found["baseline"]
    assert linear["test"]["confusion"] == [[5, 0], [5, 0]]
    assert linear["test"]["accuracy"]["per_fold"] == [0.5, 0.5]
    assert linear["difference"] == {"accuracy": -0.5, "interval": [-1, 0]} | found["resampled"]


def test_calibration_and_groups_of_all_folds(folders):
    found = pooled.results_of(pooled.read(folders))
    # Of 15 bins of 4, and of 6, utterances each has one more right than its confidences sum to.
    told = found["test"]["calibration"]
    assert told == {"before": 0.2, "after": 0.2, "temperature": 5.0, "per_fold": [4.0, 6.0]}
    half = found["groups"]["half"]
    assert half["groups"]["x"]["utterances"] == 5
    assert half["groups"]["x"]["conversations"] == 2
    assert half["gap"]["difference"] == 0


def test_every_fold_keeps_its_own_scores(folders):
    first, second = pooled.results_of(pooled.read(folders))["folds"]
    assert [first["name"], second["name"]] == ["S1", "S2"]
    assert first["sizes"]["test"] == {"conversations": 2, "utterances": 4}
    assert len(first["test"]["accuracy"]["per_seed"]) == 3
    assert second["test"] == json.loads((folders["S2"] / "results.json").read_text())["test"]


def test_answers_are_those_of_all_folds(folders):
    (task,) = pooled.read(folders)["tasks"].values()
    assert task["answers"] == [[0] * 10, [1] * 10]
    assert task["baseline_answers"] == [[0] * 10]
    assert task["utterances"]["conversation"] == ["S1"] * 4 + ["S2"] * 6
    assert task["curves"]["t"]["train_loss"] == [1.0] * 6  # as long as the longest


def test_one_trial_is_read_as_it_is(folders):
    found = pooled.results_of(pooled.read({"": folders["S1"]}))
    assert found == json.loads((folders["S1"] / "results.json").read_text())


def test_no_seed_that_converged_in_all_folds_is_told(folders):
    path = folders["S2"] / "results.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"seeds": [7, 8]}))
    with pytest.raises(InputError, match="every seed failed in at least one fold"):
        pooled.read(folders)


def test_the_report_tells_the_two_deviations_apart(folders):
    found = pooled.results_of(pooled.read(folders))
    assert spread(found["test"]["accuracy"]) == "55.0 ± 7.1 (folds ± 8.8)"
    report = fake.make(classes=("a", "b"), ablations=0)
    for system in report["systems"].values():
        system |= {"test": found["test"], "folds": found["folds"]}
    document = contents.document(report)
    (section,) = [s for s in document.sections if s.title == "The folds"]
    accuracies, sizes = section.blocks
    assert accuracies.head == ("system", "S1", "S2", "all", "± over seeds", "± over folds")
    assert accuracies.rows[0][1:] == ("62.5", "50.0", "55.0", "7.1", "8.8")
    assert sizes.rows[1] == ("S2", "2", "6", "2", "6", "2", "6")
    assert tables.FOLDS in tables.systems(report)[0].notes


def test_a_report_of_an_ablation_alone():
    report = fake.make(ablations=1)
    report["systems"] = {"ablation_0": report["systems"]["ablation_0"]}
    report |= {"comparisons": [], "claims": [], "missing": None}
    report["positions"]["accuracy"] = {}
    titles = [section.title for section in contents.document(report).sections]
    assert "Ablations" in titles
    assert "Confusions" not in titles
