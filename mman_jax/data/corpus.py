"""Corpora: features and labels of utterances, grouped in conversations."""

import dataclasses
import hashlib
import json
from collections.abc import Sequence as Several
from typing import Any

import numpy as np

from mman_jax.data import fields, validation
from mman_jax.data.fields import (
    CONVERSATIONS,
    LABEL,
    MODALITY,
    NAME,
    UTTERANCES,
    declared,
    optional,
)
from mman_jax.data.sequences import Sequence, averaged, check_sequences, spans
from mman_jax.errors import InputError, nearest

UNKNOWN = "unknown"
"""Name of an unknown speaker, session or other trait."""

Indices = Several[int] | np.ndarray
"""Indices of conversations."""


@dataclasses.dataclass(frozen=True)
class Fingerprints:
    """SHA-256 digests of a corpus, in hex.

    Attributes:
        whole: Digest of all content.
        utterances: Digest of everything except features: labels, targets, ids, speakers, split.
        modalities: Digest of the features of each modality, and of their presence.
    """

    whole: str
    utterances: str
    modalities: dict[str, str]


@dataclasses.dataclass(frozen=True, eq=False)
class Corpus:
    """Utterances of conversations, described by any number of modalities.

    All arrays are flat, with the utterances in conversation order: N utterances, D features of a
    modality, K labels. The constructor checks the corpus. It reads every value once, in chunks, so
    that features may be memory-mapped.

    Attributes:
        features: [N, D] float32 for each modality.
        labels: [N] int32, an index into `label_names`, or -1: no label, context only.
        label_names: The K names.
        lengths: [conversations] int32, utterances of each conversation; they sum to N.
        conversation_ids: One per conversation, unique.
        utterance_ids: N, unique in a conversation.
        speakers: N, or None if unknown.
        gender: N, the gender of each utterance's speaker, such as `female`, `male`, `other` or
            `unknown`; or None.
        sessions: One per conversation, or None if unknown.
        split: `train`, `valid` or `test` for each conversation, or None.
        present: For each modality that may be missing, [N] bool, False where it is missing; its
            features there are ignored, and may be NaN.
        targets: For each rating of utterances, such as sentiment: [N] float32, NaN where an
            utterance has no rating and is context only.
        groups: For each trait by which scores are grouped, such as the microphone: N names.
        sequences: For each modality with words or frames: its cells (see `data.sequences`). If the
            modality has no features, their means are its features.
        votes: For some of the labels, [N] int32, the number of raters of each utterance who chose
            the label; an utterance without votes has only its label.
        source: Origin of the corpus, for messages: a path, or `synthetic`.
        source_notes: Notes on a reader's decisions about ambiguous files.

    Raises:
        InputError: Fields are invalid or inconsistent; the message names their place.

    Examples:
        Two conversations, of two utterances and of one; the second utterance has no label.

        >>> corpus = Corpus(
        ...     features={"speech": np.ones((3, 4), "float32"), "eeg": np.eye(3, dtype="float32")},
        ...     labels=np.array([0, -1, 1], np.int32),
        ...     label_names=("calm", "angry"),
        ...     lengths=np.array([2, 1], np.int32),
        ...     conversation_ids=("a", "b"),
        ...     utterance_ids=("a1", "a2", "b1"),
        ... )
        >>> corpus.dims
        {'speech': 4, 'eeg': 3}
        >>> corpus.offsets.tolist(), corpus.utterances(1)
        ([0, 2, 3], slice(2, 3, None))
        >>> dataclasses.replace(corpus, lengths=np.array([2, 2], np.int32))
        Traceback (most recent call last):
        mman_jax.errors.InputError: corpus: lengths: a sum of 4;
        expected their sum to be the number of utterances, 3
    """

    features: dict[str, np.ndarray] = declared(np.float32, UTTERANCES, 2, MODALITY)
    labels: np.ndarray = declared(np.int32, UTTERANCES)
    label_names: tuple[str, ...] = declared(str)
    lengths: np.ndarray = declared(np.int32, CONVERSATIONS)
    conversation_ids: tuple[str, ...] = declared(str, CONVERSATIONS)
    utterance_ids: tuple[str, ...] = declared(str, UTTERANCES)
    speakers: tuple[str, ...] | None = optional(
        str, UTTERANCES, unknown=UNKNOWN, column="speaker", trait=True, digested=True
    )
    sessions: tuple[str, ...] | None = optional(
        str, CONVERSATIONS, unknown=UNKNOWN, column="session", trait=True, digested=True
    )
    gender: tuple[str, ...] | None = optional(
        str, UTTERANCES, unknown=UNKNOWN, column="gender", trait=True
    )
    split: tuple[str, ...] | None = optional(str, CONVERSATIONS, column="split", digested=True)
    present: dict[str, np.ndarray] = optional(
        np.bool_, UTTERANCES, by=MODALITY, unknown=True, merged=True
    )
    targets: dict[str, np.ndarray] = optional(np.float32, UTTERANCES, by=NAME, unknown=np.nan)
    groups: dict[str, tuple[str, ...]] = optional(
        str, UTTERANCES, by=NAME, unknown=UNKNOWN, merged=True
    )
    votes: dict[str, np.ndarray] = optional(np.int32, UTTERANCES, by=LABEL, unknown=0)
    sequences: dict[str, Sequence] = optional(Sequence, UTTERANCES, by=MODALITY)
    source: str = ""
    source_notes: tuple[str, ...] = ()

    def __post_init__(self):
        """Checks the corpus."""
        validation.check_facts(self)
        check_sequences(self)
        if self.sequences:
            self._add_means()
        validation.check_features(self)

    def _add_means(self) -> None:
        """Adds the means of sequences without features of that name."""
        added = {name: x for name, x in self.sequences.items() if name not in self.features}
        means = {name: averaged(sequence) for name, sequence in added.items()}
        present = {name: sequence.lengths > 0 for name, sequence in added.items()}
        lacking = {name: rows for name, rows in present.items() if not rows.all()}
        object.__setattr__(self, "features", {**self.features, **means})
        object.__setattr__(self, "present", {**lacking, **self.present})

    @property
    def offsets(self) -> np.ndarray:
        """[conversations + 1] int64: the index of each conversation's first utterance, then N."""
        return np.concatenate([[0], np.cumsum(self.lengths, dtype=np.int64)])

    @property
    def dims(self) -> dict[str, int]:
        """D of each modality."""
        return {modality: int(array.shape[1]) for modality, array in self.features.items()}

    def utterances(self, conversation_index: int) -> slice:
        """Returns the utterances of a conversation, as a slice of the N utterances."""
        start = int(self.lengths[:conversation_index].sum(dtype=np.int64))
        return slice(start, start + int(self.lengths[conversation_index]))

    def utterances_of(self, conversations: Indices) -> np.ndarray:
        """Returns the indices [n] int64 of the utterances of conversations, in their order."""
        chosen = np.asarray(conversations, np.int64)
        return spans(self.offsets[chosen], self.lengths[chosen])

    def is_of(self, conversations: Indices) -> np.ndarray:
        """Returns whether each utterance is in one of the conversations, [N] bool."""
        return np.repeat(np.isin(np.arange(len(self.lengths)), conversations), self.lengths)

    def traits(self) -> dict[str, np.ndarray]:
        """Returns the names [N] of each known trait, by column."""
        traits = {}
        for name, kind in fields.kinds(self).items():
            if kind.trait and getattr(self, name) is not None:
                values = np.array(getattr(self, name))
                by_conversation = kind.axis == CONVERSATIONS
                traits[kind.column] = np.repeat(values, self.lengths) if by_conversation else values
        return traits

    def fingerprint(self) -> str:
        """Returns the SHA-256 of all content, in hex, without the source and its notes."""
        return self.fingerprints().whole

    def fingerprints(self) -> Fingerprints:
        """Computes the SHA-256 digests of all content and of parts of it, in one pass by chunks."""
        named: list[Any] = []
        optionals: list[Any] = []
        arrays = []
        for name, kind in fields.kinds(self).items():
            value = getattr(self, name)
            if kind.is_array:
                arrays.append((name, kind))
            elif kind.is_text and kind.by:
                optionals += [sorted(value.items())] if value else []
            elif kind.is_text and kind.digested:
                named.append(value)
            elif kind.is_text and value is not None:
                optionals.append([name, value])
        words = json.dumps(named + optionals).encode()
        whole, utterances = hashlib.sha256(words), hashlib.sha256(words)
        modalities = {name: hashlib.sha256() for name in self.features}

        def add(part: Any, key: str, array: np.ndarray) -> None:
            for digest in (whole, part):
                digest.update(f"{key} {array.dtype.str} {array.shape}".encode())
            for rows in validation.row_chunks(array):
                chunk = np.ascontiguousarray(array[rows]).data
                whole.update(chunk)
                part.update(chunk)

        sequences = sorted(self.sequences.items())
        for name, sequence in sequences:
            for digest in (whole, modalities.setdefault(name, hashlib.sha256())):
                digest.update(json.dumps([name, sequence.names]).encode())
        for name, kind in sorted(arrays, key=lambda pair: not pair[1].by):
            for key, array in sorted(fields.entries(self, name, kind), key=lambda pair: pair[0]):
                part = modalities[key] if kind.by == MODALITY else utterances
                add(part, f"{name}/{key}" if kind.by else f"corpus/{name}", array)
        for name, sequence in sequences:
            for key, array in sorted(sequence.arrays().items()):
                add(modalities[name], f"sequences/{name}/{key}", array)
        by_modality = {name: digest.hexdigest() for name, digest in modalities.items()}
        return Fingerprints(whole.hexdigest(), utterances.hexdigest(), by_modality)

    def select_conversations(self, conversations: Indices) -> "Corpus":
        """Returns a corpus of one or more conversations, in this order, without sequences."""
        chosen = np.asarray(conversations, np.int64)
        index = {UTTERANCES: self.utterances_of(chosen), CONVERSATIONS: chosen}
        selected: dict[str, Any] = {}
        for name, kind in fields.kinds(self).items():
            if kind.axis and name != "sequences":
                rows = index[kind.axis]
                values = {k: fields.taken(x, rows) for k, x in fields.entries(self, name, kind)}
                selected[name] = values if kind.by else values.get("")
        return dataclasses.replace(self, **selected, sequences={})

    def select_modalities(self, names: Several[str]) -> "Corpus":
        """Returns the corpus with only these modalities, in this order.

        Raises:
            InputError: A name is unknown or occurs twice, or there is no name.
        """
        place = f"{self.source or 'corpus'}: modalities"
        if not names:
            raise InputError(place, "none selected", "one of " + ", ".join(self.features))
        for position, name in enumerate(names):
            if name not in self.features:
                raise InputError(place, f"unknown {name!r}", nearest(name, self.features))
            if name in names[:position]:
                raise InputError(place, f"{name!r} selected twice", "each modality once")
        selected: dict[str, Any] = {}
        for name, kind in fields.kinds(self).items():
            if kind.by == MODALITY:
                values = getattr(self, name)
                selected[name] = {key: values[key] for key in names if key in values}
        return dataclasses.replace(self, **selected)
