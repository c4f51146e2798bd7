"""Gaps in accuracy between groups of utterances. NumPy only.

S seeds, N utterances.
"""

from typing import Any

import chex
import numpy as np

from mman_jax.evaluation.significance import Resamples, interval

PREFIX = "groups/"
"""Prefix of the columns that are groups, among all columns of the utterances."""

LEAST = 2
"""Fewest conversations of a group that can be part of a gap."""


def sizes(groups: np.ndarray, conversations: np.ndarray) -> dict[str, tuple[int, int]]:
    """Counts the utterances and conversations of each group, sorted by name.

    Examples:
        >>> sizes(np.array(["f", "m", "f"]), np.array(["a", "a", "b"]))
        {'f': (2, 2), 'm': (1, 1)}
    """
    groups, conversations = np.asarray(groups), np.asarray(conversations)
    return {
        str(name): (int((groups == name).sum()), len(np.unique(conversations[groups == name])))
        for name in np.unique(groups)
    }


def largest_gap(
    right: np.ndarray, groups: np.ndarray, conversations: np.ndarray
) -> dict[str, Any] | None:
    """Computes the gap between the best and the worst group of at least `LEAST` conversations.

    Conversations and seeds are resampled as in `significance.bootstrap`; a resample without
    utterances of one of the two groups is left out. The interval does not account for the choice of
    the pair by its scores: among many equal groups, some pair has a large gap by chance.

    Args:
        right: [S, N] bool, whether each seed was right.
        groups: [N] str, the group of each utterance.
        conversations: [N], the conversation of each utterance.

    Returns:
        The names of the best group (`first`) and the worst (`second`), the `difference` of their
        accuracies, averaged over the seeds, and its 95 % bootstrap `interval`; None if fewer than
        two groups are large enough.
    """
    right, groups = np.asarray(right, np.float64), np.asarray(groups)
    chex.assert_rank(right, 2)
    chex.assert_equal_shape_suffix([right, groups, np.asarray(conversations)], 1)
    large = [name for name, (_, size) in sizes(groups, conversations).items() if size >= LEAST]
    if len(large) < 2:
        return None
    accuracy = {name: float(right[:, groups == name].mean()) for name in large}
    best, worst = max(large, key=accuracy.__getitem__), min(large, key=accuracy.__getitem__)
    if accuracy[best] == accuracy[worst]:
        best, worst = large[:2]
    _, conversation = np.unique(conversations, return_inverse=True)
    count = int(conversation.max()) + 1
    drawn = Resamples(count)
    samples, weights = drawn.counts.astype(np.int64), drawn.seeds(len(right))
    shares, is_complete = [], np.ones(len(samples), bool)
    for name in (best, worst):
        mask = groups == name
        total = samples @ np.bincount(conversation[mask], minlength=count)
        counts = [np.bincount(conversation[mask], of_seed[mask], count) for of_seed in right]
        shares.append((samples @ np.transpose(counts) * weights).sum(1) / np.maximum(total, 1))
        is_complete &= total > 0
    differences = (shares[0] - shares[1])[is_complete]
    gap = {"first": best, "second": worst, "difference": accuracy[best] - accuracy[worst]}
    return gap | {"interval": interval(differences).tolist()}
