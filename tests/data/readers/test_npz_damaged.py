import zipfile

import numpy as np
import pytest

from mman_jax.data.readers import npz
from mman_jax.errors import InputError
from tests.data.readers.npz_files import arrays, assert_equal, full, header
from tests.data.readers.public import refuses
from tests.data.small import corpus


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
    refuses(lambda: npz.read(tmp_path / "bad.npz"), ["bad.npz", *words])


@pytest.mark.parametrize("content", [b"", b"hello", b"PK\x03\x04" * 20, b"\x93NUMPY\x01\x00"])
def test_no_archive(tmp_path, content):
    (tmp_path / "bad.npz").write_bytes(content)
    with pytest.raises(InputError, match=r"bad\.npz"):
        npz.read(tmp_path / "bad.npz")


def test_a_file_that_cannot_be_read(tmp_path):
    for path, reason in (("none.npz", "No such file"), (".", "Is a directory")):
        with pytest.raises(InputError, match=f"unreadable .{reason}.*npz archive"):
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
    with pytest.raises(InputError, match=f"labels: unreadable .*{reason}"):
        npz.read(path)


def test_a_key_with_and_without_its_suffix(tmp_path):
    np.savez(tmp_path / "c.npz", **arrays())
    with zipfile.ZipFile(tmp_path / "c.npz", "a") as archive:
        archive.writestr("labels", b"")
    with pytest.raises(InputError, match=r"c\.npz: labels: occurs twice; expected each key once"):
        npz.read(tmp_path / "c.npz")


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
    with pytest.raises(InputError, match=r"labels\.npy: occurs twice"):
        npz.read(tmp_path / "c.npz")
