"""Axis letters, and the two structures that pass from the data to the networks.

S seeds, B rows of a batch, U utterances of a row, M modalities, D features, H hidden,
C classes, or numbers that are answered, F frames of a word or an utterance. A row holds one or more
whole conversations, one after the other, and then padding.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

# An array of either NumPy or JAX: the data side fills a Batch, the training side computes on it.
Array = Any

UNSCORED = -1
"""The label of an utterance that is context only: neither trained on nor scored."""

CELLS = ("utterances", "words", "frames")
"""What a cell of a row can be: an utterance of a conversation, a word of an utterance, or an
utterance by itself with the frames of each modality inside it."""


def unscored(dtype: Any) -> int | float:
    """What says that there is no label: `UNSCORED` among classes, NaN among numbers."""
    return np.nan if np.dtype(dtype).kind == "f" else UNSCORED


def is_scored(labels: Array) -> Array:
    """[...] bool of labels [...] int32; [..., C] of numbers [..., C] float32, each by itself."""
    return labels == labels if np.dtype(labels.dtype).kind == "f" else labels != UNSCORED


def hidden(labels: Array, where: Array) -> Array:
    """Labels [B, U] or [B, U, C], a NumPy array, without those of some utterances.

    Args:
        labels: classes or numbers.
        where: [B, U] bool, the utterances that are to be context only.
    """
    kept = labels.copy()
    kept[where] = unscored(labels.dtype)
    return kept


class Inputs(NamedTuple):
    """What a network sees of a batch; a pytree.

    Attributes:
        features: a [B, U, D] float32 array for each modality, each with its own D; [B, U, F, D]
            where cells hold frames.
        mask: [B, U] bool, True where there is a cell, False on padding.
        reset: [B, U] bool, True on the first cell of each conversation, and where padding starts.
        present: a [B, U] bool array ([B, U, F] with frames) for each modality that may be missing,
            False where it is.
    """

    features: Mapping[str, Array]
    mask: Array
    reset: Array
    present: Mapping[str, Array]

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

    Where cells are words, a row holds utterances as it else holds conversations, and words as it
    else holds utterances. A modality may then have what lies inside them: features [B, U, F, D]
    with `present` [B, U, F]. Where they are frames every modality has that, F its own, and U is 1.

    Attributes:
        features: a [B, U, D] float32 array for each modality (D is the modality's own).
        labels: [B, U] int32, the class, or `UNSCORED`; or [B, U, C] float32: a number for each
            that is answered, or the share of each class among several raters; NaN: none.
        mask: [B, U] bool, True where there is an utterance, False on padding.
        reset: [B, U] bool, True on the first utterance of each conversation, and where the padding
            of a row starts.
        present: a [B, U] bool array for each modality that some utterance of the corpus lacks,
            False where it is missing (its features are then 0).
    """

    features: dict[str, Array]
    labels: Array
    mask: Array
    reset: Array
    present: dict[str, Array]

    @property
    def inputs(self) -> Inputs:
        """All but the labels."""
        return Inputs(self.features, self.mask, self.reset, self.present)
