"""A system on every fold: trials in separate folders, and their pooled results."""

import dataclasses
import json

import jax
import numpy as np
import pytest
import scipy.special

from mman_jax.cli import predict
from mman_jax.cli.terminal.screen import Screen
from mman_jax.errors import InputError
from mman_jax.study import folds, paper
from mman_jax.study.folds import Candidate, prepare_inner
from mman_jax.trial import runner, training
from mman_jax.types import Inputs
from tests import gallery, tiny

pytestmark = pytest.mark.usefixtures("blank_pictures")
NAMES = ["clstm_text", "clstm_ef"]
SCREEN = Screen(quiet=True)


@pytest.fixture(scope="module")
def finished():
    return gallery.finished("folds")


def run(config, workdir, processes=1):
    folds.run(config, workdir, SCREEN, processes)
    return json.loads((workdir / "results.json").read_text())


def untimed(results):
    return {name: value for name, value in results.items() if name != "seconds"}


def test_every_conversation_is_scored_once(finished):
    workdir, results = finished.folder, finished.results
    assert [fold["name"] for fold in results["folds"]] == ["S/1", "S/2", "S/3"]
    assert {path.name for path in (workdir / "folds").iterdir()} == {"~1", "~2", "~3"}
    scored = [fold["sizes"]["test"] for fold in results["folds"]]
    assert sum(size["conversations"] for size in scored) == 9
    utterances = sum(size["utterances"] for size in scored)
    assert np.sum(results["test"]["confusion"]) == 2 * utterances
    expected = sum(np.array(fold["test"]["confusion"]) for fold in results["folds"])
    assert results["test"]["confusion"] == expected.tolist()
    assert len(results["test"]["accuracy"]["per_fold"]) == 3
    assert results["parameters"]["total"] > 0
    assert (workdir / "confusion.png").is_file()


def test_a_fold_is_an_ordinary_trial(finished, tmp_path):
    config = finished.config
    config.data.fold = "S/2"
    alone = runner.run(config, tmp_path, SCREEN)
    written = json.loads((finished.folder / "folds" / "~2" / "results.json").read_text())
    assert untimed(alone) == untimed(written)
    (model,) = predict.load_models(finished.folder / "folds" / "~2")
    assert model.classes == tuple(alone["classes"])
    with pytest.raises(InputError, match=r"a run over folds.*~1, ~2, ~3.*folds/~1"):
        predict.load_models(finished.folder)


def test_an_interrupted_study_resumes_and_trains_no_fold_twice(finished, tmp_path, monkeypatch):
    fit, calls = training.fit, []

    def interrupted(experiment, task, workdir, *arguments, **settings):
        calls.append(workdir.name)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return fit(experiment, task, workdir, *arguments, **settings)

    monkeypatch.setattr(training, "fit", interrupted)
    with pytest.raises(KeyboardInterrupt):
        run(finished.config, tmp_path)
    assert not (tmp_path / "results.json").exists()
    assert untimed(run(finished.config, tmp_path)) == untimed(finished.results)
    assert calls == ["~1", "~2", "~2", "~3"]
    monkeypatch.setattr(training, "fit", None)
    assert untimed(run(finished.config, tmp_path)) == untimed(finished.results)


@pytest.mark.e2e
def test_folds_in_two_processes_have_the_same_scores(finished, tmp_path):
    assert run(finished.config, tmp_path, processes=2)["test"] == finished.results["test"]


def test_the_paper_pools_its_systems_over_folds(finished, tmp_path):
    config = gallery.on(finished.config.data.path, tiny.recipe(epochs=1), folds="sessions")
    paper.run(config, tmp_path, SCREEN, names=NAMES, recipes=tiny.small)
    results = json.loads((tmp_path / "results.json").read_text())
    names = [*NAMES, "linear"]  # the baseline, where scikit-learn is installed
    assert list(results["systems"]) == names
    for system in results["systems"].values():
        assert len(system["folds"]) == 3
        right = [seed.count("1") / len(seed) for seed in system["right"]]
        np.testing.assert_allclose(right, system["test"]["accuracy"]["per_seed"])
    assert results["corpus"]["parts"]["test"]["conversations"] == 9
    assert "folds ±" in (tmp_path / "report.md").read_text()
    assert "## The folds" in (tmp_path / "report.md").read_text()
    places = sorted(str(p.relative_to(tmp_path)) for p in tmp_path.glob("folds/*/*/*"))
    assert places == [f"folds/~{n}/systems/{s}" for n in "123" for s in sorted(names)]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"data.folds": "speakers"}, "speakers"),
        ({"data.folds": "99"}, "99"),
        ({"data.split": "raven"}, r"data\.split"),
        ({"distributed": "auto"}, r"config\.distributed: 'auto'; expected one machine"),
    ],
)
def test_folds_are_refused_before_anything_is_written(finished, tmp_path, change, words):
    config = finished.config
    config.update_from_flattened_dict(change)
    with pytest.raises(InputError, match=words):
        run(config, tmp_path / "run")
    with pytest.raises(InputError, match=r"config\.data\.fold: none"):
        runner.run(finished.config, tmp_path / "run", SCREEN)  # a trial is of one fold
    assert not (tmp_path / "run").exists()


def recipe(corpus, folder, **data):
    return gallery.on(gallery.write_corpus(folder, corpus), tiny.dense(epochs=2), **data)


@pytest.fixture(scope="module")
def inner(tmp_path_factory):
    corpus = tiny.corpus().select_modalities(["speech"])
    return prepare_inner(recipe(corpus, tmp_path_factory.mktemp("inner")), "3")


def conversations(parts):
    return {part: set(layout.conversations.tolist()) for part, layout in parts.layouts.items()}


def test_inner_folds_have_training_conversations_alone(inner, tmp_path):
    corpus = inner.parts[0].corpus
    train = {i for i, part in enumerate(corpus.split) if part == "train"}
    held = [conversations(parts) for parts in inner.parts]
    assert all(g["train"] | g["valid"] == train and not g["test"] for g in held)
    assert set.union(*(g["valid"] for g in held)) == train
    # A validation part that the corpus does not name belongs to the training part.
    unnamed = tuple("train" if part == "valid" else part for part in corpus.split)
    again = prepare_inner(recipe(dataclasses.replace(corpus, split=unnamed), tmp_path), "3")
    train = {i for i, part in enumerate(unnamed) if part == "train"}
    for of in map(conversations, again.parts):
        assert of["train"] | of["valid"] == train


def test_features_and_labels_of_other_parts_do_not_matter(inner, tmp_path):
    corpus = inner.parts[0].corpus
    random = np.random.default_rng(0)
    other = np.repeat([part != "train" for part in corpus.split], corpus.lengths)
    features = {m: np.where(other[:, None], random.normal(size=x.shape), x).astype(np.float32)
                for m, x in corpus.features.items()}  # fmt: skip
    labels = np.where(other, (corpus.labels + 1) % len(corpus.label_names), corpus.labels)
    changed = dataclasses.replace(corpus, features=features, labels=labels.astype(np.int32))
    again = prepare_inner(recipe(changed, tmp_path), "3")
    before, after = (
        jax.tree.leaves(([parts.rows for parts in x.parts], x.labels)) for x in (inner, again)
    )
    jax.tree.map(np.testing.assert_array_equal, before, after)


def test_folds_share_programs_and_losses_are_of_calibrated_predictions(inner):
    config = tiny.dense(epochs=2)
    config.train.update(class_weights=True, label_smoothing=0.2, average=0.5)
    shared, alone = (Candidate(inner, config, [5, 6], SCREEN, "towers") for _ in range(2))
    losses = {}
    for name, candidate, numbers in (("shared", shared, (0, 1)), ("alone", alone, (1,))):
        for fold in numbers:
            snapshot = candidate.train(fold, "x")
            losses[name] = candidate.losses(fold, snapshot)["speech"]
    np.testing.assert_allclose(losses["shared"], losses["alone"], rtol=1e-5)
    rows, labels = inner.parts[1].rows["valid"], inner.labels[1]["valid"]
    scored = labels >= 0
    for seed in range(2):
        params = jax.tree.map(lambda x, s=seed: x[s], snapshot.state.best)
        features = {m: np.asarray(x) for m, x in rows.features.items()}
        inputs = Inputs.unpadded(features, rows.reset)
        logits = alone.system.apply({"params": params}, inputs)[0]["speech"]
        logits = np.asarray(logits, np.float64)[scored]
        by_temperature = [
            -scipy.special.log_softmax(logits / t, axis=-1)[np.arange(len(logits)), labels[scored]]
            for t in (1.0, *(0.5 * 2 ** (i / 3) for i in range(13)))
        ]
        lowest = np.mean(by_temperature, axis=1).min()
        assert losses["alone"][seed] == pytest.approx(lowest, rel=1e-5)
        assert lowest < np.mean(by_temperature[0])
    outcome = snapshot.finished["towers"]
    failed = np.array(outcome.failed)
    failed[1] = 1
    diverged = snapshot._replace(finished={"towers": outcome._replace(failed=failed)})
    assert np.isfinite(alone.losses(1, diverged)["speech"]).tolist() == [True, False]


def test_a_stage_resumes_from_the_parameters_of_earlier_ones(inner):
    config = tiny.dense(epochs=2)
    full = Candidate(inner, config, [5], SCREEN)
    first = Candidate(inner, config, [5], SCREEN, "towers")
    assert (first.stages, full.stages) == (("towers",), ("towers", "fusion"))
    before = first.trained(first.train(1, "x"))
    resumed, at_once = full.train(1, "x", before), full.train(1, "x")
    for snapshot in (resumed, at_once):
        assert list(snapshot.finished) == ["towers", "fusion"]
    jax.tree.map(np.testing.assert_array_equal, resumed.state.best, at_once.state.best)
    assert full.losses(1, resumed)["fusion"] == full.losses(1, at_once)["fusion"]


@pytest.mark.parametrize(
    ("by", "data", "words"),
    [
        ("sessions", {}, "sweep_folds: sessions, which"),
        ("99", {}, "sweep_folds: 99 groups from 10 conversations"),
        ("1", {}, "sweep_folds: 1 group"),
        ("", {"folds": "3"}, "whose folds train on each other's test parts"),
        ("", {"protocol": "mman5"}, "mman4"),
    ],
)
def test_inner_folds_are_refused(by, data, words, inner, tmp_path):
    with pytest.raises(InputError, match=words):
        prepare_inner(recipe(inner.parts[0].corpus, tmp_path, **data), by)
