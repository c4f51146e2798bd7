"""Digests of a folder's files: what is damaged or unfinished is known before anything reads it."""

import hashlib
import json
import os
import pathlib

from mman_jax.errors import InputError

NAME = "digests.json"

_LARGEST = 16 << 20


def sign(folder: pathlib.Path) -> None:
    """Writes the digests of all files in a folder, at last and at once: from then on it is whole.

    Raises:
        OSError: if a file cannot be read or the digests cannot be written.
    """
    beside = folder / f".{NAME}.part"
    with beside.open("w", encoding="utf-8") as file:
        json.dump(_digests(folder), file)
        file.flush()
        os.fsync(file.fileno())
    beside.replace(folder / NAME)


def check(folder: pathlib.Path) -> None:
    """Reads every file and compares.

    Raises:
        InputError: no digests (unfinished, or written by a version that had none), or the first
            file that is missing, added or changed.
    """
    path = folder / NAME
    try:
        if path.stat().st_size > _LARGEST:
            raise ValueError(f"{path.stat().st_size} bytes")
        signed = json.loads(path.read_text(encoding="utf-8"))
        found = _digests(folder)
    except FileNotFoundError as error:
        expected = "a checkpoint that was finished, of this version"
        raise InputError(folder, f"no {NAME}", expected) from error
    except (OSError, ValueError, RecursionError) as error:
        raise InputError(path, f"unreadable ({error})", "the digests of a checkpoint") from error
    if not isinstance(signed, dict):
        raise InputError(path, f"a {type(signed).__name__}", "the digests of a checkpoint")
    for name in sorted(signed.keys() | found.keys()):
        if signed.get(name) != found.get(name):
            damage = "missing" if name not in found else "damaged" if name in signed else "unknown"
            raise InputError(folder / name, f"a {damage} file", "the checkpoint as it was written")


def _digests(folder: pathlib.Path) -> dict[str, str]:
    digests = {}
    for path in sorted(folder.rglob("*")):
        if path.is_file() and path.name not in (NAME, f".{NAME}.part"):
            with path.open("rb") as file:
                digest = hashlib.file_digest(file, "sha256").hexdigest()
            digests[path.relative_to(folder).as_posix()] = digest
    return digests
