"""Trials whose cells are words or frames, from the corpus to predictions."""

import dataclasses

import numpy as np
import pytest

from mman_jax.cli import predict
from mman_jax.cli.terminal.screen import Screen
from mman_jax.data.sequences import taken
from mman_jax.errors import InputError
from mman_jax.inference import exported
from mman_jax.inference.answerer import Answerer
from mman_jax.study import paper
from mman_jax.study.folds import Candidate, prepare_inner
from mman_jax.trial.stored import load_models
from mman_jax.trial.trial import prepare_trial
from tests import gallery, tiny

pytestmark = pytest.mark.usefixtures("blank_pictures")
SCREEN = Screen(quiet=True)


@pytest.fixture(scope="module", params=["words", "frames"])
def finished(request):
    return gallery.finished(request.param)


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    return gallery.write_corpus(tmp_path_factory.mktemp("sequences"), gallery.sequences())


def test_scores_are_of_utterances(finished):
    corpus, analysis = finished.results["corpus"], finished.analysis
    assert (corpus["conversations"], corpus["utterances"]) == (6, 14)
    # Of each part one has no word: it is context only.
    assert corpus["parts"]["test"]["classes"] == {"no": 1, "yes": 1}
    assert corpus["parts"]["train"]["classes"] == {"no": 5, "yes": 3}
    cells = corpus[finished.config.data.cells]
    assert cells["utterances_without"] == 2
    if "pivot" in cells:
        assert (cells["pivot"], cells["most"]) == ("text", 4)
    else:
        assert cells["how"] == {"text": {"cells": 3}, "speech": {"first": 4}}
    assert analysis["utterances"]["conversation"] == ["f"] * 2
    assert analysis["utterances"]["position"] == [0, 1]
    assert analysis["utterances"]["label"] == [1, 0]
    assert set(analysis["missing"]) == {"text", "speech"}


def test_predictions_of_a_file_are_those_of_the_test_part(finished):
    models, corpus = load_models(finished.folder), finished.corpus
    classes, probabilities, labels = predict.answer(models, corpus)
    assert probabilities.shape == (14, 2)
    assert [classes.index(label) for label in labels[-3:-1]] == finished.analysis["answers"][0]
    take = np.concatenate([np.arange(5, 9), np.arange(5)])  # conversations c, d, a and b
    other = dataclasses.replace(
        corpus,
        features={},
        present={},
        labels=corpus.labels[take],
        lengths=np.array([2, 2, 2, 3], np.int32),
        conversation_ids=tuple("cdab"),
        utterance_ids=tuple(corpus.utterance_ids[i] for i in take),
        split=None,
        sequences={name: taken(x, take) for name, x in corpus.sequences.items()},
    )
    _, subset, _ = predict.answer(models, other)
    np.testing.assert_allclose(subset, probabilities[take], atol=1e-6)


def test_models_refuse_what_has_no_such_cells(finished):
    models, corpus = load_models(finished.folder), finished.corpus
    for refuse in (Answerer, exported.conversations):
        with pytest.raises(InputError, match=f"over {finished.config.data.cells}"):
            refuse(models)
    with pytest.raises(InputError, match=f"over {finished.config.data.cells}"):
        load_models(finished.folder, context="utterance")
    with pytest.raises(InputError, match=f"{finished.config.data.cells}: no sequences"):
        predict.answer(models, tiny.corpus())
    text = corpus.sequences["text"]
    wide = dataclasses.replace(text, values=np.pad(text.values, ((0, 0), (0, 1))))
    other = dataclasses.replace(corpus, features={}, sequences=corpus.sequences | {"text": wide})
    with pytest.raises(InputError, match="modality text: 4 features; expected the 3"):
        predict.answer(models, other)


@pytest.mark.parametrize(
    ("cells", "system", "data", "place"),
    [
        ("words", "raven", {"cells": "word"}, r"config\.data\.cells: 'word'"),
        ("words", "raven", {"words": 0}, r"config\.data\.words: 0"),
        ("words", "raven", {"pivot": "face"}, "pivot: no sequence 'face'"),
        ("words", "raven", {"cells": "utterances", "pivot": "text"}, r"config\.data\.pivot"),
        ("words", "raven", {"modalities": "text,face"}, "unknown 'face'"),
        ("words", "raven", {"modalities": "text"}, "text alone; expected two or more"),
        ("frames", "mult", {"pivot": "text"}, r"config\.data\.pivot: 'text', and cells are frames"),
        ("frames", "mult", {"modalities": "text,face"}, "unknown 'face'"),
        ("frames", "mult", {"modalities": "text"}, r"config\.modalities: text alone"),
        ("frames", "mult", {"test": "OTHER.npz"}, r"config\.data\.test: 'OTHER\.npz'"),
        ("frames", "mman", {}, r"^config\.data\.cells: 'frames' for MMAN"),
        ("frames", "raven", {}, r"^config\.data\.cells: 'frames' for RAVEN"),
        ("frames", "rozgic", {}, r"^config\.data\.cells: 'frames' for Rozgic"),
    ],
    ids=str,
)
def test_settings_are_refused_before_training(path, cells, system, data, place):
    if system == "rozgic":
        pytest.importorskip("sklearn", reason="pip install 'mman_jax[svm]'")
    config = gallery.over(cells, system, path)
    config.data.update(data)
    with pytest.raises(InputError, match=place):
        prepare_trial(config)


def test_the_pivot_of_the_network_is_that_of_the_cells(path):
    with pytest.raises(InputError, match=r"network\.pivot: 'speech'"):
        prepare_trial(gallery.over("words", "raven", path, pivot="speech"))


def test_a_corpus_without_sequences_and_the_systems_of_the_paper_are_refused(path, tmp_path):
    plain = gallery.write_corpus(tmp_path, tiny.corpus())
    with pytest.raises(InputError, match=r"corpus\.npz: frames: no sequences"):
        prepare_trial(gallery.over("frames", "tripathi", plain))
    with pytest.raises(InputError, match="'frames' for MMAN"):
        paper.run(gallery.over("frames", "mman", path), tmp_path / "study", SCREEN)
    assert not (tmp_path / "study").exists()


@pytest.mark.parametrize(
    ("cells", "system", "network", "shape"),
    [("words", "mfm", {}, (4, 2)), ("frames", "mult", {"frames": {"speech": 4}}, (1, 4, 2))],
)
def test_batches_hold_utterances(path, cells, system, network, shape):
    config = gallery.over(cells, system, path, **network)
    config.train.batch = 2
    config.data.folds, config.data.fold = "3", "1"
    trial = prepare_trial(config)
    assert trial.trainer.system.cells == cells
    assert trial.trainer.settings["batch"] == 5  # of 14 utterances in 6 conversations
    assert trial.parts.rows["train"].features["speech"].shape[1:] == shape
    shortened = any("have over 4 of speech: the last are kept" in text for text in trial.notices)
    assert shortened == (cells == "frames")


def test_groups_inside_training_are_of_conversations(path):
    config = gallery.over("words", "mman", path)
    config.train.fusion.answers = "out_of_fold"
    trial = prepare_trial(config)
    positions = trial.parts.layouts["train"].positions
    groups, (conversations, _) = trial.groups.reshape(-1)[positions], trial.parts.whose("train")
    pairs = sorted(set(zip(conversations.tolist(), groups.tolist(), strict=True)))
    assert pairs[3:] == [(3, groups[-1])]
    assert len(set(groups.tolist())) == 3
    assert (trial.groups[~trial.parts.rows["train"].mask] == -1).all()


@pytest.mark.parametrize(
    ("cells", "system", "setting", "value"),
    [("words", "raven", "pivot", "text"), ("frames", "tripathi", "cells", "frames")],
)
def test_a_sweep_divides_conversations(path, cells, system, setting, value):
    config = gallery.over(cells, system, path)
    inner = prepare_inner(config, "")
    assert inner.modalities == ("text", "speech")
    assert len({parts.rows["train"].features["speech"].shape for parts in inner.parts}) == 1
    assert sum(len(parts.split.valid) for parts in inner.parts) == 4
    assert getattr(Candidate(inner, config, [0], SCREEN).system, setting) == value
