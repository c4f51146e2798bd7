"""Slots for the speakers of a conversation, of which a network has a bounded number."""

from collections.abc import Sequence

import numpy as np

from mman_jax.data.batching import Layout, place
from mman_jax.data.corpus import Corpus

Seats = dict[str, int]
"""The slot of each speaker who has one; those who spoke longest ago come first."""


def seat(seats: Seats, speaker: str, parties: int) -> tuple[int, bool]:
    """Finds a speaker's slot and whether it passed to this speaker now; updates `seats` in place.

    A new speaker gets a free slot, or the slot of the one who spoke longest ago.

    Args:
        seats: slots before the utterance.
        speaker: name of the speaker.
        parties: P, number of slots.

    Examples:
        >>> seats = {}
        >>> [seat(seats, speaker, 2) for speaker in ("Ann", "Bob", "Ann", "Cid", "Bob")]
        [(0, True), (1, True), (0, False), (1, True), (0, True)]
    """
    known = speaker in seats
    if known:
        slot = seats.pop(speaker)
    elif len(seats) < parties:
        slot = len(seats)
    else:
        slot = seats.pop(next(iter(seats)))
    seats[speaker] = slot
    return slot, not known


def seat_all(speakers: Sequence[str], parties: int) -> tuple[np.ndarray, np.ndarray]:
    """Returns the slots [U] int32 of a conversation's utterances, and [U] bool, see `seat`."""
    seats: Seats = {}
    slots = [seat(seats, speaker, parties) for speaker in speakers]
    slot, new = zip(*slots, strict=True)
    return np.array(slot, np.int32), np.array(new, bool)


def packed(corpus: Corpus, layout: Layout, parties: int) -> tuple[np.ndarray, np.ndarray]:
    """Returns `Inputs.speakers` and `Inputs.new_speaker` [R + 1, U] of a layout's rows.

    In a corpus without speakers, everything is said by one speaker.
    """
    names = corpus.speakers or ("",) * len(corpus.labels)
    by_conversation = [
        seat_all(names[corpus.offsets[c] : corpus.offsets[c + 1]], parties)
        for c in layout.conversations
    ]
    empty = (np.zeros(0, np.int32), np.zeros(0, bool))
    slots, new = (np.concatenate(x) for x in zip(empty, *by_conversation, strict=True))
    return place(layout, slots, 0), place(layout, new, False)
