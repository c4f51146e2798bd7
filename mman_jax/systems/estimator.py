"""What learns in one call, not by gradients."""

import abc
from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np

from mman_jax.errors import InputError
from mman_jax.systems.base import Citation, Configurable, Ranges, System


class Estimator(Configurable, abc.ABC):
    """A system that is fitted to the training utterances at once, and knows no context.

    Attributes:
        modalities: names, in order.
        outputs: C, the number of classes.
    """

    modalities: tuple[str, ...]
    outputs: int

    paper: ClassVar[Citation | None] = None
    """See `System.paper`."""

    needs: ClassVar[tuple[str, str] | None] = None
    """An optional package that it needs, and the extra that installs it."""

    head: ClassVar[str] = "answer"
    """Whose answer is the system's, see `System.head`."""

    causal: ClassVar[bool] = True
    """See `System.causal`."""

    in_context: ClassVar[bool] = False
    """See `System.in_context`."""

    streams: ClassVar[bool] = False
    """See `System.streams`: nothing here answers turn by turn."""

    drawn: ClassVar[bool] = True
    """Whether anything is drawn, so that another seed is another outcome."""

    @classmethod
    def recipe(cls) -> dict[str, Any]:
        """Returns its settings of training; see `System.recipe`."""
        return {}

    @classmethod
    def search_space(cls, head: str = "") -> Ranges:
        """Returns what a search tries; see `System.search_space`."""
        return {}

    @abc.abstractmethod
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

    @abc.abstractmethod
    def logits(
        self, fitted: Mapping[str, np.ndarray], features: Mapping[str, np.ndarray]
    ) -> np.ndarray:
        """Logits [N, C] float32 of utterances, from what `fit` gave."""

    def answers(
        self, params: Mapping[str, np.ndarray], features: Mapping[str, np.ndarray]
    ) -> np.ndarray:
        """Logits [S, B, U, C] float32.

        Args:
            params: what `fit` gave, leading axis S.
            features: [B, U, D] float32 a modality, scaled; of a missing one zeros.
        """
        rows = next(iter(features.values())).shape[:2]
        cells = {m: np.asarray(x).reshape(-1, x.shape[-1]) for m, x in features.items()}
        seeds = range(len(next(iter(params.values()))))
        several = ({name: x[seed] for name, x in params.items()} for seed in seeds)
        return np.stack([self.logits(own, cells).reshape(*rows, -1) for own in several])

    @abc.abstractmethod
    def check(self, fitted: Mapping[str, np.ndarray], dims: Mapping[str, int]) -> None:
        """Refuses what `fit` cannot have given.

        Args:
            fitted: of one seed, as it was read from a file.
            dims: D of each modality.

        Raises:
            InputError: naming the array that is missing, unknown, or of another kind.
        """


def check_network(what: str, system: System | Estimator) -> None:
    """Refuses a system that is no network.

    Args:
        what: needs one.
        system: of any kind.

    Raises:
        InputError: it is an estimator.
    """
    if isinstance(system, Estimator):
        found = f"{type(system).__name__}, which is no network"
        raise InputError(what, found, "a system that is one, such as mman")
