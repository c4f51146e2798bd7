"""What learns in one call, not by gradients."""

from collections.abc import Mapping
from typing import Protocol

import numpy as np


class Estimator(Protocol):
    """A system that is fitted to the training utterances at once, and knows no context.

    Attributes:
        modalities: names, in order.
        classes: C.
    """

    modalities: tuple[str, ...]
    classes: int

    def fit(
        self, features: Mapping[str, np.ndarray], labels: np.ndarray, seed: int
    ) -> dict[str, np.ndarray]:
        """Learns.

        Args:
            features: [N, D] float32 a modality, scaled; of a missing one zeros.
            labels: [N] int, the class, or `UNSCORED`.
            seed: for what is drawn.

        Returns:
            All that it learned, as arrays: a model holds them without pickles.
        """
        ...

    def logits(
        self, fitted: Mapping[str, np.ndarray], features: Mapping[str, np.ndarray]
    ) -> np.ndarray:
        """Logits [N, C] float32 of utterances, from what `fit` gave."""
        ...
