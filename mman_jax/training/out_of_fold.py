"""Answers to training conversations by networks that did not train on them.

Frozen towers have fitted their training utterances: a fusion that learns from their answers there
trusts those that have fitted most. So the stages before it train again, once for each group of
training conversations and without it, for the epochs that were chosen; their answers to the group
are what the fusion learns from (stacked generalisation; Wolpert 1992).
"""

from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from mman_jax.types import hidden

ANSWERS = ("training", "out_of_fold")
"""What a stage that reads frozen answers may learn from: those of the networks that trained on
these conversations, or of others that did not."""


def out_of_fold(
    train: Mapping[str, jax.Array],
    groups: np.ndarray,
    labels: Mapping[str, np.ndarray],
    train_and_answer: Callable[[Mapping[str, np.ndarray]], Mapping[str, jax.Array]],
) -> dict[str, Any]:
    """The answers to the training rows, each by networks that did not train on its conversation.

    Args:
        train: answers [S, R + 1, U, ...] by name, of networks that trained on all rows.
        groups: [R + 1, U] int, which group each utterance is in, from 0; any other number is
            padding.
        labels: of each part, see `Trainer.run`.
        train_and_answer: trains from labels, and gives answers like `train`.
    """

    @jax.jit
    def merge(new, old, chosen):
        return jax.tree.map(
            lambda x, y: jnp.where(chosen.reshape(1, *chosen.shape, *[1] * (x.ndim - 3)), x, y),
            new,
            old,
        )

    for group in range(int(groups.max()) + 1):
        chosen = groups == group
        others = hidden(labels["train"], chosen)
        train = merge(train_and_answer({**labels, "train": others}), train, chosen)
    return dict(train)
