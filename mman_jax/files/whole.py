"""Files written whole or not at all, and JSON read with care."""

import contextlib
import json
import os
import pathlib
import secrets
import stat
from collections.abc import Iterator
from typing import Any, BinaryIO

from mman_jax.errors import InputError

_DEEPEST = 100

_KINDS = {
    stat.S_IFDIR: "a folder",
    stat.S_IFIFO: "a named pipe",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
    stat.S_IFSOCK: "a socket",
}


@contextlib.contextmanager
def writing(
    path: pathlib.Path,
    expected: str = "a writable path",
    place: object = None,
    make_folder: bool = True,
) -> Iterator[BinaryIO]:
    """Opens a file to be written such that a reader sees the old one or the new one, never a part.

    What is written goes to a file beside it, which takes its place at the end; where the body
    raises, it is removed and the old file stays. Several processes may write one path at a time:
    the last one to end wins.

    Args:
        path: of the file.
        expected: what messages expect.
        place: what messages name; the path where it is not given.
        make_folder: whether the folder of the file is made where it is missing.

    Raises:
        InputError: if it cannot be written, or is there and no regular file.
    """
    place = path if place is None else place
    if not path.name:
        raise InputError(path, "a folder", "the path of a file")
    # A name that no other process or thread uses, and that is no longer than a name may be.
    beside = path.with_name(f".{path.name[:40]}.{secrets.token_hex(8)}.part")
    try:
        other = _other_than_file(path)
        if other:
            raise InputError(place, f"cannot be written (it is {other})", "the path of a file")
        if make_folder:
            path.parent.mkdir(parents=True, exist_ok=True)
        try:
            with beside.open("xb") as file:
                yield file
                file.flush()
                os.fsync(file.fileno())
            beside.replace(path)
        finally:
            with contextlib.suppress(OSError):  # not even a folder to look in
                beside.unlink()
    except OSError as error:
        found = f"cannot be written ({error.strerror or error})"
        raise InputError(place, found, expected) from error


def write_whole(path: pathlib.Path, content: bytes) -> None:
    """Writes a file such that a reader sees the old one or the new one, never a part.

    Raises:
        InputError: if it cannot be written, or is there and no regular file.
    """
    with writing(path) as file:
        file.write(content)


def regular_file(path: pathlib.Path) -> bool:
    """Whether a file is there, which can be read to its end and replaced.

    Raises:
        InputError: if what is there is a folder, a named pipe, a device or a socket, or if it
            cannot be looked at.
    """
    try:
        other = _other_than_file(path)
        if not other:
            return path.is_file()
    except (OSError, ValueError) as error:
        raise InputError(path, f"cannot be read ({error})", "the path of a file") from error
    raise InputError(path, other, "the path of a file")


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


def _other_than_file(path: pathlib.Path) -> str:
    """What is there in words, where it is no regular file; empty where it is one, or nothing."""
    try:
        kind = stat.S_IFMT(path.stat().st_mode)
    except (FileNotFoundError, NotADirectoryError):
        return ""
    return "" if kind == stat.S_IFREG else _KINDS.get(kind, "no regular file")
