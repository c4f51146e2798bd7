"""Which of the synthetic corpus's kinds of evidence a system used: the process knows them all."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from mman_jax.data import synthetic
from mman_jax.data.corpus import Corpus

CHANCE, LABELS = "chance", "labels"
"""What stands beside the systems."""


def used(
    corpus: Corpus,
    utterances: Mapping[str, Sequence[Any]],
    answers: Mapping[str, Sequence[Sequence[int]]],
) -> tuple[dict[str, dict[str, float]], dict[str, dict[str, float]], dict[str, str]]:
    """How much each system used of each kind of evidence.

    The exact filter that sees everything and the one that lacks one kind of evidence give other
    answers to some test utterances. Of those: the share on which the system sides with the first,
    of all on which it sides with either. One that answers just as well but for that kind has 0, not
    a half, and the first filter itself has 1.

    Args:
        corpus: the synthetic one, of utterances or of words.
        utterances: `conversation`, `position` and `label` of each scored test utterance.
        answers: [S, N] of each system.

    Returns:
        The share by system and kind; the same by kind of `CHANCE`, answers drawn as often as the
        labels have each class, and of the `LABELS` themselves; and what each kind is.
    """
    whole, lacking, about = synthetic.posteriors(corpus)
    offsets = dict(zip(corpus.conversation_ids, corpus.offsets[:-1], strict=True))
    starts = np.array([offsets[c] for c in utterances["conversation"]])
    index = starts + np.asarray(utterances["position"])
    best, labels = whole.argmax(-1)[index], np.asarray(utterances["label"])
    often = np.bincount(labels, minlength=whole.shape[-1]) / len(labels)
    found: dict[str, dict[str, float]] = {name: {} for name in answers}
    beside: dict[str, dict[str, float]] = {CHANCE: {}, LABELS: {}}
    for kind, posterior in lacking.items():
        other = posterior.argmax(-1)[index]
        differ = best != other
        first, second = best[differ], other[differ]
        for name, given in answers.items():
            found[name][kind] = _share(np.asarray(given)[:, differ], first, second)
        with_it, without = often[first].sum(), often[second].sum()
        beside[CHANCE][kind] = float(with_it / max(with_it + without, 1e-9))
        beside[LABELS][kind] = _share(labels[differ], first, second)
    return found, beside, about


def _share(given: np.ndarray, first: np.ndarray, second: np.ndarray) -> float:
    with_it, without = (given == first).sum(), (given == second).sum()
    return float(with_it / max(with_it + without, 1))
