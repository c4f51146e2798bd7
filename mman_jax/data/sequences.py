"""Sequences of cells inside utterances, such as words, frames or windows."""

import dataclasses
from collections.abc import Iterable
from typing import Any

import numpy as np

from mman_jax.data import validation
from mman_jax.errors import InputError, nearest
from mman_jax.files.arrays import Growing


@dataclasses.dataclass(frozen=True, eq=False)
class Sequence:
    """Cells of one modality, those of all N utterances concatenated, T in total.

    Attributes:
        values: [T, D] float32; may be memory-mapped.
        lengths: [N] int32, number of cells of each utterance, possibly 0; they sum to T.
        intervals: [T, 2] float64, start and end of each cell in seconds from the start of the
            utterance's clip; starts do not decrease within an utterance. None if unknown.
        names: T names, such as the words, or None.
    """

    values: np.ndarray
    lengths: np.ndarray
    intervals: np.ndarray | None = None
    names: tuple[str, ...] | None = None

    @property
    def offsets(self) -> np.ndarray:
        """[N + 1] int64: the index of each utterance's first cell, then T."""
        return np.concatenate([[0], np.cumsum(self.lengths, dtype=np.int64)])

    @property
    def owners(self) -> np.ndarray:
        """[T] int64: the utterance of each cell."""
        return np.repeat(np.arange(len(self.lengths)), self.lengths)

    def arrays(self) -> dict[str, np.ndarray]:
        """Returns the arrays that are not None, by attribute."""
        named = {"values": self.values, "lengths": self.lengths, "intervals": self.intervals}
        return {name: array for name, array in named.items() if array is not None}

    def fits(self, utterances: int) -> bool:
        """Returns whether lengths, intervals and names match the cells and the utterances."""
        lengths, cells = self.lengths, len(self.values)
        if len(lengths) != utterances or int(lengths.min(initial=0)) < 0:
            return False
        counts = [len(x) for x in (self.intervals, self.names) if x is not None]
        return {int(lengths.sum(dtype=np.int64)), *counts} == {cells}


def check_sequences(corpus: Any) -> None:
    """Checks the sequences of a corpus."""
    for modality, sequence in corpus.sequences.items():
        place = f"{corpus.source or 'corpus'}: sequence {modality}"
        validation.check_key(modality, place)
        if not isinstance(sequence, Sequence):
            raise InputError(place, f"a {type(sequence).__name__}", "a Sequence")
        _check_shapes(corpus, sequence, place)
        if sequence.intervals is not None:
            _check_intervals(corpus, modality, sequence, sequence.intervals)
        wrong = validation.first_infinite(sequence.values)
        if wrong:
            cell, column = wrong
            found = f"{sequence.values[cell, column]} in column {column}"
            expected = "finite values; leave out cells that were not measured"
            raise InputError(_cell(corpus, modality, sequence, cell), found, expected)


def check_named(corpus: Any, what: str, modalities: Iterable[str] = ()) -> None:
    """Checks that a corpus has the sequences of some modalities, or any sequences.

    `what` is the feature that needs them, for the message.
    """
    place = f"{corpus.source or 'corpus'}: {what}"
    if not corpus.sequences:
        raise InputError(place, "no sequences", "sequences/<modality>, such as sequences/text")
    for name in modalities:
        if name not in corpus.sequences:
            expected = nearest(name, corpus.sequences)
            raise InputError(place, f"no sequence of modality {name!r:.60}", expected)


def spans(starts: np.ndarray | int, lengths: np.ndarray) -> np.ndarray:
    """Returns the concatenated indices int64 of spans, by their starts and lengths.

    Examples:
        >>> spans(np.array([5, 0]), np.array([2, 3])).tolist()
        [5, 6, 0, 1, 2]
    """
    before = np.cumsum(lengths, dtype=np.int64) - lengths
    return np.repeat(starts - before, lengths) + np.arange(lengths.sum())


def averaged(sequence: Sequence) -> np.ndarray:
    """Computes [N, D] float32 means over the cells of each utterance, in chunks; 0 without cells.

    Examples:
        >>> values = np.array([[1.0], [3.0], [5.0]], np.float32)
        >>> averaged(Sequence(values, np.array([2, 0, 1], np.int32))).tolist()
        [[2.0], [0.0], [5.0]]
    """
    total = np.zeros((len(sequence.lengths), sequence.values.shape[1]), np.float64)
    owners = sequence.owners
    for rows in validation.row_chunks(sequence.values):
        utterances = owners[rows]
        first = np.flatnonzero(np.diff(utterances, prepend=-1))
        values = sequence.values[rows].astype(np.float64)
        total[utterances[first]] += np.add.reduceat(values, first, axis=0)
    return (total / np.maximum(sequence.lengths, 1)[:, None]).astype(np.float32)


def taken(sequence: Sequence, utterances: np.ndarray) -> Sequence:
    """Selects the cells of utterances, in this order, in bounded memory; -1 has no cells.

    Examples:
        >>> values = np.array([[1.0], [3.0], [5.0]], np.float32)
        >>> chosen = taken(Sequence(values, np.array([2, 1], np.int32)), np.array([1, -1, 0]))
        >>> chosen.values.tolist(), chosen.lengths.tolist()
        ([[5.0], [1.0], [3.0]], [1, 0, 2])
    """
    utterances = np.asarray(utterances)
    lengths = np.where(utterances < 0, 0, sequence.lengths[utterances]).astype(np.int32)
    cells = spans(sequence.offsets[utterances], lengths)
    intervals, names = sequence.intervals, sequence.names
    return Sequence(
        gathered(sequence.values, cells),
        lengths,
        None if intervals is None else intervals[cells],
        None if names is None else tuple(names[cell] for cell in cells.tolist()),
    )


def gathered(values: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """Selects rows [n] int64 of [T, D], with zeros for -1, in bounded memory.

    If the rows are all rows in order, the array itself is returned.
    """
    if np.array_equal(rows, np.arange(len(values))):
        return values
    grown = Growing(values.shape[1])
    for part in validation.row_chunks(values, stop=len(rows)):
        chosen = rows[part]
        block = np.zeros((len(chosen), grown.width), np.float32)
        block[chosen >= 0] = values[chosen[chosen >= 0]]
        grown.append(block)
    return grown.array()


def _check_shapes(corpus: Any, sequence: Sequence, place: str) -> None:
    validation.check_array(sequence.values, np.float32, 2, place, "[T, D]")
    if not sequence.values.shape[1]:
        raise InputError(place, "no features (D = 0)", "at least one feature")
    cells = len(sequence.values)
    where = f"{place}: lengths"
    validation.check_array(sequence.lengths, np.int32, 1, where, "[N]")
    validation.check_count(sequence.lengths, len(corpus.utterance_ids), where, "utterance_ids")
    negative = np.flatnonzero(sequence.lengths < 0)
    if len(negative):
        first = int(negative[0])
        where = f"{place}, {validation.name_utterance(corpus, first)}"
        raise InputError(where, f"length {sequence.lengths[first]}", "at least 0")
    total = int(sequence.lengths.sum(dtype=np.int64))
    if total != cells:
        expected = f"their sum to be the number of cells, {cells}"
        raise InputError(where, f"a sum of {total}", expected)
    if sequence.names is not None:
        validation.check_names(sequence.names, f"{place}: names", validation.is_line)
        validation.check_count(sequence.names, cells, f"{place}: names", "cells")


def _check_intervals(corpus: Any, modality: str, sequence: Sequence, intervals: np.ndarray) -> None:
    place = f"{corpus.source or 'corpus'}: sequence {modality}: intervals"
    cells = len(sequence.values)
    validation.check_array(intervals, np.float64, 2, place, "[T, 2]")
    if intervals.shape != (cells, 2):
        found = f"shape {intervals.shape}"
        raise InputError(place, found, f"({cells}, 2), start and end of each cell")
    starts, ends = intervals.T
    falls = np.append(False, starts[1:] < starts[:-1])
    falls[sequence.offsets[:-1][sequence.lengths > 0]] = False
    rules = {
        "finite seconds": ~np.isfinite(intervals).all(1),
        "no end before the start": starts > ends,
        "times that do not fall inside an utterance": falls,
    }
    for expected, wrong in rules.items():
        if wrong.any():
            cell = int(np.argmax(wrong))
            found = f"it starts at {starts[cell]:g} s and ends at {ends[cell]:g} s"
            if wrong is falls:
                found = (
                    f"it starts at {starts[cell]:g} s, the cell before it at {starts[cell - 1]:g} s"
                )
            raise InputError(_cell(corpus, modality, sequence, cell), found, expected)


def _cell(corpus: Any, modality: str, sequence: Sequence, cell: int) -> str:
    """Returns the place of one of the T cells, for a message."""
    utterance = int(sequence.owners[cell])
    number = cell - int(sequence.offsets[utterance])
    named = f" ({sequence.names[cell]})" if sequence.names is not None else ""
    place = f"{corpus.source or 'corpus'}: {validation.name_utterance(corpus, utterance)}"
    return f"{place}, sequence {modality}, cell {number}{named}"
