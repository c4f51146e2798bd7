"""Feature columns that deserve a word: constant in training, nearly so, or enormous."""

import dataclasses
from collections.abc import Sequence

import numpy as np

from mman_jax.data import scaling
from mman_jax.data.corpus import Corpus

NEARLY = 1e-4
"""A deviation below this share of the mean leaves float32 few digits to tell values apart."""

TINY = 1e-12
"""A smaller deviation is more likely rounding than a measurement."""

ENORMOUS = 1e12
"""A mean or a deviation this large is more likely a mistake than a measurement."""

_CONSEQUENCES = {  # of one column, and of several
    "constant": ("it is 0 after scaling", "they are 0 after scaling"),
    "nearly constant": ("scaling makes much of small differences",) * 2,
    "enormous": ("check its units", "check their units"),
}


@dataclasses.dataclass(frozen=True, eq=False)
class Finding:
    """Columns of one modality that are alike unusual; its `str` is a sentence for people.

    Attributes:
        modality: whose columns.
        kind: `constant`, `nearly constant` or `enormous`, in the training conversations.
        columns: their numbers, int64, ascending, from 0.
        size: D.
    """

    modality: str
    kind: str
    columns: np.ndarray
    size: int

    def __str__(self) -> str:
        some = f"{len(self.columns)} of {self.size} feature columns"
        verb = "is" if len(self.columns) == 1 else "are"
        which = f"column {self.columns[0]}" + ("" if len(self.columns) == 1 else " first")
        consequence = _CONSEQUENCES[self.kind][len(self.columns) > 1]
        what = f"{some} {verb} {self.kind} in training ({which})"
        return f"modality {self.modality}: {what}: {consequence}"


def unusual(corpus: Corpus, fitted: scaling.Scaling, conversations: Sequence[int]) -> list[Finding]:
    """The unusual columns of each modality; few features are read again, or none.

    Args:
        corpus: what the scaling was fitted to.
        fitted: the scaling.
        conversations: indices of the training conversations.
    """
    findings = []
    for modality, array in corpus.features.items():
        mean = fitted.mean[modality].astype(np.float64)
        deviation = 1.0 / fitted.scale[modality].astype(np.float64)
        # A scale of 1 is that of a constant column, or of one whose deviation is 1.
        unsure = np.flatnonzero(fitted.scale[modality] == 1)
        constant = np.zeros(len(mean), bool)
        if len(unsure):
            chosen = _Columns(array, unsure)
            there = corpus.present.get(modality)
            centre, spread = scaling.moments(corpus, chosen, conversations, there)
            constant[unsure] = scaling.is_constant(centre, spread)
        nearly = ~constant & ((deviation < NEARLY * np.abs(mean)) | (deviation < TINY))
        enormous = (np.abs(mean) >= ENORMOUS) | (deviation >= ENORMOUS)
        for kind, which in (
            ("constant", constant),
            ("nearly constant", nearly),
            ("enormous", enormous),
        ):
            if which.any():
                findings.append(Finding(modality, kind, np.flatnonzero(which), len(mean)))
    return findings


class _Columns:
    """Some columns of [N, D], read as slices of rows are asked for."""

    def __init__(self, array: np.ndarray, columns: np.ndarray):
        self._array, self._columns = array, columns
        self.shape = (array.shape[0], len(columns))

    def __getitem__(self, rows: slice) -> np.ndarray:
        return self._array[rows][:, self._columns]
