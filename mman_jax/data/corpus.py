"""The corpus: features, labels and the conversations that they belong to."""

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
    Kind,
    declared,
    optional,
)
from mman_jax.data.sequences import Sequence, averaged, check_sequences
from mman_jax.errors import InputError, nearest

UNKNOWN = "unknown"
"""Name of a speaker, a session or a trait that is not known, beside others that are."""

_CHUNK = 8192  # utterances


@dataclasses.dataclass(frozen=True)
class Fingerprints:
    """SHA-256 of a corpus, in hex.

    Attributes:
        whole: of all its content.
        utterances: of everything but features: labels, targets, ids, speakers, split.
        modalities: of the features of each, and of where they are missing.
    """

    whole: str
    utterances: str
    modalities: dict[str, str]


@dataclasses.dataclass(frozen=True, eq=False)
class Corpus:
    """Utterances of conversations, described by any number of modalities.

    All arrays are flat, with the utterances in conversation order. N utterances, D features
    of a modality, K labels. An invalid corpus cannot be made: the constructor reads every
    value once, in chunks, so that features may be memory-mapped.

    Attributes:
        features: a [N, D] float32 array for each modality.
        labels: [N] int32, an index into `label_names`, or -1: no label, context only.
        label_names: the K names.
        lengths: [conversations] int32, utterances of each conversation; they sum to N.
        conversation_ids: one a conversation, unique.
        utterance_ids: N, unique in a conversation.
        speakers: N, or None where unknown.
        sessions: one a conversation, or None where unknown.
        split: `train`, `valid` or `test` for each conversation, or None where not given.
        present: for any modality that some utterance lacks, [N] bool, False where it is missing:
            its features there are not looked at, and may be NaN.
        targets: for any number that utterances are rated by, such as sentiment: [N] float32, NaN
            where an utterance has none and is context only.
        groups: for any trait by which utterances are told apart in scores, such as the gender of
            who speaks: N names.
        sequences: for any modality with words or frames: its cells (see `data.sequences`). One
            without features has their mean over each utterance as its features.
        votes: for any of the labels, [N] int32, how many raters of each utterance chose it; an
            utterance without any has its label alone.
        source: where the corpus came from, for messages: a path, or `synthetic`.
        source_notes: what a reader decided where the file left it open, a sentence each.

    Raises:
        InputError: whatever does not fit together, by the name of its place.

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
    speakers: tuple[str, ...] | None = optional(str, UTTERANCES, unknown=UNKNOWN)
    sessions: tuple[str, ...] | None = optional(str, CONVERSATIONS, unknown=UNKNOWN)
    split: tuple[str, ...] | None = optional(str, CONVERSATIONS)
    present: dict[str, np.ndarray] = optional(np.bool_, UTTERANCES, 1, MODALITY, True)
    targets: dict[str, np.ndarray] = optional(np.float32, UTTERANCES, 1, NAME, np.nan)
    groups: dict[str, tuple[str, ...]] = optional(str, UTTERANCES, 1, NAME, UNKNOWN)
    votes: dict[str, np.ndarray] = optional(np.int32, UTTERANCES, 1, LABEL, 0)
    sequences: dict[str, Sequence] = optional(Sequence, UTTERANCES, 1, MODALITY)
    source: str = ""
    source_notes: tuple[str, ...] = ()

    def __post_init__(self):
        """Refuse a corpus whose parts do not fit together."""
        validation.check_facts(self)
        check_sequences(self)
        if self.sequences:
            self._fill()
        validation.check_features(self)

    def _fill(self) -> None:
        """Gives sequences without features of that name their means."""
        new = [name for name in self.sequences if name not in self.features]
        means = {name: averaged(self.sequences[name]) for name in new}
        there = {name: self.sequences[name].lengths > 0 for name in new}
        lacking = {name: some for name, some in there.items() if not some.all()}
        object.__setattr__(self, "features", {**self.features, **means})
        object.__setattr__(self, "present", {**lacking, **self.present})

    @property
    def offsets(self) -> np.ndarray:
        """[conversations + 1] int64: where each conversation starts, then N."""
        return np.concatenate([[0], np.cumsum(self.lengths, dtype=np.int64)])

    @property
    def dims(self) -> dict[str, int]:
        """D of each modality."""
        return {modality: int(array.shape[1]) for modality, array in self.features.items()}

    def utterances(self, conversation_index: int) -> slice:
        """The utterances of one conversation, as a slice of the N."""
        start = int(self.lengths[:conversation_index].sum(dtype=np.int64))
        return slice(start, start + int(self.lengths[conversation_index]))

    def utterances_of(self, conversations: Several[int]) -> np.ndarray:
        """[n] int64: the utterances of some conversations, in the order of these."""
        conversations = np.asarray(conversations, np.int64)
        lengths = self.lengths[conversations].astype(np.int64)
        shift = self.offsets[conversations] - (np.cumsum(lengths) - lengths)
        return np.repeat(shift, lengths) + np.arange(lengths.sum())

    def is_of(self, conversations: Several[int]) -> np.ndarray:
        """[N] bool: whether an utterance is of one of these conversations."""
        return np.repeat(np.isin(np.arange(len(self.lengths)), conversations), self.lengths)

    def fingerprint(self) -> str:
        """SHA-256 of all content, in hex; the source and its notes are none of it. In chunks."""
        return self.fingerprints().whole

    def fingerprints(self) -> "Fingerprints":
        """SHA-256 of all content and of parts of it, reading it once, in chunks."""
        declared_as = fields.kinds(self)
        texts = {name: kind for name, kind in declared_as.items() if kind.is_text}
        named = [getattr(self, name) for name, kind in texts.items() if not kind.by]
        several = [getattr(self, name) for name, kind in texts.items() if kind.by]
        # A corpus without these has the digest that it had before there were any.
        named += [sorted(value.items()) for value in several if value]
        words = json.dumps(named).encode()
        whole, utterances = hashlib.sha256(words), hashlib.sha256(words)
        modalities = {name: hashlib.sha256() for name in self.features}

        def add(part: Any, key: str, array: np.ndarray) -> None:
            for digest in (whole, part):
                digest.update(f"{key} {array.dtype.str} {array.shape}".encode())
            for start in range(0, len(array), _CHUNK):
                chunk = np.ascontiguousarray(array[start : start + _CHUNK]).data
                whole.update(chunk)
                part.update(chunk)

        sequences = sorted(self.sequences.items())
        for name, sequence in sequences:
            for digest in (whole, modalities.setdefault(name, hashlib.sha256())):
                digest.update(json.dumps([name, sequence.names]).encode())
        arrays = {name: kind for name, kind in declared_as.items() if kind.is_array}
        for name, kind in sorted(arrays.items(), key=lambda pair: not pair[1].by):
            for key, array in sorted(fields.entries(self, name, kind), key=lambda pair: pair[0]):
                part = modalities[key] if kind.by == MODALITY else utterances
                add(part, f"{name}/{key}" if kind.by else f"corpus/{name}", array)
        for name, sequence in sequences:
            for key, array in sorted(sequence.arrays().items()):
                add(modalities[name], f"sequences/{name}/{key}", array)
        by_modality = {name: digest.hexdigest() for name, digest in modalities.items()}
        return Fingerprints(whole.hexdigest(), utterances.hexdigest(), by_modality)

    def select_conversations(self, conversations: Several[int]) -> "Corpus":
        """The same corpus with these conversations alone, in this order; features are copied.

        Sequences are left out.

        Args:
            conversations: their indices, one at least.
        """
        which = np.asarray(conversations, np.int64)
        rows = self.utterances_of(which)

        chosen = {UTTERANCES: rows, CONVERSATIONS: which}

        def some(kind: Kind, values: Any) -> Any:
            return fields.taken(values, chosen[kind.axis]) if kind.axis else values

        kept = fields.mapped(self, some, without=["sequences"])
        return dataclasses.replace(self, **kept, sequences={})

    def select_modalities(self, names: Several[str]) -> "Corpus":
        """The same corpus with these modalities alone, in this order.

        Raises:
            InputError: no name, a name twice, or a name that the corpus does not have.
        """
        place = f"{self.source or 'corpus'}: modalities"
        if not names:
            raise InputError(place, "none selected", "one of " + ", ".join(self.features))
        for position, name in enumerate(names):
            if name not in self.features:
                raise InputError(place, f"unknown {name!r}", nearest(name, self.features))
            if name in names[:position]:
                raise InputError(place, f"{name!r} selected twice", "each modality once")
        by_modality = [name for name, kind in fields.kinds(self).items() if kind.by == MODALITY]
        several = {name: getattr(self, name) for name in by_modality}
        chosen = {
            name: {modality: values[modality] for modality in names if modality in values}
            for name, values in several.items()
        }
        return dataclasses.replace(self, **chosen)
