"""A corpus of words from a known process: what a system must see inside an utterance, and no other.

Every utterance is a row of words without a gap, and while they are said there are frames of speech
and of pictures, several inside each word. It is positive or negative, a fair coin of its own, and
four kinds of evidence tell which, each independent of the others given the answer:

- *plain*: a word in text ("good", "bad"), a level of all its frames in speech and in pictures. All
  of it is in means over cells.
- *order*: of two words that every utterance holds, which comes first ("up ... down" is positive).
  Text alone tells it, no mean does.
- *alignment*: speech holds one event, somewhere. Of two other words that every utterance holds, it
  falls on "mine" (positive) or on "yours". Each of the modalities alone has it as a fair coin.
- *shift*: one word, "fine", means what the pictures inside it make of it: a movement that rises
  (positive) or falls. The contrary movement is inside another word, so that pictures alone are a
  fair coin; and a movement is as far below rest as above, so that its mean over a word's frames is
  that of none. Whoever sees one mean for each word is blind to it.

The vectors of the features are known and orthonormal and their noise is bounded, so that features
tell all of this with certainty: the best accuracy has a closed form (`word_ceiling`).

N utterances, T cells of a modality, D features.
"""

import dataclasses
import functools

import numpy as np

from mman_jax.data.corpus import Corpus
from mman_jax.data.sequences import Sequence
from mman_jax.data.synthetic.process import SPLITS, orthonormal

ANSWERS = ("negative", "positive")
KINDS = ("order", "alignment", "shift")

ORDER = ("up", "down")
ALIGNMENT = ("mine", "yours")
SHIFT = "fine"
HINTS = ("bad", "good")
FILLERS = ("well", "then", "so", "there", "we", "go", "and", "now")
VOCABULARY = (*ORDER, *ALIGNMENT, SHIFT, *HINTS, *FILLERS)

RATES = {"speech": 50.0, "visual": 25.0}
"""Frames a second."""

_SPECIAL = len(ORDER) + len(ALIGNMENT) + 2  # words of each utterance that are no fillers
_EVENT, _MOVEMENT = 4, 4  # frames that they last
_UNIT = 2  # frames of speech while there is one of pictures

# The test set must be long enough that its sampling error (about 0.7 points) is small beside the
# five points and more that a kind of evidence is worth.
DEFAULT_CONVERSATIONS = (120, 30, 60)


@dataclasses.dataclass(frozen=True)
class WordProcess:
    """How often each kind of evidence tells the truth, and how long things are.

    A kind that tells it in half of the utterances is no evidence.

    Attributes:
        order: how often the order of two words agrees with the answer.
        alignment: how often the word on which the event falls does.
        shift: how often the movement inside the word does.
        plain: how often the word, the level of speech and that of pictures do, each by itself.
        noise: the longest distance of a feature vector from what it stands for: below a half, so
            that what is nearest is always what it stands for.
        shortest, longest: bounds of an utterance's words, both included.
        briefest, slowest: bounds of a word's frames of pictures, both included.
        utterances: of a conversation.
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
    """What features stand for; the rows of each modality are orthonormal.

    Attributes:
        words: [vocabulary, D] float64.
        levels: [2, D] float64 of speech and of pictures: a negative hint, a positive one.
        event: [D] float64, added to the frames of speech of the event.
        movement: [D] float64, added to frames of pictures above rest, taken from those below.
    """

    words: np.ndarray
    levels: dict[str, np.ndarray]
    event: np.ndarray
    movement: np.ndarray


@functools.cache
def vectors() -> Vectors:
    """The same for every process."""
    speech, visual = orthonormal(3, 10), orthonormal(3, 12)
    words = orthonormal(len(VOCABULARY), 16)
    return Vectors(words, {"speech": speech[:2], "visual": visual[:2]}, speech[2], visual[2])


@dataclasses.dataclass(frozen=True, eq=False)
class Utterance:
    """One utterance as it was drawn.

    Attributes:
        answer: of `ANSWERS`.
        words: [W] indices into `VOCABULARY`.
        units: [W] frames of pictures while each is said.
        hints: by modality 0 or 1, what its plain evidence says.
        event: the frame of speech with which the event begins.
        rising, falling: the frames of pictures with which the two movements begin.
    """

    answer: int
    words: np.ndarray
    units: np.ndarray
    hints: dict[str, int]
    event: int
    rising: int
    falling: int


def words_corpus() -> Corpus:
    """The corpus of a run over words that is given no path: the default sizes, seed 0."""
    return generate(WordProcess())


def generate(
    process: WordProcess,
    conversations: tuple[int, int, int] = DEFAULT_CONVERSATIONS,
    seed: int = 0,
) -> Corpus:
    """Draw a corpus with so many conversations to train on, to validate on and to test on.

    Each conversation has a stream of random numbers of its own, so that asking for more test
    conversations changes no training conversation. Utterances tell nothing about each other.
    """
    ids, split, drawn = [], [], []
    cells, intervals = ({name: [] for name in ("text", *RATES)} for _ in range(2))
    for part, (name, count) in enumerate(zip(SPLITS, conversations, strict=True)):
        for number in range(count):
            stream = np.random.SeedSequence(seed, spawn_key=(part, number))
            rng = np.random.default_rng(stream)
            own = [draw(process, rng) for _ in range(process.utterances)]
            for utterance in own:
                for modality, x in measure(process, utterance, rng).items():
                    cells[modality].append(x)
                for modality, x in times(utterance).items():
                    intervals[modality].append(x)
            ids.append(f"{name}_{number:04d}")
            split.append(name)
            drawn += own
    said = tuple(VOCABULARY[word] for utterance in drawn for word in utterance.words)
    return Corpus(
        features={},
        labels=np.array([utterance.answer for utterance in drawn], np.int32),
        label_names=ANSWERS,
        lengths=np.full(len(ids), process.utterances, np.int32),
        conversation_ids=tuple(ids),
        utterance_ids=tuple(f"{v}_{u + 1}" for v in ids for u in range(process.utterances)),
        split=tuple(split),
        sequences={
            modality: Sequence(
                values=np.concatenate(several),
                lengths=np.array([len(x) for x in several], np.int32),
                intervals=np.concatenate(intervals[modality]),
                names=said if modality == "text" else None,
            )
            for modality, several in cells.items()
        },
        source="synthetic words",
    )


def draw(process: WordProcess, rng: np.random.Generator) -> Utterance:
    """One utterance."""
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
    process: WordProcess, drawn: Utterance, rng: np.random.Generator
) -> dict[str, np.ndarray]:
    """An utterance's cells [T, D] float32 by modality, with noise."""
    known, count = vectors(), int(drawn.units.sum())
    speech = np.repeat(known.levels["speech"][[drawn.hints["speech"]]], _UNIT * count, axis=0)
    speech[drawn.event : drawn.event + _EVENT] += known.event
    visual = np.repeat(known.levels["visual"][[drawn.hints["visual"]]], count, axis=0)
    for start, way in ((drawn.rising, 1), (drawn.falling, -1)):
        below, above = np.split(visual[start : start + _MOVEMENT], 2)
        below -= way * known.movement
        above += way * known.movement
    clean = {"text": known.words[drawn.words], "speech": speech, "visual": visual}
    return {name: _blurred(x, process.noise, rng) for name, x in clean.items()}


def times(drawn: Utterance) -> dict[str, np.ndarray]:
    """Start and end of an utterance's cells [T, 2] float64 by modality, in seconds."""
    ends = np.cumsum(drawn.units) / RATES["visual"]
    found = {"text": np.stack([np.concatenate([[0.0], ends[:-1]]), ends], axis=1)}
    for name, unit in (("speech", _UNIT), ("visual", 1)):
        edges = np.arange(unit * drawn.units.sum() + 1) / RATES[name]
        found[name] = np.stack([edges[:-1], edges[1:]], axis=1)
    return found


def _blurred(x: np.ndarray, noise: float, rng: np.random.Generator) -> np.ndarray:
    """[T, D] with noise, of any direction, that is shorter than `noise`."""
    way = rng.standard_normal(x.shape)
    way /= np.linalg.norm(way, axis=1, keepdims=True)
    return (x + noise * rng.uniform(size=(len(x), 1)) * way).astype(np.float32)
