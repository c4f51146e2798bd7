"""Scaling: standard scores by training statistics or by speaker, and their principal components."""

import dataclasses
import functools
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from mman_jax.data import sequences, speakers
from mman_jax.data.corpus import Corpus, Indices
from mman_jax.data.speakers import State
from mman_jax.data.validation import row_chunks
from mman_jax.errors import InputError, nearest, within
from mman_jax.types import Array

LIMIT = 20.0
"""Limit of scaled features, since columns that are (nearly) constant in training may have extreme
values elsewhere."""

TURNS = (1.0, 2.0, 4.0, 8.0, 16.0)
"""Candidate numbers of turns by which statistics of a speaker's past turns are shrunk."""

_CONSTANT = 1e-6
"""Ratio of deviation to mean below which variation is only float32 rounding."""

_SMALLEST = 1e-30
"""Deviation below which the reciprocal is too large for float32."""

Frames = Mapping[str, sequences.Sequence] | None
"""Frames of the modalities that have more than one vector per cell."""

Statistics = tuple[np.ndarray, np.ndarray]
"""Mean and scale [..., D]."""


class Rule(NamedTuple):
    """Operations of a scaling in addition to standardising by the training statistics.

    Attributes:
        by_speaker: Whether it standardises by the statistics of each speaker.
        components: Number of principal components of each modality that is reduced.
    """

    by_speaker: bool = False
    components: Mapping[str, int] = {}


@dataclasses.dataclass(frozen=True, eq=False)
class Scaling:
    """The normalisation of features, as a model stores it.

    Attributes:
        mean: [D] float32 of each modality, in training.
        scale: [D] float32 of each modality: one over the deviation, or 1 for a constant column,
            which becomes 0 in training and stays bounded elsewhere.
        components: [D, K] float32 of each reduced modality, orthonormal columns.
        offset: [K] float32 of each reduced modality, the mean of its components in training.
        turns: Number of turns by which the statistics of a speaker's past turns are shrunk towards
            those of training; None: all speakers are scaled by those of training.
        causal: Whether the utterances of a corpus are scaled by the past turns of their speaker, as
            in a stream, instead of by all utterances of their speaker.
    """

    mean: dict[str, np.ndarray]
    scale: dict[str, np.ndarray]
    components: dict[str, np.ndarray] = dataclasses.field(default_factory=dict)
    offset: dict[str, np.ndarray] = dataclasses.field(default_factory=dict)
    turns: float | None = None
    causal: bool = False

    @property
    def sizes(self) -> dict[str, int]:
        """Number of scaled features of each modality: K if it is reduced, otherwise D."""
        return {m: len(self.offset.get(m, mean)) for m, mean in self.mean.items()}

    @property
    def rule(self) -> str:
        """A description for the card of an export, in terms of the fields."""
        reduced = " @ components - offset" if self.components else ""
        inside = f"clip((features - mean) * scale, -limit, limit){reduced}, done inside"
        if self.turns is None:
            return inside
        return (
            "before the call, features of a speaker become mean + (features - m) / (s * scale), "
            "with m = (n * mu + turns * mean) / (n + turns) and s**2 = (n * sigma**2 + turns / "
            "scale**2) / (n + turns) for mean mu and deviation sigma of the speaker's n past turns "
            f"in the conversation; then {inside}"
        )

    def arrays(self) -> dict[str, dict[str, np.ndarray]]:
        """Returns the arrays by field and modality, without empty fields."""
        names = ("mean", "scale", "components", "offset")
        return {name: dict(getattr(self, name)) for name in names if getattr(self, name)}

    def moved(self, corpus: Corpus, conversations: Indices, frames: Frames = None) -> "Scaling":
        """Returns this scaling with the statistics of other conversations; see `fit`."""
        other = fit(corpus, conversations, frames)
        return dataclasses.replace(self, mean=other.mean, scale=other.scale)

    def in_turn(self) -> list["Scaling"]:
        """Returns the causal scalings, one for each of `TURNS`; none if not by speaker."""
        if self.turns is None:
            return []
        return [dataclasses.replace(self, turns=turns, causal=True) for turns in TURNS]

    def apply(
        self,
        features: Mapping[str, np.ndarray],
        by: Mapping[str, Statistics] | None = None,
    ) -> dict[str, np.ndarray]:
        """Scales [..., D] arrays to float32 copies, clipped to plus and minus LIMIT, and reduces.

        `by` has the mean and the scale of each row by modality; by default, those of training.
        """
        scaled = {}
        for modality, array in features.items():
            if modality not in self.mean:
                raise InputError(f"modality {modality}", "unknown", nearest(modality, self.mean))
            mean, scale = (by or {}).get(modality, (self.mean[modality], self.scale[modality]))
            if not array.shape or array.shape[-1] != mean.shape[-1]:
                found = f"features of shape {array.shape}"
                expected = f"{mean.shape[-1]} in the last axis"
                raise InputError(f"modality {modality}", found, expected)
            flat = array.reshape(-1, array.shape[-1])
            means, scales = (np.broadcast_to(x, flat.shape) for x in (mean, scale))
            rows = np.empty((len(flat), self.sizes[modality]), np.float32)
            for chunk in row_chunks(flat):
                # In float64, since the difference of two large float32 values may overflow.
                centred = flat[chunk].astype(np.float64) - means[chunk]
                scores = np.clip(centred * scales[chunk].astype(np.float64), -LIMIT, LIMIT)
                rows[chunk] = self.reduce(modality, scores)
            scaled[modality] = rows.reshape(*array.shape[:-1], rows.shape[1])
        return scaled

    def reduce(self, modality: str, scores: Array) -> Array:
        """Returns components [..., K] of standard scores [..., D], or the scores if not reduced."""
        if modality not in self.components:
            return scores
        return scores @ self.components[modality] - self.offset[modality]

    def of_corpus(
        self, corpus: Corpus, conversations: Indices, modality: str
    ) -> Callable[[np.ndarray, int], np.ndarray]:
        """Returns a function that scales the utterances of one conversation after the other.

        Its arguments are the utterances' features [n, D], and the index of the first one. The
        statistics of a speaker are over the given conversations.

        Raises:
            InputError: Features are scaled by speaker, and the speakers are unknown.
        """
        if self.turns is None:
            return lambda values, first: self.apply({modality: values})[modality]
        array, offsets, present = _rows(corpus, modality)
        if self.causal:

            def in_turn(values: np.ndarray, first: int) -> np.ndarray:
                state = speakers.begin({modality: values.shape[1]}, (1,))
                scaled = np.empty((len(values), self.sizes[modality]), np.float32)
                names = speakers.names(corpus, slice(first, first + len(values)))
                for i, name in enumerate(names):
                    turn_present = {modality: present[first + i : first + i + 1]}
                    turn = {modality: values[i : i + 1]}
                    state, turn = self.step(state, [name], turn, turn_present)
                    scaled[i] = turn[modality][0]
                return scaled

            return in_turn
        means, scales = [self.mean[modality]], [self.scale[modality]]  # of unknown speakers
        which = np.zeros(len(corpus.labels), int)
        conversation = np.repeat(np.arange(len(corpus.lengths)), corpus.lengths)
        for utterances in speakers.known(corpus, conversations).values():
            chosen = utterances & present
            where = np.unique(conversation[chosen])
            mean, scale = standard(*moments(array, offsets, where, chosen))
            if (count := chosen.sum()) < 2:
                mean = means[0] + count / 2 * (mean - means[0])
                scale = scales[0] * np.sqrt(1 + count)
            which[utterances] = len(means)
            means.append(mean)
            scales.append(scale)
        statistics = np.stack(means), np.stack(scales)

        def of_speaker(values: np.ndarray, first: int) -> np.ndarray:
            mean, scale = (x[which[first : first + len(values)]] for x in statistics)
            return self.apply({modality: values}, {modality: (mean, scale)})[modality]

        return of_speaker

    def begin(self) -> State:
        """Returns the state of a conversation before its first utterance, for `step`."""
        if self.turns is None:
            return {}
        return speakers.begin({name: len(mean) for name, mean in self.mean.items()})

    def step(
        self,
        state: State,
        names: Sequence[str],
        features: Mapping[str, np.ndarray],
        present: Mapping[str, np.ndarray],
    ) -> tuple[State, dict[str, np.ndarray]]:
        """Scales an utterance of each of B conversations by the past turns of its speaker.

        The arguments are those of `speakers.step`; returns the state after the utterances, and the
        scaled features.
        """
        if self.turns is None:
            return state, self.apply(features)
        training = Scaling(self.mean, self.scale)
        state, past = speakers.step(state, names, training.apply(features), present, self.turns)
        by = {
            m: (self.mean[m] + mean / self.scale[m], self.scale[m] / deviation)
            for m, (mean, deviation) in past.items()
        }
        return state, self.apply(features, by)


def fit(
    corpus: Corpus,
    conversations: Indices,
    frames: Frames = None,
    rule: Rule = Rule(),  # noqa: B008 (immutable)
) -> Scaling:
    """Fits a scaling to conversations in float64, in bounded memory.

    The statistics of modalities with `frames` are computed over these.

    Raises:
        InputError: There are no conversations, fewer than two speakers, or too few utterances for
            the components.
    """
    if not len(conversations):
        raise InputError("scaling", "no training conversations", "at least one")
    mean, scale = {}, {}
    for modality in corpus.features:
        array, offsets, present = _rows(corpus, modality, frames)
        mean[modality], scale[modality] = standard(*moments(array, offsets, conversations, present))
    fitted = Scaling(mean, scale, turns=TURNS[0] if rule.by_speaker else None)
    if rule.by_speaker and len(speakers.known(corpus, conversations)) < 2:
        place = f"{corpus.source or 'corpus'}: speakers"
        raise InputError(place, "one speaker", "several, or no config.data.scale_by")
    components, offset = {}, {}
    for modality, count in rule.components.items():
        with within("config.data.reduce"):
            if modality not in mean:
                raise InputError(modality, "unknown modality", nearest(modality, mean))
            blocks = functools.partial(_scaled, fitted, corpus, conversations, modality, frames)
            components[modality], offset[modality] = _principal(blocks, count, modality)
    return dataclasses.replace(fitted, components=components, offset=offset)


def _rows(
    corpus: Corpus, modality: str, frames: Frames = None
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Returns rows [T, D] of a modality, the first of each conversation, and which are present."""
    cells = (frames or {}).get(modality)
    if cells is not None:
        return cells.values, cells.offsets[corpus.offsets], np.ones(len(cells.values), bool)
    present = corpus.present.get(modality, np.ones(len(corpus.labels), bool))
    return corpus.features[modality], corpus.offsets, present


def _scaled(
    fitted: Scaling, corpus: Corpus, conversations: Indices, modality: str, frames: Frames
) -> Iterator[np.ndarray]:
    """Yields the scaled rows [n, D] of each conversation in which the modality is present."""
    array, offsets, present = _rows(corpus, modality, frames)
    apply = fitted.of_corpus(corpus, conversations, modality)
    for conversation in np.sort(conversations):
        rows = slice(*offsets[conversation : conversation + 2].tolist())
        yield apply(array[rows], rows.start)[present[rows]]


def _principal(
    blocks: Callable[[], Iterator[np.ndarray]], components: int, modality: str
) -> tuple[np.ndarray, np.ndarray]:
    """Computes K principal components of blocks of rows [n, D], N in total, in float64.

    Memory is bounded by the square of the smaller axis. Returns components [D, K] float32 by
    decreasing variance, each with a positive largest entry, and the mean [K] of the rows' values.
    """
    counts, sums = zip(*((len(rows), rows.sum(0, np.float64)) for rows in blocks()), strict=True)
    count, size = sum(counts), len(sums[0])
    if components > min(count - 1, size):
        found = f"{components} components of {count} training rows of {size} features"
        raise InputError(modality, found, f"at most {min(count - 1, size)}")
    centre = np.sum(sums, axis=0) / count
    if count < size:
        # The Gram matrix of the rows is smaller than the covariance, and equivalent.
        rows = np.concatenate(list(blocks())) - centre
        vectors = np.linalg.eigh(rows @ rows.T)[1][:, ::-1][:, :components]
        directions = np.linalg.qr(rows.T @ vectors)[0]
    else:
        covariance = sum((rows - centre).T @ (rows - centre) for rows in blocks())
        directions = np.linalg.eigh(covariance)[1][:, ::-1][:, :components]
    largest = directions[np.abs(directions).argmax(0), np.arange(components)]
    directions = (directions * np.where(largest < 0, -1.0, 1.0)).astype(np.float32)
    return directions, (centre @ directions).astype(np.float32)


def moments(
    array: np.ndarray,
    offsets: np.ndarray,
    conversations: Indices,
    present: np.ndarray | None = None,
    columns: np.ndarray | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """Computes the mean and the deviation [D] float64 of columns over some conversations.

    Args:
        array: [N, D] float32.
        offsets: First row of each conversation, then N.
        conversations: Indices of the conversations.
        present: [N] bool, rows to include; None: all. The moments of no rows are 0.
        columns: Indices of columns; None selects all.
    """
    chosen = np.arange(array.shape[1]) if columns is None else columns
    spans = [(int(offsets[c]), int(offsets[c + 1])) for c in np.sort(conversations)]

    def average(centre: np.ndarray, power: int) -> np.ndarray:
        total, count = np.zeros(len(chosen), np.float64), 0
        for start, stop in spans:
            for rows in row_chunks(array, start, stop):
                values = array[rows] if present is None else array[rows][present[rows]]
                values = values if columns is None else values[:, columns]
                count += len(values)
                total += ((values.astype(np.float64) - centre) ** power).sum(axis=0)
        return total / max(count, 1)

    mean = average(np.zeros(len(chosen)), 1)
    return mean, np.sqrt(average(mean, 2))


def standard(mean: np.ndarray, deviation: np.ndarray) -> Statistics:
    """Returns mean and scale [D] float32 of columns: one over the deviation, 1 if constant."""
    scale = 1.0 / np.where(is_constant(mean, deviation), 1.0, deviation)
    return mean.astype(np.float32), scale.astype(np.float32)


def is_constant(mean: np.ndarray, deviation: np.ndarray) -> np.ndarray:
    """Returns which columns [D] are constant, except for rounding."""
    return (deviation <= _CONSTANT * np.abs(mean)) | (deviation < _SMALLEST)
