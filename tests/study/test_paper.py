"""The paper's study of a small corpus: all systems, its report, interruptions and processes."""

import contextlib
import dataclasses
import json

import numpy as np
import pytest

from mman_jax.cli import export, predict
from mman_jax.cli.terminal.screen import Screen
from mman_jax.data.readers import npz
from mman_jax.errors import InputError
from mman_jax.study import jobs, paper, plan, summary
from mman_jax.trial import runner, training
from tests import gallery, iemocap_pickle, tiny

SCREEN = Screen(quiet=True)


def run(config, workdir, names=()):
    paper.run(config, workdir, SCREEN, names=names, recipes=tiny.small)
    return json.loads((workdir / "results.json").read_text())


@contextlib.contextmanager
def only(*names):
    """Restricts the systems to those that a test needs: all of them take minutes."""
    every, cited = plan.systems, plan.cited_systems

    def few(*args):
        found, impossible = cited(*args)
        return [s for s in found if s.name in names], impossible

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(plan, "systems", lambda *a: [s for s in every(*a) if s.name in names])
        patch.setattr(plan, "cited_systems", few)
        yield


@pytest.fixture(autouse=True, scope="module")
def few_systems(blank_pictures):
    with only("clstm_speech", "clstm_lf", "clstm_mma", "mman", "out_of_fold"):
        yield


def config_on(path):
    config = gallery.on(path, tiny.recipe(epochs=1, early=True))
    config.seeds, config.checkpoint_seconds = 2, 0.0
    return config


@pytest.fixture
def recipe(corpus_file):
    return config_on(corpus_file)


@pytest.fixture(scope="module")
def finished(corpus_file, tmp_path_factory):
    workdir = tmp_path_factory.mktemp("study")
    return workdir, run(config_on(corpus_file), workdir)


@pytest.mark.e2e
def test_the_pickle_of_iemocap_needs_nothing_but_its_path(tmp_path):
    iemocap_pickle.write(tmp_path / "IEMOCAP_features_raw.pkl", dims=(4, 3, 5))
    config = gallery.on(tmp_path / "IEMOCAP_features_raw.pkl", tiny.recipe(epochs=1))
    with only("clstm_mma"):
        results = run(config, tmp_path / "paper")
    assert results["protocol"] == "mman4"
    assert results["classes"] == ["happy", "sad", "neutral", "angry"]
    assert results["corpus"]["iemocap"]
    assert results["corpus"]["sessions"] == 5
    assert len(results["utterances"]["position"]) == 1623
    assert list(results["corpus"]["parts"]["test"]["classes"].values()) == [443, 626, 384, 170]
    assert "Ses05" not in json.dumps(results)  # conversations are anonymous
    (tasks,) = results["tasks"].values()
    no = {name: round(100 * task["no_accuracy"], 2) for name, task in tasks.items()}
    assert no == {"happy": 84.73, "sad": 74.02, "neutral": 59.28, "angry": 81.97}
    assert {task["utterances"] for task in tasks.values()} == {943}
    page = (tmp_path / "paper" / "report.html").read_text()
    assert "73.94" in page
    assert "84.7" in page


@pytest.mark.parametrize(
    ("protocol", "trained"), [("auto", {"mman4", "binary4"}), ("mman4", {"mman4"})]
)
def test_a_protocol_that_is_asked_for_is_the_only_one(tmp_path, monkeypatch, protocol, trained):
    planned = []

    def stop(todo, *_):
        planned.extend(todo)
        raise InterruptedError

    monkeypatch.setattr(jobs, "run", stop)
    iemocap_pickle.write(tmp_path / "IEMOCAP_features_raw.pkl", dims=(4, 3, 5))
    path = tmp_path / "IEMOCAP_features_raw.pkl"
    config = gallery.on(path, tiny.recipe(epochs=1), protocol=protocol)
    with only("clstm_mma"), pytest.raises(InterruptedError):
        run(config, tmp_path / "paper")
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


def test_results_have_attention_curves_and_missing_modalities(finished):
    _, results = finished
    for system in results["systems"].values():
        right = [seed.count("1") / len(seed) for seed in system["right"]]
        np.testing.assert_allclose(right, system["test"]["accuracy"]["per_seed"])
    mman, alone = (results["systems"][name]["attention"] for name in ("mman", "clstm_mma"))
    assert mman["by_class"] == alone["by_class"]  # the tower is the same
    assert mman["modalities"] == list(tiny.MODALITIES)
    np.testing.assert_allclose(np.sum(mman["mean"], axis=-1), 1, rtol=1e-5)
    conversation = mman["conversation"]
    lengths = {len(conversation[name]) for name in ("labels", "answers", "weights")}
    assert len(lengths) == 1
    assert set(conversation["labels"]) <= set(results["classes"])
    assert results["systems"]["clstm_lf"]["attention"] is None
    assert set(results["missing"]) == {"clstm_lf", "clstm_mma", "mman"}
    for scores in results["missing"].values():
        assert set(scores) == set(tiny.MODALITIES)
    for name in ("mman", "clstm_lf"):
        system = results["systems"][name]
        assert [of["cut"] for of in system["context"].values()] == [
            sum(p > int(k) for p in results["utterances"]["position"]) for k in system["context"]
        ]
    curves = results["systems"]["mman"]["curves"]
    assert set(curves) == {*tiny.MODALITIES, "mma", "fusion"}
    assert {len(values) for head in curves.values() for values in head.values()} == {1}


def test_a_system_has_the_scores_of_a_trial_of_its_own(finished, recipe, tmp_path):
    alone = runner.run(tiny.recipes_of(recipe)("clstm_lf"), tmp_path, SCREEN)
    system = finished[1]["systems"]["clstm_lf"]
    assert system["test"] == alone["test"]
    assert system["towers"] == alone["towers"]
    assert system["parameters"]["total"] == alone["parameters"]["total"]
    assert system["parameters"]["trainable"] == alone["parameters"]["fusion"]


def test_a_finished_study_trains_nothing_and_writes_the_same_bytes(finished, recipe, monkeypatch):
    workdir, _ = finished
    files = [workdir / name for name in ("results.json", "report.html", "report.md")]
    before = [path.read_bytes() for path in files]
    monkeypatch.setattr(jobs.Job, "run", None)
    run(recipe, workdir)
    assert [path.read_bytes() for path in files] == before
    recipe.seeds = 3
    with pytest.raises(InputError, match=r"config\.seeds was 2, is 3"):
        run(recipe, workdir)


@pytest.mark.e2e
def test_an_interrupted_choice_of_systems_has_the_same_results(
    finished, recipe, tmp_path, monkeypatch
):
    _, full = finished
    fit, calls = training.fit, []

    def interrupted(experiment, task, workdir, *arguments, **settings):
        calls.append(workdir.name)
        if len(calls) in (2, 5):
            raise KeyboardInterrupt
        return fit(experiment, task, workdir, *arguments, **settings)

    monkeypatch.setattr(training, "fit", interrupted)
    names = ["mman", "clstm_lf", "out_of_fold"]
    for _ in range(2):
        with pytest.raises(KeyboardInterrupt):
            run(recipe, tmp_path, names)
        assert not (tmp_path / "results.json").exists()
    found = run(recipe, tmp_path, names)
    assert len(calls) == 2 + len({*calls})
    assert list(found["systems"]) == ["clstm_lf", "mman", "out_of_fold", "linear"]
    assert {path.name for path in (tmp_path / "systems").iterdir()} == set(found["systems"])
    # `out_of_fold` is trained only by its name, on the towers of MMAN.
    assert "out_of_fold" not in full["systems"]
    other = found["systems"].pop("out_of_fold")
    assert other["towers"] == found["systems"]["mman"]["towers"]
    assert other["curves"] != found["systems"]["mman"]["curves"]
    for name, system in found["systems"].items():
        expected = full["systems"][name]
        assert system.keys() == expected.keys()
        timed = ("seconds", "answering")
        assert [system[k] for k in system if k not in timed] == [
            expected[k] for k in system if k not in timed
        ]
    pairs = [(pair["first"], pair["second"]) for pair in found["comparisons"]]
    linear = [("clstm_lf", "linear"), ("mman", "linear")]
    assert pairs == [("mman", "clstm_lf"), ("out_of_fold", "mman"), *linear]
    assert [claim["claim"] for claim in found["claims"]] == ["MMAN beats cLSTM-LF"]


def test_an_ablation_is_compared_with_a_trained_baseline_only(recipe):
    systems = plan.systems(tiny.recipes_of(recipe), tiny.MODALITIES)
    every = {system.name: system for system in systems}
    assert summary._pairs([every["out_of_fold"]]) == []
    assert summary._pairs([every["mman"], every["out_of_fold"]]) == [("out_of_fold", "mman")]


@pytest.mark.e2e
def test_two_processes_have_the_same_scores_and_report_mistakes(finished, recipe, tmp_path):
    workdir, _ = finished
    systems = plan.systems(tiny.recipes_of(recipe), tiny.MODALITIES)
    todo, _ = plan.plan_jobs(systems, {"": recipe}, tiny.MODALITIES, tmp_path)
    some = [job for job in todo if not job.towers and job.config.data.modalities]
    assert len(some) == 2
    jobs.run(some, SCREEN, 2, "")
    for job in some:
        found, expected = (
            json.loads((folder / "results.json").read_text())
            for folder in (job.folder, workdir / job.folder.relative_to(tmp_path))
        )
        assert found["test"] == expected["test"]
    recipe.data.path = str(tmp_path / "gone.npz")
    both = [jobs.Job(name, recipe, tmp_path / name) for name in "xy"]
    with pytest.raises(InputError, match=r"gone\.npz"):
        jobs.run(both, SCREEN, 2, "")


def folders(workdir):
    """Returns the folders of a fusion, of a system of one tower, and of a tower."""
    systems, towers = workdir / "systems", sorted((workdir / "towers").iterdir())
    return [systems / "mman", systems / "clstm_mma", towers[0]]


def test_every_folder_has_a_model_that_predicts_as_its_analysis(finished, recipe):
    corpus = npz.read(recipe.data.path)
    rows = np.repeat(np.array(corpus.split) == "test", corpus.lengths) & (corpus.labels >= 0)
    for folder in folders(finished[0]):
        (model,) = predict.load_models(folder)
        needed = corpus.select_modalities(list(model.dims))
        analysis = json.loads((folder / "analysis.json").read_text())["auto"]
        assert analysis["utterances"]["label"] == corpus.labels[rows].tolist()
        for seed, answers in enumerate(analysis["answers"]):
            alone = dataclasses.replace(model, params=tiny.seed(model.params, seed))
            assert alone.probabilities(needed)[rows].argmax(-1).tolist() == answers
        for name in ("config.json", "curves.csv", "confusion.png"):
            assert (folder / name).is_file()


def test_a_folder_of_a_study_is_exported(finished):
    pytest.importorskip("flatbuffers", reason="the export needs it: pip install 'mman_jax[export]'")
    pytest.importorskip("safetensors.numpy", reason="pip install 'mman_jax[export]'")
    folder = folders(finished[0])[1]
    models = predict.load_models(folder)
    files = export.contents(models, export.describe(models, folder, replaced=False))
    assert {"conversation.jax", "weights.safetensors", "step.jax"} <= set(files)


def test_unknown_systems_and_several_machines_are_refused(recipe, tmp_path):
    with pytest.raises(InputError, match=r"systems: unknown 'mmam'; .*'mman'"):
        run(recipe, tmp_path / "new", names=["mmam"])
    recipe.distributed = "auto"
    with pytest.raises(InputError, match=r"config\.distributed"):
        run(recipe, tmp_path / "new")
    assert not (tmp_path / "new").exists()
