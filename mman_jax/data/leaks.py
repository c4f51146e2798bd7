"""Leaks: conversations and utterances that are in two parts of a split."""

import hashlib
import itertools
from collections.abc import Mapping

import numpy as np

from mman_jax.data.corpus import Corpus
from mman_jax.data.validation import SPLIT_NAMES, row_chunks
from mman_jax.errors import InputError

LONG = 8
"""Number of different utterances from which equality of two conversations is no coincidence."""

SHARE = 0.05
"""Share of a part's conversations above which equal ones of any length are no coincidence."""

_COARSE = 0.02  # rounding that changes a row by more than this share of its norm is ignored
_LARGEST_HALF = float(np.finfo(np.float16).max)

Keys = Mapping[str, np.ndarray]
"""Digests [2, N] uint64 of each modality's utterances, in two roundings."""

_Member = tuple[int, str]  # a conversation and its part


def check(
    corpus: Corpus, parts: Mapping[str, np.ndarray], keys: Keys | None = None
) -> tuple[str, ...]:
    """Checks whether conversations or utterances are in two of the (disjoint) parts.

    Conversations with bitwise equal features and sequences are an error if that cannot be a
    coincidence: `LONG` different utterances, or more than `SHARE` of a part. Other ones are
    reported, since two real dialogues may consist of the same few words. Test utterances that are
    also in training or validation are reported with their share of the test part if their features
    are equal bitwise, after rounding to float16 or three decimals, or in all modalities but one.
    Features that are all zero are ignored.

    `keys` is the result of the function `keys`, for checks of several splits. Returns notices to
    the user.

    Raises:
        InputError: Two conversations are equal; the message names their parts.
    """
    return (*_conversations(corpus, parts), *_utterances(corpus, parts, keys))


def keys(corpus: Corpus) -> Keys:
    """Computes the digests of all utterances by modality; the slowest part of a check."""
    return {
        modality: _row_keys(array, corpus.present.get(modality))
        for modality, array in corpus.features.items()
    }


def _conversations(corpus: Corpus, parts: Mapping[str, np.ndarray]) -> list[str]:
    pairs = _copies(corpus, parts)
    if not pairs:
        return []
    names, bounds = corpus.conversation_ids, corpus.offsets.tolist()
    copied: dict[str, set[int]] = {part: set() for part in parts}
    for conversation, part in itertools.chain(*pairs):
        copied[part].add(conversation)
    many = any(len(copied[part]) > SHARE * len(members) for part, members in parts.items())
    for (first, first_part), (second, part) in pairs:
        rows = range(*bounds[second : second + 2])
        if many or len({_outline(corpus, slice(row, row + 1)) for row in rows}) >= LONG:
            place = f"{corpus.source or 'corpus'}: conversation {names[second]} ({part})"
            found = f"the same features as conversation {names[first]} ({first_part})"
            raise InputError(place, found, "each conversation in one part of the split")
    (first, first_part), (second, part) = pairs[0]
    count = len({second for _, (second, _) in pairs})
    return [
        f"{count} short conversation{'s' * (count > 1)} with the same features as one in another "
        f"part of the split (first {names[second]} in {part}, as {names[first]} in {first_part})"
    ]


def _copies(corpus: Corpus, parts: Mapping[str, np.ndarray]) -> list[tuple[_Member, _Member]]:
    """Returns pairs of conversations with equal features in different parts."""
    spans = [slice(start, stop) for start, stop in itertools.pairwise(corpus.offsets.tolist())]
    # The length, the first and the last utterance distinguish most conversations.
    alike: dict[bytes, list[_Member]] = {}
    for part, conversations in parts.items():
        for conversation in np.asarray(conversations).tolist():
            alike.setdefault(_outline(corpus, spans[conversation]), []).append((conversation, part))
    pairs = []
    for group in alike.values():
        if len({part for _, part in group}) < 2:
            continue
        seen: dict[bytes, _Member] = {}
        for conversation, part in group:
            digest = _digest(corpus, spans[conversation])
            first = seen.setdefault(digest, (conversation, part))
            if digest and first[1] != part:
                pairs.append((first, (conversation, part)))
    return pairs


def _outline(corpus: Corpus, span: slice) -> bytes:
    """Returns a digest of the length, the first and the last utterance of a conversation."""
    digest = hashlib.blake2b(str(span.stop - span.start).encode(), digest_size=16)
    for name in corpus.features:
        digest.update(_features(corpus, name, [span.start, span.stop - 1]))
    return digest.digest()


def _digest(corpus: Corpus, span: slice) -> bytes:
    """Returns a digest of all features of a conversation; empty if all are zero."""
    digest, anything = hashlib.blake2b(digest_size=16), False
    for name, array in corpus.features.items():
        for rows in row_chunks(array, span.start, span.stop):
            values = _features(corpus, name, rows)
            anything = anything or bool(values.any())
            digest.update(values)
    for sequence in corpus.sequences.values():
        start, stop = (int(sequence.offsets[end]) for end in (span.start, span.stop))
        digest.update(np.ascontiguousarray(sequence.lengths[span]))
        for rows in row_chunks(sequence.values, start, stop):
            digest.update(np.ascontiguousarray(sequence.values[rows]))
    return digest.digest() if anything else b""


def _features(corpus: Corpus, name: str, rows: slice | list[int]) -> np.ndarray:
    """Returns rows of a modality, with zeros where it is missing."""
    values, present = corpus.features[name][rows], corpus.present.get(name)
    if present is not None:
        values = np.where(present[rows][:, None], values, np.float32(0))
    return np.ascontiguousarray(values)


def _utterances(corpus: Corpus, parts: Mapping[str, np.ndarray], known: Keys | None) -> list[str]:
    if not parts.keys() >= set(SPLIT_NAMES) or not len(parts["test"]):
        return []
    test = corpus.is_of(parts["test"])
    other = corpus.is_of(np.concatenate([parts["train"], parts["valid"]]))
    digests = keys(corpus) if known is None else known
    total, notices = int(test.sum()), []
    copied = _shared(list(digests.values()), test, other)
    findings = [(copied, "the features of an utterance in training or validation")]
    for modality in digests if len(digests) > 1 else ():
        rest = [key for name, key in digests.items() if name != modality]
        what = f"all but {modality} in common with an utterance in training or validation"
        findings.append((_shared(rest, test, other) & ~copied, what))
    for utterances, what in findings:
        count = int(utterances.sum())
        if count:
            share = f"{count} of {total} test utterances ({count / total:.1%})"
            notices.append(f"{share} have {what}, to the bit or rounded")
    return notices


def _shared(keys: list[np.ndarray], test: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Returns the test utterances [N] bool whose keys in all modalities also occur in `other`."""
    shared = np.zeros(len(test), bool)
    for rounding in range(2):
        mixed = np.zeros(len(test), np.uint64)
        for number, key in enumerate(keys):
            # The sum may overflow, because keys are digests; odd factors keep modalities distinct.
            mixed += key[rounding] * np.uint64(2 * number + 1)
        anything = np.any([key[rounding] != 0 for key in keys], axis=0)
        shared |= test & anything & np.isin(mixed, mixed[other])
    return shared


def _row_keys(array: np.ndarray, present: np.ndarray | None) -> np.ndarray:
    """Computes digests [2, N] uint64 of rows rounded to float16 and three decimals; 0 for zeros."""
    keys = np.zeros((2, len(array)), np.uint64)
    for rows in row_chunks(array):
        values = np.array(array[rows], np.float32)
        if present is not None:
            values[~present[rows]] = 0
        half = np.clip(values, -_LARGEST_HALF, _LARGEST_HALF).astype(np.float16)
        exact = values.astype(np.float64)
        with np.errstate(over="ignore"):  # a rounding that overflows is not used
            decimals = np.round(exact, 3).astype(np.float32)
        coarse = _COARSE * np.linalg.norm(exact, axis=1)
        for rounding, rounded in enumerate((half.astype(np.float32), decimals)):
            error = np.linalg.norm(rounded - exact, axis=1)
            rounded = np.where((error > coarse)[:, None], values, rounded)
            rounded += np.float32(0)  # no -0.0
            for row in np.flatnonzero(rounded.any(axis=1)):
                digest = hashlib.blake2b(np.ascontiguousarray(rounded[row]), digest_size=8)
                keys[rounding, rows.start + row] = int.from_bytes(digest.digest(), "little")
    return keys
