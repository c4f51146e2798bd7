"""Regular files: checks before reading, atomic writes, JSON, and the encoding of texts."""

import codecs
import contextlib
import json
import os
import pathlib
import re
import secrets
import stat
from collections.abc import Iterator
from typing import Any, BinaryIO

from mman_jax.errors import InputError, reading

_BEYOND_ASCII = re.compile(rb"[\x80-\xff]+")

# Windows-1252 that was taken for Latin-1 leaves controls in place of quotes and dashes.
_CONTROLS = {
    code: character
    for code in range(0x80, 0xA0)
    if (character := bytes([code]).decode("cp1252", "ignore"))
}

_DEEPEST = 100

_KINDS = {
    stat.S_IFDIR: "a folder",
    stat.S_IFIFO: "a pipe",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
    stat.S_IFSOCK: "a socket",
}


def check_regular(path: str | pathlib.Path, expected: str) -> None:
    """Raises an InputError unless a path is a regular file: pipes block, and devices never end.

    `expected` describes the content in messages.
    """
    if not regular_file(pathlib.Path(path), f"a regular file: {expected}"):
        raise InputError(path, "no such file", expected)


def regular_file(path: pathlib.Path, expected: str = "the path of a file") -> bool:
    """Returns whether a path is an existing regular file.

    Raises:
        InputError: The path is a folder, a named pipe, a device or a socket, or cannot be read.
    """
    try:
        kind = _kind(path)
    except (OSError, ValueError) as error:  # ValueError: a null character in the name
        reason = getattr(error, "strerror", None) or error
        raise InputError(path, f"cannot be read ({reason})", expected) from error
    if kind:
        raise InputError(path, kind, expected)
    return kind is not None


def check_new(folder: pathlib.Path) -> None:
    """Raises an InputError unless a folder is empty or missing."""
    try:
        if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
            raise InputError(folder, "it exists and is not an empty folder", "a new folder")
    except OSError as error:
        raise InputError(folder, f"cannot be read ({error.strerror})", "a new folder") from error


@contextlib.contextmanager
def writing(
    path: pathlib.Path,
    expected: str = "a writable path",
    place: object = None,
    make_folder: bool = True,
) -> Iterator[BinaryIO]:
    """Opens a file for writing so that readers see either the old or the new file, never a part.

    The content goes to a temporary file in the same folder, which replaces the target at the end.
    If the body raises, the temporary file is removed and the old file stays. Several processes may
    write one path at the same time: the last one to finish wins. `expected` and `place` (by default
    the path) are those of messages.

    Raises:
        InputError: The file cannot be written, or the path exists and is not a regular file.
    """
    place = path if place is None else place
    if not path.name:
        raise InputError(path, "a folder", "the path of a file")
    # The name is unique to this process and thread, and short enough for every file system.
    temporary = path.with_name(f".{path.name[:40]}.{secrets.token_hex(8)}.part")
    try:
        kind = _kind(path)
        if kind:
            raise InputError(place, f"cannot be written (it is {kind})", "the path of a file")
        if make_folder:
            path.parent.mkdir(parents=True, exist_ok=True)
        try:
            with temporary.open("xb") as file:
                yield file
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(path)
        finally:
            with contextlib.suppress(OSError):  # the folder itself may be missing
                temporary.unlink()
    except OSError as error:
        found = f"cannot be written ({error.strerror or error})"
        raise InputError(place, found, expected) from error


def write_whole(path: pathlib.Path, content: bytes) -> None:
    """Writes a file so that readers see either the old or the new one, never a part."""
    with writing(path) as file:
        file.write(content)


def decode(content: bytes) -> str:
    """Decodes UTF-8, UTF-16 with a byte order mark, or Windows-1252 if it is plausible.

    Raises:
        UnicodeDecodeError: the content is in another encoding.

    Examples:
        >>> decode("na\u00efve\u2026".encode("cp1252")), decode("It\x92s".encode())
        ('na\u00efve\u2026', 'It\u2019s')
    """
    if content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return content.decode("utf-16")
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError:
        # In European languages, most letters are ASCII; other one- or two-byte encodings have long
        # runs of other bytes.
        runs = [len(run) for run in _BEYOND_ASCII.findall(content)]
        if max(runs) > 3 or 2 * runs.count(1) < len(runs):
            raise
        text = content.decode("cp1252")
    return text.translate(_CONTROLS)


def read_json(path: pathlib.Path) -> dict[str, Any]:
    """Reads a JSON file that holds an object."""
    expected = "JSON that a run wrote"
    with reading(path, expected, (OSError, ValueError, RecursionError)):
        content = json.loads(path.read_text(encoding="utf-8"))
    if not isinstance(content, dict):
        raise InputError(path, f"a {type(content).__name__}", "a JSON object that a run wrote")
    level: list[Any] = [content]
    for _ in range(_DEEPEST):
        parts = [part.values() if isinstance(part, dict) else part for part in level]
        level = [item for part in parts for item in part if isinstance(item, dict | list)]
    if level:
        raise InputError(path, f"more than {_DEEPEST} levels of nesting", expected)
    return content


def _kind(path: pathlib.Path) -> str | None:
    """Returns the kind of a path; empty for a regular file, None if nothing is there."""
    try:
        kind = stat.S_IFMT(path.stat().st_mode)
    except (FileNotFoundError, NotADirectoryError):
        return None
    return "" if kind == stat.S_IFREG else _KINDS.get(kind, "not a regular file")
