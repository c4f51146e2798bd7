"""A corpus made ready to train on: split, scaled by its training conversations, laid in rows."""

import dataclasses

import numpy as np

from mman_jax.data import batching, protocols, scaling, splits
from mman_jax.data.corpus import Corpus
from mman_jax.errors import InputError
from mman_jax.types import UNSCORED, Batch

PARTS = ("train", "valid", "test")


@dataclasses.dataclass(frozen=True)
class Parts:
    """The rows of each part of a corpus, and how they came about.

    Attributes:
        corpus: what they were made of.
        split: which conversations are in which part.
        scaling: fitted on the training conversations.
        layouts: where each conversation lies, by part.
        rows: features [R + 1, U, D], masks and resets by part; the last row is empty, features
            are read when asked for, and no utterance has a class yet (see `labels`).
    """

    corpus: Corpus
    split: splits.Split
    scaling: scaling.Scaling
    layouts: dict[str, batching.Layout]
    rows: dict[str, Batch]

    def labels(self, task: protocols.Task) -> dict[str, np.ndarray]:
        """Classes [R + 1, U] int32 of every part under a task, `UNSCORED` on context and padding.

        Raises:
            InputError: if a part has no utterance that the task scores.
        """
        classes = task.labels(self.corpus)
        laid = {}
        for part, layout in self.layouts.items():
            laid[part] = np.full(self.rows[part].mask.shape, UNSCORED, np.int32)
            own = np.concatenate([classes[self.corpus.utterances(i)] for i in layout.conversations])
            laid[part].reshape(-1)[layout.positions] = own
            if not (own != UNSCORED).any():
                raise InputError(
                    f"{self.corpus.source}, {part} part",
                    f"no utterance of {len(own)} has a class of {task.name}",
                    f"some labelled {', '.join(task.classes)}",
                )
        return laid


def prepare(corpus: Corpus) -> Parts:
    """Splits a corpus, fits the scaling on its training conversations, and lays out every part.

    Raises:
        InputError: if the corpus cannot be split.
    """
    split = splits.split(corpus)
    fitted = scaling.fit(corpus, split.train)
    nothing = np.full(len(corpus.labels), UNSCORED, np.int32)
    layouts, rows = {}, {}
    for part in PARTS:
        layouts[part] = batching.pack(corpus.lengths, getattr(split, part))
        rows[part] = batching.rows(corpus, layouts[part], nothing, fitted)
    return Parts(corpus, split, fitted, layouts, rows)
