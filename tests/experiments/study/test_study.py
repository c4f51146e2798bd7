import contextlib
import json

import numpy as np
import pytest

from experiments.study import fitting, study, workers
from experiments.study import towers as plan
from experiments.terminal.screen import Screen
from experiments.trial import experiment, training
from mman_jax.data.readers import npz
from mman_jax.errors import InputError
from tests import iemocap_pickle, tiny


def run(config, workdir, processes=1):
    study.run(config, workdir, Screen(quiet=True), processes)
    return json.loads((workdir / "results.json").read_text())


def comparable(results):
    """All numbers but those of the clock."""
    results = json.loads(json.dumps(results))
    results.pop("seconds")
    for system in results["systems"].values():
        system.pop("seconds")
    return results


@contextlib.contextmanager
def only(*names):
    """What a test needs of the systems: the whole list takes minutes."""
    every = plan.systems
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(plan, "systems", lambda *a: [s for s in every(*a) if s.name in names])
        yield


@pytest.fixture(autouse=True, scope="module")
def few_systems():
    with only("clstm_speech", "clstm_ef", "clstm_lf", "clstm_mma", "mman", "joint"):
        yield


@pytest.fixture(scope="module")
def recipe(tmp_path_factory):
    path = tmp_path_factory.mktemp("corpus") / "corpus.npz"
    npz.write(tiny.corpus(), path)
    config = tiny.recipe(dropout=0.3, epochs=2)
    config.data.path, config.seeds, config.checkpoint_seconds = str(path), 2, 0.0
    return config


@pytest.fixture(scope="module")
def finished(recipe, tmp_path_factory):
    workdir = tmp_path_factory.mktemp("study")
    return workdir, run(recipe, workdir)


@pytest.fixture(scope="module")
def iemocap(tmp_path_factory):
    """What a stranger with the pickle gets from the path alone."""
    folder = tmp_path_factory.mktemp("iemocap")
    iemocap_pickle.write(folder / "IEMOCAP_features_raw.pkl")
    config = tiny.recipe(epochs=1)
    config.data.path = str(folder / "IEMOCAP_features_raw.pkl")
    with only("clstm_ef", "clstm_lf", "clstm_mma", "mman"):
        return folder, run(config, folder / "paper")


def test_iemocap_s_pickle_gives_all_of_the_paper(iemocap):
    folder, results = iemocap
    assert results["protocol"] == "mman4"
    assert results["classes"] == ["happy", "sad", "neutral", "angry"]
    assert results["corpus"]["iemocap"]
    assert results["corpus"]["sessions"] == 5
    assert len(results["utterances"]["position"]) == 1623
    assert list(results["corpus"]["parts"]["test"]["classes"].values()) == [443, 626, 384, 170]
    assert "Ses05" not in json.dumps(results)  # what is published tells nobody's conversations
    assert set(results["tasks"]) == {"clstm_mma", "mman"}
    for tasks in results["tasks"].values():
        no = {name: round(100 * task["no_accuracy"], 2) for name, task in tasks.items()}
        assert no == {"happy": 84.73, "sad": 74.02, "neutral": 59.28, "angry": 81.97}
        assert {task["utterances"] for task in tasks.values()} == {943}
    page = (folder / "paper" / "report.html").read_text()
    assert "73.94" in page
    assert "84.73" in page or "84.7" in page


def test_what_was_right_and_the_counts_say_the_same(finished):
    _, results = finished
    for system in results["systems"].values():
        right = [seed.count("1") / len(seed) for seed in system["right"]]
        np.testing.assert_allclose(right, system["test"]["accuracy"]["per_seed"])


def test_what_a_system_looked_at(finished):
    _, results = finished
    looked, alone = (results["systems"][name]["attention"] for name in ("mman", "clstm_mma"))
    assert looked["by_class"] == alone["by_class"]  # the very same tower
    assert looked["modalities"] == list(tiny.MODALITIES)
    np.testing.assert_allclose(np.sum(looked["mean"], axis=-1), 1, rtol=1e-5)
    talk = looked["conversation"]
    assert len(talk["labels"]) == len(talk["answers"]) == len(talk["weights"])
    assert set(talk["labels"]) <= set(results["classes"])
    assert results["systems"]["clstm_ef"]["attention"] is None
    assert set(results["missing"]) == {"clstm_ef", "clstm_lf", "clstm_mma", "mman"}
    for scores in results["missing"].values():
        assert set(scores) == set(tiny.MODALITIES)
    curves = results["systems"]["mman"]["curves"]
    assert set(curves) == {*tiny.MODALITIES, "mma", "fusion"}
    assert {len(values) for head in curves.values() for values in head.values()} == {2}


def test_a_system_is_what_its_own_command_gives(finished, recipe, tmp_path):
    _, results = finished
    config = recipe.copy_and_resolve_references()
    alone = experiment.run(config, tmp_path, Screen(quiet=True))
    found = results["systems"]["mman"]
    assert found["test"] == alone["test"]
    assert found["towers"] == alone["towers"]
    assert found["parameters"]["total"] == alone["parameters"]["total"]
    assert found["parameters"]["trainable"] == alone["parameters"]["fusion"]


def test_joint_training_starts_from_the_same_towers_and_trains_them_all(finished):
    _, results = finished
    joint, whole = results["systems"]["joint"], results["systems"]["mman"]
    assert joint["towers"] == whole["towers"]
    assert joint["parameters"]["trainable"] == joint["parameters"]["total"]


def test_again_it_trains_nothing_and_writes_the_same_bytes(finished, recipe, monkeypatch):
    workdir, _ = finished
    files = ("results.json", "report.html", "report.md")
    before = [(workdir / name).read_bytes() for name in files]
    monkeypatch.setattr(workers, "fit", None)
    run(recipe, workdir)
    assert [(workdir / name).read_bytes() for name in files] == before


def test_interrupted_anywhere_it_ends_the_same(finished, recipe, tmp_path, monkeypatch):
    _, whole = finished
    fit, calls = training.fit, []

    def interrupted(experiment, task, workdir, *arguments, **settings):
        calls.append(workdir.name)
        if len(calls) in (2, 6):
            raise KeyboardInterrupt
        return fit(experiment, task, workdir, *arguments, **settings)

    monkeypatch.setattr(training, "fit", interrupted)
    for _ in range(2):
        with pytest.raises(KeyboardInterrupt):
            run(recipe, tmp_path)
        assert not (tmp_path / "results.json").exists()
    assert comparable(run(recipe, tmp_path)) == comparable(whole)
    assert len(calls) == 2 + len({*calls})


def test_jobs_side_by_side_give_the_same(finished, recipe, tmp_path):
    workdir, _ = finished
    towers = sorted((workdir / "towers").glob("*"))[:2]
    config = recipe.copy_and_resolve_references().unlock()
    todo, _ = study.plan_jobs(
        plan.systems(config, tiny.MODALITIES), config, tiny.MODALITIES, tmp_path
    )
    some = [job for job in todo if job.folder.name in {path.name for path in towers}]
    assert len(some) == 2
    workers.run(some, Screen(quiet=True), 2, "")
    for job in some:
        found, expected = (
            fitting.read(folder)["auto"]
            for folder in (job.folder, workdir / "towers" / job.folder.name)
        )
        assert found["test"] == expected["test"]


def test_a_mistake_in_a_process_of_its_own_is_told_as_one(recipe, tmp_path):
    config = recipe.copy_and_resolve_references().unlock()
    config.data.path = str(tmp_path / "gone.npz")
    with pytest.raises(InputError, match=r"gone\.npz"):
        workers.run(
            [fitting.Job("x", config, tmp_path / "x"), fitting.Job("y", config, tmp_path / "y")],
            Screen(quiet=True),
            2,
            "",
        )


def test_several_processes_and_other_settings_are_refused(finished, recipe, tmp_path):
    workdir, _ = finished
    config = recipe.copy_and_resolve_references()
    config.seeds = 3
    with pytest.raises(InputError, match=r"config\.seeds was 2, is 3"):
        run(config, workdir)
    config.distributed = "auto"
    with pytest.raises(InputError, match=r"config\.distributed"):
        run(config, tmp_path)
