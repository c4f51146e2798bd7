"""Predictions from the last K utterances only, which measure the use of context.

S seeds, R rows, U cells of a row, N utterances, C outputs, K utterances before the predicted one.
"""

from collections.abc import Callable, Sequence

import jax
import numpy as np

from mman_jax.data import speakers
from mman_jax.data.batching import Layout
from mman_jax.data.sequences import spans
from mman_jax.types import Inputs

SIZES = (0, 1, 3, 10, 30)
"""Measured values of K."""


def logits_within(
    answer: Callable[[Inputs], np.ndarray],
    inputs: Inputs,
    layout: Layout,
    logits: np.ndarray,
    size: int,
    names: Sequence[str] = (),
    places: int = 0,
) -> np.ndarray:
    """Predicts each utterance from itself and the `size` utterances before it.

    Each is the last utterance of a separate short conversation, which starts without a state and
    without known speakers. With at most `size` utterances before an utterance, its prediction is
    that of `logits`, because the system is causal.

    Args:
        answer: computes logits [S, R, U, C] of rows that have the shape of `inputs`.
        inputs: rows [R, U] of full conversations, scaled as in training.
        layout: positions of the conversations in these rows.
        logits: [S, N, C] from full conversations, in the order of the layout.
        size: K.
        names: N names of the speakers, for systems that read them.
        places: P, the number of places for speakers; 0 if they are not read.

    Returns:
        Logits [S, N, C].
    """
    (rows, length), width = inputs.mask.shape, size + 1
    per_row, shortened = length // width, np.array(logits)
    cut = np.flatnonzero(spans(0, layout.lengths) > size)
    arrays = jax.tree.map(np.asarray, (inputs.features, inputs.present))
    for first in range(0, len(cut), max(1, rows * per_row)):
        last = cut[first : first + rows * per_row]
        windows = np.full((rows * per_row, width), -1)
        windows[: len(last)] = last[:, None] + np.arange(-size, 1)
        utterances, reset = np.full((rows, length), -1), np.zeros((rows, length), bool)
        utterances[:, : per_row * width] = windows.reshape(rows, -1)
        reset[:, : per_row * width : width] = True
        reset[:, per_row * width :][:, :1] = True  # padding starts here
        mask, cells = utterances >= 0, layout.positions[utterances]
        features, present = jax.tree.map(lambda x, m=mask, c=cells: _take(x, m, c), arrays)
        packed = Inputs(features, mask, reset, present)
        if places:
            spoken = speakers.places_of(names, last - size, np.full(len(last), width), places)
            slot, new = np.zeros(mask.shape, np.int32), np.zeros(mask.shape, bool)
            slot[mask], new[mask] = spoken
            packed = packed._replace(speakers=slot, new_speaker=new)
        found = np.asarray(answer(packed))[:, :rows, size : per_row * width : width]
        shortened[:, last] = found.reshape(len(found), -1, found.shape[-1])[:, : len(last)]
    return shortened


def _take(values: np.ndarray, mask: np.ndarray, cells: np.ndarray) -> np.ndarray:
    """Gathers the cells of rows [R, U, ...] into rows; zeros where the mask [R, U] is False."""
    taken = values.reshape(-1, *values.shape[2:])[cells]
    taken[~mask] = 0
    return taken
