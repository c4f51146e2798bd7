"""Frames as cells: the modalities of an utterance at separate rates, without alignment."""

import dataclasses
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
        subword: bool = False,
        frame_view: FrameView = all_frames,
        places: int = 0,
        **options: Any,
    ) -> Self:
        """Creates cells from the frames of all utterances; see `Cells.make`.

        Raises:
            InputError: The corpus has no sequences, or a modality has none.
        """
        names = list(modalities) or list(corpus.sequences)
        sequences.check_named(corpus, "frames", names)
        view = {name: dict(frame_view(name)) for name in names}
        originals = {name: corpus.sequences[name] for name in names}
        viewed = {name: views.as_is(originals[name], **view[name]) for name in names}
        present = {name: sequence.lengths > 0 for name, sequence in originals.items()}
        features = {name: sequences.averaged(sequence) for name, sequence in viewed.items()}
        most = {name: min(arguments.values(), default=np.inf) for name, arguments in view.items()}
        return cls(
            corpus=items_corpus(corpus, features, present, np.ones(len(corpus.labels), np.int32)),
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
        notices += left_out(self.rest, "frames")
        for modality, cut in self.cut.items():
            if cut.any():
                (way, most), *_ = self.view[modality].items()
                reduced = _REDUCED.get(way, f"averaged into {most} parts")
                notices.append(
                    f"{int(cut.sum())} utterances have over {most} of {modality}: {reduced}"
                )
        return notices + without(self.empty, "frame")
