"""Views of a corpus's sequences: all on the cells of one, inside them, or each as it is."""

import dataclasses
import itertools
from collections.abc import Iterator

import numpy as np

from mman_jax.data.corpus import Corpus
from mman_jax.data.sequences import Sequence
from mman_jax.data.validation import name_utterance
from mman_jax.errors import InputError, nearest
from mman_jax.files.growing import Growing

_ROUNDING = 1e-6  # of a bin: times are decimal fractions, and are rounded


@dataclasses.dataclass(frozen=True, eq=False)
class Aligned:
    """A modality on the T cells of the pivot.

    Attributes:
        values: [T, D] float32; may be memory-mapped.
        present: [T] bool, False where it has nothing: its values there are 0.
    """

    values: np.ndarray
    present: np.ndarray


def aligned(corpus: Corpus, pivot: str) -> dict[str, Aligned]:
    """Every sequence on the pivot's cells, in bounded memory.

    A cell of the pivot has the mean of those cells whose middle lies in it, its start included and
    its end not. Without times on either side, cells belong together by their number.

    Raises:
        InputError: no such pivot; or an utterance with unequal lengths and no times.
    """
    frame = _pivot(corpus, pivot)
    views = {}
    for modality, sequence in corpus.sequences.items():
        if not _timed(corpus, pivot, modality):
            there = np.ones(len(sequence.values), bool)
            views[modality] = Aligned(sequence.values, there)
            continue
        grown, present = Growing(sequence.values.shape[1]), []
        for cells, words in _both(sequence, frame):
            order, _, first, last = _inside(sequence, frame, cells, words)
            grown.append(_means(sequence.values[cells][order], first, last))
            present.append(last > first)
        views[modality] = Aligned(grown.array(), np.concatenate(present))
    return views


def subword(
    corpus: Corpus, pivot: str, frames: int = 20, rate: float = 20.0
) -> dict[str, Sequence]:
    """What lies inside each cell of the pivot, of every other sequence, in bounded memory.

    The cells inside a word (see `aligned`) are averaged in bins of 1 / rate seconds, counted from
    the middle of the first one; bins without any are left out. Without times there is one a word.

    Args:
        corpus: whose sequences.
        pivot: the modality whose cells are the words.
        frames: F, bins of a word at most: the first.
        rate: bins a second.

    Returns:
        By modality a sequence of the T words, as if they were utterances: lengths [T] of at most F.

    Raises:
        InputError: as `aligned`; or fewer than one frame, or a rate that is not above 0.
    """
    if frames < 1 or not rate > 0:
        raise InputError("frames", f"{frames} at {rate:g} Hz", "one or more, at a rate above 0")
    frame = _pivot(corpus, pivot)
    views = {}
    for modality, sequence in corpus.sequences.items():
        if modality == pivot:
            continue
        if not _timed(corpus, pivot, modality):
            views[modality] = Sequence(sequence.values, np.ones(len(sequence.values), np.int32))
            continue
        grown, counts = Growing(sequence.values.shape[1]), []
        for cells, words in _both(sequence, frame):
            order, middle, first, last = _inside(sequence, frame, cells, words)
            sizes = last - first
            word = np.repeat(np.arange(len(sizes)), sizes)
            inside = np.arange(len(word)) - np.repeat(np.cumsum(sizes) - sizes, sizes)
            inside += np.repeat(first, sizes)
            since = middle[inside] - middle[first[word]]
            bins = np.floor(since * rate + _ROUNDING).astype(np.int64)
            new = (np.diff(word, prepend=-1) != 0) | (np.diff(bins, prepend=-1) != 0)
            starts = np.flatnonzero(new)
            found = np.bincount(word[starts], minlength=len(sizes))
            ends = np.append(starts[1:], len(word))
            number = np.arange(len(starts)) - np.repeat(np.cumsum(found) - found, found)
            kept = number < frames
            values = sequence.values[cells][order][inside]
            grown.append(_means(values, starts[kept], ends[kept]))
            counts.append(np.minimum(found, frames))
        lengths = np.concatenate(counts).astype(np.int32)
        views[modality] = Sequence(grown.array(), lengths)
    return views


def as_is(
    sequence: Sequence,
    cells: int | None = None,
    parts: int | None = None,
    first: int | None = None,
) -> Sequence:
    """A sequence at its own rate, cut or averaged, in bounded memory.

    Args:
        sequence: of N utterances.
        cells: each utterance keeps its last so many cells; None: all.
        parts: each is averaged into so many equal parts (a shorter one repeats cells); None: not.
        first: each keeps its first so many cells; None: all.

    Raises:
        InputError: a number below 1, or two of them.
    """
    given = [x for x in (cells, parts, first) if x is not None]
    if min(given, default=1) < 1 or len(given) > 1:
        found = f"cells={cells}, parts={parts}, first={first}"
        raise InputError("view", found, "one of the three, 1 or more")
    grown, lengths = Growing(sequence.values.shape[1]), []
    for start, stop in itertools.pairwise(sequence.offsets.tolist()):
        count = stop - start
        if parts is None:
            kept = min(first or count, count)
            found = sequence.values[max(start, stop - (cells or count)) : start + kept]
        else:
            edges = np.arange(parts + 1) * count // parts
            last = np.minimum(np.maximum(edges[1:], edges[:-1] + 1), count)
            found = _means(sequence.values[start:stop], edges[:-1], last)[: parts * (count > 0)]
        grown.append(found)
        lengths.append(len(found))
    return Sequence(grown.array(), np.array(lengths, np.int32))


def _pivot(corpus: Corpus, pivot: str) -> Sequence:
    if pivot not in corpus.sequences:
        place = f"{corpus.source or 'corpus'}: pivot"
        raise InputError(place, f"no sequence {pivot!r:.60}", nearest(pivot, corpus.sequences))
    return corpus.sequences[pivot]


def _timed(corpus: Corpus, pivot: str, modality: str) -> bool:
    """Whether cells are matched by their times rather than by their number."""
    one, other = corpus.sequences[modality], corpus.sequences[pivot]
    different = np.flatnonzero(one.lengths != other.lengths)
    if one.intervals is not None and other.intervals is not None:
        return bool(len(different)) or not np.array_equal(one.intervals, other.intervals)
    if not len(different):
        return False
    first = int(different[0])
    lacking = modality if one.intervals is None else pivot
    place = f"{corpus.source or 'corpus'}: {name_utterance(corpus, first)}, sequence {modality}"
    found = f"{one.lengths[first]} cells, and {other.lengths[first]} of {pivot}"
    expected = f"as many, or the times of each cell (intervals/{lacking})"
    raise InputError(place, found, expected)


def _both(sequence: Sequence, frame: Sequence) -> Iterator[tuple[slice, slice]]:
    """Each utterance's cells, and its words."""
    several = (itertools.pairwise(one.offsets.tolist()) for one in (sequence, frame))
    for cells, words in zip(*several, strict=True):
        yield slice(*cells), slice(*words)


def _inside(
    sequence: Sequence, frame: Sequence, cells: slice, words: slice
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """An utterance's cells by their middles [t], these in order [t], and from where to where of
    them each word reaches, [words] each."""
    middle = sequence.intervals[cells].mean(1)
    order = np.argsort(middle, kind="stable")
    middle = middle[order]
    first, last = (np.searchsorted(middle, frame.intervals[words, side]) for side in (0, 1))
    return order, middle, first, np.maximum(first, last)


def _means(values: np.ndarray, first: np.ndarray, last: np.ndarray) -> np.ndarray:
    """[n, D] means of the rows from first to before last, 0 where there are none."""
    before = np.zeros((len(values) + 1, values.shape[1]))
    np.cumsum(values, axis=0, dtype=np.float64, out=before[1:])
    count = np.maximum(last - first, 1)[:, None]
    return ((before[last] - before[first]) / count).astype(np.float32)
