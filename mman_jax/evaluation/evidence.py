"""Use of each kind of evidence in the synthetic corpus, by system."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from mman_jax.data import synthetic
from mman_jax.data.corpus import Corpus

CHANCE, LABELS = "chance", "labels"
"""References that the systems are compared with."""


def used(
    corpus: Corpus,
    utterances: Mapping[str, Sequence[Any]],
    answers: Mapping[str, Sequence[Sequence[int]]],
) -> tuple[dict[str, dict[str, float]], dict[str, dict[str, float]], dict[str, str]]:
    """Computes how much of each kind of evidence each system used.

    For each kind, the exact filter with all evidence and the one without this kind are compared on
    the test utterances on which they differ. The measure is the number of utterances on which the
    system agrees with the first filter, divided by those on which it agrees with either: 1 for the
    first filter itself, 0 for the second.

    Args:
        corpus: the synthetic corpus, of utterances or of words.
        utterances: `conversation`, `position` and `label` of each scored test utterance.
        answers: [S, N] by system.

    Returns:
        The share by system and kind; the shares of the references by kind (`CHANCE`: predictions
        sampled with the frequencies of the labels; `LABELS`: the labels); and a description of each
        kind.
    """
    full, reduced, descriptions = synthetic.posteriors(corpus)
    offsets = dict(zip(corpus.conversation_ids, corpus.offsets[:-1], strict=True))
    starts = np.array([offsets[c] for c in utterances["conversation"]])
    index = starts + np.asarray(utterances["position"])
    best, labels = full.argmax(-1)[index], np.asarray(utterances["label"])
    frequencies = np.bincount(labels, minlength=full.shape[-1]) / len(labels)
    shares: dict[str, dict[str, float]] = {name: {} for name in answers}
    references: dict[str, dict[str, float]] = {CHANCE: {}, LABELS: {}}
    for kind, posterior in reduced.items():
        other = posterior.argmax(-1)[index]
        differ = best != other
        first, second = best[differ], other[differ]
        for name, predicted in answers.items():
            shares[name][kind] = _share(np.asarray(predicted)[:, differ], first, second)
        with_it, without = frequencies[first].sum(), frequencies[second].sum()
        references[CHANCE][kind] = float(with_it / max(with_it + without, 1e-9))
        references[LABELS][kind] = _share(labels[differ], first, second)
    return shares, references, descriptions


def _share(predicted: np.ndarray, first: np.ndarray, second: np.ndarray) -> float:
    with_it, without = (predicted == first).sum(), (predicted == second).sum()
    return float(with_it / max(with_it + without, 1))
