"""Damaged and inconsistent archives."""

import zipfile

import numpy as np
import pytest

from mman_jax.data.readers import npz
from mman_jax.errors import InputError
from tests.data.readers.test_npz import read, stored
from tests.data.small import arrays, assert_equal, corpus, full, header, refuses


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_every_truncation_is_refused(tmp_path, save):
    save(tmp_path / "complete.npz", **arrays())
    complete = (tmp_path / "complete.npz").read_bytes()
    for stop in [*range(0, len(complete), 37), len(complete) - 1]:
        (tmp_path / "cut.npz").write_bytes(complete[:stop])
        refuses(lambda: npz.read(tmp_path / "cut.npz"), "cut.npz")


def test_flipped_bytes_are_noticed(tmp_path):
    path = tmp_path / "c.npz"
    npz.write(full(), path)
    complete = path.read_bytes()
    for position in range(0, len(complete), 17):
        damaged = bytearray(complete)
        damaged[position] ^= 0x10
        path.write_bytes(damaged)
        try:
            other = npz.read(path)
        except InputError:
            continue
        assert_equal(full(), other)  # a byte without meaning, such as one of a date
    npz.write(corpus(dims={"wide": 2000}), path)
    damaged = bytearray(path.read_bytes())
    damaged[6 * 2000 * 4 - 1000] ^= 1  # deep in features that are mapped
    path.write_bytes(damaged)
    refuses(lambda: npz.read(path), "damaged")


ENDS = np.iinfo(np.int32)
OBJECTS = np.array([["a"]] * 6 + [0], dtype=object)[:6]
REFUSED = {
    "missing": ({"labels": None}, ["'labels'"]),
    "unknown": ({"lables": np.zeros(6, np.int32)}, ["lables", "'labels'?"]),
    "no features": ({"features/speech": None, "features/text": None}, ["no modalities"]),
    "objects": ({"utterance_ids": OBJECTS}, ["utterance_ids", "object"]),
    "numbers as names": ({"label_names": np.arange(2)}, ["label_names", "int64", "str"]),
    "unknown names": ({"labels": np.array(["a"] * 6)}, ["row 0", "'a'", "no, yes"]),
    "float labels": ({"labels": np.zeros(6)}, ["labels", "float64"]),
    "complex features": ({"features/text": np.zeros((6, 2), complex)}, ["features/text", "128"]),
    "rank": ({"features/text": np.zeros(6, np.float32)}, ["features/text", "(6,)"]),
    "scalar": ({"labels": np.int32(1)}, ["labels", "()"]),
    "infinite as float32": ({"features/text": np.full((6, 1), 1e300)}, ["c0", "u0", "text", "inf"]),
    "lengths": ({"lengths": np.array([1, 1, 1])}, ["lengths", "3", "6"]),
    **{f"label {n}": ({"labels": np.full(6, n)}, ["conversation c0", f"label {n} out of range"])
       for n in (ENDS.min, ENDS.max)},
    **{f"label {n}": ({"labels": np.full(6, n)}, ["labels: a number out of range", "int32"])
       for n in (ENDS.min - 1, ENDS.max + 1, 2**32)},
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_inconsistent_archives_are_refused(tmp_path, name):
    changes, words = REFUSED[name]
    np.savez(tmp_path / "bad.npz", **arrays(**changes))
    refuses(lambda: npz.read(tmp_path / "bad.npz"), "bad.npz", *words)


PER_UTTERANCE = {
    "lengths in addition": ({"conversation": np.arange(4), "lengths": np.array([4])},
                            "conversation: in addition"),
    "too few": ({"conversation": np.arange(3)}, "conversation: 3 entries; expected 4"),
    "too many parts": ({"conversation": np.zeros(4, int), "split": np.array(["train", "test"] * 2)},
                       "split: conversation number 0: test and train in one conversation"),
    "other ids": ({"conversation": np.arange(4), "conversation_ids": np.array(list("abcd"))},
                  "conversation_ids: other ids than in conversation"),
    "too few, apart": ({"conversation": np.array([0, 1, 0, 1]), "targets/a": np.ones(3)},
                       "targets/a: 3 entries; expected 4"),
    "too few labels": ({"targets/a": np.ones(3)}, "targets/a: 3 entries"),
    "ids as labels": ({"labels": np.array([0, 1, 2, 10**8])}, "x.npz: labels: 100000000"),
    "no labels": ({"labels": None}, "no key 'labels'"),
    "an infinite target": ({"targets/a": np.full(4, np.inf)}, "targets/a: conversation c0"),
    "a target of texts": ({"targets/a": np.array([*"abcd"])}, "targets/a: <U1"),
    "bytes": ({"labels": np.array([b"\xff"] * 4)}, "labels: bytes that are not UTF-8"),
    "None": ({"labels": np.array([None, *"abc"], object)}, "x.npz: labels: "),
    "a fraction": ({"labels": np.array([0.5, *"abc"], object)}, "x.npz: labels: a float as an id"),
    "unknown names": ({"labels": np.array(["b", "x", "", "b"]), "label_names": np.array(["b"])},
                      "labels: row 1: 'x'"),
}  # fmt: skip


@pytest.mark.parametrize("name", PER_UTTERANCE)
def test_inconsistent_fields_of_utterances_are_refused(tmp_path, name):
    changes, message = PER_UTTERANCE[name]
    values = {k: v for k, v in ({"labels": np.arange(4)} | changes).items() if v is not None}
    refuses(lambda: read(tmp_path, **values), message)


SEQUENCES = [
    ({"sequence_lengths/text": None}, "a.npz: sequence_lengths/text: missing"),
    ({"sequences/text": None}, "a.npz: sequence_lengths/text: without sequences/text"),
    ({"sequences/text": np.ones((3, 1, 2))}, "without padding"),
    ({"sequence_lengths/text": np.array([2, 0, 0])}, "sequence text: lengths: a sum of 2"),
    ({"intervals/text": np.zeros((3, 2), complex)}, "a.npz: intervals/text: complex128"),
    ({"sequence_lengths/text": np.array([2, 0, 1, 4])}, "sequence text: lengths: 4 entries"),
]


@pytest.mark.parametrize("apart", [False, True])
@pytest.mark.parametrize(("changes", "message"), SEQUENCES)
def test_inconsistent_sequences_are_refused(tmp_path, changes, message, apart):
    if apart:  # a conversation per utterance, which are sorted
        changes = changes | dict.fromkeys(("lengths", "conversation_ids", "utterance_ids"))
        changes["conversation"] = np.array(["a", "b", "a"])
    values = {k: v for k, v in (stored(tmp_path) | changes).items() if v is not None}
    np.savez(tmp_path / "a.npz", **values)
    refuses(lambda: npz.read(tmp_path / "a.npz"), message)


@pytest.mark.parametrize("content", [b"", b"hello", b"PK\x03\x04" * 20, b"\x93NUMPY\x01\x00"])
def test_files_that_are_no_archives_are_refused(tmp_path, content):
    (tmp_path / "bad.npz").write_bytes(content)
    refuses(lambda: npz.read(tmp_path / "bad.npz"), "bad.npz")
    for path in ("none.npz", "."):
        refuses(lambda path=path: npz.read(tmp_path / path), "unreadable", "npz archive")


@pytest.mark.parametrize("compression", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
@pytest.mark.parametrize("shape", [(10**12, 100), (2**62, 2**62), (-6, -2), (7, 2), (5, 2)])
def test_headers_of_other_sizes_are_refused_without_allocation(tmp_path, compression, shape):
    np.savez(tmp_path / "c.npz", **arrays(**{"features/speech": None}))
    with zipfile.ZipFile(tmp_path / "c.npz", "a", compression) as archive:
        archive.writestr("features/speech.npy", header(shape) + bytes(6 * 2 * 4))
    refuses(lambda: npz.read(tmp_path / "c.npz"), "features/speech")
