"""A run over the frames of utterances as they are, from the corpus to its answers."""

import dataclasses
import json

import numpy as np
import pytest

from configs import mman, mult, raven, rozgic, tripathi
from mman_jax.cli import predict
from mman_jax.cli.terminal.screen import Screen
from mman_jax.data.readers import npz
from mman_jax.data.sequences import Sequence, taken
from mman_jax.data.synthetic.words import WordProcess, generate
from mman_jax.errors import InputError
from mman_jax.study import paper
from mman_jax.study.folds import Candidate, prepare_inner
from mman_jax.trial import runner
from mman_jax.trial.stored import load_models
from mman_jax.trial.trial import prepare_trial
from tests import tiny
from tests.trial.test_over_words import made

SMALL = {"units": 8, "recurrent": 8, "attended": 3, "frames": 4, "parts": 4, "channels": (3,)}


def recipe(path, system=tripathi, **network):
    config = system.get_config()
    config.data.update(path=str(path), cells="frames")
    config.network.update(network)
    config.train.max_epochs = 1
    config.mesh.update(seeds=1, rows=1)
    return config


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    """Of six conversations; two utterances have no word, and so nothing at all."""
    path = tmp_path_factory.mktemp("corpus") / "corpus.npz"
    npz.write(made(), path)
    return path


@pytest.fixture(scope="module")
def finished(corpus):
    with Screen() as screen:
        config = recipe(corpus, words=3, **SMALL)
        return runner.run(config, corpus.parent / "run", screen, analyse=True)


def test_what_is_scored_is_what_is_scored_over_utterances(corpus, finished):
    found = finished["corpus"]
    assert (found["conversations"], found["utterances"]) == (6, 14)
    assert found["parts"]["test"]["classes"] == {"no": 1, "yes": 2}
    assert found["parts"]["train"]["classes"] == {"no": 5, "yes": 3}  # one has nothing
    assert found["frames"]["how"] == {"text": {"cells": 3}, "speech": {"first": 4}}
    assert found["frames"]["utterances_without"] == 2
    told = json.loads((corpus.parent / "run" / "analysis.json").read_text())["auto"]
    assert told["utterances"]["conversation"] == ["f"] * 3
    assert told["utterances"]["position"] == [0, 1, 2]
    assert told["utterances"]["label"] == [1, 0, 1]
    assert set(told["missing"]) == {"text", "speech"}


def test_a_file_is_answered_as_the_test_part_was(corpus, finished):
    models = load_models(corpus.parent / "run")
    given = npz.read(corpus)
    classes, probabilities, labels = predict.answer(models, given)
    assert probabilities.shape == (14, 2)
    told = json.loads((corpus.parent / "run" / "analysis.json").read_text())["auto"]
    assert [classes.index(label) for label in labels[-3:]] == told["answers"][0]
    take = np.arange(5, 9)  # of conversations c and d, whose utterances are shorter or not
    other = dataclasses.replace(
        given,
        features={},
        present={},
        labels=given.labels[take],
        lengths=np.array([2, 2], np.int32),
        conversation_ids=("c", "d"),
        utterance_ids=tuple(given.utterance_ids[i] for i in take),
        split=None,
        sequences={name: taken(one, take) for name, one in given.sequences.items()},
    )
    _, again, _ = predict.answer(models, other)
    np.testing.assert_allclose(again, probabilities[take], atol=1e-6)


@pytest.mark.parametrize("system", [mman, raven, rozgic])
def test_a_system_that_reads_no_frames_is_refused(corpus, system):
    if system is rozgic:
        pytest.importorskip("sklearn", reason="pip install 'mman_jax[svm]'")
    with pytest.raises(InputError, match=r"^config\.data\.cells: 'frames' for "):
        prepare_trial(recipe(corpus, system))


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ({"cells": "frame"}, r"config\.data\.cells: 'frame'; expected 'frames'"),
        ({"pivot": "text"}, r"config\.data\.pivot: 'text', and cells are frames"),
        ({"modalities": "text,face"}, "unknown 'face'"),
        ({"modalities": "text"}, r"config\.modalities: text alone; expected two or more"),
        ({"test": "OTHER.npz"}, r"config\.data\.test: 'OTHER\.npz', and cells of frames; expected"),
    ],
)
def test_refused_before_anything_is_made(corpus, data, message):
    config = recipe(corpus, mult)
    config.data.update(data)
    with pytest.raises(InputError, match=message):
        prepare_trial(config)


def test_sequences_that_are_missing_or_of_another_size_are_refused(corpus, finished, tmp_path):
    npz.write(tiny.corpus(), tmp_path / "plain.npz")
    with pytest.raises(InputError, match=r"plain\.npz: frames: no sequences; expected sequences/"):
        prepare_trial(recipe(tmp_path / "plain.npz"))
    models, given = load_models(corpus.parent / "run"), npz.read(corpus)
    with pytest.raises(InputError, match="frames: no sequences"):
        predict.answer(models, tiny.corpus())
    text = given.sequences["text"]
    wide = Sequence(np.pad(text.values, ((0, 0), (0, 1))), text.lengths)
    other = dataclasses.replace(given, features={}, sequences=given.sequences | {"text": wide})
    with pytest.raises(InputError, match="modality text: 4 features; expected the 3 that the mod"):
        predict.answer(models, other)


def test_the_papers_systems_together_do_not_read_frames(corpus, tmp_path):
    with Screen() as screen, pytest.raises(InputError, match="'frames' for MMAN"):
        paper.run(recipe(corpus, mman), tmp_path / "study", screen)
    assert not (tmp_path / "study").exists()


def test_a_system_is_told_what_a_cell_is_and_batches_hold_utterances(corpus):
    config = recipe(corpus, mult, frames={"speech": 4})
    config.train.batch = 2
    config.data.folds, config.data.fold = "3", "1"
    found = prepare_trial(config)
    assert found.trainer.system.cells == "frames"
    assert found.trainer.settings["batch"] == 5  # of 14 utterances in 6 conversations
    assert found.parts.rows["train"].features["speech"].shape[1:] == (1, 4, 2)
    assert any("have over 4 of speech: the last are kept" in said for said in found.notices)


def test_a_sweep_divides_conversations_and_lays_frames(corpus):
    inner = prepare_inner(recipe(corpus), "")
    assert inner.modalities == ("text", "speech")
    shapes = {parts.rows["train"].features["text"].shape for parts in inner.parts}
    assert len(shapes) == 1
    with Screen() as screen:
        candidate = Candidate(inner, recipe(corpus), [0], screen)
    assert candidate.system.cells == "frames"


def test_frames_that_nothing_aligns_are_learnt_from(tmp_path):
    process = {"order": 0.97, "alignment": 0.5, "shift": 0.5, "plain": 0.5}
    sizes = {"shortest": 6, "longest": 7, "briefest": 4, "slowest": 5}
    words = generate(WordProcess(**process | sizes), (20, 5, 10))
    npz.write(words.select_modalities(["text", "visual"]), tmp_path / "words.npz")
    small = {"units": 8, "heads": 2, "layers": 1, "frames": {"default": 10}}
    rates = ("attention", "embed", "relu", "residual")
    config = recipe(tmp_path / "words.npz", mult, **small, **{f"{r}_dropout": 0.0 for r in rates})
    config.train.max_epochs = 3
    config.train.all.learning_rate.default = 1e-2
    with Screen() as screen:
        found = runner.run(config, tmp_path / "run", screen)
    assert found["test"]["accuracy"]["mean"] > 0.8  # 0.97 is possible
