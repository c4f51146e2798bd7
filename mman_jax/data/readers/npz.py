"""The .npz form of a corpus: what `numpy.load(..., allow_pickle=False)` reads."""

import collections
import math
import zipfile
from pathlib import Path
from typing import BinaryIO

import numpy as np

from mman_jax.data.corpus import Corpus
from mman_jax.data.readers import layouts
from mman_jax.data.validation import CLASSES, ONE_VECTOR
from mman_jax.errors import InputError, nearest
from mman_jax.files import archive, arrays
from mman_jax.files.arrays import Stored
from mman_jax.files.whole import writing

REQUIRED = ("labels", "label_names", "lengths", "conversation_ids", "utterance_ids")
OPTIONAL = ("speakers", "sessions", "split", "source_notes")
FEATURES, PRESENT, TARGETS = "features/", "present/", "targets/"

_MERBENCH = ("whole_corpus", "train_corpus", "val_corpus", "test_corpus")
_KINDS = {"labels": "iu", "lengths": "iu", FEATURES: "f", PRESENT: "b"}  # all others hold str
_KIND_NAMES = {"f": "floating-point numbers", "iu": "integers", "U": "str", "b": "bool"}


def read(path: str | Path) -> Corpus:
    """Read a corpus; uncompressed float32 features are memory-mapped, not loaded.

    Other floating-point features become float32, and other integers int32.

    Raises:
        InputError: the file and the key, and what is wrong: no archive, truncated or damaged,
            a key missing or unknown, another dtype, more data claimed than there is.
    """
    path = Path(path)
    try:
        with path.open("rb") as file:
            loaded = {key: _load(path, file, a) for key, a in _arrays(path, file).items()}
        names = {key: tuple(a.tolist()) for key, a in loaded.items() if a.dtype.kind == "U"}
    except InputError:
        raise
    except OSError as error:
        found = f"cannot be read ({error.strerror or error})"
        raise InputError(path, found, "a corpus written as .npz") from error
    except Exception as error:
        # Bytes that are no archive can fail in any way; none of them is a bug of ours.
        found = f"truncated, damaged or no .npz archive ({error})"
        raise InputError(path, found, "a corpus written as .npz") from error
    features, present = (
        {key.removeprefix(kind): a for key, a in loaded.items() if key.startswith(kind)}
        for kind in (FEATURES, PRESENT)
    )
    return Corpus(
        features=features,
        present=present,
        labels=loaded["labels"],
        lengths=loaded["lengths"],
        source=str(path),
        **names,
    )


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
    for key in ("labels", "lengths"):
        arrays[key] = getattr(corpus, key)
    for key in (*REQUIRED, *OPTIONAL):
        names = getattr(corpus, key)
        if key not in arrays and names is not None:
            arrays[key] = np.array(names, dtype=str)
    target = writing(path, "a writable place", make_folder=False)
    with target as file, zipfile.ZipFile(file, "w") as packed:
        for key, array in arrays.items():
            # A ZipInfo made by hand carries a fixed date.
            info = zipfile.ZipInfo(key + ".npy")
            with packed.open(info, "w", force_zip64=True) as member:
                np.lib.format.write_array(member, array, allow_pickle=False)


def _arrays(path: Path, file: BinaryIO) -> dict[str, Stored]:
    """The headers of all arrays, checked against what the archive says of their sizes."""
    members: dict[str, archive.Member] = {}
    for member in archive.members(path, file):
        key = member.name.removesuffix(".npy")
        if key not in (*REQUIRED, *OPTIONAL) and not key.startswith((FEATURES, PRESENT)):
            if key in _MERBENCH:
                raise InputError(path, "labels in the layout of MERBench", layouts.ADVICE)
            by_modality = (FEATURES + "<modality>", PRESENT + "<modality>")
            known = nearest(key, (*REQUIRED, *OPTIONAL, *by_modality))
            raise InputError(f"{path}: {key}", "an unknown key", known)
        if key in members:
            raise InputError(f"{path}: {key}", "comes twice", "each key once")
        members[key] = member
    for key in REQUIRED:
        if key not in members:
            found = f"no key {key!r} among {', '.join(members)}"
            raise InputError(path, found, "all required keys")
    if not any(key.startswith(FEATURES) for key in members):
        raise InputError(path, "no modalities", f"a key {FEATURES}<modality> for each")
    return {key: _of_corpus(file, f"{path}: {key}", key, m) for key, m in members.items()}


def _of_corpus(file: BinaryIO, place: str, key: str, member: archive.Member) -> Stored:
    array = arrays.stored(file, place, member)
    kind = _KINDS.get(key[: key.find("/") + 1] or key, "U")
    rank = 2 if key.startswith(FEATURES) else 1
    if array.dtype.kind not in kind or array.dtype.itemsize == 0 or len(array.shape) != rank:
        expected = f"{_KIND_NAMES[kind]} in {rank} dimension{'s' * (rank > 1)}"
        if key == "labels" and array.dtype.kind == "f":
            expected = CLASSES
        elif key.startswith(FEATURES) and len(array.shape) == 3:
            expected = ONE_VECTOR
        elif array.dtype.kind == "O":
            raise InputError(place, arrays.OBJECTS, expected)
        raise InputError(place, f"{array.dtype} of shape {array.shape}", expected)
    array.check_size()
    return array


def _load(path: Path, file: BinaryIO, array: Stored) -> np.ndarray:
    member, order = array.member, "F" if array.fortran else "C"
    if member.stored and array.dtype == np.float32 and math.prod(array.shape):
        # Reading to the end compares the checksum, in bounded memory.
        collections.deque(archive.chunks(file, member), maxlen=0)
        return np.memmap(path, np.float32, "r", member.offset + array.header, array.shape, order)
    found = array.load(file)
    if found.dtype.kind in "Ub":
        return found
    if found.dtype.kind == "f":
        with np.errstate(over="ignore"):  # the corpus refuses infinity, and says where
            return found.astype(np.float32, copy=False)
    bounds = np.iinfo(np.int32)
    if found.size and not bounds.min <= int(found.min()) <= int(found.max()) <= bounds.max:
        raise InputError(array.place, "a number out of range", "int32")
    return found.astype(np.int32)
