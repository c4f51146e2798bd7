"""A corpus from a known process, and the best accuracy that the process allows.

The emotions are a Markov chain and the features are sampled from tables, so that a filter computes
the exact probability of each emotion. Networks can be compared with that ceiling. The process
contains evidence that distinguishes the systems:

- *context*: emotions tend to persist, and "neutral" lies between the others;
- *single evidence*: a symbol in each modality that indicates the emotion, but is never decisive;
  speech separates excited from calm, text is the strongest modality, visual the weakest;
- *joint evidence*: a binary code in speech and one in text. A single code is independent of the
  emotion; their exclusive or indicates whether the emotion is pleasant (happy, neutral).

N utterances, V conversations, U utterances of the longest, C emotions, K symbols and D features of
a modality.
"""

import dataclasses
from collections.abc import Iterator

import numpy as np

from mman_jax.data.corpus import Corpus
from mman_jax.data.validation import SPLIT_NAMES

EMOTIONS = ("happy", "sad", "neutral", "angry")

# An epoch should take about a second on two cores, and the test set must be large enough that its
# sampling error (about 0.8 points) is small compared with the gap between the ceilings.
DEFAULT_CONVERSATIONS = (140, 30, 60)


@dataclasses.dataclass(frozen=True, eq=False)
class Process:
    """The tables of a process; every distribution is a row that sums to one.

    Attributes:
        initial: [C] float64, distribution of the emotion of a conversation's first utterance.
        transition: [C, C] float64, from the emotion in the row to the one in the column.
        emissions: [C, K] float64 for each modality, distribution of its symbol given the emotion.
        joint: [C, 2, 2] float64, the two codes given the emotion; both marginals are 1/2.
        carriers: The two modalities with codes, in the order of the axes of `joint`.
        symbols: [K, D] float64 for each modality, the vector of each symbol.
        codes: [2, D] float64 for each carrier, the vector of each code. They are orthogonal to the
            symbols, so that the noise of one carries no information about the other.
        noise: Standard deviation of every feature around symbol + code; nearly zero, so that
            networks need few data to separate symbols, but features remain continuous.
        shortest, longest: Bounds of a conversation's length, both included.
    """

    initial: np.ndarray
    transition: np.ndarray
    emissions: dict[str, np.ndarray]
    joint: np.ndarray
    carriers: tuple[str, str]
    symbols: dict[str, np.ndarray]
    codes: dict[str, np.ndarray]
    noise: float
    shortest: int = 12
    longest: int = 40


def process() -> Process:
    """Returns the process of all synthetic corpora, which does not depend on the seed."""
    tables = {
        "speech": [[0.52, 0.04, 0.06, 0.38], [0.04, 0.52, 0.36, 0.08],
                   [0.06, 0.38, 0.50, 0.06], [0.40, 0.06, 0.04, 0.50]],
        "visual": [[0.60, 0.12, 0.28], [0.16, 0.48, 0.36], [0.20, 0.20, 0.60], [0.22, 0.50, 0.28]],
        "text": [[0.54, 0.07, 0.10, 0.12, 0.17], [0.08, 0.54, 0.12, 0.11, 0.15],
                 [0.13, 0.11, 0.46, 0.07, 0.23], [0.11, 0.14, 0.07, 0.52, 0.16]],
    }  # fmt: skip
    transition = [
        [0.76, 0.02, 0.20, 0.02], [0.02, 0.78, 0.14, 0.06],
        [0.12, 0.10, 0.66, 0.12], [0.02, 0.10, 0.16, 0.72],
    ]  # fmt: skip
    emissions = {modality: np.array(table) for modality, table in tables.items()}
    dimensions = {"speech": 20, "visual": 24, "text": 16}
    carriers = ("speech", "text")
    symbols, codes = {}, {}
    for modality, emission in emissions.items():
        *rows, last = orthonormal(emission.shape[1] + 1, dimensions[modality])
        symbols[modality] = np.stack(rows)
        if modality in carriers:
            codes[modality] = np.stack([last, -last])
    pleasant = np.array([True, False, True, False])
    differ = np.array([[False, True], [True, False]])
    return Process(
        initial=np.array([0.15, 0.15, 0.55, 0.15]),
        transition=np.array(transition),
        emissions=emissions,
        joint=np.where(pleasant[:, None, None] == differ, 0.95, 0.05) / 2,
        carriers=carriers,
        symbols=symbols,
        codes=codes,
        noise=0.06,
    )


def orthonormal(count: int, dimension: int) -> np.ndarray:
    """Returns [count, dimension] orthonormal rows, each spread over all dimensions.

    The rows are cosines, which unlike random numbers are equal in all versions of NumPy.
    """
    frequency = np.arange(1, count + 1)[:, None]
    position = np.arange(dimension) + 0.5
    return np.sqrt(2 / dimension) * np.cos(np.pi / dimension * frequency * position)


def synthetic_corpus() -> Corpus:
    """Returns the default corpus of runs: default sizes, seed 0."""
    return generate(process())


def generate(
    process: Process,
    conversations: tuple[int, int, int] = DEFAULT_CONVERSATIONS,
    seed: int = 0,
) -> Corpus:
    """Samples a corpus with these numbers of training, validation and test conversations.

    Each conversation has a separate stream of random numbers, so that the number of test
    conversations does not affect training conversations.
    """
    ids, split, lengths, emotions = [], [], [], []
    features: dict[str, list[np.ndarray]] = {modality: [] for modality in process.emissions}
    for name, part, rng in streams(conversations, seed):
        path, vectors = _conversation(process, rng)
        ids.append(name)
        split.append(part)
        lengths.append(len(path))
        emotions.append(path)
        for modality, vector in vectors.items():
            features[modality].append(vector)
    return Corpus(
        features={m: np.concatenate(parts).astype(np.float32) for m, parts in features.items()},
        labels=np.concatenate(emotions).astype(np.int32),
        label_names=EMOTIONS,
        lengths=np.array(lengths, np.int32),
        conversation_ids=tuple(ids),
        utterance_ids=tuple(
            f"{conversation}_{u + 1}"
            for conversation, length in zip(ids, lengths, strict=True)
            for u in range(length)
        ),
        split=tuple(split),
        source="synthetic",
    )


def streams(
    conversations: tuple[int, int, int], seed: int
) -> Iterator[tuple[str, str, np.random.Generator]]:
    """Iterates over the ids of conversations, their parts and their random generators."""
    for part, (name, count) in enumerate(zip(SPLIT_NAMES, conversations, strict=True)):
        for number in range(count):
            stream = np.random.SeedSequence(seed, spawn_key=(part, number))
            yield f"{name}_{number:04d}", name, np.random.default_rng(stream)


def _conversation(
    process: Process, rng: np.random.Generator
) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """Samples the emotions [U] and, for each modality, the features [U, D] of a conversation."""
    length = rng.integers(process.shortest, process.longest + 1)
    path = [_sample(rng, process.initial)]
    while len(path) < length:
        path.append(_sample(rng, process.transition[path[-1]]))
    emotions = np.array(path)
    pairs = _sample(rng, process.joint.reshape(len(process.joint), -1)[emotions])
    codes = dict(zip(process.carriers, np.unravel_index(pairs, (2, 2)), strict=True))
    features = {}
    for modality, table in process.emissions.items():
        mean = process.symbols[modality][_sample(rng, table[emotions])]
        if modality in codes:
            mean = mean + process.codes[modality][codes[modality]]
        features[modality] = mean + process.noise * rng.standard_normal(mean.shape)
    return emotions, features


def _sample(rng: np.random.Generator, distribution: np.ndarray) -> np.ndarray:
    """Samples an index from each row of `distribution` [..., K]."""
    cumulative = distribution.cumsum(axis=-1)
    # The last sum may fall short of one by rounding, so it is not compared.
    return (rng.random(distribution.shape[:-1])[..., None] >= cumulative[..., :-1]).sum(axis=-1)


def posterior(
    process: Process, corpus: Corpus, evidence: str = "all", context: bool = True
) -> np.ndarray:
    """Computes P(emotion of utterance u | evidence at utterances 0..u of its conversation).

    Args:
        process: Process that the corpus was sampled from.
        corpus: Unscaled features [N, D] of each modality, as sampled. Missing modalities are
            ignored, so that the ceiling is that of the modalities in the corpus.
        evidence: Evidence that the filter uses. "all": all modalities of the corpus, and their
            joint evidence. "late": all modalities, with the product of their separate likelihoods,
            as if the codes were independent. The name of a modality: only that modality.
        context: Whether the filter uses earlier utterances in addition to utterance u.

    "late" bounds late fusion. Within a modality the code is a fair coin, its vector is orthogonal
    to the symbols', and the noise is isotropic, so that the modality's posterior depends only on
    the features without their component along the code. Given the emotions, these are independent
    across modalities and utterances, and "late" is the exact posterior given them. Hence no
    function of the Bayes-optimal uni-modal predictions of utterances 0..u is more accurate in
    expectation; and two consecutive predictions determine the likelihood, so the bound is tight. It
    does not apply to trained towers: they may pass the code on, and a fusion could use it.

    Returns:
        [N, C] float64, rows sum to one.
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


def expected(shares: np.ndarray, corpus: Corpus, conversations: np.ndarray) -> float:
    """Computes the expected accuracy of the most probable class [N, C] on conversations.

    With the posterior, it is the best expected accuracy of any model given the same evidence.
    Labels are not used: a model may exceed it on a finite test set within sampling error.

    `conversations` are indices, or bool [V].
    """
    chosen = np.zeros(len(corpus.lengths), bool)
    chosen[conversations] = True
    return float(shares[np.repeat(chosen, corpus.lengths)].max(axis=-1).mean())


def bounds(corpus: Corpus, conversations: np.ndarray) -> dict[str, float]:
    """Returns the `ceiling` of all systems, and that of a late fusion."""
    evidence = {"ceiling": "all", "ceiling_late_fusion": "late"}
    return {
        name: expected(posterior(process(), corpus, used), corpus, conversations)
        for name, used in evidence.items()
    }


def posteriors(corpus: Corpus) -> tuple[np.ndarray, dict[str, np.ndarray], dict[str, str]]:
    """Returns posteriors of `synthetic_corpus`, see `mman_jax.data.synthetic.posteriors`."""
    default = process()
    lacking = {
        "joint": posterior(default, corpus, "late"),
        "context": posterior(default, corpus, context=False),
    }
    about = {
        "joint": "evidence that only speech and text together contain",
        "context": "the conversation so far",
    }
    for modality in corpus.dims:
        rest = [name for name in corpus.dims if name != modality]
        lacking[modality] = posterior(default, corpus.select_modalities(rest))
        about[modality] = f"all evidence in {modality}, single and joint"
    return posterior(default, corpus), lacking, about


def _likelihood(process: Process, features: dict[str, np.ndarray], evidence: str) -> np.ndarray:
    """Computes P(features of an utterance | its emotion) [N, C], up to a factor per utterance."""
    seen = features if evidence in ("all", "late") else {evidence: features[evidence]}
    by_code = {name: _modality_likelihood(process, name, x) for name, x in seen.items()}
    likelihood = np.ones((1, len(process.initial)))
    if evidence == "all" and by_code.keys() >= set(process.carriers):
        first, second = (by_code.pop(modality) for modality in process.carriers)
        likelihood = likelihood * np.einsum("nca,ncb,cab->nc", first, second, process.joint)
    for codes in by_code.values():
        likelihood = likelihood * codes.mean(axis=-1)
    return likelihood


def _modality_likelihood(process: Process, modality: str, x: np.ndarray) -> np.ndarray:
    """Computes P(features | emotion, code) [N, C, codes], up to a factor per utterance."""
    x = np.asarray(x, np.float64)
    codes = process.codes.get(modality, np.zeros((1, x.shape[-1])))
    means = process.symbols[modality][:, None] + codes
    distance = ((x[:, None, None] - means) ** 2).sum(axis=-1)
    exponent = -distance / (2 * process.noise**2)
    # The densities underflow, but only their ratios within an utterance matter.
    exponent -= exponent.max(axis=(1, 2), keepdims=True)
    return np.einsum("nka,ck->nca", np.exp(exponent), process.emissions[modality])
