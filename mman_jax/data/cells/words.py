"""Words as cells: an utterance is what a conversation is elsewhere, and a word its utterance."""

import dataclasses
from collections.abc import Mapping
from collections.abc import Sequence as Several
from typing import Any

import numpy as np

from mman_jax.data import sequences, views
from mman_jax.data.cells.utterances import Cells, FrameView
from mman_jax.data.corpus import Corpus
from mman_jax.data.sequences import Sequence
from mman_jax.errors import InputError
from mman_jax.types import UNSCORED

MOST = 50
"""Words of an utterance that are kept, the last ones."""

_TEXT = "text"


@dataclasses.dataclass(frozen=True, eq=False)
class Words(Cells):
    """The words of a corpus's N utterances, to be laid in rows.

    Attributes:
        cells: a corpus whose N conversations are the utterances, in their order, and whose
            utterances are their words; each one's label is on its last word. A modality has the
            mean of what lies in a word.
        frames: for each modality other than the pivot what lies in a word, of all words of
            `cells`; empty where it is not asked for.
        pivot: the modality whose cells are the words.
        most: words of an utterance that are kept.
        cut: [N] bool, utterances that had more.
        empty: [N] bool, utterances without a word: they have one cell, without any modality.
        rest: modalities that have no sequence, and are left out.
    """

    cells: Corpus
    frames: dict[str, Sequence]
    pivot: str
    most: int
    cut: np.ndarray
    empty: np.ndarray
    rest: tuple[str, ...]
    kind = "words"

    @classmethod
    def make(
        cls,
        corpus: Corpus,
        modalities: Several[str],
        subword: bool,
        frame_view: FrameView,
        **options: Any,
    ) -> "Words":
        """Makes the cells of a corpus; see `Cells.make` and `words`."""
        return words(corpus, frames=subword, modalities=modalities, **options)

    def network(self, settings: Mapping[str, Any]) -> dict[str, Any]:
        """Returns the settings with the pivot whose cells are the words.

        Raises:
            InputError: settings that name another one.
        """
        made = dict(settings)
        if "pivot" in made:
            if made["pivot"] not in ("", self.pivot):
                found = f"{made['pivot']!r}, where cells are words of {self.pivot}"
                raise InputError("config.network.pivot", found, repr(self.pivot))
            made["pivot"] = self.pivot
        return made

    def card(self) -> dict[str, Any]:
        """Returns the arguments of `words`."""
        return {"pivot": self.pivot, "most": self.most}

    def about(self) -> dict[str, Any]:
        """What results say of them."""
        words = {
            "pivot": self.pivot,
            "most": self.most,
            "cells": int(self.cells.lengths.sum()),
            "utterances_cut": int(self.cut.sum()),
            "utterances_without": int(self.empty.sum()),
        }
        return {"words": words}

    def notices(self) -> list[str]:
        """What people are to be told."""
        told = [f"cells are words, those of {self.pivot}: {int(self.cells.lengths.sum())}"]
        for modality in self.rest:
            told.append(f"{modality}: no sequence of this name, left out over words")
        if self.cut.any():
            count = int(self.cut.sum())
            told.append(f"{count} utterances have over {self.most} words: the last are kept")
        if self.empty.any():
            told.append(
                f"{int(self.empty.sum())} utterances without a word: not trained on, and scored "
                "with everything missing"
            )
        return told


def default_pivot(corpus: Corpus) -> str:
    """The modality whose cells are the words, where none is named.

    Raises:
        InputError: a corpus without sequences.
    """
    sequences.check_named(corpus, "words")
    return _TEXT if _TEXT in corpus.sequences else next(iter(corpus.sequences))


def words(
    corpus: Corpus,
    pivot: str = "",
    most: int = MOST,
    frames: bool = False,
    modalities: Several[str] = (),
) -> Words:
    """The words of all utterances, every modality aligned to them (see `views.aligned`).

    Args:
        corpus: with sequences.
        pivot: the modality whose cells are the words; empty: `text`, or the first without it.
        most: words of an utterance that are kept, the last ones.
        frames: whether what lies inside the words is wanted, too (see `views.subword`).
        modalities: names in order; none: all with a sequence.

    Raises:
        InputError: no sequences, no such pivot, a modality without a sequence, or what does not
            align.
    """
    sequences.check_named(corpus, "words", modalities)
    pivot = pivot or default_pivot(corpus)
    aligned = views.aligned(corpus, pivot)
    names = list(modalities) or list(corpus.sequences)
    lengths = corpus.sequences[pivot].lengths.astype(np.int64)
    chosen, kept = _last(lengths, most)
    features, present = {}, {}
    for name in names:
        features[name] = sequences.gathered(aligned[name].values, chosen)
        present[name] = np.append(aligned[name].present, False)[chosen]
    inside = views.subword(corpus, pivot) if frames else {}
    last = np.cumsum(kept) - 1
    cells = Corpus(
        features=features,
        present={name: there for name, there in present.items() if not there.all()},
        labels=_at(last, corpus.labels, np.int32(UNSCORED)),
        targets={name: _at(last, x, np.float32(np.nan)) for name, x in corpus.targets.items()},
        votes={name: _at(last, x, np.int32(0)) for name, x in corpus.votes.items()},
        label_names=corpus.label_names,
        lengths=kept.astype(np.int32),
        conversation_ids=tuple(map(str, range(len(kept)))),
        utterance_ids=tuple(str(i) for count in kept.tolist() for i in range(count)),
        source=corpus.source,
    )
    return Words(
        cells,
        {name: sequences.taken(inside[name], chosen) for name in names if name in inside},
        pivot,
        most,
        lengths > most,
        lengths == 0,
        tuple(name for name in corpus.features if name not in corpus.sequences),
    )


def _last(lengths: np.ndarray, most: int) -> tuple[np.ndarray, np.ndarray]:
    """Which of all words are kept, -1 for the cell of an utterance without any; how many of each
    utterance, [N]."""
    kept = np.clip(lengths, 1, most)
    first = np.cumsum(lengths) - np.minimum(lengths, kept)
    before = np.cumsum(kept) - kept
    chosen = np.repeat(first - before, kept) + np.arange(kept.sum())
    chosen[before[lengths == 0]] = -1
    return chosen, kept


def _at(last: np.ndarray, values: np.ndarray, nothing: np.generic) -> np.ndarray:
    """Values [N] at the last word of each utterance, nothing at the others."""
    laid = np.full(int(last[-1]) + 1, nothing)
    laid[last] = values
    return laid
