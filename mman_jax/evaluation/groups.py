"""How much better a system is on one group of utterances than on another. NumPy only.

S seeds, N utterances.
"""

from typing import NamedTuple

import chex
import numpy as np

from mman_jax.evaluation.significance import LEVEL, RESAMPLES

LEAST = 2
"""Conversations that a group has at least, to have a part in the gap."""


class Gap(NamedTuple):
    """The largest difference of two groups' accuracies.

    Attributes:
        best: the group with the highest accuracy, the mean over the seeds.
        worst: that with the lowest.
        difference: of the two accuracies, a share from 0 to 1.
        low: where the 95 % interval begins, a percentile of the bootstrap; a share.
        high: where it ends.
    """

    best: str
    worst: str
    difference: float
    low: float
    high: float


def sizes(groups: np.ndarray, conversations: np.ndarray) -> dict[str, tuple[int, int]]:
    """Utterances and conversations of each group, in the order of names.

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
    right: np.ndarray,
    groups: np.ndarray,
    conversations: np.ndarray,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> Gap | None:
    """The gap between the best and the worst group of at least `LEAST` conversations.

    Conversations and seeds are drawn, as by `significance.bootstrap`; a draw that has nothing of
    one of the two groups is left out. The two were picked by what they scored: of many groups that
    are all alike, some pair has a large gap by chance, and the interval knows nothing of the pick.

    Args:
        right: [S, N] bool, whether each seed was right.
        groups: [N] str, of which group each utterance is.
        conversations: [N], of which conversation each is.
        resamples: how many draws.
        seed: of the draws.

    Returns:
        None where fewer than two groups are large enough.

    Raises:
        AssertionError: if the axes disagree.
    """
    right, groups = np.asarray(right, np.float64), np.asarray(groups)
    chex.assert_rank(right, 2)
    chex.assert_equal_shape_suffix([right, groups, np.asarray(conversations)], 1)
    large = [name for name, (_, many) in sizes(groups, conversations).items() if many >= LEAST]
    if len(large) < 2:
        return None
    accuracy = {name: float(right[:, groups == name].mean()) for name in large}
    best, worst = max(large, key=accuracy.__getitem__), min(large, key=accuracy.__getitem__)
    if accuracy[best] == accuracy[worst]:
        best, worst = large[:2]
    _, which = np.unique(conversations, return_inverse=True)
    count, seeds = int(which.max()) + 1, len(right)
    random = np.random.default_rng(seed)
    drawn = random.multinomial(count, np.full(count, 1 / count), resamples)
    weights = random.multinomial(seeds, np.full(seeds, 1 / seeds), resamples) / seeds
    shares, there = [], np.ones(resamples, bool)
    for name in (best, worst):
        own = groups == name
        total = drawn @ np.bincount(which[own], minlength=count)
        found = [np.bincount(which[own], one[own], count) for one in right]
        shares.append((drawn @ np.transpose(found) * weights).sum(1) / np.maximum(total, 1))
        there &= total > 0
    differences = (shares[0] - shares[1])[there]
    low, high = np.quantile(differences, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return Gap(best, worst, accuracy[best] - accuracy[worst], float(low), float(high))
