"""The .npz form of a corpus: what `numpy.load(..., allow_pickle=False)` reads."""

import dataclasses
import math
import os
import struct
import zipfile
from pathlib import Path
from typing import BinaryIO

import numpy as np

from mman_jax.data.corpus import Corpus
from mman_jax.errors import InputError, nearest

REQUIRED = ("labels", "label_names", "lengths", "conversation_ids", "utterance_ids")
OPTIONAL = ("speakers", "sessions", "split")
FEATURES = "features/"

_KINDS = {"labels": "iu", "lengths": "iu"}  # every other key outside features/ holds str
_KIND_NAMES = {"f": "floating-point numbers", "iu": "integers", "U": "str"}

# A small file must not be able to ask for much memory.
_FREE_BYTES = 64 << 20
_LARGEST_RATIO = 200


@dataclasses.dataclass(frozen=True)
class _Member:
    """One array of the archive, by its header: its place is `{path}: {key}`."""

    key: str
    place: str
    info: zipfile.ZipInfo
    shape: tuple[int, ...]
    fortran: bool
    dtype: np.dtype
    header: int  # bytes before the values

    @property
    def stored(self) -> bool:
        return self.info.compress_type == zipfile.ZIP_STORED


def read(path: str | Path) -> Corpus:
    """Read a corpus; uncompressed float32 features are memory-mapped, not loaded.

    Other floating-point features become float32, and other integers int32.

    Raises:
        InputError: the file and the key, and what is wrong: no archive, truncated or damaged,
            a key missing or unknown, another dtype, more data claimed than there is.
    """
    path = Path(path)
    try:
        with path.open("rb") as file, zipfile.ZipFile(file) as archive:
            members = _members(path, archive)
            arrays = {key: _load(path, file, archive, member) for key, member in members.items()}
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
    features = {
        key.removeprefix(FEATURES): array
        for key, array in arrays.items()
        if key.startswith(FEATURES)
    }
    return Corpus(
        features=features,
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
    for key in ("labels", "lengths"):
        arrays[key] = getattr(corpus, key)
    for key in (*REQUIRED, *OPTIONAL):
        names = getattr(corpus, key)
        if key not in arrays and names is not None:
            arrays[key] = np.array(names, dtype=str)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with temporary.open("wb") as file:
            with zipfile.ZipFile(file, "w") as archive:
                for key, array in arrays.items():
                    # A ZipInfo made by hand carries a fixed date.
                    info = zipfile.ZipInfo(key + ".npy")
                    with archive.open(info, "w", force_zip64=True) as member:
                        np.lib.format.write_array(member, array, allow_pickle=False)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except OSError as error:
        raise InputError(
            path, f"cannot be written ({error.strerror})", "a writable place"
        ) from error
    finally:
        temporary.unlink(missing_ok=True)


def _members(path: Path, archive: zipfile.ZipFile) -> dict[str, _Member]:
    """The headers of all arrays, checked against each other and against the file's size."""
    size = path.stat().st_size
    infos: dict[str, zipfile.ZipInfo] = {}
    for info in archive.infolist():
        key = info.filename.removesuffix(".npy")
        if key not in (*REQUIRED, *OPTIONAL) and not key.startswith(FEATURES):
            known = nearest(key, (*REQUIRED, *OPTIONAL, FEATURES + "<modality>"))
            raise InputError(f"{path}: {key}", "an unknown key", known)
        if key in infos:
            raise InputError(f"{path}: {key}", "comes twice", "each key once")
        infos[key] = info
    for key in REQUIRED:
        if key not in infos:
            raise InputError(path, f"no key {key!r} among {', '.join(infos)}", "all required keys")
    if not any(key.startswith(FEATURES) for key in infos):
        raise InputError(path, "no modalities", f"a key {FEATURES}<modality> for each")
    compressed = [i for i in infos.values() if i.compress_type != zipfile.ZIP_STORED]
    claimed = sum(info.file_size for info in compressed)
    if claimed > max(_FREE_BYTES, _LARGEST_RATIO * size):
        found = f"{size} bytes that claim to unpack to {claimed}"
        raise InputError(path, found, f"at most {_LARGEST_RATIO} times the file's size")
    return {key: _header(path, size, archive, key, info) for key, info in infos.items()}


def _header(
    path: Path, size: int, archive: zipfile.ZipFile, key: str, info: zipfile.ZipInfo
) -> _Member:
    place = f"{path}: {key}"
    if info.compress_type == zipfile.ZIP_STORED and not (
        info.file_size == info.compress_size <= size
    ):
        found = f"{info.file_size} bytes claimed of {size} in the file"
        raise InputError(place, found, "a whole member")
    with archive.open(info) as stream:
        version = np.lib.format.read_magic(stream)
        if version not in ((1, 0), (2, 0)):
            raise InputError(place, f"array format {version}", "an array that NumPy wrote")
        read_header = {
            (1, 0): np.lib.format.read_array_header_1_0,
            (2, 0): np.lib.format.read_array_header_2_0,
        }[version]
        shape, fortran, dtype = read_header(stream)
        header = stream.tell()
    kind = "f" if key.startswith(FEATURES) else _KINDS.get(key, "U")
    rank = 2 if key.startswith(FEATURES) else 1
    if dtype.kind not in kind or dtype.itemsize == 0 or len(shape) != rank:
        expected = f"{_KIND_NAMES[kind]} in {rank} dimension{'s' * (rank > 1)}"
        raise InputError(place, f"{dtype} of shape {shape}", expected)
    values = math.prod(shape) * dtype.itemsize
    if min(shape) < 0 or header + values != info.file_size:
        found = f"a header for {values} bytes of values in a member of {info.file_size - header}"
        raise InputError(place, found, "a whole member")
    return _Member(key, place, info, shape, fortran, dtype, header)


def _load(path: Path, file: BinaryIO, archive: zipfile.ZipFile, member: _Member) -> np.ndarray:
    order = "F" if member.fortran else "C"
    with archive.open(member.info) as stream:
        if member.stored and member.dtype == np.float32 and math.prod(member.shape):
            # Reading to the end compares the checksum, in bounded memory.
            while stream.read(1 << 20):
                pass
            offset = _data_offset(file, member.info) + member.header
            array = np.memmap(path, np.float32, "r", offset, member.shape, order)
            return array
        stream.seek(member.header)
        values = stream.read()
    array = np.frombuffer(values, member.dtype).reshape(member.shape, order=order)
    if member.dtype.kind == "U":
        return array
    if member.dtype.kind == "f":
        with np.errstate(over="ignore"):  # the corpus refuses infinity, and says where
            return array.astype(np.float32)
    bounds = np.iinfo(np.int32)
    if array.size and not bounds.min <= int(array.min()) <= int(array.max()) <= bounds.max:
        raise InputError(member.place, "a number out of range", "int32")
    return array.astype(np.int32)


def _data_offset(file: BinaryIO, info: zipfile.ZipInfo) -> int:
    # The local header repeats the name and has an extra field of its own length.
    file.seek(info.header_offset)
    name, extra = struct.unpack("<26xHH", file.read(30))
    return info.header_offset + 30 + name + extra
