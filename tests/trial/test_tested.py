"""Trials that are tested on another corpus."""

import dataclasses
import json

import numpy as np
import pytest

from mman_jax.cli.terminal.screen import Screen
from mman_jax.data.readers import npz
from mman_jax.errors import InputError
from mman_jax.trial import corpora, runner
from mman_jax.trial.stored import load_models
from mman_jax.trial.trial import prepare_trial
from tests import gallery, tiny

pytestmark = pytest.mark.usefixtures("blank_pictures")


def recipe(folder, test=None, **data):
    config = gallery.on(folder / "own.npz", tiny.dense(epochs=2), modalities="text")
    config.data.update(test=test and str(folder / test), **data)
    return config


@pytest.fixture(scope="module")
def folder():
    """A corpus, and another one with a renamed label and no split."""

    def make(folder):
        npz.write(tiny.corpus(), folder / "own.npz")
        other = tiny.corpus((2, 2, 3), seed=1)
        names = tuple({"happy": "joy"}.get(name, name) for name in other.label_names)
        ids = tuple(f"other {i}" for i in range(7))
        features = {name: 3 * values + 1 for name, values in other.features.items()}
        other = dataclasses.replace(
            other, label_names=names, conversation_ids=ids, split=None, features=features
        )
        npz.write(other, folder / "other.npz")

    return gallery.once("two_corpora", make)


def run(config, workdir):
    return runner.run(config, workdir, Screen(quiet=True))


def test_the_training_corpus_as_the_test_corpus_changes_no_score(folder, tmp_path):
    own = run(recipe(folder), tmp_path / "own")
    same = run(recipe(folder, "own.npz"), tmp_path / "same")
    for part in ("validation", "test"):
        assert own[part] == same[part]
    assert same["corpus"]["conversations"] == own["corpus"]["conversations"] == 17
    assert same["corpus"]["test"]["path"] == str(folder / "own.npz")


def test_another_corpus_is_scored(folder, tmp_path):
    config = recipe(folder, "other.npz", label_map="joy=happy", scale="each")
    results = run(config, tmp_path)
    other = npz.read(folder / "other.npz").select_modalities(["text"])
    assert np.sum(results["test"]["confusion"]) == int((other.labels >= 0).sum())
    assert results["corpus"]["parts"]["test"]["conversations"] == 7
    test = results["corpus"]["test"]
    assert "all its 7 conversations" in test["which"]
    assert "own statistics" in test["scaled"]
    stored = json.loads((tmp_path / "corpus.json").read_text())
    assert stored["test"]["sha256"] == test["sha256"] != stored["sha256"]
    (model,) = load_models(tmp_path)
    assert model.card["test_corpus"] == test
    analysis = json.loads((tmp_path / "analysis.json").read_text())["auto"]
    assert set(analysis["utterances"]["conversation"]) == set(other.conversation_ids)
    assert run(config, tmp_path) == results
    # A trial does not resume if the test corpus has changed.
    stored["test"]["sha256"] = "another"
    (tmp_path / "corpus.json").write_text(json.dumps(stored))
    (tmp_path / "results.json").unlink()
    with pytest.raises(InputError, match=r"another version of .*other\.npz"):
        run(config, tmp_path)


@pytest.mark.parametrize(
    ("data", "words"),
    [
        ({}, "not in the training corpus: joy"),
        ({"label_map": "joy=glad"}, "not in the training corpus: glad"),
        ({"label_map": "joy=happy,jojo="}, "'jojo'"),
        ({"scale": "each", "label_map": "joy=happy", "test": None}, "without another corpus"),
        ({"scale": "both", "label_map": "joy=happy"}, "expected one of each"),
        ({"folds": "3", "label_map": "joy=happy"}, "folds by 3"),
        ({"cells": "words"}, "cells of words"),
        ({"target": "valence"}, "labels of utterances"),
        ({"path": None}, "without a corpus to train on"),
    ],
    ids=lambda value: str(value)[:40],
)
def test_other_test_corpora_are_refused(folder, data, words):
    config = recipe(folder, "other.npz")
    config.data.update(data)
    with pytest.raises(InputError, match=words):
        prepare_trial(config)


def test_a_file_is_read_again_only_if_it_has_changed(tmp_path):
    data, corpus = recipe(tmp_path).data, tiny.corpus()
    npz.write(corpus, data.path)
    first, again = corpora.load_corpus(data), corpora.load_corpus(data)
    assert again.labels is first.labels
    other = dataclasses.replace(corpus, labels=np.roll(corpus.labels, 1))
    npz.write(other, data.path)
    np.testing.assert_array_equal(corpora.load_corpus(data).labels, other.labels)
