"""Finished trials that are checked: as they are, moved, incomplete, and with planted cheats."""

import csv
import dataclasses
import json
import pathlib
import shutil

import numpy as np
import pytest

from mman_jax.data.readers import npz
from mman_jax.errors import InputError
from mman_jax.study import verify
from mman_jax.study.verify import FAILED, NOT_CHECKED, OK
from mman_jax.trial import seal
from tests import gallery
from tests.children import run as command

NAMES = ["seal", "package", "corpus", "features", "labels", "split", "answers", "scores", "epochs",
         "model"]  # fmt: skip
RESULTS = pathlib.Path(__file__).parents[2] / "experiments" / "results"


def checked(folder, data=None):
    return {check.name: check for check in verify.verify(folder, data)}


def of_state(folder, state, data=None):
    return {name for name, check in checked(folder, data).items() if check.state == state}


def edit(path, change):
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))


@pytest.mark.parametrize("name", ["classes", "votes", "numbers", "refit", "estimator", "words"])
def test_a_trial_as_it_was_written_passes_every_check(name):
    found = checked(gallery.finished(name).folder)
    assert list(found) == NAMES
    assert {str(check) for check in found.values()} == {f"{check}: ok" for check in NAMES}


def test_all_folds_are_checked_and_what_pools_them(tmp_path):
    folder = gallery.finished("folds").copy(tmp_path / "run")
    found = checked(folder)
    folds = sorted(path.name for path in (folder / "folds").iterdir())
    assert list(found) == [f"fold {f}, {name}" for f in folds for name in NAMES] + ["folds"]
    assert {check.state for check in found.values()} == {OK}

    def better(results):
        results["test"]["accuracy"]["per_seed"][0] += 0.01

    edit(folder / "results.json", better)
    assert of_state(folder, FAILED) == {"folds"}


# Cheats: each changes a folder, and possibly a corpus, and names the checks that fail.


def to_the_best_on_test(folder):
    """Moves the selected epoch of the first seed."""

    def change(results):
        results["best_epoch"][0] += 1 if results["best_epoch"][0] < 2 else -1

    edit(folder / "results.json", change)


def to_answers_that_are_right(folder):
    def change(analyses):
        of = analyses["auto"]
        wrong = np.flatnonzero(np.array(of["answers"][0]) != of["utterances"]["label"])
        of["answers"][0][wrong[0]] = of["utterances"]["label"][wrong[0]]

    edit(folder / "analysis.json", change)


def to_a_higher_mean(folder):
    def change(results):
        results["test"]["accuracy"]["mean"] += 0.001

    edit(folder / "results.json", change)


def to_a_higher_baseline_interval(folder):
    def change(results):
        results["towers"]["text"]["test"]["accuracy"]["interval"][0] += 0.001

    edit(folder / "results.json", change)


def to_labels_that_are_answered(folder):
    def change(analyses):
        of = analyses["auto"]
        wrong = np.flatnonzero(np.array(of["answers"][0]) != of["utterances"]["label"])
        of["utterances"]["label"][wrong[0]] = of["answers"][0][wrong[0]]

    edit(folder / "analysis.json", change)


def to_another_setting(folder):
    edit(folder / "config.json", lambda config: config["train"].update(patience=99))


def to_a_curve_that_selects_it(folder):
    """Raises the score of an epoch and its validation loss in the curves."""
    with (folder / "curves.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    low = min((r for r in rows if r["head"] == "fusion"), key=lambda row: float(row["score"]))
    low["score"] = "9"
    with (folder / "curves.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, rows[0])
        writer.writeheader()
        writer.writerows(rows)


def to_other_digests(folder):
    edit(folder / "corpus.json", lambda digests: digests["modalities"].update(text="0"))


@pytest.mark.parametrize(
    ("cheat", "failed"),
    [
        (to_the_best_on_test, {"epochs"}),
        (to_a_curve_that_selects_it, {"epochs"}),
        (to_answers_that_are_right, {"answers", "scores", "model"}),
        (to_labels_that_are_answered, {"answers", "labels", "scores"}),
        (to_a_higher_mean, {"scores"}),
        (to_a_higher_baseline_interval, {"scores"}),
        (to_another_setting, {"seal"}),
        (to_other_digests, {"features"}),
    ],
)
def test_a_cheat_fails_by_the_name_of_the_check(tmp_path, cheat, failed):
    folder = gallery.finished("classes").copy(tmp_path / "run")
    cheat(folder)
    assert of_state(folder, FAILED) == failed


def test_answers_scores_and_seal_that_agree_still_fail_by_the_model(tmp_path):
    folder = gallery.finished("estimator").copy(tmp_path / "run")

    def change(analyses):
        of = analyses["auto"]
        of["answers"] = [of["utterances"]["label"]] * len(of["answers"])

    edit(folder / "analysis.json", change)
    answers = seal.of_answers(json.loads((folder / "analysis.json").read_text())["auto"])

    def seal_again(results):
        sealed = {k: v for k, v in results["seal"].items() if k != "digest"}
        sealed["answers"]["auto"] = answers
        results["seal"] = sealed | {"digest": seal.digest(sealed)}

    edit(folder / "results.json", seal_again)
    found = checked(folder)
    assert (found["answers"].state, found["seal"].state) == (OK, OK)
    assert found["model"].state == FAILED
    assert "answers are not the model's" in found["model"].detail


def changed_corpus(of, path, **changes):
    npz.write(dataclasses.replace(of.corpus, **changes), path)
    return str(path)


def test_another_corpus_fails_by_what_is_other(tmp_path):
    of = gallery.finished("classes")
    swap = {"valid": "test", "test": "valid", "train": "train"}
    swapped = tuple(swap[part] for part in of.corpus.split)
    data = changed_corpus(of, tmp_path / "swapped.npz", split=swapped)
    assert {"corpus", "split", "labels", "model"} >= of_state(of.folder, FAILED, data)
    assert {"corpus", "split", "labels"} <= of_state(of.folder, FAILED, data)
    labels = of.corpus.labels.copy()
    labels[-1] = (labels[-1] + 1) % len(of.corpus.label_names)
    data = changed_corpus(of, tmp_path / "relabelled.npz", labels=labels)
    assert of_state(of.folder, FAILED, data) == {"corpus", "labels"}
    text = of.corpus.features["text"] + np.float32(1)
    data = changed_corpus(of, tmp_path / "x.npz", features={**of.corpus.features, "text": text})
    assert {"features"} <= of_state(of.folder, FAILED, data) <= {"features", "model"}
    data = changed_corpus(of, tmp_path / "y.npz", features={"text": text})
    assert of_state(of.folder, FAILED, data) == {"features", "model"}


def test_the_model_of_another_run_is_not_its_model(tmp_path):
    folder = gallery.finished("classes").copy(tmp_path / "run")
    other = np.load(folder / "model" / "auto" / "model.npz")
    arrays = {name: other[name] for name in other.files}
    name = max((n for n in arrays if n != "card"), key=lambda n: arrays[n].size)
    arrays[name] = -arrays[name]
    np.savez(folder / "model" / "auto" / "model.npz", **arrays)
    assert of_state(folder, FAILED) == {"model"}


def test_what_is_missing_is_not_checked(tmp_path):
    folder = gallery.finished("numbers").copy(tmp_path / "run")
    shutil.rmtree(folder / "model")
    assert str(checked(folder)["model"]) == "model: not checked: no model"
    (folder / "analysis.json").unlink()
    (folder / "curves.csv").unlink()
    edit(folder / "results.json", lambda results: results["seal"].update(version="0"))
    edit(folder / "config.json", lambda config: config["data"].update(path="/nowhere.npz"))
    found = checked(folder)
    assert found["corpus"].detail == "no corpus at /nowhere.npz"
    assert {name for name, x in found.items() if x.state == NOT_CHECKED} == set(NAMES) - {"seal"}
    edit(folder / "results.json", lambda results: results.pop("seal"))
    assert str(checked(folder)["seal"]) == "seal: not checked: no seal"


@pytest.mark.parametrize("name", ["mosi", "mosi_average", "mosi_text", "synthetic"])
def test_committed_results_follow_from_their_seeds_and_are_checked_no_further(name, tmp_path):
    found = checked(RESULTS / name)
    assert found.pop("scores").state == OK
    assert {str(x).partition(": ")[2] for x in found.values()} == {
        "not checked: no folder of the trial"
    }
    results = json.loads((RESULTS / name / "results.json").read_text())
    results["systems"]["mman"]["test"]["accuracy"]["mean"] += 0.01
    (tmp_path / "results.json").write_text(json.dumps(results))
    assert checked(tmp_path)["scores"].state == FAILED


def test_the_command_ends_with_a_status(tmp_path):
    of = gallery.finished("classes")
    folder = of.copy(tmp_path / "run")
    ended = command("experiments.verify", str(folder), "--complete")
    assert ended.returncode == 0, ended.stderr
    assert ended.stdout.splitlines() == [f"{name}: ok" for name in NAMES]
    shutil.rmtree(folder / "model")
    data = f"--config.data.path={of.config.data.path}"
    ended = command("experiments.verify", str(folder), data)
    assert ended.returncode == 0, ended.stderr
    assert ended.stdout.splitlines()[-1] == "model: not checked: no model"
    assert command("experiments.verify", str(folder), "--complete").returncode == 1
    for arguments in ([], [str(tmp_path)], [str(folder), "--config.data.path=/nowhere"]):
        ended = command("experiments.verify", *arguments)
        assert (ended.returncode, ended.stderr.count("\n")) == (2, 1), ended.stderr


def test_a_report_names_the_seals_of_its_trials(tmp_path):
    of = gallery.finished("classes")
    of.copy(tmp_path / "systems" / "mman")
    for digest, found in ((of.results["seal"]["digest"], []), ("other", ["report"])):
        study = {"systems": {"mman": {"seal": digest}}}
        (tmp_path / "results.json").write_text(json.dumps(study))
        names = [f"systems/mman, {name}" for name in NAMES + found]
        assert [check.name for check in verify.verify(tmp_path)] == [*names, "scores"]


def test_files_cannot_write_lines_of_the_report(tmp_path):
    study = {"systems": {"x\nmodel: ok": {}}}
    (tmp_path / "results.json").write_text(json.dumps(study))
    first, *_ = verify.verify(tmp_path)
    assert str(first).startswith(r"x\nmodel: ok, trial: not checked")


def test_nothing_is_checked_without_results(tmp_path):
    with pytest.raises(InputError, match=r"no results\.json; expected the folder"):
        checked(tmp_path)
