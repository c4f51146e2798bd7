"""Frames as they are: each modality of an utterance at its own rate, aligned to no other one."""

import dataclasses
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from mman_jax.data import sequences, views
from mman_jax.data.cells.utterances import Cells, FrameView
from mman_jax.data.corpus import Corpus
from mman_jax.data.sequences import Sequence


@dataclasses.dataclass(frozen=True, eq=False)
class Unaligned(Cells):
    """What lies inside a corpus's N utterances, to be laid in rows of one utterance each.

    Attributes:
        cells: a corpus whose N conversations are the utterances, in their order, of one cell each.
            A modality has the mean of its frames, for its size and for what is said of columns.
        frames: of each modality, of the N utterances.
        how: by modality the view that they are, arguments of `views.as_is`.
        cut: by modality, [N] bool, utterances that had more frames than its view keeps.
        empty: [N] bool, utterances without a frame of any modality.
        rest: modalities that have no sequence, and are left out.
    """

    cells: Corpus
    frames: dict[str, Sequence]
    how: dict[str, dict[str, int]]
    cut: dict[str, np.ndarray]
    empty: np.ndarray
    rest: tuple[str, ...]
    kind = "frames"

    @classmethod
    def make(
        cls,
        corpus: Corpus,
        modalities: Iterable[str],
        subword: bool,
        frame_view: FrameView,
        **options: Any,
    ) -> "Unaligned":
        """Makes the cells of a corpus; see `Cells.make` and `unaligned`."""
        return unaligned(corpus, {name: frame_view(name) for name in modalities})

    def about(self) -> dict[str, Any]:
        """What results say of them."""
        frames = {
            "how": self.how,
            "cells": {name: len(own.values) for name, own in self.frames.items()},
            "utterances_cut": {name: int(cut.sum()) for name, cut in self.cut.items()},
            "utterances_without": int(self.empty.sum()),
        }
        return {"frames": frames}

    def notices(self) -> list[str]:
        """What people are to be told."""
        counts = {name: len(own.values) for name, own in self.frames.items()}
        each = ", ".join(f"{count} of {name}" for name, count in counts.items())
        told = [f"cells are frames as they are, aligned to nothing; kept: {each}"]
        for modality in self.rest:
            told.append(f"{modality}: no sequence of this name, left out over frames")
        for modality, cut in self.cut.items():
            (way, most), *_ = self.how[modality].items()
            if cut.any():
                kept = {"cells": "the last are kept", "first": "the first are kept"}
                became = kept.get(way, "they are averaged into so many parts")
                told.append(f"{int(cut.sum())} utterances have over {most} of {modality}: {became}")
        if self.empty.any():
            told.append(
                f"{int(self.empty.sum())} utterances without a frame: not trained on, and scored "
                "with everything missing"
            )
        return told


def unaligned(corpus: Corpus, how: Mapping[str, Mapping[str, int]]) -> Unaligned:
    """The frames of all utterances, each modality as it is.

    Args:
        corpus: with sequences.
        how: of each modality, in order: the view, arguments of `views.as_is`.

    Raises:
        InputError: no sequences, or a modality without one.
    """
    sequences.check_named(corpus, "frames", how)
    own = {name: corpus.sequences[name] for name in how}
    frames = {name: views.as_is(own[name], **view) for name, view in how.items()}
    utterances = len(corpus.labels)
    there = {name: sequence.lengths > 0 for name, sequence in own.items()}
    cells = Corpus(
        features={name: sequences.averaged(sequence) for name, sequence in frames.items()},
        present={name: some for name, some in there.items() if not some.all()},
        labels=corpus.labels,
        targets=corpus.targets,
        votes=corpus.votes,
        label_names=corpus.label_names,
        lengths=np.ones(utterances, np.int32),
        conversation_ids=tuple(map(str, range(utterances))),
        utterance_ids=("0",) * utterances,
        source=corpus.source,
    )
    cut = {name: own[name].lengths > next(iter(view.values())) for name, view in how.items()}
    return Unaligned(
        cells,
        frames,
        {name: dict(view) for name, view in how.items()},
        cut,
        ~np.any(list(there.values()), axis=0),
        tuple(name for name in corpus.features if name not in corpus.sequences),
    )
