"""A corpus from a known process, and the best accuracy that its process allows.

On real conversations nobody knows how well a model could do. Here it is known: the emotions are a
Markov chain, the features are drawn from tables, and so the filter below gives the probability of
each emotion exactly. A network is judged by its distance from that ceiling, not by a guess.

The process holds what separates the systems from one another:

- *context*: an emotion tends to last, and "neutral" lies between the others;
- *single evidence*: in each modality a symbol that hints at the emotion, none of them decisive;
  speech tells excited from calm, text is the strongest, visual the weakest;
- *joint evidence*: a binary code in speech and one in text. Each alone is a fair coin, whatever the
  emotion; their exclusive or says whether the emotion is pleasant (happy, neutral) or not.

N utterances, V conversations, U utterances of the longest, C emotions, K symbols and D features of
a modality.
"""

import dataclasses

import numpy as np

from mman_jax.data.corpus import Corpus

EMOTIONS = ("happy", "sad", "neutral", "angry")
SPLITS = ("train", "valid", "test")

# One epoch must cost about a second on two cores, yet the test set must be long enough that its
# sampling error (about 0.8 points) is small beside the gap between the ceilings.
DEFAULT_CONVERSATIONS = (140, 30, 60)


@dataclasses.dataclass(frozen=True, eq=False)
class Process:
    """The tables of a process; every distribution is a row that sums to one.

    Attributes:
        initial: [C] float64, the emotion of a conversation's first utterance.
        transition: [C, C] float64, from the emotion in the row to the one in the column.
        emissions: a [C, K] float64 table for each modality: its symbol, given the emotion.
        joint: [C, 2, 2] float64, the two codes given the emotion; both marginals are 1/2.
        carriers: the two modalities that hold the codes, in the order of the axes of `joint`.
        symbols: [K, D] float64 for each modality, the vector that stands for a symbol.
        codes: [2, D] float64 for each carrier, the vector that stands for a code. Orthogonal to the
            symbols, so that the noise of the one tells nothing about the other.
        noise: the standard deviation of every feature about symbol + code. All but nothing, so that
            networks spend no data on telling symbols apart, and still continuous.
        shortest, longest: bounds of a conversation's length, both included.
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
    """The one process behind every synthetic corpus, whatever the seed of the corpus."""
    emissions = {
        "speech": [
            [0.52, 0.04, 0.06, 0.38],
            [0.04, 0.52, 0.36, 0.08],
            [0.06, 0.38, 0.50, 0.06],
            [0.40, 0.06, 0.04, 0.50],
        ],
        "visual": [
            [0.60, 0.12, 0.28],
            [0.16, 0.48, 0.36],
            [0.20, 0.20, 0.60],
            [0.22, 0.50, 0.28],
        ],
        "text": [
            [0.54, 0.07, 0.10, 0.12, 0.17],
            [0.08, 0.54, 0.12, 0.11, 0.15],
            [0.13, 0.11, 0.46, 0.07, 0.23],
            [0.11, 0.14, 0.07, 0.52, 0.16],
        ],
    }
    emissions = {modality: np.array(table) for modality, table in emissions.items()}
    dimensions = {"speech": 20, "visual": 24, "text": 16}
    carriers = ("speech", "text")
    symbols, codes = {}, {}
    for modality, table in emissions.items():
        count = table.shape[1]
        directions = orthonormal(count + 1, dimensions[modality])
        symbols[modality] = directions[:count]
        if modality in carriers:
            codes[modality] = np.stack([directions[count], -directions[count]])
    pleasant = np.array([True, False, True, False])
    differ = np.array([[False, True], [True, False]])
    return Process(
        initial=np.array([0.15, 0.15, 0.55, 0.15]),
        transition=np.array(
            [
                [0.76, 0.02, 0.20, 0.02],
                [0.02, 0.78, 0.14, 0.06],
                [0.12, 0.10, 0.66, 0.12],
                [0.02, 0.10, 0.16, 0.72],
            ]
        ),
        emissions=emissions,
        joint=np.where(pleasant[:, None, None] == differ, 0.95, 0.05) / 2,
        carriers=carriers,
        symbols=symbols,
        codes=codes,
        noise=0.06,
    )


def orthonormal(count: int, dimension: int) -> np.ndarray:
    """[count, dimension] orthonormal rows, each spread over all dimensions.

    Cosines rather than random numbers: the same on every machine and in every release of NumPy.
    """
    frequency = np.arange(1, count + 1)[:, None]
    position = np.arange(dimension) + 0.5
    return np.sqrt(2 / dimension) * np.cos(np.pi / dimension * frequency * position)


def synthetic_corpus() -> Corpus:
    """The corpus of a run that is given no path: the default sizes, seed 0."""
    return generate(process())


def generate(
    process: Process,
    conversations: tuple[int, int, int] = DEFAULT_CONVERSATIONS,
    seed: int = 0,
) -> Corpus:
    """Draw a corpus with so many conversations to train on, to validate on and to test on.

    Each conversation has a stream of random numbers of its own, so that asking for more test
    conversations changes no training conversation.
    """
    ids, split, lengths, emotions = [], [], [], []
    features = {modality: [] for modality in process.emissions}
    for part, (name, count) in enumerate(zip(SPLITS, conversations, strict=True)):
        for number in range(count):
            stream = np.random.SeedSequence(seed, spawn_key=(part, number))
            path, vectors = _conversation(process, np.random.default_rng(stream))
            ids.append(f"{name}_{number:04d}")
            split.append(name)
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


def _conversation(
    process: Process, rng: np.random.Generator
) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """Emotions [U] and, for each modality, features [U, D] of one conversation."""
    length = rng.integers(process.shortest, process.longest + 1)
    emotions = [_draw(rng, process.initial)]
    while len(emotions) < length:
        emotions.append(_draw(rng, process.transition[emotions[-1]]))
    emotions = np.array(emotions)
    pairs = _draw(rng, process.joint.reshape(len(process.joint), -1)[emotions])
    codes = dict(zip(process.carriers, np.unravel_index(pairs, (2, 2)), strict=True))
    features = {}
    for modality, table in process.emissions.items():
        mean = process.symbols[modality][_draw(rng, table[emotions])]
        if modality in codes:
            mean = mean + process.codes[modality][codes[modality]]
        features[modality] = mean + process.noise * rng.standard_normal(mean.shape)
    return emotions, features


def _draw(rng: np.random.Generator, distribution: np.ndarray) -> np.ndarray:
    """One index for each row of `distribution` [..., K]."""
    cumulative = distribution.cumsum(axis=-1)
    # The last sum may fall short of one by rounding, so it is not compared with.
    return (rng.random(distribution.shape[:-1])[..., None] >= cumulative[..., :-1]).sum(axis=-1)
