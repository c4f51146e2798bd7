"""Words: how a transcript is cut, and vectors from a local file of word2vec or GloVe."""

import itertools
import re
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import BinaryIO

import numpy as np

from mman_jax.errors import InputError
from mman_jax.files.regular import check_regular

_WORD = re.compile(r"\w+(?:['\u2019]\w+)*")
_FILE = "a word2vec file, text or binary, or a GloVe text file"
_LONGEST = 1000  # bytes of a word
_MOST = (1 << 31, 1 << 14)  # words, dimensions


def tokens(transcript: str) -> list[str]:
    """The words of a transcript, in lower case, without punctuation."""
    return [word.replace("\u2019", "'") for word in _WORD.findall(transcript.lower())]


def read_vectors(
    path: str | Path, wanted: Collection[str], most_frequent: int = 0
) -> tuple[tuple[str, ...], np.ndarray]:
    """The vectors of some words, read in one pass; the rest of the file is not kept.

    A word of the file stands for its lower-case form unless the file has that form too.

    Args:
        path: a file that begins with a line `words dimensions`; whether text or binary follows is
            seen from its bytes. Or text without such a line, as GloVe has it: a word and its
            numbers a line.
        wanted: lower-case words to look up.
        most_frequent: also the first so many of the file, which lists the most frequent first.

    Returns:
        The V words found, sorted, and their [V, E] float32 vectors.

    Raises:
        InputError: no such file, another kind, or one that ends early.
    """
    path = Path(path)
    check_regular(path, _FILE)
    wanted = set(wanted)
    exact: dict[str, np.ndarray] = {}
    folded: dict[str, np.ndarray] = {}
    try:
        with path.open("rb") as file:
            count, size = _header(path, file)
            reader = _binary if count and _is_binary(file, size) else _text
            for position, (word, vector) in enumerate(reader(path, file, count, size)):
                lower = word.lower()
                if lower in wanted or position < most_frequent:
                    (exact if word == lower else folded).setdefault(lower, vector())
    except OSError as error:
        raise InputError(path, f"cannot be read ({error.strerror})", _FILE) from error
    found = folded | exact
    words = tuple(sorted(found))
    vectors = np.array([found[word] for word in words], np.float32).reshape(len(words), size)
    if not np.isfinite(vectors).all():
        bad = words[int(np.flatnonzero(~np.isfinite(vectors).all(1))[0])]
        raise InputError(f"{path}: word {bad!r}", "a vector that is not finite", "finite numbers")
    return words, vectors


def check_file(path: str | Path) -> None:
    """Raises InputError for a file that is absent or begins in another way, without reading on."""
    check_regular(path, _FILE)
    try:
        with Path(path).open("rb") as file:
            _header(Path(path), file)
    except OSError as error:
        raise InputError(path, f"cannot be read ({error.strerror})", _FILE) from error


def _header(path: Path, file: BinaryIO) -> tuple[int, int]:
    """Words and dimensions, by the first line; no number of words where it is a word's own."""
    line = file.readline(_LONGEST + 64 * _MOST[1])
    cells = line.split()
    sizes = [int(n) for n in cells[:3] if n.isdigit() and len(n) < 12]
    if len(cells) == 2 and len(sizes) == 2 and all(0 < n <= m for n, m in zip(sizes, _MOST)):  # noqa: B905
        return sizes[0], sizes[1]
    # One number a word is no vector, and would be a header that is wrong.
    if 3 <= len(cells) <= _MOST[1] + 1 and line.endswith(b"\n") and _are_numbers(cells[1:]):
        file.seek(0)
        return 0, len(cells) - 1
    found = f"a first line {b' '.join(cells)[:60]!r}"
    raise InputError(path, found, f"{_FILE}: `words dimensions` or a word and its numbers first")


def _are_numbers(cells: list[bytes]) -> bool:
    try:
        return bool([float(cell) for cell in cells])
    except ValueError:
        return False


def _is_binary(file: BinaryIO, size: int) -> bool:
    """Whether what follows the header is no line of a word and `size` numbers."""
    start = file.tell()
    line = file.readline(_LONGEST + 64 * size)
    file.seek(start)
    cells = line.split()
    return len(cells) <= size or not _are_numbers(cells[-size:])


def _text(path: Path, file: BinaryIO, count: int, size: int) -> Iterator:
    """Each word and what makes its vector; without a count, up to the end of the file."""
    for position in itertools.count():
        line = file.readline() if not count or position < count else b""
        if not line and position >= count:
            return
        # A word may hold spaces of its own; the numbers are the last cells.
        cells = line.rstrip().rsplit(b" ", size)
        if len(cells) != size + 1:
            raise _ends(path, position, count)

        def vector(cells=cells, position=position):
            try:
                return np.array(cells[1:], dtype=np.float64).astype(np.float32)
            except ValueError as error:
                place = f"{path}: line {position + 1 + bool(count)}"
                raise InputError(place, "cells that are no numbers", f"{size} numbers") from error

        yield cells[0].decode("utf-8", "replace"), vector


def _binary(path: Path, file: BinaryIO, count: int, size: int) -> Iterator:
    for position in range(count):
        word = bytearray()
        while True:
            byte = file.read(1)
            if byte == b" ":
                break
            if not byte or len(word) > _LONGEST:
                raise _ends(path, position, count)
            if byte != b"\n" or word:  # some writers end each vector with a line break
                word += byte
        values = file.read(4 * size)
        if len(values) != 4 * size:
            raise _ends(path, position, count)
        yield bytes(word).decode("utf-8", "replace"), lambda v=values: np.frombuffer(v, "<f4")


def _ends(path: Path, position: int, count: int) -> InputError:
    whole = f" of {count}" if count else ""
    return InputError(path, f"damaged after word {position}{whole}", _FILE)
