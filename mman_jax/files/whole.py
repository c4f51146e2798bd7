"""Files written whole or not at all, and JSON read with care."""

import json
import pathlib
from typing import Any

from mman_jax.errors import InputError

_DEEPEST = 100


def write_whole(path: pathlib.Path, content: bytes) -> None:
    """Writes a file such that a reader sees the old one or the new one, never a part.

    Raises:
        InputError: if it cannot be written.
    """
    if not path.name or path.is_dir():
        raise InputError(path, "a folder", "the path of a file")
    beside = path.with_name(f".{path.name}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        beside.write_bytes(content)
        beside.replace(path)
    except OSError as error:
        raise InputError(
            path, f"cannot be written ({error.strerror})", "a writable path"
        ) from error


def check_new(folder: pathlib.Path) -> None:
    """Refuses a folder that holds something.

    Raises:
        InputError: it does, or it is a file, or it cannot be looked into.
    """
    try:
        if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
            raise InputError(folder, "there is something", "a new folder, or an empty one")
    except OSError as error:
        raise InputError(folder, f"cannot be read ({error.strerror})", "a new folder") from error


def read_json(path: pathlib.Path) -> dict[str, Any]:
    """What a JSON file holds, which is an object.

    Raises:
        InputError: if it cannot be read, or holds something else.
    """
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise InputError(path, f"unreadable ({error})", "JSON that a run wrote") from error
    if not isinstance(found, dict):
        raise InputError(path, f"a {type(found).__name__}", "an object, as a run wrote it")
    level, depth = [found], 0
    while level:
        depth += 1
        if depth > _DEEPEST:
            raise InputError(path, f"nested over {_DEEPEST} deep", "JSON that a run wrote")
        level = [
            item
            for part in level
            for item in (part.values() if isinstance(part, dict) else part)
            if isinstance(item, dict | list)
        ]
    return found
