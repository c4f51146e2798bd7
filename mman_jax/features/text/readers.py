"""Readers of word vectors, and of words with times."""

import dataclasses
import itertools
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import BinaryIO

import numpy as np

from mman_jax.data.readers import csv_tables
from mman_jax.data.validation import is_line
from mman_jax.errors import InputError, nearest, reading
from mman_jax.features import media
from mman_jax.features.manifest import Utterance, parse_seconds
from mman_jax.files.whole import check_regular

COLUMNS = ("conversation_id", "utterance_id", "start", "end", "word")
"""The columns of a file of words with times."""

_VECTORS = "a word2vec file, text or binary, or a GloVe text file"
_LONGEST = 1000  # largest number of bytes of a word
_MOST_WORDS, _MOST_DIMENSIONS = 1 << 31, 1 << 14

_TIMED = "a CSV file in UTF-8 of the columns " + ",".join(COLUMNS)
_ROUNDING = 0.05  # seconds by which a word may extend beyond its utterance


def read_vectors(
    path: str | Path, wanted: Collection[str], most_frequent: int = 0
) -> tuple[tuple[str, ...], np.ndarray]:
    """Reads the vectors of some words in one pass, without storing the rest of the file.

    Words are looked up in lower case; a word in another case is used if the file lacks that form.

    Args:
        path: A file with the first line `words dimensions`, followed by text or binary data; or
            text without such a line, as of GloVe, with a word and its numbers per line.
        wanted: Lower-case words to look up.
        most_frequent: Number of additional words to read from the beginning of the file.

    Returns:
        The V words in the file, sorted, and their vectors [V, E] float32.

    Raises:
        InputError: the file is missing, truncated, or of another kind.
    """
    path = Path(path)
    check_regular(path, _VECTORS)
    wanted = set(wanted)
    exact: dict[str, np.ndarray] = {}
    folded: dict[str, np.ndarray] = {}
    with reading(path, _VECTORS, (OSError,)), path.open("rb") as file:
        count, size = _header(path, file)
        reader = _binary if count and _is_binary(file, size) else _text
        for position, (word, vector) in enumerate(reader(path, file, count, size)):
            lower = word.lower()
            if lower in wanted or position < most_frequent:
                (exact if word == lower else folded).setdefault(lower, vector())
    known = folded | exact
    words = tuple(sorted(known))
    vectors = np.array([known[word] for word in words], np.float32).reshape(len(words), size)
    if not np.isfinite(vectors).all():
        bad = words[int(np.flatnonzero(~np.isfinite(vectors).all(1))[0])]
        raise InputError(f"{path}: word {bad!r}", "a vector that is not finite", "finite numbers")
    return words, vectors


def check_vectors(path: str | Path) -> None:
    """Checks the beginning of a file of word vectors."""
    check_regular(path, _VECTORS)
    with reading(path, _VECTORS, (OSError,)), Path(path).open("rb") as file:
        _header(Path(path), file)


@dataclasses.dataclass(frozen=True, eq=False)
class TimedWords:
    """The n words of an utterance.

    Attributes:
        words: the words.
        intervals: [n, 2] float64, start and end of each word in seconds after the utterance's
            start.
    """

    words: tuple[str, ...] = ()
    intervals: np.ndarray = dataclasses.field(default_factory=lambda: np.zeros((0, 2)))


def read_timed_words(
    path: str | Path, utterances: Sequence[Utterance]
) -> dict[Utterance, TimedWords]:
    """Reads the words of each utterance that has any.

    Args:
        path: a CSV file with the columns `COLUMNS`, in any order; `start` and `end` are seconds
            into the clip, as in the manifest. The words of an utterance are in spoken order.
        utterances: the utterances of the manifest.

    Raises:
        InputError: a line or a column is invalid: the utterance is not in the manifest, times
            decrease, or a word is outside of its utterance.
    """
    path = Path(path)
    check_regular(path, _TIMED)
    columns, rows = csv_tables.rows(path)
    for column in (*COLUMNS, *columns):
        if column not in columns:
            raise InputError(path, f"no column {column!r} among {', '.join(columns)}", _TIMED)
        if column not in COLUMNS:
            place = f"{path}: column {column!r:.60}"
            raise InputError(place, "unknown", nearest(column, COLUMNS))
    known = {(u.conversation_id, u.utterance_id): u for u in utterances}
    ends: dict[str, float] = {}  # of clips, by path
    spoken: dict[Utterance, list[tuple[str, float, float]]] = {}
    for line, row in rows:
        place = f"{path}: line {line}"
        cells = {name: cell.strip() for name, cell in zip(columns, row, strict=True)}
        conversation, name = cells["conversation_id"], cells["utterance_id"]
        if (conversation, name) not in known:
            found = f"a word of conversation {conversation:.60}, utterance {name:.60}"
            raise InputError(place, found, "an utterance of the manifest")
        utterance = known[conversation, name]
        start, end = _check_word(place, cells, utterance, ends)
        earlier = spoken.setdefault(utterance, [])
        if earlier and start < earlier[-1][1]:
            found = f"{start:g} s, after {earlier[-1][1]:g} s of the word before it"
            raise InputError(f"{place}: start", found, "times that do not fall in an utterance")
        earlier.append((cells["word"], start, end))
    timed = {}
    for utterance, of_utterance in spoken.items():
        words, *times = zip(*of_utterance, strict=True)
        intervals = np.maximum(np.stack(times, axis=1) - (utterance.start or 0.0), 0.0)
        timed[utterance] = TimedWords(words, intervals)
    return timed


def _check_word(
    place: str, cells: Mapping[str, str], utterance: Utterance, ends: dict[str, float]
) -> tuple[float, float]:
    """Checks the word of a row and returns its times; `ends` caches the ends of clips."""
    word = cells["word"]
    if not word or not is_line(word):
        raise InputError(f"{place}: word", f"{word!r:.60}", "a word")
    start, end = (parse_seconds(f"{place}: {name}", cells[name]) for name in ("start", "end"))
    if end < start:
        found = f"{end:g} s, start {start:g} s"
        raise InputError(f"{place}: end", found, "no end before the start")
    if start < (utterance.start or 0.0) - _ROUNDING:
        expected = f"at least {utterance.start:g} s, where {utterance.name} starts"
        raise InputError(f"{place}: start", f"{start:g} s", expected)
    last, slack = utterance.end, _ROUNDING
    if last is None:
        if utterance.path not in ends:
            ends[utterance.path] = media.claimed_seconds(utterance.path)
        last, slack = ends[utterance.path], media.SLACK
    if end > last + slack:
        expected = f"at most {last:.2f} s, where {utterance.name} ends"
        raise InputError(f"{place}: end", f"{end:g} s", expected)
    return start, end


_Vectors = Iterator[tuple[str, Callable[[], np.ndarray]]]
"""Pairs of a word and a function that returns its vector."""


def _header(path: Path, file: BinaryIO) -> tuple[int, int]:
    """Returns the numbers of words and dimensions; 0 words if the file has no header."""
    line = file.readline(_LONGEST + 64 * _MOST_DIMENSIONS)
    cells = line.split()
    if len(cells) == 2 and all(cell.isdigit() and len(cell) < 12 for cell in cells):
        count, size = map(int, cells)
        if 0 < count <= _MOST_WORDS and 0 < size <= _MOST_DIMENSIONS:
            return count, size
    # A line of two cells is a wrong header, since vectors have several numbers.
    is_vector = 3 <= len(cells) <= _MOST_DIMENSIONS + 1
    if is_vector and line.endswith(b"\n") and _are_numbers(cells[1:]):
        file.seek(0)
        return 0, len(cells) - 1
    found = f"a first line {b' '.join(cells)[:60]!r}"
    expected = f"{_VECTORS}: `words dimensions`, or a word and its numbers, in the first line"
    raise InputError(path, found, expected)


def _are_numbers(cells: list[bytes]) -> bool:
    try:
        return bool([float(cell) for cell in cells])
    except ValueError:
        return False


def _is_binary(file: BinaryIO, size: int) -> bool:
    """Returns whether the line after the header is not a word and `size` numbers as text."""
    start = file.tell()
    line = file.readline(_LONGEST + 64 * size)
    file.seek(start)
    cells = line.split()
    return len(cells) <= size or not _are_numbers(cells[-size:])


def _text(path: Path, file: BinaryIO, count: int, size: int) -> _Vectors:
    """Reads lines of text, up to the end of the file if the number of words is unknown."""
    for position in itertools.count():
        line = file.readline() if not count or position < count else b""
        if not line and position >= count:
            return
        # A word may contain spaces; the numbers are the last cells.
        cells = line.rstrip().rsplit(b" ", size)
        if len(cells) != size + 1:
            raise _damaged(path, position, count)

        def vector(cells: list[bytes] = cells, position: int = position) -> np.ndarray:
            try:
                return np.array(cells[1:], dtype=np.float64).astype(np.float32)
            except ValueError as error:
                place = f"{path}: line {position + 1 + bool(count)}"
                raise InputError(place, "cells that are not numbers", f"{size} numbers") from error

        yield cells[0].decode("utf-8", "replace"), vector


def _binary(path: Path, file: BinaryIO, count: int, size: int) -> _Vectors:
    for position in range(count):
        word = bytearray()
        while (byte := file.read(1)) != b" ":
            if not byte or len(word) > _LONGEST:
                raise _damaged(path, position, count)
            if byte != b"\n" or word:  # some writers end each vector with a line break
                word += byte
        values = file.read(4 * size)
        if len(values) != 4 * size:
            raise _damaged(path, position, count)

        def vector(values: bytes = values) -> np.ndarray:
            return np.frombuffer(values, "<f4")

        yield bytes(word).decode("utf-8", "replace"), vector


def _damaged(path: Path, position: int, count: int) -> InputError:
    total = f" of {count}" if count else ""
    return InputError(path, f"damaged after word {position}{total}", _VECTORS)
