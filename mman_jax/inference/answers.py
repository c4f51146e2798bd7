"""From what each model of a run says to one answer: probabilities, a label, attention."""

from collections.abc import Sequence

import numpy as np

from mman_jax.errors import InputError
from mman_jax.inference.model import Model
from mman_jax.systems.base import System
from mman_jax.systems.estimator import check_network

Answers = tuple[list[str], np.ndarray, list[str] | None]


def combine(models: Sequence[Model], probabilities: Sequence[np.ndarray]) -> Answers:
    """Class names, probabilities [N, C] and a label for each utterance; of a model that answers
    numbers the targets' names, the numbers [N, C] and None.

    Args:
        models: one, or one a class, each of that class (its last) against the rest; of these a
            label names every class above one half.
        probabilities: of each model, [N, its classes].
    """
    if len(models) == 1:
        classes = list(models[0].classes)
        if models[0].units is not None:
            return classes, probabilities[0], None
        return classes, probabilities[0], [classes[i] for i in probabilities[0].argmax(-1)]
    classes = [model.classes[-1] for model in models]
    joined = np.stack([found[:, -1] for found in probabilities], axis=-1)
    labels = [
        "+".join(name for name, p in zip(classes, row, strict=True) if p > 0.5) or "none"
        for row in joined
    ]
    return classes, joined, labels


def check_attends(models: Sequence[Model]) -> None:
    """Refuses models whose attention cannot be told.

    Raises:
        InputError: naming the system.
    """
    for model in models:
        system = model.build()
        check_network("attention", system)
        if not system.attends:
            found = f"none in this {type(system).__name__} (heads: {_heads(system)})"
            raise InputError("attention", found, "a system with one, such as configs/mman.py")


def _heads(system: System) -> str:
    return ", ".join(head for stage in system.stages() for head in stage.heads)
