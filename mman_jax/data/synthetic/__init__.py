"""The built-in corpora: processes whose best possible accuracy is computed exactly."""

import numpy as np

from mman_jax.data.corpus import Corpus
from mman_jax.data.synthetic import process, words


def bounds(corpus: Corpus, conversations: np.ndarray) -> dict[str, float]:
    """Returns the best accuracies on conversations of `synthetic_corpus` or `words_corpus`.

    The corpus may have some of its modalities only.

    Returns:
        `ceiling`: the best accuracy of any system; `ceiling_late_fusion`: that of a late fusion;
        and others for words, see `words.bounds`.
    """
    return (
        words.bounds(corpus, conversations)
        if corpus.sequences
        else (process.bounds(corpus, conversations))
    )


def posteriors(corpus: Corpus) -> tuple[np.ndarray, dict[str, np.ndarray], dict[str, str]]:
    """Returns the posterior [N, C] given everything, and those without each kind of evidence.

    Returns:
        The posterior given everything; by kind of evidence the posterior without it; and a
        description of each kind.
    """
    return words.posteriors(corpus) if corpus.sequences else process.posteriors(corpus)
