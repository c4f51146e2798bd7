"""Words as cells: a row holds utterances instead of conversations."""

import dataclasses
from collections.abc import Mapping
from collections.abc import Sequence as Several
from typing import Any, ClassVar, Self

import numpy as np

from mman_jax.data import sequences
from mman_jax.data.cells import views
from mman_jax.data.cells.utterances import (
    Cells,
    FrameView,
    all_frames,
    items_corpus,
    left_out,
    without,
)
from mman_jax.data.corpus import Corpus
from mman_jax.data.sequences import Sequence
from mman_jax.errors import InputError

MOST = 50
"""Largest number of words of an utterance; the last ones are kept."""

_TEXT = "text"


@dataclasses.dataclass(frozen=True, eq=False)
class Words(Cells):
    """The words of a corpus's N utterances, packed in rows.

    Attributes:
        corpus: A corpus whose N conversations are the utterances, and whose utterances are the
            words. The label of an utterance is on its last word. The features of a modality are
            its means inside each word.
        frames: Frames inside each word of `corpus`, for each modality other than the pivot; empty
            unless requested.
        pivot: Modality whose cells are the words.
        most: Maximum number of words of an utterance; the last ones are kept.
        cut: [N] bool, utterances with more words.
        empty: [N] bool, utterances without words, which have one cell without any modality.
        rest: Modalities without a sequence, which are left out.
    """

    corpus: Corpus
    frames: dict[str, Sequence]
    pivot: str
    most: int
    cut: np.ndarray
    empty: np.ndarray
    rest: tuple[str, ...]
    kind: ClassVar[str] = "words"
    has_pivot: ClassVar[bool] = True

    @classmethod
    def make(
        cls,
        corpus: Corpus,
        modalities: Several[str] = (),
        subword: bool = False,
        frame_view: FrameView = all_frames,
        places: int = 0,
        pivot: str = "",
        most: int = MOST,
        **options: Any,
    ) -> Self:
        """Creates cells from the words of all utterances, and aligns every modality to them.

        Args:
            corpus: Corpus with sequences.
            modalities: Names in order; empty: all with a sequence.
            subword: Whether to add the frames inside the words (see `views.subword`).
            frame_view: Not used.
            pivot: Modality whose cells are the words; if empty, `default_pivot`.
            most: Maximum number of words of an utterance; the last ones are kept.
            **options: Not used.

        Raises:
            InputError: The corpus has no sequences, the pivot is unknown, a modality has no
                sequence, or sequences cannot be aligned (see `views.aligned`).
        """
        sequences.check_named(corpus, "words", modalities)
        pivot = pivot or default_pivot(corpus)
        aligned = views.aligned(corpus, pivot)
        names = list(modalities) or list(corpus.sequences)
        lengths = corpus.sequences[pivot].lengths.astype(np.int64)
        chosen, counts = _last(lengths, most)
        present = {name: np.append(aligned[name].present, False)[chosen] for name in names}
        inside = views.subword(corpus, pivot) if subword else {}
        features = {name: sequences.gathered(aligned[name].values, chosen) for name in names}
        return cls(
            corpus=items_corpus(corpus, features, present, counts),
            frames={n: sequences.taken(inside[n], chosen) for n in names if n in inside},
            pivot=pivot,
            most=most,
            cut=lengths > most,
            empty=lengths == 0,
            rest=tuple(name for name in corpus.features if name not in corpus.sequences),
        )

    @classmethod
    def reference_modality(cls, corpus: Corpus) -> str:
        """Returns `text`, with whose words the other modalities are aligned, if it exists."""
        return _TEXT if _TEXT in corpus.sequences else ""

    @classmethod
    def check_options(cls, place: object, options: Any) -> dict[str, Any]:
        """See `Cells.check_options`."""
        valid = isinstance(options, dict) and sorted(options) == ["most", "pivot"]
        valid = valid and type(options["most"]) is int and options["most"] > 0
        if not valid or not isinstance(options["pivot"], str) or not options["pivot"].isprintable():
            raise InputError(place, "no pivot and number of words", "a trained model")
        return options

    def network(self, settings: Mapping[str, Any]) -> dict[str, Any]:
        """Returns a system's settings with the pivot filled in.

        Raises:
            InputError: The settings name another pivot.
        """
        if "pivot" not in settings:
            return dict(settings)
        if settings["pivot"] not in ("", self.pivot):
            found = f"{settings['pivot']!r}, where cells are words of {self.pivot}"
            raise InputError("config.network.pivot", found, repr(self.pivot))
        return {**settings, "pivot": self.pivot}

    def card(self) -> dict[str, Any]:
        """Returns options of `make`."""
        return {"pivot": self.pivot, "most": self.most}

    def about(self) -> dict[str, Any]:
        """See `Cells.about`."""
        counts = {
            "cells": int(self.corpus.lengths.sum()),
            "utterances_cut": int(self.cut.sum()),
            "utterances_without": int(self.empty.sum()),
        }
        return {"words": self.card() | counts}

    def notices(self) -> list[str]:
        """See `Cells.notices`."""
        notices = [f"cells are words, those of {self.pivot}: {int(self.corpus.lengths.sum())}"]
        notices += left_out(self.rest, "words")
        if self.cut.any():
            count = int(self.cut.sum())
            notices.append(f"{count} utterances have over {self.most} words: the last are kept")
        return notices + without(self.empty, "word")


def default_pivot(corpus: Corpus) -> str:
    """Returns `text`, or the first modality with a sequence if there is no text.

    Raises:
        InputError: The corpus has no sequences.
    """
    sequences.check_named(corpus, "words")
    return Words.reference_modality(corpus) or next(iter(corpus.sequences))


def _last(lengths: np.ndarray, most: int) -> tuple[np.ndarray, np.ndarray]:
    """Returns the indices of the last words, and their number [N] per utterance.

    An utterance without words has one cell with index -1.
    """
    counts = np.clip(lengths, 1, most)
    first = np.cumsum(lengths) - np.minimum(lengths, counts)
    before = np.cumsum(counts) - counts
    chosen = np.repeat(first - before, counts) + np.arange(counts.sum())
    chosen[before[lengths == 0]] = -1
    return chosen, counts
