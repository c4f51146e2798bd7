"""Utterances as cells, and the base class of all cells."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Self

import numpy as np

from mman_jax.data import batching, sequences, speakers
from mman_jax.data.batching import Layout
from mman_jax.data.corpus import Corpus, Indices
from mman_jax.data.scaling import Scaling
from mman_jax.errors import InputError
from mman_jax.types import Batch


class Cells:
    """Base class of cells; its methods implement cells inside utterances.

    Attributes:
        kind: Name of the cells, as in `config.data.cells`.
        vectors: Whether an utterance is one vector per modality, which a stream can supply. If not,
            cells are inside utterances, and each utterance is an item of a layout.
        has_pivot: Whether the cells are those of one modality, which `config.data.pivot` names.
        pool: Pooling of frames by readers; None if sequences are not pooled.
        corpus: Corpus whose utterances are the cells, and whose conversations are the items.
        frames: Frames inside the cells, for each modality with more than one vector per cell.
        empty: [items] bool, True for items without data, which are excluded from training.
    """

    kind: ClassVar[str]
    vectors: ClassVar[bool] = False
    has_pivot: ClassVar[bool] = False
    pool: ClassVar[str | None] = None
    corpus: Corpus
    frames: dict[str, sequences.Sequence]
    empty: np.ndarray

    @classmethod
    def make(
        cls,
        corpus: Corpus,
        modalities: Sequence[str] = (),
        **options: Any,
    ) -> Self:
        """Creates the cells of a corpus for a system.

        Args:
            modalities: Names in the system's order; empty selects all.
            **options: The result of `card`; and the system's requirements: `subword`, whether it
                reads the frames inside a word; `frame_view`, a function from a modality to the
                arguments of `views.as_is`; and `places`, its number of places for speakers, or 0.
                Each kind of cells ignores the options of the others.

        Raises:
            InputError: The corpus lacks a modality, or its sequence.
        """
        raise NotImplementedError

    @classmethod
    def reference_modality(cls, corpus: Corpus) -> str:
        """Returns the modality that cells need even if no system reads it, or an empty text."""
        return ""

    @classmethod
    def check_options(cls, place: object, options: Any) -> dict[str, Any]:
        """Returns options of `make` from a file, or raises an InputError if they are invalid."""
        raise InputError(place, f"options of {cls.kind}", "a trained model")

    @property
    def dims(self) -> dict[str, int]:
        """D of each modality."""
        return self.corpus.dims

    def rows(self, layout: Layout, scaling: Scaling | None, context: bool = True) -> Batch:
        """Fills a layout with the cells' features; see `batching.rows`."""
        return batching.rows(self.corpus, layout, scaling, self.frames, context)

    def items(self, corpus: Corpus, conversations: Indices) -> np.ndarray:
        """Returns the items [n] int64 of conversations of the original corpus, in their order."""
        return corpus.utterances_of(conversations)

    def places(self, corpus: Corpus, layout: Layout) -> tuple[np.ndarray, np.ndarray]:
        """Returns the conversation of each cell and its utterance's position, [cells] int64."""
        items = np.repeat(layout.conversations, layout.lengths)
        conversations = np.searchsorted(corpus.offsets, items, side="right") - 1
        return conversations, items - corpus.offsets[conversations]

    def of_utterances(self, values: np.ndarray, layout: Layout, axis: int = 0) -> np.ndarray:
        """Gathers the values of utterances [..., N, ...], those of their last cells.

        Args:
            values: [..., R, U, ...], values of packed cells.
            layout: Layout of all items, in order.
            axis: Axis of R.
        """
        cells = batching.gather(layout, values, axis)
        return cells.take(np.cumsum(layout.lengths) - 1, axis)

    def utterances(self, layout: Layout) -> int:
        """Returns the number of utterances in a layout."""
        return len(layout.conversations)

    def batch(self, conversations: int, corpus: Corpus) -> int:
        """Returns the average number of items in this number of conversations."""
        return max(1, round(conversations * len(corpus.labels) / len(corpus.lengths)))

    def network(self, settings: Mapping[str, Any]) -> dict[str, Any]:
        """Returns a system's settings, completed by those that describe cells."""
        return dict(settings)

    def card(self) -> dict[str, Any] | None:
        """Returns the options that a model stores to create these cells, or None."""
        return None

    def about(self) -> dict[str, Any]:
        """Returns the entries of `results.json` about the cells."""
        return {}

    def notices(self) -> list[str]:
        """Returns notices to the user."""
        return []


@dataclasses.dataclass(frozen=True, eq=False)
class Utterances(Cells):
    """The utterances of a corpus as cells; each conversation is an item."""

    corpus: Corpus
    speaker_places: int = 0
    frames: dict[str, sequences.Sequence] = dataclasses.field(default_factory=dict, init=False)
    empty: np.ndarray = dataclasses.field(init=False)
    kind: ClassVar[str] = "utterances"
    vectors: ClassVar[bool] = True
    pool: ClassVar[str | None] = "mean"

    def __post_init__(self):
        """Sets `empty` to False, since every conversation has utterances."""
        object.__setattr__(self, "empty", np.zeros(len(self.corpus.lengths), bool))

    @classmethod
    def make(
        cls,
        corpus: Corpus,
        modalities: Sequence[str] = (),
        *,
        places: int = 0,
        **options: Any,
    ) -> Self:
        """Selects the modalities of a corpus; see `Cells.make`."""
        names = list(modalities) or list(corpus.features)
        if names != list(corpus.features):
            corpus = corpus.select_modalities(names)
        return cls(corpus, places)

    def rows(self, layout: Layout, scaling: Scaling | None, context: bool = True) -> Batch:
        """See `Cells.rows`; adds the place of each utterance's speaker if speakers have places."""
        rows = super().rows(layout, scaling, context)
        if not self.speaker_places:
            return rows
        slots, new = speakers.places(self.corpus, layout.conversations, self.speaker_places)
        return rows._replace(
            speakers=batching.place(layout, slots, 0),
            new_speaker=batching.place(layout, new, False),
        )

    def notices(self) -> list[str]:
        """Returns a notice if the system reads speakers and the corpus has none."""
        if not self.speaker_places:
            return []
        if not any(speakers.names(self.corpus, slice(None))):
            return ["speakers are unknown: all utterances are read as those of one speaker"]
        spans = map(self.corpus.utterances, range(len(self.corpus.lengths)))
        heard = [len({*speakers.names(self.corpus, span)}) for span in spans]
        crowded = sum(count > self.speaker_places for count in heard)
        if not crowded:
            return []
        return [
            f"{crowded} conversations have more than {self.speaker_places} speakers: the one who "
            "has been silent for longest is forgotten (config.network.parties)"
        ]

    def items(self, corpus: Corpus, conversations: Indices) -> np.ndarray:
        """Returns the conversations themselves."""
        return np.asarray(conversations, np.int64)

    def places(self, corpus: Corpus, layout: Layout) -> tuple[np.ndarray, np.ndarray]:
        """Returns the conversation and the position of each utterance, [cells] int64."""
        items = np.repeat(layout.conversations, layout.lengths)
        return items, sequences.spans(0, layout.lengths)

    def of_utterances(self, values: np.ndarray, layout: Layout, axis: int = 0) -> np.ndarray:
        """Gathers the values of utterances [..., N, ...] from rows."""
        return batching.gather(layout, values, axis)

    def utterances(self, layout: Layout) -> int:
        """Returns the number of utterances in a layout."""
        return int(layout.lengths.sum())

    def batch(self, conversations: int, corpus: Corpus) -> int:
        """Returns the number of conversations."""
        return conversations
