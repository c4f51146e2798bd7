"""Runs that scale by speaker and reduce features, and their notices about fitted features."""

import dataclasses

import numpy as np
import pytest

from mman_jax.cli import predict
from mman_jax.cli.terminal.screen import Screen
from mman_jax.data import folds
from mman_jax.data.readers import npz
from mman_jax.data.scaling import TURNS
from mman_jax.errors import InputError
from mman_jax.features.extraction import Extraction
from mman_jax.features.settings import Settings
from mman_jax.features.text.transcripts import TfIdfText
from mman_jax.trial import runner
from mman_jax.trial.config import derive
from mman_jax.trial.stored import load_models
from mman_jax.trial.trial import prepare_trial
from mman_jax.types import UNSCORED
from tests import tiny
from tests.children import run

pytest.importorskip("sklearn", reason="linear needs scikit-learn: pip install 'mman_jax[svm]'")


@pytest.fixture(scope="module")
def corpus():
    """Ten groups of conversations, of three speakers each, whose features are shifted."""
    made = tiny.corpus()
    random = np.random.default_rng(0)
    group = np.repeat(np.arange(len(made.lengths)) % 10, made.lengths)
    speakers = tuple(f"{g}-{i % 3}" for i, g in enumerate(group))
    shifts = {name: random.normal(0, 30) for name in sorted(set(speakers))}
    shift = np.array([shifts[name] for name in speakers], np.float32)[:, None]
    features = {m: x + shift for m, x in made.features.items()}
    return dataclasses.replace(made, features=features, speakers=speakers)


@pytest.fixture(scope="module")
def config(corpus, tmp_path_factory):
    path = tmp_path_factory.mktemp("corpus") / "corpus.npz"
    npz.write(corpus, path)
    made = derive(tiny.recipe(), "linear")
    made.data.path, made.data.scale_by = str(path), "speaker"
    made.data.reduce.speech = 4
    return made


@pytest.fixture(scope="module")
def finished(config, tmp_path_factory):
    folder = tmp_path_factory.mktemp("run")
    return folder, runner.run(config, folder, Screen(quiet=True))


def accuracy(models, corpus, test):
    classes, _, labels = predict.answer(models, corpus)
    right = [classes.index(labels[i]) == corpus.labels[i] for i in test]
    return np.mean([x for x, i in zip(right, test, strict=True) if corpus.labels[i] != UNSCORED])


def test_the_model_scales_as_the_run_did_and_as_a_stream_does(finished, config, corpus):
    folder, results = finished
    (model,) = load_models(folder)
    assert model.scaling.turns == results["in_turn"]["turns"]
    assert model.scaling.turns in TURNS
    assert model.scaling.sizes["speech"] == 4
    parts = prepare_trial(config).parts
    test = corpus.utterances_of(parts.split.test)
    alone = corpus.select_conversations(parts.split.test)  # the statistics are over its speakers
    rest = np.arange(len(test))
    expected = results["test"]["accuracy"]["mean"]
    assert accuracy([model], alone, rest) == pytest.approx(expected)
    causal = dataclasses.replace(model.scaling, causal=True)
    models = [dataclasses.replace(model, scaling=causal)]
    expected = results["in_turn"]["test"]["accuracy"]["mean"]
    assert accuracy(models, corpus, test) == pytest.approx(expected)


def test_a_file_without_speakers_needs_another_scaling(finished, corpus):
    models = load_models(finished[0])
    with pytest.raises(InputError) as error:
        predict.answer(models, dataclasses.replace(corpus, speakers=None))
    assert error.value.place.endswith(": speakers")


@pytest.mark.parametrize(
    ("field", "value", "place"),
    [
        ("scale_by", "person", "config.data.scale_by"),
        ("reduce", {"speech": 0}, "config.data.reduce.speech"),
        ("reduce", {"speech": 10**5}, "config.data.reduce.speech"),
        ("reduce", {"smell": 2}, "config.data.reduce.smell"),
    ],
)
def test_settings_refused(config, field, value, place):
    changed = config.copy_and_resolve_references()
    changed.data[field] = value
    with pytest.raises(InputError) as error:
        prepare_trial(changed)
    assert error.value.place == place


def test_components_are_fitted_in_each_fold_to_its_training_conversations(config, corpus):
    changed = config.copy_and_resolve_references()
    changed.data.folds = "speakers"
    found = {}
    for fold in folds.folds(corpus, "speakers")[:2]:
        changed.data.fold = fold.name
        scaling = prepare_trial(changed).parts.scaling
        rows = corpus.features["speech"][corpus.utterances_of(fold.split.train)]
        np.testing.assert_allclose(scaling.mean["speech"], rows.mean(0), rtol=1e-3, atol=1e-3)
        found[fold.name] = scaling.components["speech"]
    first, second = found.values()
    assert first.shape == second.shape
    assert np.abs(first - second).max() > 1e-3


def test_folds_that_test_what_the_features_were_fitted_to_are_told(config, corpus, tmp_path):
    split = ["train"] * 12 + ["valid"] * 2 + ["test"] * (len(corpus.lengths) - 14)
    npz.write(dataclasses.replace(corpus, split=tuple(split)), tmp_path / "c.npz")
    fitted = {"text": {"vocabulary": np.array(["yes"]), "idf": np.ones(1)}}
    Extraction(Settings(text=TfIdfText()), fitted).save(tmp_path / "c.extraction.npz")
    changed = config.copy_and_resolve_references()
    changed.data.path, changed.data.folds = str(tmp_path / "c.npz"), "speakers"
    (told,) = [x for x in prepare_trial(changed).notices if "were fitted" in x]
    assert "text" in told
    assert "12 of the" in told
    changed.data.folds = ""
    assert not [x for x in prepare_trial(changed).notices if "were fitted" in x]


def test_predict_scales_a_file_in_either_way_and_says_which(finished, config, corpus, tmp_path):
    folder, _ = finished
    given = (f"--checkpoint={folder}", f"--input={config.data.path}", f"--output={tmp_path}/a.csv")
    answers = []
    for way, *flag in (("whole",), ("whole", "--scaling=whole"), ("causal", "--scaling=causal")):
        ended = run("experiments.predict", *given, *flag)
        assert ended.returncode == 0, ended.stderr
        assert f"--scaling={way}" in ended.stdout
        answers.append((tmp_path / "a.csv").read_text())
    assert answers[0] == answers[1] != answers[2]
    ended = run("experiments.predict", given[0], "--stream", "--scaling=causal")
    assert (ended.returncode, ended.stderr.startswith("error: --scaling")) == (2, True)


def test_a_run_reduces_what_its_command_line_names(config, tmp_path):
    workdir = tmp_path / "run"
    flags = (f"--workdir={workdir}", f"--config.data.path={config.data.path}")
    ended = run("experiments.run", "--config=linear", *flags, "--config.data.reduce.text=3")
    assert ended.returncode == 0, ended.stderr
    assert load_models(workdir)[0].scaling.sizes["text"] == 3
    ended = run("experiments.run", "--config=linear", *flags, "--config.data.reduce.text.x=3")
    assert (ended.returncode, len(ended.stderr.splitlines())) == (2, 1)
