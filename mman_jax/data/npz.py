"""The .npz form of a corpus: what `numpy.load(..., allow_pickle=False)` reads."""

import collections
import contextlib
import dataclasses
import io
import math
import os
import warnings
import zipfile
from pathlib import Path
from typing import BinaryIO

import numpy as np

from mman_jax.data import archive
from mman_jax.data.corpus import Corpus
from mman_jax.errors import InputError, nearest

REQUIRED = ("labels", "label_names", "lengths", "conversation_ids", "utterance_ids")
OPTIONAL = ("speakers", "sessions", "split")
FEATURES, PRESENT = "features/", "present/"

_KINDS = {"labels": "iu", "lengths": "iu", FEATURES: "f", PRESENT: "b"}  # all others hold str
_KIND_NAMES = {"f": "floating-point numbers", "iu": "integers", "U": "str", "b": "bool"}

_LARGEST_HEADER = 1000  # of plain arrays; longer literals can be too deep for the parser


@dataclasses.dataclass(frozen=True)
class _Array:
    """One array of the archive, by its header."""

    member: archive.Member
    shape: tuple[int, ...]
    fortran: bool
    dtype: np.dtype
    header: int  # bytes before the values


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
            found = _arrays(path, file)
            arrays = {key: _load(path, file, f"{path}: {key}", a) for key, a in found.items()}
        names = {key: tuple(a.tolist()) for key, a in arrays.items() if a.dtype.kind == "U"}
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
        {key.removeprefix(kind): a for key, a in arrays.items() if key.startswith(kind)}
        for kind in (FEATURES, PRESENT)
    )
    return Corpus(
        features=features,
        present=present,
        labels=arrays["labels"],
        lengths=arrays["lengths"],
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
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with temporary.open("wb") as file:
            with zipfile.ZipFile(file, "w") as packed:
                for key, array in arrays.items():
                    # A ZipInfo made by hand carries a fixed date.
                    info = zipfile.ZipInfo(key + ".npy")
                    with packed.open(info, "w", force_zip64=True) as member:
                        np.lib.format.write_array(member, array, allow_pickle=False)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except OSError as error:
        raise InputError(
            path, f"cannot be written ({error.strerror})", "a writable place"
        ) from error
    finally:
        with contextlib.suppress(OSError):  # not even a folder to look in
            temporary.unlink()


def _arrays(path: Path, file: BinaryIO) -> dict[str, _Array]:
    """The headers of all arrays, checked against what the archive says of their sizes."""
    members: dict[str, archive.Member] = {}
    for member in archive.members(path, file):
        key = member.name.removesuffix(".npy")
        if key not in (*REQUIRED, *OPTIONAL) and not key.startswith((FEATURES, PRESENT)):
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
    return {key: _header(file, f"{path}: {key}", key, m) for key, m in members.items()}


def _header(file: BinaryIO, place: str, key: str, member: archive.Member) -> _Array:
    start = b""
    # The first pieces alone: of a member that is smaller, all of it, checked at its end.
    for content in archive.chunks(file, member):
        start += content
        if len(start) >= _LARGEST_HEADER + 64:
            break
    stream = io.BytesIO(start[: _LARGEST_HEADER + 64])
    try:
        shape, fortran, dtype = _read_header(stream)
    except Exception as error:
        # A header is a Python literal: what is none can fail in any way.
        found = f"an unreadable header ({error!s:.200})"
        raise InputError(place, found, "an array that NumPy wrote") from error
    header = stream.tell()
    kind = _KINDS.get(key[: key.find("/") + 1] or key, "U")
    rank = 2 if key.startswith(FEATURES) else 1
    if dtype.kind not in kind or dtype.itemsize == 0 or len(shape) != rank:
        expected = f"{_KIND_NAMES[kind]} in {rank} dimension{'s' * (rank > 1)}"
        raise InputError(place, f"{dtype} of shape {shape}", expected)
    values = math.prod(shape) * dtype.itemsize
    if min(shape) < 0 or header + values != member.size:
        found = f"a header for {values} bytes of values in a member of {member.size - header}"
        raise InputError(place, found, "a whole member")
    return _Array(member, shape, fortran, dtype, header)


def _read_header(stream: BinaryIO) -> tuple[tuple[int, ...], bool, np.dtype]:
    version = np.lib.format.read_magic(stream)
    if version not in ((1, 0), (2, 0)):
        raise ValueError(f"array format {version}")
    first = version == (1, 0)
    read = np.lib.format.read_array_header_1_0 if first else np.lib.format.read_array_header_2_0
    with warnings.catch_warnings(action="ignore"):  # of Python 2, and of what is no literal
        return read(stream, max_header_size=_LARGEST_HEADER)


def _load(path: Path, file: BinaryIO, place: str, array: _Array) -> np.ndarray:
    member, order = array.member, "F" if array.fortran else "C"
    if member.stored and array.dtype == np.float32 and math.prod(array.shape):
        # Reading to the end compares the checksum, in bounded memory.
        collections.deque(archive.chunks(file, member), maxlen=0)
        return np.memmap(path, np.float32, "r", member.offset + array.header, array.shape, order)
    content = bytearray()
    for piece in archive.chunks(file, member):
        content += piece
    values = memoryview(content)[array.header :]
    found = np.frombuffer(values, array.dtype).reshape(array.shape, order=order)
    if found.dtype.kind in "Ub":
        return found
    if found.dtype.kind == "f":
        with np.errstate(over="ignore"):  # the corpus refuses infinity, and says where
            return found.astype(np.float32, copy=False)
    bounds = np.iinfo(np.int32)
    if found.size and not bounds.min <= int(found.min()) <= int(found.max()) <= bounds.max:
        raise InputError(place, "a number out of range", "int32")
    return found.astype(np.int32)
