import contextlib
import dataclasses
import json

import jax
import numpy as np
import pytest

from mman_jax.cli import export, predict
from mman_jax.cli.terminal.screen import Screen
from mman_jax.data.readers import npz
from mman_jax.errors import InputError
from mman_jax.study import jobs, paper, plan, summary
from mman_jax.trial import analysis, runner, training
from tests import iemocap_pickle, tiny


def run(config, workdir, processes=1, names=(), seeds=None):
    screen, recipes = Screen(quiet=True), tiny.small
    paper.run(config, workdir, screen, processes, names=names, seeds=seeds, recipes=recipes)
    return json.loads((workdir / "results.json").read_text())


def comparable(results):
    """All numbers but those of the clock."""
    results = json.loads(json.dumps(results))
    results.pop("seconds")
    for system in results["systems"].values():
        system.pop("seconds")
        system.pop("answering")
    return results


@contextlib.contextmanager
def only(*names):
    """What a test needs of the systems: the whole list takes minutes."""
    every, others = plan.systems, plan.cited_systems

    def few(*args):
        found, impossible = others(*args)
        return [s for s in found if s.name in names], impossible

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(plan, "systems", lambda *a: [s for s in every(*a) if s.name in names])
        patch.setattr(plan, "cited_systems", few)
        yield


@pytest.fixture(autouse=True, scope="module")
def few_systems(blank_pictures):
    with only("clstm_speech", "clstm_lf", "clstm_mma", "mman", "out_of_fold"):
        yield


@pytest.fixture(scope="module")
def recipe(tmp_path_factory):
    path = tmp_path_factory.mktemp("corpus") / "corpus.npz"
    npz.write(tiny.corpus(), path)
    config = tiny.recipe(epochs=2, early=True)
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
    iemocap_pickle.write(folder / "IEMOCAP_features_raw.pkl", dims=(4, 3, 5))
    config = tiny.recipe(epochs=1)
    config.data.path = str(folder / "IEMOCAP_features_raw.pkl")
    with only("clstm_mma"):
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
    assert set(results["tasks"]) == {"clstm_mma"}
    for tasks in results["tasks"].values():
        no = {name: round(100 * task["no_accuracy"], 2) for name, task in tasks.items()}
        assert no == {"happy": 84.73, "sad": 74.02, "neutral": 59.28, "angry": 81.97}
        assert {task["utterances"] for task in tasks.values()} == {943}
    page = (folder / "paper" / "report.html").read_text()
    assert "73.94" in page
    assert "84.73" in page or "84.7" in page


@pytest.mark.parametrize(
    ("protocol", "trained"), [("auto", {"mman4", "binary4"}), ("mman4", {"mman4"})]
)
def test_a_protocol_that_is_asked_for_is_the_only_one(
    iemocap, tmp_path, monkeypatch, protocol, trained
):
    planned = []

    def stop(todo, *_):
        planned.extend(todo)
        raise InterruptedError

    monkeypatch.setattr(jobs, "run", stop)
    config = tiny.recipe(epochs=1)
    config.data.path = str(iemocap[0] / "IEMOCAP_features_raw.pkl")
    config.data.protocol = protocol
    with only("clstm_mma"), pytest.raises(InterruptedError):
        run(config, tmp_path)
    assert {job.config.data.protocol for job in planned} == trained


def test_the_linear_baseline_is_fitted_once_and_compared_with_every_system(finished):
    pytest.importorskip("sklearn", reason="pip install 'mman_jax[svm]'")
    workdir, results = finished
    systems = results["systems"]
    assert [name for name in systems if systems[name]["group"] == "baseline"] == ["linear"]
    paper = {name for name in systems if systems[name]["group"] == "paper"}
    pairs = [pair for pair in results["comparisons"] if pair["second"] == "linear"]
    assert {pair["first"] for pair in pairs} == paper
    for pair in pairs:
        means = [systems[pair[x]]["test"]["accuracy"]["mean"] for x in ("first", "second")]
        assert pair["difference"] == pytest.approx(means[0] - means[1])
    for name in systems:
        stored = json.loads((workdir / "systems" / name / "results.json").read_text())
        assert "baseline" not in stored
        assert stored["test"]["accuracy"]["interval"]
    assert "| linear baseline |" in (workdir / "report.md").read_text()


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
    assert results["systems"]["clstm_lf"]["attention"] is None
    assert set(results["missing"]) == {"clstm_lf", "clstm_mma", "mman"}
    for scores in results["missing"].values():
        assert set(scores) == set(tiny.MODALITIES)
    curves = results["systems"]["mman"]["curves"]
    assert set(curves) == {*tiny.MODALITIES, "mma", "fusion"}
    assert {len(values) for head in curves.values() for values in head.values()} == {2}


def test_a_system_is_what_its_own_command_gives(finished, recipe, tmp_path):
    _, results = finished
    config = tiny.recipes_of(recipe)("clstm_lf")
    alone = runner.run(config, tmp_path, Screen(quiet=True))
    found = results["systems"]["clstm_lf"]
    assert found["test"] == alone["test"]
    assert found["towers"] == alone["towers"]
    assert found["parameters"]["total"] == alone["parameters"]["total"]
    assert found["parameters"]["trainable"] == alone["parameters"]["fusion"]


def test_again_it_trains_nothing_and_writes_the_same_bytes(finished, recipe, monkeypatch):
    workdir, _ = finished
    files = ("results.json", "report.html", "report.md")
    before = [(workdir / name).read_bytes() for name in files]
    monkeypatch.setattr(jobs.Job, "run", None)
    run(recipe, workdir)
    assert [(workdir / name).read_bytes() for name in files] == before


def test_interrupted_anywhere_it_ends_the_same(finished, recipe, tmp_path, monkeypatch):
    _, whole = finished
    fit, calls = training.fit, []

    def interrupted(experiment, task, workdir, *arguments, **settings):
        calls.append(workdir.name)
        if len(calls) in (2, 5):
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
    config = recipe.copy_and_resolve_references().unlock()
    systems = plan.systems(tiny.recipes_of(config), tiny.MODALITIES)
    todo, _ = plan.plan_jobs(systems, {"": config}, tiny.MODALITIES, tmp_path)
    some = [job for job in todo if not job.towers and job.config.data.modalities]
    assert len(some) == 2
    jobs.run(some, Screen(quiet=True), 2, "")
    for job in some:
        found, expected = (
            json.loads((folder / "results.json").read_text())
            for folder in (job.folder, workdir / job.folder.relative_to(tmp_path))
        )
        assert found["test"] == expected["test"]


def test_a_mistake_in_a_process_of_its_own_is_told_as_one(recipe, tmp_path):
    config = recipe.copy_and_resolve_references().unlock()
    config.data.path = str(tmp_path / "gone.npz")
    both = [jobs.Job(name, config, tmp_path / name) for name in "xy"]
    with pytest.raises(InputError, match=r"gone\.npz"):
        jobs.run(both, Screen(quiet=True), 2, "")


def test_several_processes_and_other_settings_are_refused(finished, recipe, tmp_path):
    workdir, _ = finished
    config = recipe.copy_and_resolve_references()
    config.seeds = 3
    with pytest.raises(InputError, match=r"config\.seeds was 2, is 3"):
        run(config, workdir)
    config.distributed = "auto"
    with pytest.raises(InputError, match=r"config\.distributed"):
        run(config, tmp_path)


def folders(workdir):
    """Of a fusion, of a system that is one tower, and of a tower that is no system."""
    systems, towers = workdir / "systems", sorted((workdir / "towers").iterdir())
    return [systems / "mman", systems / "clstm_mma", towers[0]]


def test_every_folder_predicts_what_its_analysis_tells(finished, recipe):
    workdir, _ = finished
    corpus = npz.read(recipe.data.path)
    test = [c for c, part in enumerate(corpus.split) if part == "test"]
    rows = np.concatenate([np.arange(len(corpus.labels))[corpus.utterances(c)] for c in test])
    rows = rows[corpus.labels[rows] >= 0]
    for folder in folders(workdir):
        (model,) = predict.load_models(folder)
        needed = corpus.select_modalities(list(model.dims))
        told = json.loads((folder / analysis.NAME).read_text())["auto"]
        assert told["utterances"]["label"] == corpus.labels[rows].tolist()
        for seed, answers in enumerate(told["answers"]):
            params = jax.tree.map(lambda x, n=seed: x[n : n + 1], model.params)
            alone = dataclasses.replace(model, params=params)
            assert alone.probabilities(needed)[rows].argmax(-1).tolist() == answers
        expected = [(folder / n).is_file() for n in ("config.json", "curves.csv", "confusion.png")]
        assert all(expected)


def test_every_folder_exports(finished):
    pytest.importorskip("flatbuffers", reason="the export needs it: pip install 'mman_jax[export]'")
    pytest.importorskip("safetensors.numpy", reason="pip install 'mman_jax[export]'")
    workdir, _ = finished
    for folder in folders(workdir)[1:]:
        models = predict.load_models(folder)
        files = export.contents(models, export.describe(models, folder, replaced=False))
        assert {"conversation.jax", "weights.safetensors", "step.jax"} <= set(files)


def test_a_choice_of_systems_trains_no_others(finished, recipe, tmp_path):
    _, whole = finished
    found = run(recipe, tmp_path, names=["mman", "clstm_lf", "out_of_fold"])
    assert list(found["systems"]) == ["clstm_lf", "mman", "out_of_fold", "linear"]
    assert {path.name for path in (tmp_path / "systems").iterdir()} == set(found["systems"])
    # What is trained only by its name is in no whole study; its towers are those of MMAN.
    assert "out_of_fold" not in whole["systems"]
    other = found["systems"].pop("out_of_fold")
    assert other["towers"] == found["systems"]["mman"]["towers"]
    assert other["curves"] != found["systems"]["mman"]["curves"]
    for name, system in found["systems"].items():
        assert system["test"] == whole["systems"][name]["test"]
        assert system["right"] == whole["systems"][name]["right"]
    pairs = [(pair["first"], pair["second"]) for pair in found["comparisons"]]
    linear = [("clstm_lf", "linear"), ("mman", "linear")]
    assert pairs == [("mman", "clstm_lf"), ("out_of_fold", "mman"), *linear]
    assert [claim["claim"] for claim in found["claims"]] == ["MMAN beats cLSTM-LF"]


def test_an_ablation_is_compared_with_a_baseline_that_was_trained(recipe):
    every = {
        system.name: system for system in plan.systems(tiny.recipes_of(recipe), tiny.MODALITIES)
    }
    assert summary._pairs([every["out_of_fold"]]) == []
    assert summary._pairs([every["mman"], every["out_of_fold"]]) == [("out_of_fold", "mman")]


def test_unknown_systems_are_refused(recipe, tmp_path):
    workdir = tmp_path / "new"
    with pytest.raises(InputError, match=r"systems: unknown 'mmam'; .*'mman'"):
        run(recipe, workdir, names=["mmam"])
    assert not workdir.exists()
