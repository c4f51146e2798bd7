"""Built-in corpora from processes whose best possible accuracy is known exactly."""

import numpy as np

from mman_jax.data.corpus import Corpus
from mman_jax.data.synthetic import process, words


def bounds(corpus: Corpus, conversations: np.ndarray) -> dict[str, float]:
    """Returns the best accuracies on conversations of `synthetic_corpus` or `words_corpus`.

    The corpus may have a subset of its modalities.

    Returns:
        `ceiling`, the best accuracy of any system; `ceiling_late_fusion`, that of a late fusion;
        and for words further ones, see `words.bounds`.
    """
    kind = words if corpus.sequences else process
    return kind.bounds(corpus, conversations)


def posteriors(corpus: Corpus) -> tuple[np.ndarray, dict[str, np.ndarray], dict[str, str]]:
    """Returns posteriors [N, C] from all evidence, and without each kind of evidence.

    Returns:
        The posterior from all evidence; posteriors without each kind of evidence, by kind; and a
        description of each kind.
    """
    kind = words if corpus.sequences else process
    return kind.posteriors(corpus)
