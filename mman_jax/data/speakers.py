"""Speakers of a corpus, and the statistics of their past turns in a conversation.

B conversations, P places for speakers, D features.
"""

import hashlib
from collections.abc import Mapping, Sequence

import numpy as np

from mman_jax.data.corpus import UNKNOWN, Corpus, Indices
from mman_jax.errors import InputError

PLACES = 8
"""Number of speakers of a conversation whose turns are remembered: the latest."""

State = Mapping[str, np.ndarray]
"""State of conversations, zeros before the first utterance: `speakers` and `turns` [..., P] int64;
and for each modality `count/<modality>` [..., P, 1], `mean/<modality>` and `squares/<modality>`
[..., P, D] float32, the number of turns, their mean and their squared differences from it."""

_MOMENTS = ("count", "mean", "squares")


def names(corpus: Corpus, utterances: slice) -> list[str]:
    """Returns the speakers of some utterances as a stream names them: empty if unknown."""
    speakers = corpus.speakers or ("",) * len(corpus.labels)
    return ["" if name == UNKNOWN else name for name in speakers[utterances]]


def known(corpus: Corpus, conversations: Indices) -> dict[str, np.ndarray]:
    """Returns the utterances of each known speaker in some conversations, [N] bool.

    Raises:
        InputError: No speaker is known.
    """
    every, within = np.array(names(corpus, slice(None))), corpus.is_of(conversations)
    found = {name: within & (every == name) for name in sorted({*every[within]} - {""})}
    if not found:
        place = f"{corpus.source or 'corpus'}: speakers"
        raise InputError(place, "unknown", "speakers, by which features are scaled")
    return found


def begin(dims: Mapping[str, int], axes: tuple[int, ...] = ()) -> State:
    """Returns the state of conversations before their first utterance.

    Args:
        dims: D of each modality.
        axes: Leading axes, (B,), or () for one conversation.
    """
    shape = (*axes, PLACES)
    state = {name: np.zeros(shape, np.int64) for name in ("speakers", "turns")}
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

    A speaker who is new in a conversation takes a free place, or the place of the speaker who has
    been silent for longest.

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
    called = np.array([_digest(name) for name in speakers])
    found = state["speakers"] == called[:, None]
    new = ~found.any(1)
    place = np.arange(len(called)), np.where(new, state["turns"].argmin(1), found.argmax(1))
    after = {name: array.copy() for name, array in state.items()}
    after["speakers"][place], after["turns"][place] = called, state["turns"].max(1) + 1
    statistics = {}
    for modality, rows in values.items():
        keys = [f"{moment}/{modality}" for moment in _MOMENTS]
        past = (np.where(new[:, None], 0, state[key][place]).astype(np.float64) for key in keys)
        count, mean, squares = past
        shrunk = np.sqrt((squares + turns) / (count + turns))
        statistics[modality] = mean * count / (count + turns), shrunk
        there = present[modality][:, None]
        difference = np.where(there, rows - mean, 0)
        count = count + there
        step = difference / np.maximum(count, 1)
        squares = squares + difference * (difference - step)
        for key, moment in zip(keys, (count, mean + step, squares), strict=True):
            after[key][place] = moment
    return after, statistics


def _digest(name: str) -> int:
    """Returns a number for a name; 0 is that of a free place."""
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:7]) + 1
