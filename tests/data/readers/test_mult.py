import numpy as np
import pytest

from mman_jax.data.readers.read import read_corpus
from tests.data.readers import public
from tests.data.readers.public import change, dump
from tests.data.readers.test_mmsa import means
from tests.data.small import refuses


def read(tmp_path, value):
    return read_corpus(dump(tmp_path / "x.pkl", value))


VIDEOS = ("va", "vb", "vc", "vd")
FIRST = {"mosi": "va_1", "mosei": "va[1.25-2.0]", "raw": "va[1]", "seven": "va[1]"}


@pytest.mark.parametrize("kind", FIRST)
def test_order_labels_and_means_by_hand(tmp_path, kind):
    corpus = read(tmp_path, public.mult(kind))
    assert corpus.conversation_ids == VIDEOS
    assert corpus.utterance_ids[0] == FIRST[kind]
    assert corpus.split == ("train", "train", "valid", "test")
    assert corpus.targets["sentiment"].tolist() == [-1.5, 0, 0, 2, -1.5, 0, -1.5, 0]
    assert corpus.label_names == ("negative", "neutral", "positive")
    assert corpus.labels.tolist() == [0, 1, 1, 2, 0, 1, 0, 1]
    assert corpus.dims == {"speech": 2, "visual": 3, "text": 4}
    np.testing.assert_allclose(corpus.features["speech"][:, 0], means(6))


def test_padding_on_either_side(tmp_path):
    front, back = (read(tmp_path, public.mult("mosi", front)) for front in (True, False))
    for modality in front.features:
        np.testing.assert_allclose(front.features[modality], back.features[modality])
    assert "padding in front" in " ".join(front.source_notes)
    assert "padding in back" in " ".join(back.source_notes)


def test_unusual_ids(tmp_path):
    numbers, twice = public.mult("mosei"), public.mult("mosei")
    for one, other in zip(numbers.values(), twice.values(), strict=True):
        one["id"][:, 0] = [f"{name}_7" for name in one["id"][:, 0]]
        other["id"][:, 1:] = "0.0"
    assert read(tmp_path, numbers).conversation_ids == tuple(f"{v}_7" for v in VIDEOS)
    corpus = read(tmp_path, twice)
    assert corpus.conversation_ids == VIDEOS
    assert corpus.utterance_ids[:2] == ("va[0.0-0.0].0", "va[0.0-0.0].1")


@pytest.mark.parametrize("kind", ["S", "U", object])
def test_ids_of_any_type(tmp_path, kind):
    value = public.mult("mosi")
    for part in value.values():
        part["id"] = np.array([[cell.decode() for cell in row] for row in part["id"]], kind)
    assert read(tmp_path, value).utterance_ids[:2] == ("va_1", "va_2")


def test_iemocap_has_no_ids_and_four_answers(tmp_path):
    corpus = read(tmp_path, public.mult("iemocap"))
    assert corpus.lengths.tolist() == [1] * 8
    assert corpus.label_names == ("neutral", "happy", "sad", "angry")
    # happy alone; neutral and angry; none.
    assert corpus.labels.tolist()[:4] == [1, -1, -1, 1]
    assert corpus.targets["angry"].tolist()[:4] == [0, 1, 0, 0]
    notes = " ".join(corpus.source_notes)
    assert "no ids in the file: each utterance is a conversation of one" in notes
    assert "4 utterances have one yes" in notes


def test_humor_has_numbers_as_ids_and_classes(tmp_path):
    value = public.mult("humor")
    corpus = read(tmp_path, value)
    assert corpus.lengths.tolist() == [1] * 8
    assert corpus.labels.tolist() == [0, 1, 0, 1, 0, 1, 0, 1]
    assert corpus.label_names == ("0", "1")
    assert not corpus.targets
    for part in value.values():
        part["labels"], part["id"][:] = part["labels"] * 2 - 1, 5
    corpus = read(tmp_path, value)
    assert corpus.label_names == ("-1", "1")
    assert len(set(corpus.conversation_ids)) == 8


def test_seven_numbers_are_seven_targets(tmp_path):
    targets = read(tmp_path, public.mult("seven")).targets
    assert list(targets) == ["sentiment", "happy", "sad", "anger", "surprise", "disgust", "fear"]
    assert targets["fear"].tolist() == [1] * 8


def test_empty_rows_and_infinity(tmp_path):
    value = public.mult("mosi")
    value["train"]["text"][1] = 0
    value["test"]["audio"][0, -1, 0] = -np.inf
    corpus = read(tmp_path, value)
    assert corpus.present["text"].tolist() == [False, *[True] * 7]
    assert "speech: 1 values are NaN or infinite, replaced by 0" in corpus.source_notes
    assert "text: 1 utterances without it" in corpus.source_notes


def test_bytes_as_keys(tmp_path):
    parts = public.mult("mosi").items()
    value = {
        name.encode(): {k.encode(): array for k, array in part.items()} for name, part in parts
    }
    assert read(tmp_path, value).conversation_ids == VIDEOS
    refuses(lambda: read(tmp_path, {b"train": 1}), "a pickled dict")


REFUSED = {
    "no labels": (change("valid", "labels", None), ["valid", "no key 'labels'"]),
    "no ids": (change("valid", "id", None), ["valid", "no key 'id'"]),
    "labels of text": (change("test", "labels", np.array(["a", "b"])), ["test: labels", "numbers"]),
    "shapes": (change("test", "labels", np.zeros((2, 3))), ["labels", "(1, 1)", "(3,)"]),
    "rows": (change("test", "labels", np.zeros((3, 1, 1))), ["labels", "3 values", "2"]),
    "an empty id": (change("test", "id", [[], []]), ["test: id: row 0", "empty id"]),
    "an id of dicts": (change("test", "id", [{}, {}]), ["test: id: row 0", "dict as an id"]),
    "a list": (change("test", "audio", [1, 2]), ["test: audio", "a list"]),
    "no features": (change("test", "audio", np.zeros((2, 6, 0))), ["test: audio", "(2, 6, 0)"]),
    "all labels of another shape": (
        lambda v: {name: part | {"labels": np.zeros((len(part["labels"]), 3))}
                   for name, part in v.items()}, ["labels: shape (8, 3)", "IEMOCAP"]),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_malformed_files_are_refused(tmp_path, name):
    breaking, words = REFUSED[name]
    refuses(lambda: read(tmp_path, breaking(public.mult("mosi"))), "x.pkl", *words)
