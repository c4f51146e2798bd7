"""Which of the synthetic corpus's kinds of evidence a system used: the process knows them all."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from mman_jax.data.corpus import Corpus
from mman_jax.data.synthetic import ceiling, word_ceiling


def used(
    corpus: Corpus,
    utterances: Mapping[str, Sequence[Any]],
    answers: Mapping[str, Sequence[Sequence[int]]],
) -> tuple[dict[str, dict[str, float]], dict[str, str]]:
    """How much each system used of each kind of evidence.

    The exact filter that sees everything and the one that lacks one kind of evidence give other
    answers to some test utterances. Of those: the share on which the system sides with the first,
    of all on which it sides with either. A half is chance.

    Args:
        corpus: the synthetic one, of utterances or of words.
        utterances: `conversation` and `position` of each scored test utterance.
        answers: [S, N] of each system.

    Returns:
        The share by system and kind; and what each kind is.
    """
    of = word_ceiling if corpus.sequences else ceiling
    whole, lacking, about = of.posteriors(corpus)
    offsets = dict(zip(corpus.conversation_ids, corpus.offsets[:-1], strict=True))
    starts = np.array([offsets[c] for c in utterances["conversation"]])
    index = starts + np.asarray(utterances["position"])
    best = whole.argmax(-1)[index]
    found: dict[str, dict[str, float]] = {name: {} for name in answers}
    for kind, posterior in lacking.items():
        other = posterior.argmax(-1)[index]
        differ = best != other
        for name, given in answers.items():
            given = np.asarray(given)[:, differ]
            with_it, without = (given == best[differ]).sum(), (given == other[differ]).sum()
            found[name][kind] = float(with_it / max(with_it + without, 1))
    return found, about
