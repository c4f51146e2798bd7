"""What a training again is to come to, known from the one that chose it."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from mman_jax.training import plateau
from mman_jax.training.outcome import Outcome
from mman_jax.training.plateau import Plateau


class Goal(NamedTuple):
    """Of a stage. S seeds, T heads, E epochs at most.

    Attributes:
        epoch: [S, T] int32, the one that each head keeps, whatever its score, and trains to; 0: the
            best on validation.
        falls: [S, E] int32, how often the learning rates fall after each epoch; -1: where the
            validation loss does not (`plateau`).
    """

    epoch: np.ndarray
    falls: np.ndarray


def unknown(seeds: int, heads: int, epochs: int) -> Goal:
    """That of a training which chooses for itself."""
    return Goal(np.zeros((seeds, heads), np.int32), np.full((seeds, epochs), -1, np.int32))


def again(
    chosen: Outcome, steps: Sequence[int], epochs: int, falling: Plateau | None = None
) -> Goal:
    """That of training again for about as many steps, with rates that fall at the same steps.

    A part that is learnt from must not be watched: its loss falls for longer.

    Args:
        chosen: what the stage gave.
        steps: of an epoch then, and of one now.
        epochs: E, the most that are trained now.
        falling: how the learning rates fell, if they did.
    """
    before, now = steps
    epoch = np.clip(np.rint(chosen.best_epoch * before / now), 1, epochs).astype(np.int32)
    falls = np.full((len(epoch), epochs), -1, np.int32)
    if falling is not None:
        falls[:] = 0
        when, seeds = np.nonzero(plateau.falls(chosen.history.valid_loss[:, :, 0], falling))
        # Those after the last epoch kept are none that the network kept has seen.
        after = np.rint((when + 1) * before / now).astype(int)
        kept = (when + 1 < chosen.best_epoch[seeds, 0]) & (after <= epochs)
        np.add.at(falls, (seeds[kept], np.maximum(after[kept], 1) - 1), 1)
    return Goal(epoch, falls)
