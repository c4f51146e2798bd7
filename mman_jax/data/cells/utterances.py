"""Utterances as cells, and what all kinds of cells have in common."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from mman_jax.data import sequences
from mman_jax.data.batching import Layout
from mman_jax.data.corpus import Corpus


class Cells:
    """What lies in rows: a corpus of its own, whose conversations are the items of a layout.

    This class is that of cells inside utterances, where each utterance is an item.

    Attributes:
        kind: Name of the cells, as in `config.data.cells`.
        cells: What is laid out.
        frames: What lies inside the cells, for each modality that has more than one vector a cell.
        empty: [items] bool, items of which nothing is known: they are not trained on.
    """

    kind: str
    cells: Corpus
    frames: dict[str, sequences.Sequence]
    empty: np.ndarray

    def items(self, corpus: Corpus, conversations: Sequence[int]) -> np.ndarray:
        """Returns the items of some conversations of the corpus, [n] int64, in their order."""
        return corpus.utterances_of(conversations)

    def places(self, corpus: Corpus, layout: Layout) -> tuple[np.ndarray, np.ndarray]:
        """Returns each cell's conversation and its utterance's position there, [cells] int64."""
        items = np.repeat(layout.conversations, layout.lengths)
        conversations = np.searchsorted(corpus.offsets, items, side="right") - 1
        return conversations, items - corpus.offsets[conversations]

    def utterances(self, layout: Layout) -> int:
        """Returns the number of utterances in a layout."""
        return len(layout.conversations)

    def batch(self, conversations: int, corpus: Corpus) -> int:
        """Returns the number of items that as many conversations have on average."""
        return max(1, round(conversations * len(corpus.labels) / len(corpus.lengths)))

    def network(self, settings: Mapping[str, Any]) -> dict[str, Any]:
        """Returns a system's settings, those that say what a cell is as it is here."""
        return dict(settings)

    def card(self) -> dict[str, Any] | None:
        """Returns what a model needs to make these cells of other corpora; None: nothing."""
        return None

    def about(self) -> dict[str, Any]:
        """Returns what results say of them."""
        return {}

    def notices(self) -> list[str]:
        """Returns sentences for people."""
        return []


@dataclasses.dataclass(frozen=True, eq=False)
class Utterances(Cells):
    """The utterances of a corpus as cells; each conversation is an item."""

    cells: Corpus
    kind = "utterances"

    @property
    def frames(self) -> dict[str, sequences.Sequence]:
        """Nothing: an utterance has one vector a modality."""
        return {}

    @property
    def empty(self) -> np.ndarray:
        """[conversations] bool, False."""
        return np.zeros(len(self.cells.lengths), bool)

    def items(self, corpus: Corpus, conversations: Sequence[int]) -> np.ndarray:
        """Returns the conversations themselves."""
        return np.asarray(conversations, np.int64)

    def places(self, corpus: Corpus, layout: Layout) -> tuple[np.ndarray, np.ndarray]:
        """Returns each utterance's conversation and its position there, [cells] int64."""
        items = np.repeat(layout.conversations, layout.lengths)
        before = np.repeat(np.cumsum(layout.lengths) - layout.lengths, layout.lengths)
        return items, np.arange(len(items)) - before

    def utterances(self, layout: Layout) -> int:
        """Returns the number of utterances in a layout."""
        return int(layout.lengths.sum())

    def batch(self, conversations: int, corpus: Corpus) -> int:
        """Returns the number of conversations."""
        return conversations
