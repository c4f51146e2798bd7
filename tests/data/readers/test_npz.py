import dataclasses
import os
import zipfile

import hypothesis
import hypothesis.strategies as st
import numpy as np
import pytest

from mman_jax.data.readers import npz
from mman_jax.errors import InputError
from tests.data.small import corpus

IDS = st.text(st.characters(codec="utf-8"), min_size=1, max_size=8).filter(str.isprintable)


def assert_equal(left, right):
    for field in dataclasses.fields(left):
        a, b = getattr(left, field.name), getattr(right, field.name)
        if field.name == "features":
            assert list(a) == list(b)
            for name in a:
                np.testing.assert_array_equal(a[name], b[name])
                assert b[name].dtype == np.float32
        elif isinstance(a, np.ndarray):
            np.testing.assert_array_equal(a, b)
            assert a.dtype == b.dtype
        elif field.name != "source":
            assert a == b, field.name


def full():
    return corpus(
        speakers=("A", "B", "A", "A", "B", "C"),
        sessions=("S1", "S1", "S2"),
        split=("train", "valid", "test"),
        groups={"gender": tuple("fmffmf"), "age": ("20s", "30s") * 3},
    )


def arrays(**changes):
    """What numpy.savez takes, for the small corpus."""
    made = full()
    values = {f"features/{name}": array for name, array in made.features.items()}
    values |= {f"groups/{name}": np.array(names) for name, names in made.groups.items()}
    for key in (*npz.FACTS, *npz.OPTIONAL[:3]):
        values[key] = np.array(getattr(made, key))
    return {key: value for key, value in (values | changes).items() if value is not None}


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


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_every_truncation_is_refused_by_name(tmp_path, save):
    save(tmp_path / "whole.npz", **arrays())
    whole = (tmp_path / "whole.npz").read_bytes()
    path = tmp_path / "cut.npz"
    for stop in [*range(0, len(whole), 37), len(whole) - 1]:
        path.write_bytes(whole[:stop])
        with pytest.raises(InputError, match=r"cut\.npz"):
            npz.read(path)


def test_a_flipped_byte_never_goes_unseen(tmp_path):
    npz.write(full(), tmp_path / "c.npz")
    whole = (tmp_path / "c.npz").read_bytes()
    made = full()
    for position in range(0, len(whole), 7):
        damaged = bytearray(whole)
        damaged[position] ^= 0x10
        (tmp_path / "c.npz").write_bytes(damaged)
        try:
            read = npz.read(tmp_path / "c.npz")
        except InputError:
            continue
        assert_equal(made, read)  # the byte was one of a date, say


def test_damage_deep_in_mapped_features_is_seen(tmp_path):
    npz.write(corpus(dims={"wide": 2000}), tmp_path / "c.npz")
    damaged = bytearray((tmp_path / "c.npz").read_bytes())
    damaged[6 * 2000 * 4 - 1000] ^= 1
    (tmp_path / "c.npz").write_bytes(damaged)
    with pytest.raises(InputError, match="damaged"):
        npz.read(tmp_path / "c.npz")


OBJECTS = np.array([["a"]] * 6 + [0], dtype=object)[:6]
REFUSED = {
    "missing": ({"labels": None}, ["'labels'"]),
    "unknown": ({"lables": np.zeros(6, np.int32)}, ["lables", "'labels'?"]),
    "no features": ({"features/speech": None, "features/text": None}, ["no modalities"]),
    "objects": ({"utterance_ids": OBJECTS}, ["utterance_ids", "object"]),
    "numbers for names": ({"label_names": np.arange(2)}, ["label_names", "int64", "str"]),
    "names for numbers": ({"labels": np.array(["a"] * 6)}, ["row 0", "'a'", "no, yes"]),
    "float labels": ({"labels": np.zeros(6)}, ["labels", "float64"]),
    "integer features": ({"features/text": np.zeros((6, 2), int)}, ["features/text", "int64"]),
    "rank": ({"features/text": np.zeros(6, np.float32)}, ["features/text", "(6,)"]),
    "scalar": ({"labels": np.int32(1)}, ["labels", "()"]),
    "label beyond int32": ({"labels": np.full(6, 2**32)}, ["labels", "range"]),
    "infinite as float32": ({"features/text": np.full((6, 1), 1e300)}, ["c0", "u0", "text", "inf"]),
    "what Corpus refuses": ({"lengths": np.array([1, 1, 1])}, ["lengths", "3", "6"]),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refused(tmp_path, name):
    changes, words = REFUSED[name]
    np.savez(tmp_path / "bad.npz", **arrays(**changes))
    with pytest.raises(InputError) as error:
        npz.read(tmp_path / "bad.npz")
    for word in ["bad.npz", *words]:
        assert word in str(error.value)


@pytest.mark.parametrize("content", [b"", b"hello", b"PK\x03\x04" * 20, b"\x93NUMPY\x01\x00"])
def test_no_archive(tmp_path, content):
    (tmp_path / "bad.npz").write_bytes(content)
    with pytest.raises(InputError, match=r"bad\.npz"):
        npz.read(tmp_path / "bad.npz")


def test_a_file_that_cannot_be_read(tmp_path):
    for path, reason in (("none.npz", "No such file"), (".", "Is a directory")):
        with pytest.raises(InputError, match=f"cannot be read .{reason}.*written as .npz"):
            npz.read(tmp_path / path)


def replaced(path, key, content):
    """The small corpus's file, with other bytes for one array."""
    np.savez(path, **arrays(**{key: None}))
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr(key + ".npy", content)
    return path


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "EOF"),
        (b"numbers", "magic string"),
        (b"\x93NUMPY\x03\x00" + bytes(20), r"array format \(3, 0\)"),
        (b"\x93NUMPY\x01\x00\x02\x00{}", "Header"),
    ],
)
def test_a_header_that_is_none(tmp_path, content, reason):
    path = replaced(tmp_path / "c.npz", "labels", content)
    with pytest.raises(InputError, match=f"labels: an unreadable header .*{reason}"):
        npz.read(path)


def test_a_key_with_and_without_its_suffix(tmp_path):
    np.savez(tmp_path / "c.npz", **arrays())
    with zipfile.ZipFile(tmp_path / "c.npz", "a") as archive:
        archive.writestr("labels", b"")
    with pytest.raises(InputError, match=r"c\.npz: labels: comes twice; expected each key once"):
        npz.read(tmp_path / "c.npz")


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


def header(shape, dtype="<f4"):
    text = f"{{'descr': '{dtype}', 'fortran_order': False, 'shape': {shape}, }}"
    text = text.ljust(117) + "\n"
    return b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text.encode()


@pytest.mark.parametrize("compression", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
@pytest.mark.parametrize("shape", [(10**12, 100), (2**62, 2**62), (-6, -2), (7, 2), (5, 2)])
def test_a_header_that_claims_other_sizes_allocates_nothing(tmp_path, compression, shape):
    np.savez(tmp_path / "c.npz", **arrays(**{"features/speech": None}))
    with zipfile.ZipFile(tmp_path / "c.npz", "a", compression) as archive:
        archive.writestr("features/speech.npy", header(shape) + bytes(6 * 2 * 4))
    with pytest.raises(InputError, match="features/speech"):
        npz.read(tmp_path / "c.npz")


def test_a_decompression_bomb_is_refused_before_it_unpacks(tmp_path, monkeypatch):
    rows = 500_000
    with zipfile.ZipFile(tmp_path / "c.npz", "w", zipfile.ZIP_DEFLATED) as archive:
        for key, array in arrays(**{"features/speech": None}).items():
            with archive.open(key + ".npy", "w") as member:
                np.lib.format.write_array(member, array, allow_pickle=False)
        archive.writestr("features/speech.npy", header((rows, 50)) + bytes(rows * 50 * 4))
    monkeypatch.setattr(npz, "_load", None)
    with pytest.raises(InputError, match="claim"):
        npz.read(tmp_path / "c.npz")


def test_a_key_twice(tmp_path):
    np.savez(tmp_path / "c.npz", **arrays())
    with (
        pytest.warns(UserWarning, match="Duplicate"),
        zipfile.ZipFile(tmp_path / "c.npz", "a") as archive,
    ):
        archive.writestr("labels.npy", b"")
    with pytest.raises(InputError, match=r"labels\.npy: comes twice"):
        npz.read(tmp_path / "c.npz")
