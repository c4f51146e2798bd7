"""A corpus of words from a known process, with evidence only inside utterances.

Every utterance is a row of words without gaps, with several frames of speech and of pictures
inside each word. It is positive or negative with equal probability, independently of others. Four
kinds of evidence indicate the answer, each independent of the others given the answer:

- *plain*: a word in text ("good", "bad"), and a level of all frames of speech and of pictures. The
  means over cells contain all of it.
- *order*: the order of two words that every utterance contains ("up ... down" is positive). Text
  alone determines it; means do not.
- *alignment*: speech contains one event, on one of two other words that every utterance contains:
  "mine" (positive) or "yours". A single modality is uninformative.
- *shift*: the pictures inside one word, "fine", contain a movement that rises (positive) or falls.
  The opposite movement is inside another word, so that pictures alone are uninformative. The mean
  of a movement over a word's frames is zero, so that a system that reads one mean per word cannot
  detect it.

The vectors of the features are known and orthonormal and their noise is bounded, so that features
determine each word, the frames of the event and the direction of movements with certainty. The
kinds of evidence are independent given the answer, and everything else in an utterance is
independent of it. The posterior is therefore a product with one factor per kind of evidence.

N utterances, T cells of a modality, D features.
"""

import dataclasses
import functools
from collections.abc import Collection

import numpy as np

from mman_jax.data.corpus import Corpus
from mman_jax.data.sequences import Sequence
from mman_jax.data.synthetic.process import expected, orthonormal, streams

ANSWERS = ("negative", "positive")
KINDS = ("order", "alignment", "shift")

ORDER = ("up", "down")
ALIGNMENT = ("mine", "yours")
SHIFT = "fine"
HINTS = ("bad", "good")
FILLERS = ("well", "then", "so", "there", "we", "go", "and", "now")
VOCABULARY = (*ORDER, *ALIGNMENT, SHIFT, *HINTS, *FILLERS)

RATES = {"speech": 50.0, "visual": 25.0}
"""Frames per second."""

_SPECIAL = len(ORDER) + len(ALIGNMENT) + 2  # words of each utterance other than fillers
_EVENT, _MOVEMENT = 4, 4  # their duration in frames
_UNIT = 2  # frames of speech for each frame of pictures
_HALF = 0.5  # half the length of a vector, which exceeds the noise

# The test set must be long enough that its sampling error (about 0.7 points) is small compared with
# the effect of a kind of evidence, at least five points.
DEFAULT_CONVERSATIONS = (120, 30, 60)


@dataclasses.dataclass(frozen=True)
class WordProcess:
    """Reliabilities of the kinds of evidence, and lengths of words and utterances.

    A kind that agrees with the answer in half of the utterances is uninformative.

    Attributes:
        order: Probability that the order of two words agrees with the answer.
        alignment: Probability that the word on which the event falls agrees.
        shift: Probability that the movement inside the word agrees.
        plain: Probability that the word, the level of speech and the level of pictures agree,
            independently of one another.
        noise: Maximum distance of a feature vector from its noiseless value; below 0.5, so that
            the nearest value is always the correct one.
        shortest, longest: Bounds of the number of words of an utterance, both included.
        briefest, slowest: Bounds of the number of a word's frames of pictures, both included.
        utterances: Utterances of a conversation.
    """

    order: float = 0.85
    alignment: float = 0.85
    shift: float = 0.85
    plain: float = 0.6
    noise: float = 0.4
    shortest: int = 8
    longest: int = 12
    briefest: int = 4
    slowest: int = 8
    utterances: int = 20


@dataclasses.dataclass(frozen=True, eq=False)
class Vectors:
    """Noiseless feature vectors; the rows of each modality are orthonormal.

    Attributes:
        words: [vocabulary, D] float64.
        levels: [2, D] float64 for speech and pictures: a negative hint, a positive one.
        event: [D] float64, added to the frames of speech with the event.
        movement: [D] float64, added to frames of pictures above rest, subtracted below.
    """

    words: np.ndarray
    levels: dict[str, np.ndarray]
    event: np.ndarray
    movement: np.ndarray


@functools.cache
def vectors() -> Vectors:
    """Returns the vectors of every process."""
    speech, visual = orthonormal(3, 10), orthonormal(3, 12)
    words = orthonormal(len(VOCABULARY), 16)
    return Vectors(words, {"speech": speech[:2], "visual": visual[:2]}, speech[2], visual[2])


@dataclasses.dataclass(frozen=True, eq=False)
class Utterance:
    """One sampled utterance.

    Attributes:
        answer: Index into `ANSWERS`.
        words: [W] indices into `VOCABULARY`.
        units: [W] frames of pictures of each word.
        hints: By modality 0 or 1, the direction of its plain evidence.
        event: First frame of speech of the event.
        rising, falling: First frames of pictures of the two movements.
    """

    answer: int
    words: np.ndarray
    units: np.ndarray
    hints: dict[str, int]
    event: int
    rising: int
    falling: int


def words_corpus() -> Corpus:
    """Returns the default corpus of runs over words: default sizes, seed 0."""
    return generate(WordProcess())


def generate(
    process: WordProcess,
    conversations: tuple[int, int, int] = DEFAULT_CONVERSATIONS,
    seed: int = 0,
) -> Corpus:
    """Samples a corpus with these numbers of training, validation and test conversations.

    Each conversation has a separate stream of random numbers, so that the number of test
    conversations does not affect training conversations. Utterances are independent.
    """
    ids, split, utterances = [], [], []
    cells: dict[str, list[np.ndarray]] = {name: [] for name in ("text", *RATES)}
    intervals: dict[str, list[np.ndarray]] = {name: [] for name in cells}
    for name, part, rng in streams(conversations, seed):
        sampled = [draw(process, rng) for _ in range(process.utterances)]
        for utterance in sampled:
            for modality, x in measure(process, utterance, rng).items():
                cells[modality].append(x)
            for modality, x in times(utterance).items():
                intervals[modality].append(x)
        ids.append(name)
        split.append(part)
        utterances += sampled
    spoken = tuple(VOCABULARY[word] for utterance in utterances for word in utterance.words)
    return Corpus(
        features={},
        labels=np.array([utterance.answer for utterance in utterances], np.int32),
        label_names=ANSWERS,
        lengths=np.full(len(ids), process.utterances, np.int32),
        conversation_ids=tuple(ids),
        utterance_ids=tuple(f"{v}_{u + 1}" for v in ids for u in range(process.utterances)),
        split=tuple(split),
        sequences={
            modality: Sequence(
                values=np.concatenate(arrays),
                lengths=np.array([len(x) for x in arrays], np.int32),
                intervals=np.concatenate(intervals[modality]),
                names=spoken if modality == "text" else None,
            )
            for modality, arrays in cells.items()
        },
        source="synthetic words",
    )


def draw(process: WordProcess, rng: np.random.Generator) -> Utterance:
    """Samples an utterance."""
    answer = int(rng.integers(2))

    def says(truth: float) -> int:
        return answer if rng.random() < truth else 1 - answer

    count = int(rng.integers(process.shortest, process.longest + 1))
    units = rng.integers(process.briefest, process.slowest + 1, count)
    starts = np.cumsum(units) - units
    first, second, mine, yours, shifted, hint = rng.permutation(count)[:_SPECIAL]
    if (first < second) != says(process.order):
        first, second = second, first
    hints = {name: says(process.plain) for name in ("text", *RATES)}
    words = len(VOCABULARY) - len(FILLERS) + rng.integers(len(FILLERS), size=count)
    words[[first, second]] = [VOCABULARY.index(word) for word in ORDER]
    words[[mine, yours]] = [VOCABULARY.index(word) for word in ALIGNMENT]
    words[shifted], words[hint] = (VOCABULARY.index(w) for w in (SHIFT, HINTS[hints["text"]]))

    def inside(word: int, frames: int, unit: int) -> int:
        return int(unit * starts[word] + rng.integers(unit * units[word] - frames + 1))

    event = inside(mine if says(process.alignment) else yours, _EVENT, _UNIT)
    other = (shifted + rng.integers(1, count)) % count
    moves = [inside(word, _MOVEMENT, 1) for word in (shifted, other)]
    rising, falling = moves if says(process.shift) else moves[::-1]
    return Utterance(answer, words, units, hints, event, rising, falling)


def measure(
    process: WordProcess, utterance: Utterance, rng: np.random.Generator
) -> dict[str, np.ndarray]:
    """Samples an utterance's cells [T, D] float32 by modality, with noise."""
    known, count = vectors(), int(utterance.units.sum())
    speech = np.repeat(known.levels["speech"][[utterance.hints["speech"]]], _UNIT * count, axis=0)
    speech[utterance.event : utterance.event + _EVENT] += known.event
    visual = np.repeat(known.levels["visual"][[utterance.hints["visual"]]], count, axis=0)
    for start, way in ((utterance.rising, 1), (utterance.falling, -1)):
        below, above = np.split(visual[start : start + _MOVEMENT], 2)
        below -= way * known.movement
        above += way * known.movement
    clean = {"text": known.words[utterance.words], "speech": speech, "visual": visual}
    return {name: _with_noise(x, process.noise, rng) for name, x in clean.items()}


def times(utterance: Utterance) -> dict[str, np.ndarray]:
    """Returns start and end of an utterance's cells [T, 2] float64 by modality, in seconds."""
    count = utterance.units.sum()
    edges = {"text": np.concatenate([[0.0], np.cumsum(utterance.units) / RATES["visual"]])}
    edges["speech"] = np.arange(_UNIT * count + 1) / RATES["speech"]
    edges["visual"] = np.arange(count + 1) / RATES["visual"]
    return {name: np.stack([x[:-1], x[1:]], axis=1) for name, x in edges.items()}


def _with_noise(x: np.ndarray, noise: float, rng: np.random.Generator) -> np.ndarray:
    """Adds noise of any direction, shorter than `noise`, to [T, D]."""
    way = rng.standard_normal(x.shape)
    way /= np.linalg.norm(way, axis=1, keepdims=True)
    return (x + noise * rng.uniform(size=(len(x), 1)) * way).astype(np.float32)


def posterior(process: WordProcess, corpus: Corpus, without: Collection[str] = ()) -> np.ndarray:
    """Computes P(answer of an utterance | all its cells and their times) [N, 2].

    Args:
        process: Process that the corpus was sampled from.
        corpus: Unscaled sequences as sampled. Evidence that needs a missing modality is ignored.
        without: Kinds of evidence in `KINDS` that are ignored. Without all of them, plain evidence
            remains, which bounds everything that is computed from means over cells.
    """
    for kind in without:
        if kind not in KINDS:
            raise ValueError(f"evidence {kind!r} is none of {', '.join(KINDS)}")
    likelihood = np.ones((len(corpus.labels), 2))
    for kind, says in decode(corpus).items():
        if kind not in without:
            truth = getattr(process, kind) if kind in KINDS else process.plain
            likelihood *= np.where(says[:, None] == [False, True], truth, 1 - truth)
    return likelihood / likelihood.sum(axis=1, keepdims=True)


def bounds(corpus: Corpus, conversations: np.ndarray) -> dict[str, float]:
    """Returns the `ceiling`, those without single kinds of evidence, and that of means.

    A late fusion of the predictions of single modalities detects neither alignment nor shift.
    """
    without = {"": (), "_late_fusion": ("alignment", "shift"), "_means": KINDS}
    without |= {f"_without_{kind}": (kind,) for kind in KINDS}
    return {
        f"ceiling{name}": expected(posterior(WordProcess(), corpus, kinds), corpus, conversations)
        for name, kinds in without.items()
    }


def posteriors(corpus: Corpus) -> tuple[np.ndarray, dict[str, np.ndarray], dict[str, str]]:
    """Returns posteriors of `words_corpus`, see `mman_jax.data.synthetic.posteriors`."""
    process = WordProcess()
    about = {
        "order": "which of two words comes first",
        "alignment": "on which word the event in speech falls",
        "shift": "how the pictures inside a word move",
    }
    lacking = {kind: posterior(process, corpus, (kind,)) for kind in about}
    return posterior(process, corpus), lacking, about


def decode(corpus: Corpus) -> dict[str, np.ndarray]:
    """Decodes each kind of evidence in the corpus's modalities: [N] bool, whether it is positive.

    The keys are `KINDS`, and the name of a modality for its plain evidence.
    """
    known, says = vectors(), {}
    for modality, levels in known.levels.items():
        if modality in corpus.sequences:
            sequence = corpus.sequences[modality]
            first = sequence.values[sequence.offsets[:-1]]
            says[modality] = first @ (levels[1] - levels[0]) > 0
    if "text" not in corpus.sequences:
        return says
    text = corpus.sequences["text"]
    words = (text.values @ known.words.T).argmax(axis=1)

    def cell(*wanted: str) -> np.ndarray:
        """Returns the cells [N] in text of the only word of each utterance that is among these."""
        return np.flatnonzero(np.isin(words, [VOCABULARY.index(word) for word in wanted]))

    says["text"] = words[cell(*HINTS)] == VOCABULARY.index(HINTS[1])
    says["order"] = cell(ORDER[0]) < cell(ORDER[1])
    if "speech" in corpus.sequences:
        speech = corpus.sequences["speech"]
        heard = (speech.values @ known.event > _HALF) & _inside(speech, text, cell(ALIGNMENT[0]))
        says["alignment"] = np.add.reduceat(heard, speech.offsets[:-1]) > 0
    if "visual" in corpus.sequences:
        visual = corpus.sequences["visual"]
        along, inside = visual.values @ known.movement, _inside(visual, text, cell(SHIFT))
        # Equal numbers of frames are above and below rest; later ones have larger positions.
        position = np.arange(len(along)) * inside
        later = position * (along > _HALF) - position * (along < -_HALF)
        says["shift"] = np.add.reduceat(later, visual.offsets[:-1]) > 0
    return says


def _inside(frames: Sequence, words: Sequence, cells: np.ndarray) -> np.ndarray:
    """Returns whether each frame is inside the word `cells` [N] of its utterance, [T] bool."""
    assert frames.intervals is not None
    assert words.intervals is not None
    start, end = words.intervals[cells][frames.owners].T
    middle = frames.intervals.mean(axis=1)
    return (start <= middle) & (middle < end)
