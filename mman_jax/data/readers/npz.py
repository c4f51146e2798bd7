"""The .npz form of a corpus: what `numpy.load(..., allow_pickle=False)` reads."""

import collections
import math
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import BinaryIO

import numpy as np

from mman_jax.data.corpus import Corpus
from mman_jax.data.readers import items, npz_defaults
from mman_jax.data.sequences import Sequence
from mman_jax.data.validation import CLASSES, ONE_VECTOR
from mman_jax.errors import InputError, nearest
from mman_jax.files import archive, arrays, unpickler
from mman_jax.files.arrays import Stored
from mman_jax.files.whole import writing

FACTS = ("labels", "label_names", "lengths", "conversation_ids", "utterance_ids")
OPTIONAL = ("speakers", "sessions", "split", "source_notes")
FEATURES, PRESENT, TARGETS, VOTES = "features/", "present/", "targets/", "votes/"
GROUPS = "groups/"
SEQUENCES, COUNTS = "sequences/", "sequence_lengths/"
INTERVALS, NAMES = "intervals/", "sequence_names/"
_SEVERAL = (FEATURES, PRESENT, TARGETS, VOTES, GROUPS, SEQUENCES, COUNTS, INTERVALS, NAMES)

_RANKS = {FEATURES: 2, SEQUENCES: 2, INTERVALS: 2}
_KNOWN = (*FACTS, *OPTIONAL, "conversation")
_KINDS = {
    "labels": "iuU", "lengths": "iu", "conversation": "iuU", FEATURES: "f", PRESENT: "b",
    TARGETS: "f", VOTES: "iu", GROUPS: "iuU", SEQUENCES: "f", COUNTS: "iu", INTERVALS: "f",
}  # fmt: skip
"""The kind of each key's numbers; all others hold str."""

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
    groups = (_group(loaded, kind) for kind in (FEATURES, PRESENT, TARGETS, VOTES))
    facts = {key: a for key, a in loaded.items() if key in _KNOWN or key.startswith(GROUPS)}
    return npz_defaults.corpus(str(path), facts, *groups, _sequences(path, loaded))


def write(corpus: Corpus, path: str | Path) -> None:
    """Write a corpus, whole or not at all; the same corpus gives the same bytes.

    Raises:
        InputError: another suffix than .npz, or a place that cannot be written.
    """
    path = Path(path)
    if path.suffix.lower() != ".npz":
        raise InputError(path, f"suffix {path.suffix!r}", "a path that ends in .npz")
    arrays = {FEATURES + name: array for name, array in corpus.features.items()}
    arrays |= {PRESENT + name: array for name, array in corpus.present.items()}
    arrays |= {TARGETS + name: array for name, array in corpus.targets.items()}
    arrays |= {GROUPS + name: np.array(names, str) for name, names in corpus.groups.items()}
    arrays |= {VOTES + name: array for name, array in corpus.votes.items()}
    for name, sequence in corpus.sequences.items():
        arrays |= {SEQUENCES + name: sequence.values, COUNTS + name: sequence.lengths}
        if sequence.intervals is not None:
            arrays[INTERVALS + name] = sequence.intervals
        if sequence.names is not None:
            arrays[NAMES + name] = np.array(sequence.names, dtype=str)
    for key in ("labels", "lengths"):
        arrays[key] = getattr(corpus, key)
    for key in (*FACTS, *OPTIONAL):
        names = getattr(corpus, key)
        if key not in arrays and names is not None and (names or key != "source_notes"):
            arrays[key] = np.array(names, dtype=str)
    target = writing(path, "a writable place", make_folder=False)
    with target as file, zipfile.ZipFile(file, "w") as packed:
        for key, array in arrays.items():
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
    for member in archive.members(path, file):
        key = member.name.removesuffix(".npy")
        if key not in _KNOWN and not key.startswith(_SEVERAL):
            groups = (f"{group}<name>" for group in _SEVERAL)
            known = nearest(key, (*_KNOWN, *groups))
            raise InputError(f"{path}: {key}", "an unknown key", known)
        if key in members:
            raise InputError(f"{path}: {key}", "comes twice", "each key once")
        members[key] = member
    if "labels" not in members:
        found = f"no key 'labels' among {', '.join(members)}"
        raise InputError(path, found, "a class for each utterance, as a text or a number from 0")
    if not any(key.startswith((FEATURES, SEQUENCES)) for key in members):
        raise InputError(path, "no modalities", f"a key {FEATURES}<modality> for each")
    return {key: _of_corpus(file, f"{path}: {key}", key, m) for key, m in members.items()}


def _of_corpus(file: BinaryIO, place: str, key: str, member: archive.Member) -> Stored:
    array = arrays.stored(file, place, member)
    group = key[: key.find("/") + 1]
    kind, rank = _KINDS.get(group or key, "U"), _RANKS.get(group, 1)
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
