"""Speakers of a corpus, their places in a conversation, and the statistics of their past turns.

B conversations, P places for speakers, D features.
"""

import hashlib
from collections.abc import Mapping, Sequence

import numpy as np

from mman_jax.data.corpus import UNKNOWN, Corpus, Indices
from mman_jax.errors import InputError

PLACES = 8
"""Number of the latest speakers of a conversation whose turns are remembered."""

State = Mapping[str, np.ndarray]
"""State of conversations, zeros before the first utterance: `speakers` and `turns` [..., P] int64
(see `begin_places`); and for each modality `count/<modality>` [..., P, 1], `mean/<modality>` and
`squares/<modality>` [..., P, D] float32, the number of turns, their mean and their squared
differences from it."""

_MOMENTS = ("count", "mean", "squares")


def names(corpus: Corpus, utterances: slice) -> list[str]:
    """Returns the speakers of some utterances as in a stream, where an unknown one is empty."""
    speakers = corpus.speakers or ("",) * len(corpus.labels)
    return ["" if name == UNKNOWN else name for name in speakers[utterances]]


def known(corpus: Corpus, conversations: Indices) -> dict[str, np.ndarray]:
    """Returns the utterances of each known speaker in some conversations, [N] bool."""
    speakers, within = np.array(names(corpus, slice(None))), corpus.is_of(conversations)
    utterances = {name: within & (speakers == name) for name in sorted({*speakers[within]} - {""})}
    if not utterances:
        place = f"{corpus.source or 'corpus'}: speakers"
        raise InputError(place, "unknown", "speakers, by which features are scaled")
    return utterances


def begin_places(places: int, axes: tuple[int, ...] = ()) -> dict[str, np.ndarray]:
    """Returns the free places of conversations, with axes (B,) or (), before their first utterance.

    `speakers` [..., P] int64 has a number for the name of the speaker in each place, 0 if it is
    free, and `turns` [..., P] int64 the number of this speaker's last utterance.
    """
    return {name: np.zeros((*axes, places), np.int64) for name in ("speakers", "turns")}


def take_places(
    state: State, names: Sequence[str]
) -> tuple[dict[str, np.ndarray], np.ndarray, np.ndarray]:
    """Finds the places of the speakers of one utterance of each of B conversations.

    A speaker who is new in a conversation takes a free place, or the place of the speaker who has
    been silent for longest.

    Args:
        state: `speakers` and `turns` [B, P] before the utterances; other entries are ignored.
        names: B names; empty for all utterances of one speaker.

    Returns:
        `speakers` and `turns` after the utterances; the places [B] int64; and whether each passed
        to its speaker now, [B] bool.

    Examples:
        >>> state, taken = begin_places(2, (1,)), []
        >>> for name in ("Ann", "Bob", "Ann", "Cid", "Bob"):
        ...     state, place, new = take_places(state, [name])
        ...     taken.append((int(place[0]), bool(new[0])))
        >>> taken
        [(0, True), (1, True), (0, False), (1, True), (0, True)]
    """
    digests = np.array([_digest(name) for name in names])
    holds = state["speakers"] == digests[:, None]
    new = ~holds.any(1)
    place = np.where(new, state["turns"].argmin(1), holds.argmax(1))
    after = {name: state[name].copy() for name in ("speakers", "turns")}
    rows = np.arange(len(digests))
    after["speakers"][rows, place], after["turns"][rows, place] = digests, state["turns"].max(1) + 1
    return after, place, new


def places(corpus: Corpus, conversations: Indices, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Returns the place of each utterance's speaker, and whether it passed to this speaker now.

    These are int32 and bool, for the utterances of the conversations in order; `count` is P.
    """
    chosen = np.asarray(conversations, int)
    speakers, starts = names(corpus, slice(None)), corpus.offsets[chosen]
    return places_of(speakers, starts, corpus.lengths[chosen], count)


def places_of(
    speakers: Sequence[str], starts: np.ndarray, lengths: np.ndarray, count: int
) -> tuple[np.ndarray, np.ndarray]:
    """Returns the places of speakers, see `places`, of conversations that may overlap.

    Each of the B conversations is given by its first utterance and its number of utterances, both
    [B] int64; `count` is P.
    """
    slots = np.zeros((len(starts), int(lengths.max(initial=0))), np.int32)
    new = np.zeros(slots.shape, bool)
    state = begin_places(count, (len(starts),))
    for turn in range(slots.shape[1]):
        active = np.flatnonzero(turn < lengths)
        current = [speakers[i] for i in starts[active] + turn]
        before = {name: values[active] for name, values in state.items()}
        after, slots[active, turn], new[active, turn] = take_places(before, current)
        for name, values in after.items():
            state[name][active] = values
    spoken = np.arange(slots.shape[1]) < lengths[:, None]
    return slots[spoken], new[spoken]


def begin(dims: Mapping[str, int], axes: tuple[int, ...] = ()) -> State:
    """Returns the state of conversations, with axes (B,) or (), before their first utterance."""
    shape, state = (*axes, PLACES), begin_places(PLACES, axes)
    for modality, size in dims.items():
        for moment, columns in zip(_MOMENTS, (1, size, size), strict=True):
            state[f"{moment}/{modality}"] = np.zeros((*shape, columns), np.float32)
    return state


def step(
    state: State,
    speakers: Sequence[str],
    values: Mapping[str, np.ndarray],
    present: Mapping[str, np.ndarray],
    turns: float,
) -> tuple[State, dict[str, tuple[np.ndarray, np.ndarray]]]:
    """Adds an utterance of each of B conversations to the moments of its speaker.

    The places of the speakers are those of `take_places`.

    Args:
        state: State of the conversations, leaves [B, P, ...].
        speakers: B names; empty for all utterances of one speaker.
        values: [B, D] of each modality.
        present: [B] bool of each modality, False where it is missing.
        turns: Number of turns by which mean and deviation are shrunk towards 0 and 1.

    Returns:
        The state after the utterances; and for each modality the mean and the deviation [B, D] of
        the speaker's turns before them.
    """
    taken, index, new = take_places(state, speakers)
    place = np.arange(len(index)), index
    after = {name: array.copy() for name, array in state.items()} | taken
    statistics = {}
    for modality, rows in values.items():
        keys = [f"{moment}/{modality}" for moment in _MOMENTS]
        past = (np.where(new[:, None], 0, state[key][place]).astype(np.float64) for key in keys)
        count, mean, squares = past
        shrunk = np.sqrt((squares + turns) / (count + turns))
        statistics[modality] = mean * count / (count + turns), shrunk
        counted = present[modality][:, None]
        difference = np.where(counted, rows - mean, 0)
        count = count + counted
        step = difference / np.maximum(count, 1)
        squares = squares + difference * (difference - step)
        for key, moment in zip(keys, (count, mean + step, squares), strict=True):
            after[key][place] = moment
    return after, statistics


def _digest(name: str) -> int:
    """Returns a number for a name; 0 stands for a free place."""
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:7]) + 1
