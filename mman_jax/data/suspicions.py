"""What training can do with, but is likely a mistake: sentences for people, before it starts."""

from collections.abc import Sequence

import numpy as np

from mman_jax.data.corpus import Corpus
from mman_jax.data.protocols import Task
from mman_jax.data.splits import Split
from mman_jax.errors import InputError

_WORDS = {"train": "training", "valid": "validation", "test": "test"}


def of_tasks(corpus: Corpus, split: Split, tasks: Sequence[Task]) -> list[str]:
    """What looks wrong with the labels and the modalities of each part.

    Args:
        corpus: N utterances.
        split: its three parts.
        tasks: what is learnt.

    Returns:
        Sentences: a class that is scored and not trained on, a part whose utterances are of one
        class, a modality that test lacks, training on a single conversation.

    Raises:
        InputError: training utterances of one class, or a target that is constant or missing in
            them, or none of them with some modality.

    Examples:
        >>> corpus = Corpus(
        ...     features={"speech": np.eye(4, dtype=np.float32)},
        ...     labels=np.array([0, 1, 0, 1], np.int32),
        ...     label_names=("calm", "angry"),
        ...     lengths=np.array([2, 1, 1], np.int32),
        ...     conversation_ids=("a", "b", "c"),
        ...     utterance_ids=("1", "2", "1", "1"),
        ... )
        >>> split = Split(np.array([0]), np.array([1]), np.array([2]), "by hand")
        >>> task = Task("auto", ("calm", "angry"), np.array([0, 1], np.int32))
        >>> for sentence in of_tasks(corpus, split, [task]):
        ...     print(sentence)
        training is one conversation: what is learnt may be true of it alone
        task auto: every labelled utterance in validation is calm: its scores say little
        task auto: every labelled utterance in test is angry: its scores say little
    """
    inside = {
        part: corpus.is_of(chosen)
        for part, chosen in (("train", split.train), ("valid", split.valid), ("test", split.test))
    }
    sentences = _modalities(corpus, inside)
    if len(split.train) == 1:
        sentences.append("training is one conversation: what is learnt may be true of it alone")
    for task in tasks:
        sentences += task.check_split(corpus, split)
    return sentences


def _modalities(corpus: Corpus, inside: dict[str, np.ndarray]) -> list[str]:
    sentences = []
    for modality, present in corpus.present.items():
        for part, rows in inside.items():
            if present[rows].any() or not rows.any():
                continue
            if part == "train":
                place = f"{corpus.source or 'corpus'}: modality {modality}"
                expected = "another split, or the other modalities alone"
                raise InputError(place, "missing in all training utterances", expected)
            sentences.append(f"modality {modality} is missing in all {_WORDS[part]} utterances")
    return sentences
