"""Systems that are fitted in one call, without gradients."""

import abc
from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np

from mman_jax.errors import InputError
from mman_jax.systems.base import BaseSystem, System, count_seeds
from mman_jax.types import Inputs

Arrays = Mapping[str, np.ndarray]
"""Features [N, D] by modality, or fitted parameters by name."""


class Estimator(BaseSystem, abc.ABC):
    """A system that is fitted to all training utterances at once and uses no context.

    Attributes:
        modalities: names, in order.
        outputs: C, the number of classes or numbers.
    """

    modalities: tuple[str, ...]
    outputs: int

    learns_by: ClassVar[str] = "fitting"
    label_kinds: ClassVar[frozenset[str]] = frozenset({"classes"})
    cell_kinds: ClassVar[frozenset[str]] = frozenset({"utterances"})
    in_context: ClassVar[bool] = False
    compiled: ClassVar[bool] = False
    head: ClassVar[str] = "answer"

    @abc.abstractmethod
    def fit(self, features: Arrays, labels: np.ndarray, seed: int) -> dict[str, np.ndarray]:
        """Fits the system to utterances.

        Args:
            features: [N, D] float32 of each modality, scaled; zeros where it is missing.
            labels: [N] int, the class, or `UNSCORED`; for numbers, [N, C] float32 in standard
                deviations from the mean of training, or NaN.
            seed: the random seed.

        Returns:
            The fitted parameters as arrays, which a model stores without pickles.
        """

    @abc.abstractmethod
    def logits(self, fitted: Arrays, features: Arrays) -> np.ndarray:
        """Computes logits [N, C] float32 of utterances from the result of `fit`."""

    @abc.abstractmethod
    def check(self, fitted: Arrays, dims: Mapping[str, int]) -> None:
        """Raises an InputError unless arrays from a file have the form of the result of `fit`."""

    def join(self, features: Arrays) -> np.ndarray:
        """Returns the features of all modalities side by side, [N, sum of D] float32."""
        return np.concatenate([features[m] for m in self.modalities], axis=1, dtype=np.float32)

    def check_params(self, place: object, params: Any, dims: Mapping[str, int]) -> None:
        """See `BaseSystem.check_params`."""
        if not all(isinstance(array, np.ndarray) for array in params.values()):
            raise InputError(f"{place}: params", "nested", "an array by each name")
        for seed in range(count_seeds(place, params)):
            try:
                self.check({name: array[seed] for name, array in params.items()}, dims)
            except InputError as error:
                raise error.moved(f"{place}: {error.place}") from error

    def predict_seeds(self, params: Arrays, inputs: Inputs) -> np.ndarray:
        """See `BaseSystem.predict_seeds`."""
        rows = inputs.mask.shape
        features = {m: np.asarray(x) for m, x in inputs.features.items()}
        for m, present in inputs.present.items():
            features[m] = np.where(np.asarray(present)[..., None], features[m], 0)
        cells = {m: x.reshape(-1, x.shape[-1]) for m, x in features.items()}
        seeds = range(len(next(iter(params.values()))))
        logits = [self.logits({n: x[seed] for n, x in params.items()}, cells) for seed in seeds]
        return np.stack([x.reshape(*rows, -1) for x in logits])


def check_network(what: str, system: BaseSystem) -> System:
    """Returns a system that is a network, or raises an InputError; `what` needs a network."""
    if not isinstance(system, System):
        found = f"{type(system).__name__}, which is not a network"
        raise InputError(what, found, "a system that is one, such as mman")
    return system
