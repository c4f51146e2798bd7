import os

import hypothesis
import hypothesis.strategies as st
import numpy as np
import pytest

from mman_jax.data.readers import npz
from mman_jax.errors import InputError
from tests.data.readers.npz_files import arrays, assert_equal, full
from tests.data.small import corpus

IDS = st.text(st.characters(codec="utf-8"), min_size=1, max_size=8).filter(str.isprintable)


@hypothesis.settings(max_examples=30, deadline=None)
@hypothesis.given(data=st.data())
def test_round_trip(tmp_path_factory, data):
    lengths = data.draw(st.lists(st.integers(1, 4), min_size=1, max_size=4))
    total = sum(lengths)
    dims = data.draw(
        st.dictionaries(st.sampled_from(["a", "B2", "text"]), st.integers(1, 3), min_size=1)
    )
    options = {}
    if data.draw(st.booleans()):
        options["speakers"] = tuple(data.draw(st.lists(IDS, min_size=total, max_size=total)))
    if data.draw(st.booleans()):
        options["split"] = tuple(data.draw(st.sampled_from(["train", "test"])) for _ in lengths)
    ids = data.draw(st.lists(IDS, min_size=len(lengths), max_size=len(lengths), unique=True))
    names = tuple(data.draw(st.lists(IDS, max_size=3, unique=True)))
    labels = st.lists(st.integers(-1, len(names) - 1), min_size=total, max_size=total)
    labels = np.array(data.draw(labels), np.int32)
    made = corpus(
        lengths=lengths,
        dims=dims,
        conversation_ids=tuple(ids),
        label_names=names,
        labels=labels,
        **options,
    )
    path = tmp_path_factory.mktemp("npz") / "c.npz"
    npz.write(made, path)
    assert_equal(made, npz.read(path))


def test_features_are_mapped_not_loaded(tmp_path):
    npz.write(full(), tmp_path / "c.npz")
    read = npz.read(tmp_path / "c.npz")
    assert all(isinstance(array, np.memmap) for array in read.features.values())


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
@pytest.mark.parametrize("cast", [np.float64, np.float32, ">f4"])
def test_reads_what_numpy_writes(tmp_path, save, cast):
    made = full()
    changed = {f"features/{name}": a.astype(cast, order="F") for name, a in made.features.items()}
    changed["labels"] = made.labels.astype(np.int64)
    save(tmp_path / "c.npz", **arrays(**changed))
    assert_equal(made, npz.read(tmp_path / "c.npz"))


def test_numpy_reads_what_write_writes_without_pickle(tmp_path):
    made = full()
    npz.write(made, tmp_path / "c.npz")
    with np.load(tmp_path / "c.npz", allow_pickle=False) as loaded:
        assert set(loaded) == set(arrays())
        assert loaded["labels"].dtype == np.int32
        assert loaded["utterance_ids"].tolist() == list(made.utterance_ids)


def test_same_bytes_whenever_written(tmp_path, monkeypatch):
    npz.write(full(), tmp_path / "a.npz")
    monkeypatch.setattr("time.time", lambda: 1e9)
    monkeypatch.setattr("time.localtime", lambda *_: (2001, 9, 9, 1, 46, 40, 0, 0, 0))
    npz.write(full(), tmp_path / "b.npz")
    assert (tmp_path / "a.npz").read_bytes() == (tmp_path / "b.npz").read_bytes()


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path, monkeypatch):
    path = tmp_path / "c.npz"
    npz.write(full(), path)
    before = path.read_bytes()

    def fail(_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(InputError, match="No space left"):
        npz.write(corpus(), path)
    assert path.read_bytes() == before
    assert os.listdir(tmp_path) == ["c.npz"]


@pytest.mark.parametrize("place", ["none/x.npz", "file/x.npz", "folder.npz"])
def test_a_place_that_cannot_be_written_is_refused_and_nothing_is_left(tmp_path, place):
    (tmp_path / "file").write_bytes(b"")
    (tmp_path / "folder.npz").mkdir()
    with pytest.raises(InputError, match="cannot be written"):
        npz.write(corpus(), tmp_path / place)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "folder.npz"]


def test_write_refuses_a_suffix_that_read_would_not_know(tmp_path):
    with pytest.raises(InputError, match=r"\.npz"):
        npz.write(full(), tmp_path / "corpus.zip")


def test_a_corpus_can_be_written_over_the_file_it_is_mapped_from(tmp_path):
    npz.write(full(), tmp_path / "c.npz")
    npz.write(npz.read(tmp_path / "c.npz"), tmp_path / "c.npz")
    assert_equal(full(), npz.read(tmp_path / "c.npz"))


def test_the_bounds_of_int32_are_labels_of_their_own(tmp_path):
    # What does not fit is named as such; what does is left for the corpus to judge.
    ends = np.iinfo(np.int32)
    for value, said in (
        (ends.max, "out of range"),
        (ends.min, "out of range"),
        (ends.max + 1, "labels: a number out of range; expected int32"),
        (ends.min - 1, "labels: a number out of range; expected int32"),
    ):
        np.savez(tmp_path / "c.npz", **arrays(labels=np.full(6, value, np.int64)))
        with pytest.raises(InputError, match=f"(conversation c0.*label {value} )?{said}") as error:
            npz.read(tmp_path / "c.npz")
        assert ("conversation c0" in str(error.value)) == (value in (ends.max, ends.min))
