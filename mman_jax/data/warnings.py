"""Warnings about a corpus and its split that are usable, but probably contain a mistake."""

import numpy as np

from mman_jax.data import scaling
from mman_jax.data.corpus import Corpus, Indices
from mman_jax.data.splits import Split
from mman_jax.errors import InputError

NEARLY = 1e-4
"""Ratio of deviation to mean below which few float32 digits distinguish values."""

TINY = 1e-12
"""Deviation below which values probably differ by rounding only."""

ENORMOUS = 1e12
"""Mean or deviation above which values are probably a mistake."""

FEW = 50
"""With fewer conversations, each may consist of all utterances of one speaker."""

_NAMED = 5  # columns that a warning names

_PARTS = {"train": "training", "valid": "validation", "test": "test"}
_CONSEQUENCES = {  # for one column, and for several
    "constant": ("it is 0 after scaling", "they are 0 after scaling"),
    "nearly constant": ("scaling amplifies small differences",) * 2,
    "enormous": ("check its units", "check their units"),
}


def of_conversations(corpus: Corpus, conversations: Indices) -> list[str]:
    """Returns warnings about conversations that are single utterances, or probably speakers."""
    lengths = corpus.lengths[np.asarray(conversations)]
    if (lengths == 1).all():
        return ["every conversation is one utterance: each is predicted by itself"]
    if corpus.speakers is None or not 1 < len(lengths) < FEW or lengths.min() == 1:
        return []
    for conversation in conversations:
        if len(set(corpus.speakers[corpus.utterances(conversation)])) > 1:
            return []
    return [
        f"each of the {len(lengths)} conversations has one speaker: if conversation_id is the "
        "speaker of unrelated utterances, leave it out"
    ]


def of_split(corpus: Corpus, split: Split) -> list[str]:
    """Returns warnings about missing modalities and the training conversations.

    Raises:
        InputError: A modality is missing in all training utterances.
    """
    sentences = []
    for modality, present in corpus.present.items():
        for part, name in _PARTS.items():
            rows = corpus.is_of(getattr(split, part))
            if present[rows].any() or not rows.any():
                continue
            if part == "train":
                place = f"{corpus.source or 'corpus'}: modality {modality}"
                expected = "another split, or the other modalities alone"
                raise InputError(place, "missing in all training utterances", expected)
            sentences.append(f"modality {modality} is missing in all {name} utterances")
    sentences += of_conversations(corpus, split.train)
    if len(split.train) == 1:
        sentences.append("training has one conversation: the model may not generalise to others")
    return sentences


def of_columns(corpus: Corpus, fitted: scaling.Scaling, conversations: Indices) -> list[str]:
    """Returns warnings about feature columns that are unusual in the training conversations.

    `fitted` is the scaling of the corpus by these conversations. At most a few features are reread.
    """
    sentences = []
    for modality, array in corpus.features.items():
        mean = fitted.mean[modality].astype(np.float64)
        deviation = 1.0 / fitted.scale[modality].astype(np.float64)
        # A scale of 1 is that of a constant column, or of one whose deviation is 1.
        unsure = np.flatnonzero(fitted.scale[modality] == 1)
        constant = np.zeros(len(mean), bool)
        if len(unsure):
            present = corpus.present.get(modality)
            moments = scaling.moments(array, corpus.offsets, conversations, present, unsure)
            constant[unsure] = scaling.is_constant(*moments)
        nearly = ~constant & ((deviation < NEARLY * np.abs(mean)) | (deviation < TINY))
        enormous = (np.abs(mean) >= ENORMOUS) | (deviation >= ENORMOUS)
        kinds = {"constant": constant, "nearly constant": nearly, "enormous": enormous}
        for kind, unusual in kinds.items():
            if unusual.any():
                sentences.append(f"modality {modality}: {_describe(kind, unusual)}")
    return sentences


def _describe(kind: str, unusual: np.ndarray) -> str:
    """Describes the columns [D] bool of a kind, and the consequence."""
    columns = np.flatnonzero(unusual)
    plural = len(columns) > 1
    counted = f"{len(columns)} of {len(unusual)} feature columns {'are' if plural else 'is'}"
    first = ", ".join(map(str, columns[:_NAMED])) + ", ..." * (len(columns) > _NAMED)
    place = f"column{'s' * plural} {first}"
    return f"{counted} {kind} in training ({place}): {_CONSEQUENCES[kind][plural]}"
