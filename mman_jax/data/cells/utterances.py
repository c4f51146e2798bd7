"""Utterances as cells, and what all kinds of cells have in common."""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar, Self

import numpy as np

from mman_jax.data import batching, sequences
from mman_jax.data.batching import Layout
from mman_jax.data.corpus import Corpus

FrameView = Callable[[str], Mapping[str, int]]
"""Arguments of `views.as_is` for a modality's own frames."""


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

    vectors: ClassVar[bool] = False
    """Whether an utterance is one vector a modality, which a stream of utterances can bring."""

    pool: ClassVar[str | None] = None
    """How a reader makes vectors of sequences of frames; None: it leaves them."""

    @classmethod
    def make(
        cls,
        corpus: Corpus,
        modalities: Sequence[str],
        subword: bool,
        frame_view: FrameView,
        **options: Any,
    ) -> Self:
        """Makes the cells of a corpus for a system.

        Args:
            corpus: whose utterances.
            modalities: names in the system's order.
            subword: whether the system reads the frames inside a word.
            frame_view: the system's arguments of `views.as_is` for a modality's own frames.
            **options: what `card` returned.

        Raises:
            InputError: the corpus lacks a modality, or what lies inside its utterances.
        """
        raise NotImplementedError

    def of_utterances(self, values: np.ndarray, layout: Layout, axis: int = 0) -> np.ndarray:
        """Returns the values of utterances [..., N, ...] from those of packed cells.

        An utterance has the value of its last cell.

        Args:
            values: [..., R, U, ...].
            layout: of all items, in their order.
            axis: that of R.
        """
        cells = batching.gather(layout, values, axis)
        return cells.take(np.cumsum(layout.lengths) - 1, axis)

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
    vectors = True
    pool = "mean"

    @classmethod
    def make(
        cls,
        corpus: Corpus,
        modalities: Sequence[str],
        subword: bool,
        frame_view: FrameView,
        **options: Any,
    ) -> Self:
        """Makes the cells of a corpus; see `Cells.make`."""
        return cls(corpus.select_modalities(list(modalities)))

    def of_utterances(self, values: np.ndarray, layout: Layout, axis: int = 0) -> np.ndarray:
        """Returns the values of utterances [..., N, ...] from those of packed utterances."""
        return batching.gather(layout, values, axis)

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
