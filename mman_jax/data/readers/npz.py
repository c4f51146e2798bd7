"""The .npz form of a corpus: what `numpy.load(..., allow_pickle=False)` reads."""

import collections
import math
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from mman_jax.data.corpus import Corpus
from mman_jax.data.fields import Kind, entries, kinds
from mman_jax.data.readers import items, npz_defaults
from mman_jax.data.sequences import Sequence
from mman_jax.data.validation import CLASSES, ONE_VECTOR
from mman_jax.errors import InputError, nearest
from mman_jax.files import archive, arrays, unpickler
from mman_jax.files.arrays import Stored
from mman_jax.files.whole import writing

NOTES = "source_notes"
SEQUENCES, COUNTS = "sequences/", "sequence_lengths/"
INTERVALS, NAMES = "intervals/", "sequence_names/"
FEATURES = "features/"
_CELLS = {
    SEQUENCES: Kind(np.float32, rank=2),
    COUNTS: Kind(np.int32),
    INTERVALS: Kind(np.float64, rank=2),
    NAMES: Kind(str),
}
"""Keys of what a `Sequence` is stored as."""

_NUMBERS = {"f": "f", "i": "iu", "b": "b"}
_EITHER = ("labels", "conversation", "groups/")
"""Texts, or whole numbers that stand for them."""

_KIND_NAMES = {
    "f": "floating-point numbers", "iu": "integers", "iuU": "integers or str", "U": "str",
    "b": "bool",
}  # fmt: skip


def read(path: str | Path) -> Corpus:
    """Read a corpus; uncompressed float32 features are memory-mapped, not loaded.

    Other floating-point features become float32, and other integers int32. What an archive lacks
    and can be guessed is (see `npz_defaults`), and told in the corpus's notes.

    Raises:
        InputError: the file and the key, and what is wrong: no archive, truncated or damaged,
            a key missing or unknown, another dtype, more data claimed than there is.
    """
    path = Path(path)
    try:
        with path.open("rb") as file:
            loaded = {key: _load(path, file, a) for key, a in _arrays(path, file).items()}
    except InputError:
        raise
    except OSError as error:
        found = f"cannot be read ({error.strerror or error})"
        raise InputError(path, found, "a corpus written as .npz") from error
    except Exception as error:
        # Bytes that are no archive can fail in any way; none of them is a bug of ours.
        found = f"truncated, damaged or no .npz archive ({error})"
        raise InputError(path, found, "a corpus written as .npz") from error
    given: dict[str, Any] = {key: a for key, a in loaded.items() if "/" not in key}
    for key, kind in _stored().items():
        if kind.by:
            given[key.removesuffix("/")] = _group(loaded, key)
    return npz_defaults.corpus(str(path), given | {"sequences": _sequences(path, loaded)})


def _stored() -> dict[str, Kind]:
    """The kind of each key, or of all keys that begin so, but for those of sequences."""
    declared = {name + "/" * bool(kind.by): kind for name, kind in kinds(Corpus).items()}
    del declared[SEQUENCES]
    return {**declared, NOTES: Kind(str), "conversation": Kind(str)}


def write(corpus: Corpus, path: str | Path) -> None:
    """Write a corpus, whole or not at all; the same corpus gives the same bytes.

    Raises:
        InputError: another suffix than .npz, or a place that cannot be written.
    """
    path = Path(path)
    if path.suffix.lower() != ".npz":
        raise InputError(path, f"suffix {path.suffix!r}", "a path that ends in .npz")
    arrays: dict[str, Any] = {}
    for name, kind in kinds(corpus).items():
        for key, values in entries(corpus, name, kind):
            if name == "sequences":
                arrays |= {SEQUENCES + key: values.values, COUNTS + key: values.lengths}
                arrays |= {INTERVALS + key: values.intervals, NAMES + key: values.names}
            else:
                arrays[f"{name}/{key}" if kind.by else name] = values
    arrays[NOTES] = corpus.source_notes or None
    target = writing(path, "a writable place", make_folder=False)
    with target as file, zipfile.ZipFile(file, "w") as packed:
        for key, values in arrays.items():
            if values is None:
                continue
            array = np.array(values, str) if isinstance(values, tuple) else values
            # A ZipInfo made by hand carries a fixed date.
            info = zipfile.ZipInfo(key + ".npy")
            with packed.open(info, "w", force_zip64=True) as member:
                np.lib.format.write_array(member, array, allow_pickle=False)


def _group(loaded: Mapping[str, np.ndarray], kind: str) -> dict[str, np.ndarray]:
    return {key.removeprefix(kind): a for key, a in loaded.items() if key.startswith(kind)}


def _sequences(path: Path, loaded: Mapping[str, np.ndarray]) -> dict[str, Sequence]:
    """The sequences, each of up to four arrays."""
    values, counts, intervals, names = (
        _group(loaded, kind) for kind in (SEQUENCES, COUNTS, INTERVALS, NAMES)
    )
    for kind, group in zip((COUNTS, INTERVALS, NAMES), (counts, intervals, names), strict=True):
        for name in group:
            if name not in values:
                found = f"without {SEQUENCES}{name}"
                raise InputError(f"{path}: {kind}{name}", found, "the two together, or neither")
    found = {}
    for name, array in values.items():
        if name not in counts:
            expected = "int32 [N], the cells of each utterance"
            raise InputError(f"{path}: {COUNTS}{name}", "missing", expected)
        words = tuple(map(str, names[name].tolist())) if name in names else None
        found[name] = Sequence(array, counts[name], intervals.get(name), words)
    return found


def _arrays(path: Path, file: BinaryIO) -> dict[str, Stored]:
    """The headers of all arrays, checked against what the archive says of their sizes."""
    members: dict[str, archive.Member] = {}
    stored = _stored() | _CELLS
    for member in archive.members(path, file):
        key = member.name.removesuffix(".npy")
        if _begin(key) not in stored or key in _CELLS:
            known = nearest(key, [f"{k}<name>" if k.endswith("/") else k for k in stored])
            raise InputError(f"{path}: {key}", "an unknown key", known)
        if key in members:
            raise InputError(f"{path}: {key}", "comes twice", "each key once")
        members[key] = member
    if "labels" not in members:
        found = f"no key 'labels' among {', '.join(members)}"
        raise InputError(path, found, "a class for each utterance, as a text or a number from 0")
    if not any(key.startswith((FEATURES, SEQUENCES)) for key in members):
        raise InputError(path, "no modalities", f"a key {FEATURES}<modality> for each")
    return {
        key: _of_corpus(file, f"{path}: {key}", key, stored[_begin(key)], m)
        for key, m in members.items()
    }


def _begin(key: str) -> str:
    """The beginning of a key up to its slash, or all of it."""
    return key[: key.find("/") + 1] or key


def _of_corpus(
    file: BinaryIO, place: str, key: str, declared: Kind, member: archive.Member
) -> Stored:
    array, rank = arrays.stored(file, place, member), declared.rank
    kind = "U" if declared.is_text else _NUMBERS[np.dtype(declared.dtype).kind]
    if _begin(key) in _EITHER:
        kind = "iuU"
    if array.dtype == object and "U" in kind and len(array.shape) == 1:
        return array  # texts, as pandas has them; read by the reader of pickles
    if array.dtype.kind == "S" and "U" in kind and array.dtype.itemsize and len(array.shape) == 1:
        array.check_size()
        return array  # texts in UTF-8, as h5py and old files have them
    if array.dtype.kind not in kind or array.dtype.itemsize == 0 or len(array.shape) != rank:
        expected = f"{_KIND_NAMES[kind]} in {rank} dimension{'s' * (rank > 1)}"
        if key == "labels" and array.dtype.kind == "f":
            expected = CLASSES
        elif key.startswith(FEATURES) and len(array.shape) == 3:
            expected = ONE_VECTOR
        elif key.startswith(SEQUENCES) and len(array.shape) == 3:
            expected = "[T, D], the cells of all utterances one after the other, without padding"
        elif array.dtype.kind == "O":
            raise InputError(place, arrays.OBJECTS, expected)
        raise InputError(place, f"{array.dtype} of shape {array.shape}", expected)
    array.check_size()
    return array


def _load(path: Path, file: BinaryIO, array: Stored) -> np.ndarray:
    member, order = array.member, "F" if array.fortran else "C"
    times = member.name.startswith(INTERVALS)
    if member.stored and array.dtype == np.float32 and math.prod(array.shape) and not times:
        # Reading to the end compares the checksum, in bounded memory.
        collections.deque(archive.chunks(file, member), maxlen=0)
        return np.memmap(path, np.float32, "r", member.offset + array.header, array.shape, order)
    found = _texts(file, array) if array.dtype == object else array.load(file)
    if found.dtype.kind == "S":
        try:
            return np.char.decode(found, "utf-8")
        except UnicodeDecodeError as error:
            raise InputError(array.place, "bytes that are no UTF-8", "text") from error
    if found.dtype.kind in "Ub":
        return found
    if found.dtype.kind == "f" and times:
        return found.astype(np.float64, copy=False)
    if found.dtype.kind == "f":
        with np.errstate(over="ignore"):  # the corpus refuses infinity, and says where
            return found.astype(np.float32, copy=False)
    bounds = np.iinfo(np.int32)
    if found.size and not bounds.min <= int(found.min()) <= int(found.max()) <= bounds.max:
        raise InputError(array.place, "a number out of range", "int32")
    return found.astype(np.int32)


def _texts(file: BinaryIO, array: Stored) -> np.ndarray:
    """Text or whole numbers of an array of objects; what is NaN there is an empty text."""
    content = b"".join(archive.chunks(file, array.member))[array.header :]
    loaded = unpickler.loads(array.place, content)
    if not isinstance(loaded, np.ndarray) or loaded.shape != array.shape:
        raise InputError(array.place, f"a {type(loaded).__name__}", "an array as its header says")
    values = loaded.tolist()
    if values and all(type(value) is int and abs(value) < 2**62 for value in values):
        return np.array(values, np.int64)
    empty = [isinstance(value, float) and math.isnan(value) for value in values]
    texts = ["" if e else items.text(v, array.place) for v, e in zip(values, empty, strict=True)]
    return np.array(texts, dtype=str)
