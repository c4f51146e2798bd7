"""The best accuracy on the synthetic corpus of words, exactly, and the best without one kind.

Noise is bounded: features tell with certainty which word each is, which speech has the event, which
way pictures move. The kinds of evidence are independent given the answer, and all else in an
utterance is independent of it. So the posterior given everything is a product with one factor a
kind, and the posterior given all but one kind is the product of the others.

N utterances, axis letters as in `mman_jax.data.synthetic.words`.
"""

from collections.abc import Collection

import numpy as np

from mman_jax.data.corpus import Corpus
from mman_jax.data.sequences import Sequence
from mman_jax.data.synthetic.ceiling import expected
from mman_jax.data.synthetic.words import ALIGNMENT, HINTS, KINDS, ORDER, SHIFT, VOCABULARY, vectors
from mman_jax.data.synthetic.words import WordProcess as Process

_HALF = 0.5  # of a vector of length one: noise is shorter


def posterior(process: Process, corpus: Corpus, without: Collection[str] = ()) -> np.ndarray:
    """P(answer of an utterance | all its cells and their times), exactly.

    Args:
        process: what the corpus was drawn from.
        corpus: sequences as they were drawn, not scaled. A modality that the corpus lacks is
            unseen, and so is what can only be told with it.
        without: kinds of evidence, of `KINDS`, that are not looked at. Without all of them what is
            left is plain evidence, and nothing that is computed from means over the cells of each
            modality can be more accurate.

    Returns:
        [N, 2] float64, rows sum to one.

    Raises:
        ValueError: if a kind is none of these.
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


def ceiling(
    process: Process, corpus: Corpus, conversations: np.ndarray, without: Collection[str] = ()
) -> float:
    """The best accuracy to be expected, given their cells, of any system on conversations.

    The labels themselves are not looked at: a system may beat it on a finite test set, by luck.

    Args:
        process: what the corpus was drawn from.
        corpus: as for `posterior`.
        conversations: which of the corpus's conversations: indices, or bool [V].
        without: as for `posterior`.

    Returns:
        A share, from 0 to 1.

    Raises:
        ValueError: as `posterior`.
    """
    return expected(posterior(process, corpus, without), corpus, conversations)


def bounds(corpus: Corpus, conversations: np.ndarray) -> dict[str, float]:
    """What the corpus of `words_corpus`, or some of its modalities, allows on conversations.

    The `ceiling` of all systems, that without each kind of evidence, and that of means over cells.
    A late fusion of what single modalities predict has no alignment and no shift.
    """
    process, joint = Process(), ("alignment", "shift")
    return {
        "ceiling": ceiling(process, corpus, conversations),
        "ceiling_late_fusion": ceiling(process, corpus, conversations, joint),
        "ceiling_means": ceiling(process, corpus, conversations, KINDS),
    } | {f"ceiling_without_{k}": ceiling(process, corpus, conversations, (k,)) for k in KINDS}


def posteriors(corpus: Corpus) -> tuple[np.ndarray, dict[str, np.ndarray], dict[str, str]]:
    """The posterior [N, 2] given all, those that each lack one kind of evidence, and what it is."""
    process, about = (
        Process(),
        {
            "order": "which of two words comes first",
            "alignment": "on which word the event in speech falls",
            "shift": "how the pictures inside a word move",
        },
    )
    whole = posterior(process, corpus)
    return whole, {kind: posterior(process, corpus, (kind,)) for kind in about}, about


def decode(corpus: Corpus) -> dict[str, np.ndarray]:
    """What each kind of evidence that the corpus's modalities hold says, [N] bool: positive?

    Those of `KINDS`, and the plain evidence of a modality by the modality's name.
    """
    known, found = vectors(), {}
    for modality, levels in known.levels.items():
        if modality in corpus.sequences:
            sequence = corpus.sequences[modality]
            first = sequence.values[sequence.offsets[:-1]]
            found[modality] = first @ (levels[1] - levels[0]) > 0
    if "text" not in corpus.sequences:
        return found
    text = corpus.sequences["text"]
    words = (text.values @ known.words.T).argmax(axis=1)

    def cell(*wanted: str) -> np.ndarray:
        """[N]: where in text the one word is that is among these."""
        return np.flatnonzero(np.isin(words, [VOCABULARY.index(word) for word in wanted]))

    found["text"] = words[cell(*HINTS)] == VOCABULARY.index(HINTS[1])
    found["order"] = cell(ORDER[0]) < cell(ORDER[1])
    if "speech" in corpus.sequences:
        speech = corpus.sequences["speech"]
        heard = (speech.values @ known.event > _HALF) & _inside(speech, text, cell(ALIGNMENT[0]))
        found["alignment"] = np.add.reduceat(heard, speech.offsets[:-1]) > 0
    if "visual" in corpus.sequences:
        visual = corpus.sequences["visual"]
        along, inside = visual.values @ known.movement, _inside(visual, text, cell(SHIFT))
        # As many frames are above rest as below: those that come later have the greater places.
        place = np.arange(len(along)) * inside
        later = place * (along > _HALF) - place * (along < -_HALF)
        found["shift"] = np.add.reduceat(later, visual.offsets[:-1]) > 0
    return found


def _inside(frames: Sequence, words: Sequence, cells: np.ndarray) -> np.ndarray:
    """[T] bool: which frames are inside the word of their utterance that `cells` [N] names."""
    start, end = words.intervals[cells][frames.owners].T
    middle = frames.intervals.mean(axis=1)
    return (start <= middle) & (middle < end)
