"""What stands in two parts of a split: what was trained on would be scored."""

import hashlib
import itertools
from collections.abc import Mapping

import numpy as np

from mman_jax.data.corpus import Corpus
from mman_jax.data.validation import row_chunks
from mman_jax.errors import InputError

LONG = 8
"""So many different utterances, one after the other, are no accident."""

SHARE = 0.05
"""Copies of more than this share of a part's conversations are no accident, however short."""

_COARSE = 0.02  # rounding that changes a row by more than this share of its norm says nothing
_LARGEST_HALF = float(np.finfo(np.float16).max)


Keys = Mapping[str, np.ndarray]
"""Digests [2, N] uint64 of each modality's utterances, in two roundings."""


def check(
    corpus: Corpus, parts: Mapping[str, np.ndarray], keys: Keys | None = None
) -> tuple[str, ...]:
    """Looks for conversations and utterances that stand in two parts.

    Conversations with the same features, to the bit, are refused where that can be no accident: a
    conversation of `LONG` different utterances, or more than `SHARE` of a part. Fewer and shorter
    ones are told: two real dialogues may have the same few words. Test utterances that training or
    validation holds, too, are told with their share of the test part: to the bit, rounded to
    float16 or to three decimals, or equal in all modalities but one. Zeros alone hold nothing and
    are passed over. Features are read in chunks; a digest of each utterance is kept.

    Conversations are compared with their sequences, utterances by features alone.

    Args:
        corpus: features [N, D] a modality.
        parts: conversation indices [conversations in it] int64 by part, disjoint.
        keys: what `keys` gives of the corpus, where several splits of it are looked at.

    Returns:
        Sentences for people, one for each finding.

    Raises:
        InputError: naming two conversations and their parts.
    """
    return (*_conversations(corpus, parts), *_utterances(corpus, parts, keys))


def keys(corpus: Corpus) -> Keys:
    """The digests of all utterances by modality; they take nearly all the time of a check."""
    return {
        modality: _row_keys(array, corpus.present.get(modality))
        for modality, array in corpus.features.items()
    }


def _conversations(corpus: Corpus, parts: Mapping[str, np.ndarray]) -> list[str]:
    pairs = _copies(corpus, parts)
    if not pairs:
        return []
    names, bounds = corpus.conversation_ids, corpus.offsets
    copied: dict[str, set[int]] = {part: set() for part in parts}
    for pair in pairs:
        for conversation, part in pair:
            copied[part].add(conversation)
    many = any(len(copied[part]) > SHARE * len(members) for part, members in parts.items())
    for (first, first_part), (second, part) in pairs:
        if many or _different(corpus, slice(*bounds[second : second + 2].tolist())) >= LONG:
            place = f"{corpus.source or 'corpus'}: conversation {names[second]} ({part})"
            found = f"the same features as conversation {names[first]} ({first_part})"
            raise InputError(place, found, "each conversation in one part of the split")
    (first, first_part), (second, part) = pairs[0]
    count = len({second for _, (second, _) in pairs})
    return [
        f"{count} short conversation{'s' * (count > 1)} with the same features as one in another "
        f"part of the split (first {names[second]} in {part}, as {names[first]} in {first_part})"
    ]


def _copies(
    corpus: Corpus, parts: Mapping[str, np.ndarray]
) -> list[tuple[tuple[int, str], tuple[int, str]]]:
    """Pairs of (conversation, part) of equal features in different parts."""
    # Most are told apart by their length, their first and their last utterance.
    bounds = corpus.offsets.tolist()
    spans = [slice(start, stop) for start, stop in itertools.pairwise(bounds)]
    alike: dict[bytes, list[tuple[int, str]]] = {}
    for part, conversations in parts.items():
        for conversation in np.asarray(conversations).tolist():
            alike.setdefault(_outline(corpus, spans[conversation]), []).append((conversation, part))
    pairs = []
    for group in alike.values():
        if len({part for _, part in group}) < 2:
            continue
        seen: dict[bytes, tuple[int, str]] = {}
        for conversation, part in group:
            digest = _digest(corpus, spans[conversation])
            first = seen.setdefault(digest, (conversation, part))
            if digest and first[1] != part:
                pairs.append((first, (conversation, part)))
    return pairs


def _different(corpus: Corpus, span: slice) -> int:
    """How many different utterances a conversation has, `LONG` at most."""
    seen: set[bytes] = set()
    for row in range(span.start, span.stop):
        seen.add(_outline(corpus, slice(row, row + 1)))
        if len(seen) == LONG:
            break
    return len(seen)


def _outline(corpus: Corpus, span: slice) -> bytes:
    digest = hashlib.blake2b(str(span.stop - span.start).encode(), digest_size=16)
    for name in corpus.features:
        digest.update(_looked_at(corpus, name, [span.start, span.stop - 1]))
    return digest.digest()


def _digest(corpus: Corpus, span: slice) -> bytes:
    """Of all features of a conversation; empty where all are zero."""
    digest, anything = hashlib.blake2b(digest_size=16), False
    for name, array in corpus.features.items():
        for rows in row_chunks(array, span.start, span.stop):
            values = _looked_at(corpus, name, rows)
            anything = anything or bool(values.any())
            digest.update(values)
    for sequence in corpus.sequences.values():
        start, stop = (int(sequence.offsets[end]) for end in (span.start, span.stop))
        digest.update(np.ascontiguousarray(sequence.lengths[span]))
        for rows in row_chunks(sequence.values, start, stop):
            digest.update(np.ascontiguousarray(sequence.values[rows]))
    return digest.digest() if anything else b""


def _looked_at(corpus: Corpus, name: str, rows: slice | list[int]) -> np.ndarray:
    """Some rows of a modality; zeros where an utterance lacks it, whatever fills its place."""
    values, present = corpus.features[name][rows], corpus.present.get(name)
    if present is not None:
        values = np.where(present[rows][:, None], values, np.float32(0))
    return np.ascontiguousarray(values)


def _utterances(corpus: Corpus, parts: Mapping[str, np.ndarray], known: Keys | None) -> list[str]:
    if not {"train", "valid", "test"} <= parts.keys():
        return []
    count = len(corpus.labels)
    part_of = np.full(len(corpus.lengths), -1)
    for index, part in enumerate(("train", "valid", "test")):
        part_of[parts[part]] = index
    part_of = np.repeat(part_of, corpus.lengths)
    test, other = part_of == 2, (part_of == 0) | (part_of == 1)
    if not test.any():
        return []
    digests = keys(corpus) if known is None else known
    whole = _shared(list(digests.values()), count, test, other)
    total, notices = int(test.sum()), []

    def told(found: np.ndarray, what: str) -> None:
        if found.any():
            share = f"{int(found.sum())} of {total} test utterances ({found.sum() / total:.1%})"
            notices.append(f"{share} have {what}, to the bit or rounded")

    told(whole, "the features of an utterance in training or validation")
    for modality in digests if len(digests) > 1 else ():
        rest = [key for name, key in digests.items() if name != modality]
        found = _shared(rest, count, test, other) & ~whole
        told(found, f"all but {modality} in common with an utterance in training or validation")
    return notices


def _shared(keys: list[np.ndarray], count: int, test: np.ndarray, other: np.ndarray) -> np.ndarray:
    """[N] bool: the test utterances whose keys in all these modalities another part has, too."""
    found = np.zeros(count, bool)
    for rounding in range(2):
        mixed = np.zeros(count, np.uint64)
        for number, key in enumerate(keys):
            # Wraps round: the keys are digests already, and any odd factor keeps them apart.
            mixed += key[rounding] * np.uint64(2 * number + 1)
        anything = np.any([key[rounding] != 0 for key in keys], axis=0)
        found |= test & anything & np.isin(mixed, mixed[other])
    return found


def _row_keys(array: np.ndarray, present: np.ndarray | None) -> np.ndarray:
    """[2, N] uint64 digests of rows, as float16 and in three decimals; 0 where a row is nothing."""
    keys = np.zeros((2, len(array)), np.uint64)
    for rows in row_chunks(array):
        values = np.array(array[rows], np.float32)
        if present is not None:
            values[~present[rows]] = 0
        half = np.clip(values, -_LARGEST_HALF, _LARGEST_HALF).astype(np.float16)
        with np.errstate(over="ignore"):  # what overflows is not taken
            decimals = np.round(values.astype(np.float64), 3).astype(np.float32)
        for rounding, rounded in enumerate((half.astype(np.float32), decimals)):
            exact = values.astype(np.float64)
            error = np.linalg.norm(rounded - exact, axis=1)
            rounded = np.where(
                (error > _COARSE * np.linalg.norm(exact, axis=1))[:, None], values, rounded
            ) + np.float32(0)  # no -0.0
            for row in np.flatnonzero(rounded.any(axis=1)):
                digest = hashlib.blake2b(digest_size=8)
                digest.update(np.ascontiguousarray(rounded[row]))
                keys[rounding, rows.start + row] = int.from_bytes(digest.digest(), "little")
    return keys
