"""The exact filter over the synthetic process, and the accuracy that no causal model can exceed.

Axis letters as in `mman_jax.data.synthetic.process`.
"""

import numpy as np

from mman_jax.data.corpus import Corpus
from mman_jax.data.synthetic import process as synthetic
from mman_jax.data.synthetic.process import Process


def posterior(
    process: Process, corpus: Corpus, evidence: str = "all", context: bool = True
) -> np.ndarray:
    """P(emotion of utterance u | evidence at utterances 0..u of its conversation), exactly.

    Args:
        process: what the corpus was drawn from.
        corpus: features [N, D] for each modality as they were drawn, not scaled. A modality that
            the corpus lacks is unseen, so a corpus of selected modalities gets their own ceiling.
        evidence: what the filter may look at.
            "all": every modality of the corpus, and what they hold together.
            "late": what late fusion can hold: every modality, but the likelihood is the product of
            the modalities' own, as if the codes were drawn apart.
            The name of a modality: that modality alone.
        context: whether it may look at earlier utterances; if not, it still knows u.

    Why "late" bounds late fusion. In one modality the code is a fair coin whatever the emotions and
    the symbols, its vector is orthogonal to the symbols', and the noise is isotropic. So, within a
    modality, what lies along the code is independent of all else, and the modality's own
    posterior, given its whole past, is a function of the rest alone. Given the emotions, these
    rests are independent across modalities and utterances, and "late" is the exact posterior given
    all of them up to utterance u. Hence nothing that is computed from the Bayes-optimal uni-modal
    predictions of utterances 0..u, recurrently or not, is more accurate in expectation. The bound
    is tight: two consecutive predictions of a modality give its likelihood back, and so "late".
    It is a bound on these predictions, not on towers: to a tower's own loss its code is noise, but
    nothing else keeps a network from leaking it, and what leaks a fusion could use beyond "late".

    Returns:
        [N, C] float64, rows sum to one.

    Raises:
        ValueError: if the evidence is none of these.
    """
    if evidence not in ("all", "late", *corpus.features):
        raise ValueError(f"evidence {evidence!r} is neither 'all' nor 'late' nor a modality")
    likelihood = _likelihood(process, corpus.features, evidence)
    lengths = np.asarray(corpus.lengths)
    inside = np.arange(lengths.max(initial=0)) < lengths[:, None]
    padded = np.ones((*inside.shape, len(process.initial)))
    padded[inside] = likelihood
    filtered = np.empty_like(padded)
    prior = np.broadcast_to(process.initial, (len(lengths), len(process.initial)))
    for u in range(padded.shape[1]):
        belief = prior * padded[:, u]
        filtered[:, u] = belief / belief.sum(axis=-1, keepdims=True)
        prior = (filtered[:, u] if context else prior) @ process.transition
    return filtered[inside]


def ceiling(
    process: Process, corpus: Corpus, conversations: np.ndarray, evidence: str = "all"
) -> float:
    """The best accuracy to be expected, given their features, of any causal model on conversations.

    The model that answers with the likeliest emotion is right with the probability of that emotion,
    and none is right more often. The labels themselves are not looked at: a model may beat the
    ceiling on a finite test set, by luck, within sampling error.

    Args:
        process: what the corpus was drawn from.
        corpus: features and lengths.
        conversations: which of the corpus's conversations: indices, or bool [V].
        evidence: as in `posterior`.

    Returns:
        A share, from 0 to 1.

    Raises:
        ValueError: as `posterior`.
    """
    return expected(posterior(process, corpus, evidence), corpus, conversations)


def expected(shares: np.ndarray, corpus: Corpus, conversations: np.ndarray) -> float:
    """How often the most probable answer is right, of the utterances of some conversations.

    Args:
        shares: [N, C], how probable each class is.
        corpus: whose utterances they are.
        conversations: indices, or bool [V].
    """
    chosen = np.zeros(len(corpus.lengths), bool)
    chosen[conversations] = True
    return float(shares[np.repeat(chosen, corpus.lengths)].max(axis=-1).mean())


def bounds(corpus: Corpus, conversations: np.ndarray) -> dict[str, float]:
    """What the corpus of `synthetic_corpus`, or some of its modalities, allows on conversations:
    the `ceiling` of all systems, and that of a late fusion."""
    process = synthetic.process()
    return {
        "ceiling": ceiling(process, corpus, conversations),
        "ceiling_late_fusion": ceiling(process, corpus, conversations, "late"),
    }


def posteriors(corpus: Corpus) -> tuple[np.ndarray, dict[str, np.ndarray], dict[str, str]]:
    """The posterior [N, C] given all, those that each lack one kind of evidence, and what it is."""
    process = synthetic.process()
    whole = posterior(process, corpus)
    lacking = {
        "joint": posterior(process, corpus, "late"),
        "context": posterior(process, corpus, context=False),
    }
    about = {
        "joint": "what speech and text hold only together",
        "context": "the conversation so far",
    }
    for modality in corpus.dims:
        rest = [name for name in corpus.dims if name != modality]
        lacking[modality] = posterior(process, corpus.select_modalities(rest))
        about[modality] = f"all that {modality} holds, alone or together"
    return whole, lacking, about


def _likelihood(process: Process, features: dict[str, np.ndarray], evidence: str) -> np.ndarray:
    """P(features of an utterance | its emotion) [N, C], up to a factor for each utterance."""
    seen = features if evidence in ("all", "late") else {evidence: features[evidence]}
    by_code = {
        modality: _modality_likelihood(process, modality, x)
        for modality, x in seen.items()
        if modality in process.carriers
    }
    result = np.ones((1, len(process.initial)))
    for modality, x in seen.items():
        if modality not in by_code:
            result = result * _modality_likelihood(process, modality, x)[..., 0]
    if evidence == "all" and len(by_code) == 2:
        first, second = (by_code[modality] for modality in process.carriers)
        return result * np.einsum("nca,ncb,cab->nc", first, second, process.joint)
    for likelihood in by_code.values():
        result = result * likelihood.mean(axis=-1)
    return result


def _modality_likelihood(process: Process, modality: str, x: np.ndarray) -> np.ndarray:
    """[N, C, codes]: P(features | emotion, code), up to a factor for each utterance."""
    x = np.asarray(x, np.float64)
    symbols = process.symbols[modality]
    codes = process.codes.get(modality, np.zeros((1, x.shape[-1])))
    means = symbols[:, None] + codes
    distance = ((x[:, None, None] - means) ** 2).sum(axis=-1)
    exponent = -distance / (2 * process.noise**2)
    # The densities underflow; their ratios within an utterance, which is all that counts, do not.
    exponent -= exponent.max(axis=(1, 2), keepdims=True)
    return np.einsum("nka,ck->nca", np.exp(exponent), process.emissions[modality])
