"""A run whose cells are words, from the corpus to its answers."""

import dataclasses
import json

import numpy as np
import pytest

from configs import mfm, mman, raven
from mman_jax.cli import predict
from mman_jax.cli.terminal.screen import Screen
from mman_jax.data.corpus import Corpus
from mman_jax.data.readers import npz
from mman_jax.data.sequences import Sequence, taken
from mman_jax.errors import InputError
from mman_jax.inference import exported
from mman_jax.inference.answerer import Answerer
from mman_jax.study.folds import Candidate, prepare_inner
from mman_jax.trial import runner
from mman_jax.trial.stored import load_models
from mman_jax.trial.trial import prepare_trial
from tests import tiny

pytestmark = pytest.mark.usefixtures("blank_pictures")


def made(seed=0):
    """Six conversations of two or three utterances, of up to five words; the last has none."""
    random = np.random.default_rng(seed)
    lengths = np.array([2, 3, 2, 2, 2, 3], np.int32)
    counts = random.integers(1, 6, lengths.sum()).astype(np.int32)
    counts[[1, -1]] = 0
    total = int(counts.sum())
    starts = np.concatenate([np.arange(c) for c in counts])
    text = Sequence(
        random.normal(size=(total, 3)).astype(np.float32),
        counts,
        np.stack([starts, starts + 1], axis=1).astype(np.float64),
    )
    frames = np.repeat(starts, 3) + np.tile([0.1, 0.4, 0.8], total)
    speech = Sequence(
        random.normal(size=(3 * total, 2)).astype(np.float32),
        3 * counts,
        np.stack([frames, frames + 0.05], axis=1),
    )
    return Corpus(
        features={},
        labels=np.arange(lengths.sum(), dtype=np.int32) % 2,
        label_names=("no", "yes"),
        lengths=lengths,
        conversation_ids=tuple("abcdef"),
        utterance_ids=tuple(f"u{u}" for length in lengths for u in range(length)),
        split=("train", "train", "train", "train", "valid", "test"),
        sequences={"text": text, "speech": speech},
    )


def recipe(path, system=raven, **network):
    config = system.get_config()
    config.data.update(path=str(path), cells="words", words=4)
    config.network.update(network)
    config.train.max_epochs = 1
    config.mesh.update(seeds=1, rows=1)
    return config


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    folder = tmp_path_factory.mktemp("words")
    npz.write(made(), folder / "corpus.npz")
    config = recipe(folder / "corpus.npz", projection=3, frames=3, hidden=4)
    with Screen() as screen:
        return folder, runner.run(config, folder / "run", screen, analyse=True)


def test_what_is_scored_is_what_is_scored_over_utterances(finished):
    folder, results = finished
    corpus = results["corpus"]
    assert (corpus["conversations"], corpus["utterances"]) == (6, 14)
    assert corpus["parts"]["test"]["utterances"] == 3
    assert corpus["parts"]["test"]["classes"] == {"no": 1, "yes": 2}
    assert corpus["parts"]["train"]["classes"] == {"no": 5, "yes": 3}  # one has no word
    words = corpus["words"]
    assert words["pivot"] == "text"
    assert (words["most"], words["utterances_without"]) == (4, 2)
    told = json.loads((folder / "run" / "analysis.json").read_text())["auto"]
    assert told["utterances"]["conversation"] == ["f"] * 3
    assert told["utterances"]["position"] == [0, 1, 2]
    assert told["utterances"]["label"] == [1, 0, 1]
    assert set(told["missing"]) == {"text", "speech"}


def test_a_file_is_answered_as_the_test_part_was(finished):
    folder, _ = finished
    models = load_models(folder / "run")
    corpus = npz.read(folder / "corpus.npz")
    classes, probabilities, labels = predict.answer(models, corpus)
    assert probabilities.shape == (14, 2)
    told = json.loads((folder / "run" / "analysis.json").read_text())["auto"]
    assert [classes.index(label) for label in labels[-3:]] == told["answers"][0]
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
        sequences={name: taken(one, take) for name, one in corpus.sequences.items()},
    )
    _, again, _ = predict.answer(models, other)
    np.testing.assert_allclose(again, probabilities[take], atol=1e-6)


def test_what_cannot_hold_words_refuses_such_a_model(finished):
    models = load_models(finished[0] / "run")
    for refuse in (Answerer, exported.conversations):
        with pytest.raises(InputError, match="a RAVEN over words"):
            refuse(models)
    with pytest.raises(InputError, match="a RAVEN over words"):
        load_models(finished[0] / "run", context="utterance")
    plain = tiny.corpus()
    with pytest.raises(InputError, match=r"synthetic: words: no sequences"):
        predict.answer(models, plain)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ({"cells": "word"}, r"config\.data\.cells: 'word'; expected .*'words'"),
        ({"words": 0}, r"config\.data\.words: 0"),
        ({"pivot": "face"}, "pivot: no sequence 'face'"),
        ({"cells": "utterances", "pivot": "text"}, r"config\.data\.pivot: 'text'"),
        ({"modalities": "text,face"}, "unknown 'face'"),
        ({"modalities": "text"}, "text alone; expected two or more"),
    ],
)
def test_refused_before_anything_is_made(finished, data, message):
    config = recipe(finished[0] / "corpus.npz")
    config.data.update(data)
    with pytest.raises(InputError, match=message):
        prepare_trial(config)


def test_one_modality_alone_is_whose_words_they_are(finished):
    config = recipe(finished[0] / "corpus.npz", pivot="speech")
    with pytest.raises(InputError, match=r"network\.pivot: 'speech', where cells are words of te"):
        prepare_trial(config)


def test_a_system_is_told_what_a_cell_is_and_batches_hold_utterances(finished):
    config = recipe(finished[0] / "corpus.npz", mfm)
    config.train.batch = 2
    config.data.folds, config.data.fold = "3", "1"
    made = prepare_trial(config)
    assert made.trainer.system.cells == "words"
    assert made.trainer.settings["batch"] == 5  # of 14 utterances in 6 conversations
    assert made.parts.rows["train"].features["speech"].shape[1:] == (4, 2)


def test_groups_inside_training_are_of_conversations(finished):
    config = recipe(finished[0] / "corpus.npz", mman)
    config.train.fusion.answers = "out_of_fold"
    made = prepare_trial(config)
    positions = made.parts.layouts["train"].positions
    groups, (whose, _) = made.groups.reshape(-1)[positions], made.parts.whose("train")
    assert sorted(set(zip(whose.tolist(), groups.tolist(), strict=True)))[3:] == [(3, groups[-1])]
    assert len(set(groups.tolist())) == 3
    assert (made.groups[~made.parts.rows["train"].mask] == -1).all()


def test_a_sweep_divides_conversations_and_lays_words(finished):
    inner = prepare_inner(recipe(finished[0] / "corpus.npz"), "")
    assert inner.modalities == ("text", "speech")
    shapes = {parts.rows["train"].features["speech"].shape for parts in inner.parts}
    assert len(shapes) == 1
    assert shapes.pop()[2:] == (3, 2)
    assert sum(len(parts.split.valid) for parts in inner.parts) == 4
    with Screen() as screen:
        made = Candidate(inner, recipe(finished[0] / "corpus.npz"), [0], screen)
    assert made.system.pivot == "text"
