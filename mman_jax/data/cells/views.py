"""Views of sequences: aligned to the words of a modality, inside these words, or unaligned."""

import itertools
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from mman_jax.data.corpus import Corpus
from mman_jax.data.sequences import Sequence, spans
from mman_jax.data.validation import name_utterance
from mman_jax.errors import InputError, nearest
from mman_jax.files.arrays import Growing

_FRAMES = 20  # largest number of frames of a word
_RATE = 20.0  # frames per second inside words
_ROUNDING = 1e-6  # tolerance in bins, since times are rounded decimal fractions


class Aligned(NamedTuple):
    """Values [T, D] float32 of a modality on the T cells of the pivot, and where it has a value."""

    values: np.ndarray
    present: np.ndarray


def aligned(corpus: Corpus, pivot: str) -> dict[str, Aligned]:
    """Aligns every sequence to the pivot's cells, in bounded memory.

    A cell of the pivot gets the mean of the cells whose midpoint lies in it, including its start
    and excluding its end. Without times, cells are matched by position.

    Raises:
        InputError: The pivot is unknown, or an utterance without times has different numbers of
            cells.
    """
    words = _pivot(corpus, pivot)
    views = {}
    for modality, sequence in corpus.sequences.items():
        if not _is_timed(corpus, pivot, modality):
            views[modality] = Aligned(sequence.values, np.ones(len(sequence.values), bool))
            continue
        grown, present = Growing(sequence.values.shape[1]), []
        for values, _, first, last in _utterances(sequence, words):
            grown.append(_means(values, first, last))
            present.append(last > first)
        views[modality] = Aligned(grown.array(), np.concatenate(present))
    return views


def subword(corpus: Corpus, pivot: str) -> dict[str, Sequence]:
    """Returns the frames of every other sequence inside each cell of the pivot.

    The cells inside a word (see `aligned`) are averaged in bins of 1/20 second, starting at the
    midpoint of the first cell. Empty bins are removed, and at most 20 bins are kept. Without times,
    a word has one frame. Memory is bounded.

    Returns:
        A sequence of the T words, in place of utterances, for each modality.
    """
    words = _pivot(corpus, pivot)
    views = {}
    for modality, sequence in corpus.sequences.items():
        if modality == pivot:
            continue
        if not _is_timed(corpus, pivot, modality):
            views[modality] = Sequence(sequence.values, np.ones(len(sequence.values), np.int32))
            continue
        grown, counts = Growing(sequence.values.shape[1]), []
        for values, middle, first, last in _utterances(sequence, words):
            sizes = last - first
            word = np.repeat(np.arange(len(sizes)), sizes)
            inside = spans(first, sizes)
            since = middle[inside] - middle[first[word]]
            bins = np.floor(since * _RATE + _ROUNDING).astype(np.int64)
            starts = np.flatnonzero(np.diff(word, prepend=-1) | np.diff(bins, prepend=-1))
            ends = np.append(starts[1:], len(word))
            per_word = np.bincount(word[starts], minlength=len(sizes))
            inside_limit = spans(0, per_word) < _FRAMES
            grown.append(_means(values[inside], starts[inside_limit], ends[inside_limit]))
            counts.append(np.minimum(per_word, _FRAMES))
        views[modality] = Sequence(grown.array(), np.concatenate(counts).astype(np.int32))
    return views


def as_is(
    sequence: Sequence,
    cells: int | None = None,
    parts: int | None = None,
    first: int | None = None,
) -> Sequence:
    """Cuts or averages an unaligned sequence, in bounded memory.

    Args:
        sequence: Sequence of N utterances.
        cells: Number of cells that each utterance keeps, the last ones; None selects all.
        parts: Number of equal parts into which each is averaged (a shorter one repeats cells).
        first: Number of cells that each utterance keeps, the first ones; None selects all.
    """
    numbers = [x for x in (cells, parts, first) if x is not None]
    if min(numbers, default=1) < 1 or len(numbers) > 1:
        found = f"cells={cells}, parts={parts}, first={first}"
        raise InputError("view", found, "exactly one of the three, at least 1")
    grown, lengths = Growing(sequence.values.shape[1]), []
    for start, stop in itertools.pairwise(sequence.offsets.tolist()):
        count = stop - start
        if parts is None:
            end = start + min(first or count, count)
            values = sequence.values[max(start, stop - (cells or count)) : end]
        else:
            edges = np.arange(parts + 1) * count // parts
            last = np.minimum(np.maximum(edges[1:], edges[:-1] + 1), count)
            values = _means(sequence.values[start:stop], edges[:-1], last)[: parts * (count > 0)]
        grown.append(values)
        lengths.append(len(values))
    return Sequence(grown.array(), np.array(lengths, np.int32))


def _pivot(corpus: Corpus, pivot: str) -> Sequence:
    if pivot not in corpus.sequences:
        place = f"{corpus.source or 'corpus'}: pivot"
        raise InputError(place, f"no sequence {pivot!r:.60}", nearest(pivot, corpus.sequences))
    return corpus.sequences[pivot]


def _is_timed(corpus: Corpus, pivot: str, modality: str) -> bool:
    """Returns whether cells are matched by times instead of by position."""
    sequence, words = corpus.sequences[modality], corpus.sequences[pivot]
    different = np.flatnonzero(sequence.lengths != words.lengths)
    if sequence.intervals is not None and words.intervals is not None:
        return bool(len(different)) or not np.array_equal(sequence.intervals, words.intervals)
    if not len(different):
        return False
    first = int(different[0])
    lacking = modality if sequence.intervals is None else pivot
    place = f"{corpus.source or 'corpus'}: {name_utterance(corpus, first)}, sequence {modality}"
    found = f"{sequence.lengths[first]} cells, and {words.lengths[first]} of {pivot}"
    expected = f"equal numbers, or the times of each cell (intervals/{lacking})"
    raise InputError(place, found, expected)


def _utterances(
    sequence: Sequence, words: Sequence
) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]]:
    """Iterates over utterances of two sequences with times.

    Yields:
        The cells [t, D] in the order of their midpoints, these midpoints [t], and for each word the
        index of its first cell and that after its last cell, [words] each.
    """
    assert sequence.intervals is not None
    assert words.intervals is not None
    bounds = (itertools.pairwise(x.offsets.tolist()) for x in (sequence, words))
    for (start, stop), (first_word, last_word) in zip(*bounds, strict=True):
        middle = sequence.intervals[start:stop].mean(1)
        order = np.argsort(middle, kind="stable")
        middle = middle[order]
        first, last = np.searchsorted(middle, words.intervals[first_word:last_word].T)
        yield sequence.values[start:stop][order], middle, first, np.maximum(first, last)


def _means(values: np.ndarray, first: np.ndarray, last: np.ndarray) -> np.ndarray:
    """Computes the means [n, D] of rows from `first` up to but excluding `last`; 0 if empty."""
    before = np.zeros((len(values) + 1, values.shape[1]))
    np.cumsum(values, axis=0, dtype=np.float64, out=before[1:])
    count = np.maximum(last - first, 1)[:, None]
    return ((before[last] - before[first]) / count).astype(np.float32)
