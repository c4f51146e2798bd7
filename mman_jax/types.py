"""Axis letters, and the two structures that pass from the data to the networks.

S seeds, B rows of a batch, U utterances of a row, M modalities, D features, H hidden,
C classes or predicted numbers, F frames of a word or an utterance. A row holds one or
more complete conversations, one after the other, and then padding.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

# An array of NumPy (as in `data`, which fills a Batch) or of JAX (as in training).
Array = Any

UNSCORED = -1
"""Label of utterances that are context only, neither trained on nor scored."""

CELLS = ("utterances", "words", "frames")
"""The kinds of cells of a row: utterances of a conversation, words of an utterance, or a single
utterance with the frames of each modality inside it."""


def unscored(dtype: Any) -> int | float:
    """Returns the missing label of a type: `UNSCORED` for classes, NaN for numbers."""
    return np.nan if np.dtype(dtype).kind == "f" else UNSCORED


def is_scored(labels: Array) -> Array:
    """Returns which labels, int32 or float32, are present: bool of the same shape."""
    return labels == labels if np.dtype(labels.dtype).kind == "f" else labels != UNSCORED


class Inputs(NamedTuple):
    """The inputs of a network; a pytree.

    Attributes:
        features: a [B, U, D] float32 array for each modality, each with its own D; [B, U, F, D]
            where cells hold frames.
        mask: [B, U] bool, True on cells, False on padding.
        reset: [B, U] bool, True on the first cell of each conversation, and where padding starts.
        present: a [B, U] bool array ([B, U, F] with frames) for each modality that may be missing,
            False where it is missing (its features are then 0).
        speakers: [B, U] int32, the speaker's slot, from 0; None if speakers are not read.
        new_speaker: [B, U] bool, True where a slot passes to a speaker who did not hold it.
    """

    features: Mapping[str, Array]
    mask: Array
    reset: Array
    present: Mapping[str, Array]
    speakers: Array | None = None
    new_speaker: Array | None = None

    @classmethod
    def unpadded(
        cls,
        features: Mapping[str, Array],
        reset: Array,
        present: Mapping[str, Array] | None = None,
    ) -> "Inputs":
        """Returns the inputs of rows without padding."""
        return cls(features, reset | True, reset, present or {})


class Batch(NamedTuple):
    """Rows of utterances; a pytree, so that it can be sliced, stacked and mapped over.

    When cells are words, a row holds utterances instead of conversations, and words instead of
    utterances. A modality may then have frames inside the words: features [B, U, F, D] with
    `present` [B, U, F]. When cells are frames, U is 1 and every modality has its
    own number F of frames.

    Attributes:
        features: see `Inputs`, which has the other attributes except `labels` as well.
        labels: [B, U] int32, the class, or `UNSCORED`; or [B, U, C] float32: a number for each
            target, or the share of each class among several raters; NaN: no label.
        mask: [B, U] bool.
        reset: [B, U] bool.
        present: by modality.
        speakers: [B, U] int32, or None.
        new_speaker: [B, U] bool, or None.
    """

    features: dict[str, Array]
    labels: Array
    mask: Array
    reset: Array
    present: dict[str, Array]
    speakers: Array | None = None
    new_speaker: Array | None = None

    @property
    def inputs(self) -> Inputs:
        """The batch without its labels."""
        return Inputs(
            self.features, self.mask, self.reset, self.present, self.speakers, self.new_speaker
        )
