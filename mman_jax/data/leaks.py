"""The same conversation in two parts of a split: what was trained on would be scored."""

import hashlib
import itertools
from collections.abc import Mapping

import numpy as np

from mman_jax.data.corpus import Corpus
from mman_jax.data.validation import row_chunks
from mman_jax.errors import InputError


def check(corpus: Corpus, parts: Mapping[str, np.ndarray]) -> None:
    """Refuses two conversations in different parts whose features are the same, to the bit.

    Most are told apart by their length, their first and their last utterance; the others are read
    once more, a digest each, in bounded memory. Conversations of zeros alone hold nothing and are
    passed over; one that was cut or rounded otherwise is not found.

    Args:
        corpus: features [N, D] a modality.
        parts: conversation indices [conversations in it] int64 by part, disjoint.

    Raises:
        InputError: naming both conversations and their parts.
    """
    bounds = corpus.offsets.tolist()
    spans = [slice(start, stop) for start, stop in itertools.pairwise(bounds)]
    alike: dict[bytes, list[tuple[int, str]]] = {}
    for part, conversations in parts.items():
        for conversation in np.asarray(conversations).tolist():
            alike.setdefault(_outline(corpus, spans[conversation]), []).append((conversation, part))
    for group in alike.values():
        if len({part for _, part in group}) < 2:
            continue
        seen: dict[bytes, tuple[int, str]] = {}
        for conversation, part in group:
            digest = _digest(corpus, spans[conversation])
            first, first_part = seen.setdefault(digest, (conversation, part))
            if digest and first_part != part:
                names = corpus.conversation_ids
                place = f"{corpus.source or 'corpus'}: conversation {names[conversation]} ({part})"
                found = f"the same features as conversation {names[first]} ({first_part})"
                raise InputError(place, found, "each conversation in one part of the split")


def _outline(corpus: Corpus, span: slice) -> bytes:
    digest = hashlib.blake2b(str(span.stop - span.start).encode(), digest_size=16)
    for array in corpus.features.values():
        digest.update(np.ascontiguousarray(array[[span.start, span.stop - 1]]))
    return digest.digest()


def _digest(corpus: Corpus, span: slice) -> bytes:
    """Of all features of a conversation; empty where all are zero."""
    digest, anything = hashlib.blake2b(digest_size=16), False
    for array in corpus.features.values():
        for rows in row_chunks(array, span.start, span.stop):
            values = np.ascontiguousarray(array[rows])
            anything = anything or bool(values.any())
            digest.update(values)
    return digest.digest() if anything else b""
