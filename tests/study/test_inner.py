import dataclasses

import jax
import numpy as np
import pytest
import scipy.special

from mman_jax.cli.terminal.screen import Screen
from mman_jax.data.readers import npz
from mman_jax.errors import InputError
from mman_jax.study.folds import Candidate, prepare_inner
from mman_jax.types import Inputs
from tests import tiny

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
    for name, candidate, folds in (("shared", shared, (0, 1)), ("alone", alone, (1,))):
        for fold in folds:
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
        ("", {"folds": "3"}, "what one fold tests, the others train on"),
        ("", {"protocol": "mman5"}, "mman4"),
    ],
)
def test_folds_that_cannot_be_are_one_line(by, changed, said, inner, tmp_path):
    with pytest.raises(InputError, match=said):
        prepare_inner(recipe(inner.parts[0].corpus, tmp_path, **changed), by)
