"""Notices before training, and modalities with punctuation in their names."""

import dataclasses

import numpy as np
import pytest

from mman_jax.data.readers import npz
from mman_jax.errors import InputError
from mman_jax.inference import lines
from mman_jax.trial.trial import prepare_trial
from tests import tiny

NAMES = ("wav2vec2-large (ft)", "opensmile_v2.0")


def prepared(corpus, path, **data):
    npz.write(corpus, path)
    config = tiny.recipe(epochs=1)
    config.data.update(path=str(path), **data)
    return prepare_trial(config)


def test_suspicions_and_leaks_are_among_the_notices(tmp_path):
    made = tiny.corpus()
    features = {name: array.copy() for name, array in made.features.items()}
    test = made.split.index("test")
    for array in features.values():
        array[made.utterances(test).start] = array[0]
    labels = made.labels.copy()
    labels[np.repeat(np.array(made.split) == "test", made.lengths)] = 1
    made = dataclasses.replace(made, features=features, labels=labels)
    notices = prepared(made, tmp_path / "c.npz", protocol="auto").notices
    assert any("test utterances" in n and "in training or validation" in n for n in notices)
    assert "task auto: every labelled utterance in test is sad: its scores say little" in notices


SESSIONS = ("S1", "S2", "S3", "S4")


def in_sessions():
    return dataclasses.replace(
        tiny.corpus((8, 2, 2)), sessions=tuple(SESSIONS[i % 4] for i in range(12))
    )


@pytest.mark.parametrize(("fold", "test", "valid"), [("", 0, 1), ("S2", 1, 2), ("S4", 3, 0)])
def test_a_fold_is_trained_and_scored_in_place_of_the_corpus_s_own_split(
    tmp_path, fold, test, valid
):
    found = prepared(in_sessions(), tmp_path / "c.npz", folds="sessions", fold=fold)
    split = found.parts.split
    assert (split.test % 4).tolist() == [test] * 3
    assert (split.valid % 4).tolist() == [valid] * 3
    assert found.parts.layouts["train"].conversations.tolist() == split.train.tolist()
    assert any(n.startswith(f"fold {test + 1} of 4, by sessions") for n in found.notices)


def test_a_class_that_the_test_part_of_a_fold_lacks_is_among_the_notices(tmp_path):
    made = in_sessions()
    session = np.repeat(made.sessions, made.lengths)
    labels = np.where((session == "S3") & (made.labels == 0), 1, made.labels).astype(np.int32)
    made = dataclasses.replace(made, labels=labels)
    said = "fold S3, task auto: no utterance in the test part is happy"
    assert said in prepared(made, tmp_path / "c.npz", folds="sessions", fold="S3").notices


@pytest.mark.parametrize(
    ("data", "said"),
    [
        ({"fold": "S1"}, "data.fold: 'S1' without folds"),
        ({"folds": "sessions", "fold": "S7"}, "data.fold: unknown 'S7'"),
        ({"folds": "sessions", "split": "raven"}, "data.split: 'raven', and folds by sessions"),
        ({"folds": "speakers"}, "data.folds: speakers, which .* does not name"),
        ({"split": "raven"}, "data.split: raven, for .* of other sessions than IEMOCAP's"),
    ],
)
def test_folds_and_splits_that_cannot_be_are_refused(tmp_path, data, said):
    with pytest.raises(InputError, match=f"^{said}"):
        prepared(dataclasses.replace(in_sessions(), speakers=None), tmp_path / "c.npz", **data)


def test_names_with_punctuation_lead_to_parameters_and_lines(tmp_path):
    made = tiny.corpus()
    present = {NAMES[0]: np.arange(len(made.labels)) % 5 != 0}
    features = dict(zip(NAMES, made.features.values(), strict=True))
    made = dataclasses.replace(made, features=features, present=present)
    found = prepared(made, tmp_path / "c.npz", protocol="auto", modalities=",".join(NAMES))
    assert list(found.parts.corpus.present) == [NAMES[0]]
    params = found.trainer.shapes
    assert {f"towers_{name}" for name in NAMES} < set(params)
    assert NAMES[1] in next(iter(lines.lines(made)))
