"""The systems that the paper cites, over utterances, as the paper command trains them."""

import importlib.util
from collections.abc import Sequence

from ml_collections import ConfigDict

from mman_jax.configs import bc_lstm, fmt, mfm, mult, raven, rozgic, tripathi
from mman_jax.errors import InputError
from mman_jax.study.towers import CITED, System
from mman_jax.systems import build

_EVERY = (
    # What takes longest first.
    ("FMT", "attention in every set of modalities", fmt),
    ("MulT", "a cross-modal transformer a pair of modalities", mult),
    ("bc-LSTM", "bi-directional LSTMs in two levels; sees later utterances", bc_lstm),
    ("MFM", "what modalities share, and what is each one's own", mfm),
    ("RAVEN", "text shifted by gated speech and vision, under an LSTM", raven),
    ("Tripathi", "dense layers, concatenated; no context", tripathi),
    ("Rozgic", "trees of support vector machines; no context", rozgic),
)


def systems(
    recipe: ConfigDict, modalities: Sequence[str], classes: int
) -> tuple[list[System], dict[str, str]]:
    """Every cited system that can be trained here; and why the others, by name, cannot.

    Args:
        recipe: MMAN's config, with the corpus, the protocol and the seeds.
        modalities: of the corpus, in order.
        classes: C.
    """
    found, others = [], {}
    for title, about, module in _EVERY:
        config = module.system(recipe.copy_and_resolve_references().unlock())
        try:
            build(config.network, modalities, classes)
        except InputError as error:
            others[config.system] = str(error)
            continue
        data = config.data
        numbers = (data.target and not data.classes) or config.train.labels == "votes"
        if config.system == "rozgic" and (numbers or data.cells != "utterances"):
            others[config.system] = "it learns one label an utterance, of utterances"
            continue
        if config.system == "rozgic" and importlib.util.find_spec("sklearn") is None:
            others[config.system] = "scikit-learn is missing; expected pip install 'mman_jax[svm]'"
            continue
        found.append(System(config.system, title, CITED, None, about, config))
    return found, others
