"""A system on every fold: trials in folders of their own, and what is pooled from them."""

import dataclasses
import json

import jax
import numpy as np
import pytest
import scipy.special

from mman_jax.cli import predict
from mman_jax.cli.terminal.screen import Screen
from mman_jax.data.readers import npz
from mman_jax.errors import InputError
from mman_jax.study import folds, paper
from mman_jax.study.folds import Candidate, prepare_inner
from mman_jax.trial import runner, training
from mman_jax.types import Inputs
from tests import tiny
from tests.children import run as command

pytestmark = pytest.mark.usefixtures("blank_pictures")


@pytest.fixture(scope="module")
def config(tmp_path_factory):
    corpus = tiny.corpus((5, 2, 2))
    sessions = tuple(f"S/{1 + i % 3}" for i in range(9))  # no folder's name
    path = tmp_path_factory.mktemp("corpus") / "corpus.npz"
    npz.write(dataclasses.replace(corpus, sessions=sessions), path)
    config = tiny.recipes_of(tiny.recipe(epochs=2))("clstm_text")
    config.data.path, config.data.folds = str(path), "sessions"
    config.seeds, config.checkpoint_seconds = 2, 0.0
    return config


NAMES = ["clstm_text", "clstm_ef"]


def run(config, workdir, processes=1):
    folds.run(config, workdir, Screen(quiet=True), processes)
    return json.loads((workdir / "results.json").read_text())


@pytest.fixture(scope="module")
def finished(config, tmp_path_factory):
    workdir = tmp_path_factory.mktemp("folds")
    return workdir, run(config, workdir)


def timeless(results):
    return {name: value for name, value in results.items() if name != "seconds"}


def test_every_conversation_is_scored_once(finished):
    workdir, results = finished
    assert [fold["name"] for fold in results["folds"]] == ["S/1", "S/2", "S/3"]
    assert {path.name for path in (workdir / "folds").iterdir()} == {"~1", "~2", "~3"}
    scored = [fold["sizes"]["test"] for fold in results["folds"]]
    assert sum(size["conversations"] for size in scored) == 9
    utterances = sum(size["utterances"] for size in scored)
    assert np.sum(results["test"]["confusion"]) == 2 * utterances
    expected = sum(np.array(fold["test"]["confusion"]) for fold in results["folds"])
    assert results["test"]["confusion"] == expected.tolist()
    assert len(results["test"]["accuracy"]["per_fold"]) == 3
    assert results["system"] == "clstm_text"
    assert results["parameters"]["total"] > 0
    assert (workdir / "confusion.png").is_file()


def test_a_fold_is_an_ordinary_trial(finished, config, tmp_path):
    workdir, _ = finished
    one = config.copy_and_resolve_references().unlock()
    one.data.fold = "S/2"
    alone = runner.run(one, tmp_path, Screen(quiet=True))
    written = json.loads((workdir / "folds" / "~2" / "results.json").read_text())
    assert timeless(alone) == timeless(written)
    (model,) = predict.load_models(workdir / "folds" / "~2")
    assert model.classes == tuple(alone["classes"])
    with pytest.raises(InputError, match=r"a run over folds.*~1, ~2, ~3.*folds/~1"):
        predict.load_models(workdir)


def test_killed_in_a_fold_it_ends_the_same_and_trains_no_fold_twice(
    finished, config, tmp_path, monkeypatch
):
    _, whole = finished
    fit, calls = training.fit, []

    def interrupted(experiment, task, workdir, *arguments, **settings):
        calls.append(workdir.name)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return fit(experiment, task, workdir, *arguments, **settings)

    monkeypatch.setattr(training, "fit", interrupted)
    with pytest.raises(KeyboardInterrupt):
        run(config, tmp_path)
    assert not (tmp_path / "results.json").exists()
    assert timeless(run(config, tmp_path)) == timeless(whole)
    assert calls == ["~1", "~2", "~2", "~3"]
    monkeypatch.setattr(training, "fit", None)
    assert timeless(run(config, tmp_path)) == timeless(whole)  # finished: nothing to do


def test_folds_side_by_side_give_the_same(finished, config, tmp_path):
    _, whole = finished
    found = run(config, tmp_path, processes=2)
    assert found["test"] == whole["test"]


def test_the_paper_pools_its_systems_over_folds(config, tmp_path):
    recipe = tiny.recipe(epochs=2)
    recipe.seeds = 2  # as in `finished`, which compiled for two
    recipe.data.update(path=config.data.path, folds="sessions")
    paper.run(recipe, tmp_path, Screen(quiet=True), names=NAMES, recipes=tiny.small)
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
    ("change", "said"),
    [
        (dict(folds="speakers"), "speakers"),
        (dict(folds="99"), "99"),
        (dict(folds="sessions", split="raven"), r"data\.split"),
    ],
)
def test_folds_that_cannot_be_are_refused_and_nothing_is_written(config, tmp_path, change, said):
    config = config.copy_and_resolve_references().unlock()
    config.data.update(change)
    with pytest.raises(InputError, match=said):
        run(config, tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_a_trial_is_of_one_fold(config, tmp_path):
    with pytest.raises(InputError, match=r"config\.data\.fold: none"):
        runner.run(config, tmp_path / "run", Screen(quiet=True))


def test_several_machines_are_refused_in_one_line(tmp_path):
    flags = ("--config.data.folds=3", "--config.distributed=auto", f"--workdir={tmp_path}/run")
    ended = command("experiments.run", *flags)
    assert ended.returncode == 2
    assert ended.stderr.startswith("error: config.distributed: 'auto'; expected one machine")
    assert ended.stderr.count("\n") == 1
    assert not (tmp_path / "run").exists()


SCREEN = Screen(quiet=True)


def recipe(corpus, folder, **changed):
    path = folder / "corpus.npz"
    npz.write(corpus, path)
    config = tiny.recipe(epochs=2)
    config.data.update(path=str(path), **changed)
    return config


@pytest.fixture(scope="module")
def inner(tmp_path_factory):
    corpus = tiny.corpus().select_modalities(["speech"])
    return prepare_inner(recipe(corpus, tmp_path_factory.mktemp("inner")), "3")


def groups(parts):
    return {part: set(layout.conversations.tolist()) for part, layout in parts.layouts.items()}


def test_only_training_conversations_are_read(inner):
    corpus = inner.parts[0].corpus
    train = {i for i, part in enumerate(corpus.split) if part == "train"}
    held = [groups(parts) for parts in inner.parts]
    assert all(g["train"] | g["valid"] == train and not g["test"] for g in held)
    assert set.union(*(g["valid"] for g in held)) == train


def test_a_validation_part_that_the_corpus_does_not_name_is_trained_on(inner, tmp_path):
    corpus = inner.parts[0].corpus
    unnamed = tuple("train" if part == "valid" else part for part in corpus.split)
    again = prepare_inner(recipe(dataclasses.replace(corpus, split=unnamed), tmp_path), "3")
    train = {i for i, part in enumerate(unnamed) if part == "train"}
    for parts in again.parts:
        of = groups(parts)
        assert of["train"] | of["valid"] == train


def test_what_other_parts_hold_changes_nothing(inner, tmp_path):
    corpus = inner.parts[0].corpus
    random = np.random.default_rng(0)
    other = np.repeat([part != "train" for part in corpus.split], corpus.lengths)
    features = {m: np.where(other[:, None], random.normal(size=x.shape), x).astype(np.float32)
                for m, x in corpus.features.items()}  # fmt: skip
    labels = np.where(other, (corpus.labels + 1) % len(corpus.label_names), corpus.labels)
    changed = dataclasses.replace(corpus, features=features, labels=labels.astype(np.int32))
    again = prepare_inner(recipe(changed, tmp_path), "3")
    before, now = ([parts.rows for parts in x.parts] for x in (inner, again))
    assert all(map(np.array_equal, arrays(before), arrays(now)))
    assert all(map(np.array_equal, jax.tree.leaves(inner.labels), jax.tree.leaves(again.labels)))


def arrays(rows):
    return [np.asarray(x) for x in jax.tree.leaves(rows)]


def test_folds_share_programs_and_losses_are_those_of_calibrated_answers(inner):
    config = tiny.recipe(epochs=2)
    config.train.update(class_weights=True, label_smoothing=0.2, average=0.5)
    shared = Candidate(inner, config, [5, 6], SCREEN, "towers")
    alone = Candidate(inner, config, [5, 6], SCREEN, "towers")
    found = {}
    for name, candidate, numbers in (("shared", shared, (0, 1)), ("alone", alone, (1,))):
        for fold in numbers:
            snapshot = candidate.train(fold, "x")
            found[name] = candidate.losses(fold, snapshot)["speech"]
    np.testing.assert_allclose(found["shared"], found["alone"], rtol=1e-5)
    rows, labels = inner.parts[1].rows["valid"], inner.labels[1]["valid"]
    scored = labels >= 0
    for seed in range(2):
        params = jax.tree.map(lambda x, s=seed: x[s], snapshot.state.best)
        features = {m: np.asarray(x) for m, x in rows.features.items()}
        logits = alone.system.apply({"params": params}, Inputs.unpadded(features, rows.reset))[0][
            "speech"
        ]
        logits = np.asarray(logits, np.float64)[scored]
        by_temperature = [
            -scipy.special.log_softmax(logits / t, axis=-1)[np.arange(len(logits)), labels[scored]]
            for t in (1.0, *(0.5 * 2 ** (i / 3) for i in range(13)))
        ]
        lowest = np.mean(by_temperature, axis=1).min()
        assert found["alone"][seed] == pytest.approx(lowest, rel=1e-5)
        assert lowest < np.mean(by_temperature[0])
    outcome = snapshot.finished["towers"]
    failed = np.array(outcome.failed)
    failed[1] = 1
    diverged = snapshot._replace(finished={"towers": outcome._replace(failed=failed)})
    assert np.isfinite(alone.losses(1, diverged)["speech"]).tolist() == [True, False]


def test_a_stage_is_trained_on_what_the_earlier_ones_left(inner):
    config = tiny.recipe(epochs=2)
    whole = Candidate(inner, config, [5], SCREEN)
    first = Candidate(inner, config, [5], SCREEN, "towers")
    assert (first.stages, whole.stages) == (("towers",), ("towers", "fusion"))
    before = first.trained(first.train(1, "x"))
    resumed, at_once = whole.train(1, "x", before), whole.train(1, "x")
    for found in (resumed, at_once):
        assert list(found.finished) == ["towers", "fusion"]
    jax.tree.map(np.testing.assert_array_equal, resumed.state.best, at_once.state.best)
    assert whole.losses(1, resumed)["fusion"] == whole.losses(1, at_once)["fusion"]


@pytest.mark.parametrize(
    ("by", "changed", "said"),
    [
        ("sessions", {}, "sweep_folds: sessions, which"),
        ("99", {}, "sweep_folds: 99 groups from 10 conversations"),
        ("1", {}, "sweep_folds: 1 group"),
        ("", {"folds": "3"}, "whose folds train on each other's test parts"),
        ("", {"protocol": "mman5"}, "mman4"),
    ],
)
def test_folds_that_cannot_be_are_one_line(by, changed, said, inner, tmp_path):
    with pytest.raises(InputError, match=said):
        prepare_inner(recipe(inner.parts[0].corpus, tmp_path, **changed), by)
