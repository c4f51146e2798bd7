"""Cells inside utterances: words, or the frames of each modality at separate rates."""

import dataclasses
from collections.abc import Callable, Mapping
from collections.abc import Sequence as Several
from typing import Any, ClassVar, Self

import numpy as np

from mman_jax.data import sequences
from mman_jax.data.cells import views
from mman_jax.data.cells.utterances import Cells
from mman_jax.data.corpus import Corpus
from mman_jax.data.sequences import Sequence
from mman_jax.errors import InputError
from mman_jax.types import UNSCORED

MOST = 50
"""Default maximum number of words per utterance; the last ones are kept."""

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
        *,
        subword: bool = False,
        pivot: str = "",
        most: int = MOST,
        **options: Any,
    ) -> Self:
        """Creates cells from the words of all utterances, and aligns every modality to them.

        The arguments are those of `Cells.make`; without a pivot, it is `text`, or the first one.

        Raises:
            InputError: The corpus has no sequences, the pivot is unknown, a modality has no
                sequence, or sequences cannot be aligned (see `views.aligned`).
        """
        sequences.check_named(corpus, "words", modalities)
        pivot = pivot or cls.reference_modality(corpus) or next(iter(corpus.sequences))
        aligned = views.aligned(corpus, pivot)
        names = list(modalities) or list(corpus.sequences)
        lengths = corpus.sequences[pivot].lengths.astype(np.int64)
        chosen, counts = _last(lengths, most)
        present = {name: np.append(aligned[name].present, False)[chosen] for name in names}
        inside = views.subword(corpus, pivot) if subword else {}
        features = {name: sequences.gathered(aligned[name].values, chosen) for name in names}
        return cls(
            corpus=_items_corpus(corpus, features, present, counts),
            frames={n: sequences.taken(inside[n], chosen) for n in names if n in inside},
            pivot=pivot,
            most=most,
            cut=lengths > most,
            empty=lengths == 0,
            rest=tuple(name for name in corpus.features if name not in corpus.sequences),
        )

    @classmethod
    def reference_modality(cls, corpus: Corpus) -> str:
        """Returns `text` if it exists: the other modalities are aligned with its words."""
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
        """Returns a system's settings with the pivot filled in."""
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
        notices += _left_out(self.rest, "words")
        if self.cut.any():
            count = int(self.cut.sum())
            notices.append(f"{count} utterances have over {self.most} words: the last are kept")
        return notices + _without(self.empty, "word")


_REDUCED = {"cells": "the last are kept", "first": "the first are kept"}


@dataclasses.dataclass(frozen=True, eq=False)
class Frames(Cells):
    """The frames inside a corpus's N utterances, packed in rows of one utterance each.

    Attributes:
        corpus: A corpus whose N conversations are the utterances, of one cell each. The features of
            a modality are the means of its frames; they determine its size and are checked for
            unusual columns.
        frames: Frames of the N utterances, by modality.
        view: View of each modality, arguments of `views.as_is`.
        cut: By modality, [N] bool, utterances with more frames than the view keeps.
        empty: [N] bool, utterances without a frame of any modality.
        rest: Modalities without a sequence, which are left out.
    """

    corpus: Corpus
    frames: dict[str, Sequence]
    view: dict[str, dict[str, int]]
    cut: dict[str, np.ndarray]
    empty: np.ndarray
    rest: tuple[str, ...]
    kind: ClassVar[str] = "frames"

    @classmethod
    def make(
        cls,
        corpus: Corpus,
        modalities: Several[str] = (),
        *,
        frame_view: Callable[[str], Mapping[str, int]] = lambda modality: {},
        **options: Any,
    ) -> Self:
        """Creates cells from the frames of all utterances; see `Cells.make`."""
        names = list(modalities) or list(corpus.sequences)
        sequences.check_named(corpus, "frames", names)
        view = {name: dict(frame_view(name)) for name in names}
        originals = {name: corpus.sequences[name] for name in names}
        viewed = {name: views.as_is(originals[name], **view[name]) for name in names}
        present = {name: sequence.lengths > 0 for name, sequence in originals.items()}
        features = {name: sequences.averaged(sequence) for name, sequence in viewed.items()}
        most = {name: min(arguments.values(), default=np.inf) for name, arguments in view.items()}
        return cls(
            corpus=_items_corpus(corpus, features, present, np.ones(len(corpus.labels), np.int32)),
            frames=viewed,
            view=view,
            cut={name: sequence.lengths > most[name] for name, sequence in originals.items()},
            empty=~np.any(list(present.values()), axis=0),
            rest=tuple(name for name in corpus.features if name not in corpus.sequences),
        )

    def about(self) -> dict[str, Any]:
        """See `Cells.about`."""
        about = {
            "how": self.view,
            "cells": {name: len(sequence.values) for name, sequence in self.frames.items()},
            "utterances_cut": {name: int(cut.sum()) for name, cut in self.cut.items()},
            "utterances_without": int(self.empty.sum()),
        }
        return {"frames": about}

    def notices(self) -> list[str]:
        """See `Cells.notices`."""
        counts = [f"{len(sequence.values)} of {name}" for name, sequence in self.frames.items()]
        notices = [f"cells are unaligned frames; kept: {', '.join(counts)}"]
        notices += _left_out(self.rest, "frames")
        for modality, cut in self.cut.items():
            if cut.any():
                (way, most), *_ = self.view[modality].items()
                reduced = _REDUCED.get(way, f"averaged into {most} parts")
                notices.append(
                    f"{int(cut.sum())} utterances have over {most} of {modality}: {reduced}"
                )
        return notices + _without(self.empty, "frame")


def _items_corpus(
    corpus: Corpus,
    features: dict[str, np.ndarray],
    present: dict[str, np.ndarray],
    counts: np.ndarray,
) -> Corpus:
    """Returns a corpus whose conversations are the N utterances, with `counts` [N] cells each.

    The label of an utterance is on its last cell.
    """
    last = np.cumsum(counts) - 1

    def at_last(values: np.ndarray, unknown: float) -> np.ndarray:
        cells = np.full(int(last[-1]) + 1, unknown, values.dtype)
        cells[last] = values
        return cells

    return Corpus(
        features=features,
        present={name: rows for name, rows in present.items() if not rows.all()},
        labels=at_last(corpus.labels, UNSCORED),
        targets={name: at_last(values, np.nan) for name, values in corpus.targets.items()},
        votes={name: at_last(values, 0) for name, values in corpus.votes.items()},
        label_names=corpus.label_names,
        lengths=counts.astype(np.int32),
        conversation_ids=tuple(map(str, range(len(counts)))),
        utterance_ids=tuple(str(i) for count in counts.tolist() for i in range(count)),
        source=corpus.source,
    )


def _left_out(modalities: tuple[str, ...], kind: str) -> list[str]:
    """Returns a notice for each modality without a sequence."""
    return [f"{name}: no sequence of this name, left out over {kind}" for name in modalities]


def _without(empty: np.ndarray, cell: str) -> list[str]:
    """Returns a notice on utterances without a cell, if there are any."""
    if not empty.any():
        return []
    return [
        f"{int(empty.sum())} utterances without a {cell}: not trained on; those with a label are "
        "scored with everything missing"
    ]


def _last(lengths: np.ndarray, most: int) -> tuple[np.ndarray, np.ndarray]:
    """Returns the indices of the last words, and their number [N] per utterance.

    An utterance without words has one cell with index -1.
    """
    counts = np.clip(lengths, 1, most)
    chosen = sequences.spans(np.cumsum(lengths) - np.minimum(lengths, counts), counts)
    chosen[(np.cumsum(counts) - counts)[lengths == 0]] = -1
    return chosen, counts
