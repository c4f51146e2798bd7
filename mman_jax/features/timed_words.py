"""Words with times: a CSV file beside the manifest, a row a word."""

import dataclasses
import math
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from mman_jax.data.readers import csv_tables
from mman_jax.data.validation import is_line
from mman_jax.errors import InputError, nearest
from mman_jax.features import decoding
from mman_jax.features.manifest import Utterance
from mman_jax.files.regular import check_regular

COLUMNS = ("conversation_id", "utterance_id", "start", "end", "word")

_ROUNDING = 0.05  # seconds by which a word may stick out of its utterance
_FILE = "a CSV file in UTF-8 of the columns " + ",".join(COLUMNS)


@dataclasses.dataclass(frozen=True, eq=False)
class TimedWords:
    """The words of an utterance, n of them.

    Attributes:
        words: n.
        intervals: [n, 2] float64, start and end of each in seconds after the utterance's start.
    """

    words: tuple[str, ...]
    intervals: np.ndarray


NONE = TimedWords((), np.zeros((0, 2)))
"""Of an utterance without any."""


def read(path: str | Path, utterances: Sequence[Utterance]) -> dict[Utterance, TimedWords]:
    """The words of each utterance that has some; their times count as the manifest's do.

    Args:
        path: of the columns `COLUMNS`, in any order; `start` and `end` in seconds into the clip.
            The words of an utterance stand in the order in which they are said.
        utterances: of the manifest.

    Raises:
        InputError: the file, the line and the column that cannot be used: words of an utterance
            that the manifest lacks, times that fall, words outside of their utterance.
    """
    path = Path(path)
    check_regular(path, _FILE)
    columns, rows = csv_tables.rows(path)
    for column in (*COLUMNS, *columns):
        if column not in columns:
            raise InputError(path, f"no column {column!r} among {', '.join(columns)}", _FILE)
        if column not in COLUMNS:
            place = f"{path}: column {column!r:.60}"
            raise InputError(place, "unknown", nearest(column, COLUMNS))
    known = {(u.conversation_id, u.utterance_id): u for u in utterances}
    ends: dict[str, float] = {}
    found: dict[Utterance, list[tuple[str, float, float]]] = {}
    for line, row in rows:
        place = f"{path}: line {line}"
        cells = {name: cell.strip() for name, cell in zip(columns, row, strict=True)}
        named = cells["conversation_id"], cells["utterance_id"]
        if named not in known:
            found_there = f"a word of conversation {named[0]:.60}, utterance {named[1]:.60}"
            raise InputError(place, found_there, "an utterance of the manifest")
        utterance = known[named]
        word = _word(place, cells, utterance, ends)
        before = found.setdefault(utterance, [])
        if before and word[1] < before[-1][1]:
            said = f"{word[1]:g} s, after {before[-1][1]:g} s of the word before it"
            raise InputError(f"{place}: start", said, "times that do not fall in an utterance")
        before.append(word)
    return {
        utterance: TimedWords(
            tuple(word for word, *_ in own),
            np.maximum([times for _, *times in own] - np.float64(utterance.start or 0.0), 0.0),
        )
        for utterance, own in found.items()
    }


def _word(
    place: str, cells: Mapping[str, str], utterance: Utterance, ends: dict[str, float]
) -> tuple[str, float, float]:
    """A row's word, checked by itself; `ends` keeps how long clips are."""
    word = cells["word"]
    if not word or not is_line(word):
        raise InputError(f"{place}: word", f"{word!r:.60}", "a word")
    start, end = (_seconds(f"{place}: {name}", cells[name]) for name in ("start", "end"))
    if end < start:
        raise InputError(
            f"{place}: end", f"{end:g} s, start {start:g} s", "no end before the start"
        )
    if start < (utterance.start or 0.0) - _ROUNDING:
        expected = f"at least {utterance.start:g} s, where {utterance.name} starts"
        raise InputError(f"{place}: start", f"{start:g} s", expected)
    last, slack = utterance.end, _ROUNDING
    if last is None:
        if utterance.path not in ends:
            ends[utterance.path] = decoding.claimed_seconds(utterance.path)
        last, slack = ends[utterance.path], decoding.SLACK
    if end > last + slack:
        expected = f"at most {last:.2f} s, where {utterance.name} ends"
        raise InputError(f"{place}: end", f"{end:g} s", expected)
    return word, start, end


def _seconds(place: str, cell: str) -> float:
    try:
        seconds = float(cell)
    except ValueError:
        seconds = math.nan
    if not 0 <= seconds < math.inf:
        raise InputError(place, f"{cell!r:.60}", "seconds, 0 or more")
    return seconds
