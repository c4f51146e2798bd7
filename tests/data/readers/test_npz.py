import os

import hypothesis
import hypothesis.strategies as st
import numpy as np
import pytest

from mman_jax.data.readers import npz
from mman_jax.data.sequences import Sequence
from tests.data.small import arrays, assert_equal, corpus, full, refuses

IDS = st.text(st.characters(codec="utf-8"), min_size=1, max_size=8).filter(str.isprintable)


@hypothesis.settings(max_examples=15, deadline=None)
@hypothesis.given(data=st.data())
def test_round_trip(tmp_path_factory, data):
    lengths = data.draw(st.lists(st.integers(1, 4), min_size=1, max_size=4))
    total = sum(lengths)
    options = {}
    if data.draw(st.booleans()):
        options["speakers"] = tuple(data.draw(st.lists(IDS, min_size=total, max_size=total)))
    if data.draw(st.booleans()):
        options["split"] = tuple(data.draw(st.sampled_from(["train", "test"])) for _ in lengths)
    dims = st.dictionaries(st.sampled_from(["a", "B2", "text"]), st.integers(1, 3), min_size=1)
    ids = st.lists(IDS, min_size=len(lengths), max_size=len(lengths), unique=True)
    names = tuple(data.draw(st.lists(IDS, max_size=3, unique=True)))
    labels = st.lists(st.integers(-1, len(names) - 1), min_size=total, max_size=total)
    made = corpus(
        lengths=lengths,
        dims=data.draw(dims),
        conversation_ids=tuple(data.draw(ids)),
        label_names=names,
        labels=np.array(data.draw(labels), np.int32),
        **options,
    )
    path = tmp_path_factory.mktemp("npz") / "c.npz"
    npz.write(made, path)
    assert_equal(made, npz.read(path))


def sequenced():
    """Text as words with times and names, and a face without times, of three utterances."""
    text = Sequence(
        np.array([[1, 2], [3, 4], [5, 6]], np.float32),
        np.array([2, 0, 1], np.int32),
        np.array([[0, 0.5], [0.5, 1], [0.25, 1.1]]),
        ("well", "no", "é"),
    )
    face = Sequence(np.arange(12, dtype=np.float32).reshape(4, 3), np.array([1, 1, 2], np.int32))
    return corpus((2, 1), {"speech": 2}, sequences={"text": text, "face": face})


def stored(tmp_path):
    """The arrays of the file of `sequenced`."""
    npz.write(sequenced(), tmp_path / "a.npz")
    with np.load(tmp_path / "a.npz", allow_pickle=False) as archive:
        return dict(archive)


def test_targets_notes_and_sequences_are_stored(tmp_path):
    targets = {"valence": np.array([0, 1, np.nan, 2, 3, 4], np.float32)}
    for made in (corpus(targets=targets, source_notes=("one", "two")), sequenced()):
        npz.write(made, tmp_path / "x.npz")
        read = npz.read(tmp_path / "x.npz")
        assert_equal(made, read)
        assert read.fingerprint() == made.fingerprint()
        assert all(isinstance(x.values, np.memmap) for x in read.sequences.values())
    kept = stored(tmp_path)
    derived = ("features/text", "features/face", "present/text")
    np.savez(tmp_path / "b.npz", **{k: v for k, v in kept.items() if k not in derived})
    assert npz.read(tmp_path / "b.npz").fingerprint() == sequenced().fingerprint()


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
@pytest.mark.parametrize("kind", ["f2", "f4", ">f8"])
def test_times_of_any_precision_become_float64(tmp_path, save, kind):
    kept = stored(tmp_path)
    times = kept["intervals/text"]
    save(tmp_path / "b.npz", **kept | {"intervals/text": times.astype(kind)})
    read = npz.read(tmp_path / "b.npz").sequences["text"].intervals
    assert read.dtype == np.float64
    np.testing.assert_allclose(read, times, rtol=1e-3)


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
@pytest.mark.parametrize("cast", [np.float64, np.float32, ">f4"])
def test_archives_of_numpy_are_read(tmp_path, save, cast):
    made = full()
    changed = {f"features/{name}": a.astype(cast, order="F") for name, a in made.features.items()}
    save(tmp_path / "c.npz", **arrays(labels=made.labels.astype(np.int64), **changed))
    assert_equal(made, npz.read(tmp_path / "c.npz"))


def test_numpy_reads_the_archive_without_pickle(tmp_path, monkeypatch):
    made = full()
    npz.write(made, tmp_path / "c.npz")
    with np.load(tmp_path / "c.npz", allow_pickle=False) as loaded:
        assert set(loaded) == set(arrays())
        assert loaded["labels"].dtype == np.int32
        assert loaded["utterance_ids"].tolist() == list(made.utterance_ids)
    monkeypatch.setattr("time.time", lambda: 1e9)
    monkeypatch.setattr("time.localtime", lambda *_: (2001, 9, 9, 1, 46, 40, 0, 0, 0))
    npz.write(made, tmp_path / "b.npz")  # the bytes do not depend on the time
    assert (tmp_path / "c.npz").read_bytes() == (tmp_path / "b.npz").read_bytes()


def test_a_corpus_can_be_written_over_the_file_from_which_it_is_mapped(tmp_path):
    path = tmp_path / "c.npz"
    npz.write(full(), path)
    read = npz.read(path)
    assert all(isinstance(array, np.memmap) for array in read.features.values())
    npz.write(read, path)
    assert_equal(full(), npz.read(path))


def test_a_failed_write_leaves_the_old_file_alone(tmp_path, monkeypatch):
    path = tmp_path / "c.npz"
    npz.write(full(), path)
    before = path.read_bytes()

    def fail(_):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", fail)
        refuses(lambda: npz.write(corpus(), path), "No space left")
    assert path.read_bytes() == before
    (tmp_path / "folder.npz").mkdir()
    for place in ("none/x.npz", "c.npz/x.npz", "folder.npz", "corpus.zip"):
        refuses(lambda place=place: npz.write(corpus(), tmp_path / place), f"{place}: ")
    assert sorted(os.listdir(tmp_path)) == ["c.npz", "folder.npz"]


FEATURES = np.arange(8.0).reshape(4, 2)


def read(tmp_path, **values):
    """Reads an archive of four utterances."""
    np.savez(tmp_path / "x.npz", **{"features/speech": FEATURES} | values)
    return npz.read(tmp_path / "x.npz")


def test_labels_as_text_are_enough(tmp_path):
    made = read(tmp_path, labels=np.array(["sad", "", "happy", "sad"]))
    assert made.label_names == ("happy", "sad")
    assert made.labels.tolist() == [1, -1, 0, 1]
    assert made.lengths.tolist() == [1] * 4
    assert made.conversation_ids == ("c0", "c1", "c2", "c3")
    assert made.utterance_ids == ("0",) * 4
    notes = " ".join(made.source_notes)
    for key in ("label_names", "conversation_ids", "utterance_ids"):
        assert key in notes
    names = ["traurig", "", "fröhlich", "traurig"]
    for values in (np.array(names, object), np.array([name.encode() for name in names])):
        made = read(tmp_path, labels=values)
        assert made.label_names == ("fröhlich", "traurig")
        assert made.labels.tolist() == [1, -1, 0, 1]
    made = read(tmp_path, labels=np.array(["b", "a", "", "b"]), label_names=np.array(["b", "a"]))
    assert made.labels.tolist() == [0, 1, -1, 0]
    made = read(tmp_path, labels=np.array([0, 2, -1, 1]), lengths=np.array([3, 1]))
    assert made.label_names == ("0", "1", "2")
    assert made.utterance_ids == ("0", "1", "2", "0")


@pytest.mark.parametrize("ids", [["b", "a", "b", "a"], [7, 5, 7, 5]])
def test_a_conversation_per_utterance_sorts_every_field(tmp_path, ids):
    made = read(
        tmp_path,
        labels=np.arange(4),
        conversation=np.array(ids),
        utterance_ids=np.array(list("wxyz")),
        speakers=np.array(list("stuv")),
        split=np.array(["train", "test"] * 2),
        **{
            "targets/valence": np.arange(4.0),
            "present/speech": np.array([True, False, True, True]),
            "groups/gender": np.array(list("fmmf")),
            "groups/decade": np.array([20, 30, 40, 50]),
            "sequences/text": np.arange(4.0)[:, None],
            "sequence_lengths/text": np.array([2, 0, 1, 1]),
        },
    )
    assert made.conversation_ids == tuple(dict.fromkeys(map(str, ids)))
    assert made.lengths.tolist() == [2, 2]
    assert made.utterance_ids == ("w", "y", "x", "z")
    assert made.speakers == ("s", "u", "t", "v")
    assert made.labels.tolist() == [0, 2, 1, 3]
    assert made.features["speech"][:, 0].tolist() == [0, 4, 2, 6]
    assert made.targets["valence"].tolist() == [0, 2, 1, 3]
    assert made.present["speech"].tolist() == [True, True, False, True]
    assert made.groups == {"gender": tuple("fmmf"), "decade": ("20", "40", "30", "50")}
    assert made.split == ("train", "test")
    assert made.sequences["text"].lengths.tolist() == [2, 1, 0, 1]
    assert made.sequences["text"].values.ravel().tolist() == [0, 1, 2, 3]
    assert "not adjacent" in " ".join(made.source_notes)


def test_text_in_object_arrays(tmp_path):
    made = read(
        tmp_path,
        labels=np.array(["sad", np.nan, b"happy", "sad"], object),
        conversation=np.array(["a", "a", "b", "b"], object),
        utterance_ids=np.array([1, "x", "y", "z"], object),
    )
    assert made.label_names == ("happy", "sad")
    assert made.labels.tolist() == [1, -1, 0, 1]
    assert made.conversation_ids == ("a", "b")
    assert made.utterance_ids == ("1", "x", "y", "z")
    assert read(tmp_path, labels=np.array([1, 0, 1, -1], object)).labels.tolist() == [1, 0, 1, -1]
    ids = np.array([12345, 7, 7, 12345], object)
    numbers = {"conversation": ids, "utterance_ids": ids + np.arange(4).astype(object)}
    made = read(tmp_path, labels=np.zeros(4, int), **numbers)
    assert made.conversation_ids == ("12345", "7")
    assert made.utterance_ids == ("12345", "12348", "8", "9")
