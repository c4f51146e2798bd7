"""Tables of a layout's utterances, in any order, and their conversion to a corpus."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from mman_jax.data import fields
from mman_jax.data import sequences as cells
from mman_jax.data.corpus import Corpus
from mman_jax.data.fields import (
    CONVERSATIONS,
    MODALITY,
    NAME,
    UTTERANCES,
    declared,
    optional,
)
from mman_jax.data.readers.items import Name
from mman_jax.data.readers.pooling import Collector
from mman_jax.errors import InputError

POLARITY = ("negative", "neutral", "positive")
RATINGS = ("sentiment", "happy", "sad", "anger", "surprise", "disgust", "fear")
"""Ratings of CMU-MOSEI's utterances; CMU-MOSI has only the first."""

BY_NUMBER = "labels: named by their numbers, as the file does not say what they mean"

_MOST_CLASSES = 1000
"""Largest number of classes named by numbers; larger labels are probably ids or ratings."""


@dataclasses.dataclass
class Table:
    """N utterances, with a list or an array for each field.

    Attributes:
        place: The file, for messages and as the corpus's source.
        layout: Name of the layout in words.
        conversation_ids: Id of the conversation of each utterance.
        utterance_ids: Ids of the utterances, unique in a conversation.
        labels: [N] int32, -1 for none.
        label_names: Names of the K classes.
        order: Sort keys within a conversation; None if utterances are already in order.
        features: [N, D] float32 for each modality; empty in layouts with labels only.
        present: [N] bool for each modality that some utterances lack.
        targets: [N] float32 numbers by name.
        groups: N names by trait.
        traits: N names of further fields of the corpus, by column.
        sequences: Frames or words by modality, in the order of the file.
        split: `train`, `valid` or `test` for each, or None.
        speakers: Id of each speaker, or None.
        sessions: Id of each session, or None.
        duration: [N] float32 seconds, or None; the only feature of some layouts.
        clips: Path of each clip, or None.
        transcripts: Words of each utterance, or None.
        keys: Other names of the utterances for joining arrays, or None.
        notes: Notes on the reader's decisions.
    """

    place: str
    layout: str
    conversation_ids: list[str] = declared(str, UTTERANCES)
    utterance_ids: list[str] = declared(str, UTTERANCES)
    labels: np.ndarray = declared(np.int32, UTTERANCES)
    label_names: tuple[str, ...] = declared(str)
    order: Sequence[Any] | None = None
    features: dict[str, np.ndarray] = optional(np.float32, UTTERANCES, 2, MODALITY)
    present: dict[str, np.ndarray] = optional(np.bool_, UTTERANCES, 1, MODALITY)
    targets: dict[str, np.ndarray] = optional(np.float32, UTTERANCES, 1, NAME)
    groups: dict[str, list[str]] = optional(str, UTTERANCES, 1, NAME)
    traits: dict[str, list[str]] = optional(str, UTTERANCES, 1, NAME)
    sequences: dict[str, cells.Sequence] = optional(cells.Sequence, UTTERANCES, 1, MODALITY)
    split: list[str] | None = optional(str, UTTERANCES)
    speakers: list[str] | None = optional(str, UTTERANCES)
    sessions: list[str] | None = optional(str, UTTERANCES)
    duration: np.ndarray | None = optional(np.float32, UTTERANCES)
    clips: list[str] | None = optional(str, UTTERANCES)
    transcripts: list[str] | None = optional(str, UTTERANCES)
    keys: list[str] | None = optional(str, UTTERANCES)
    notes: list[str] = dataclasses.field(default_factory=list)

    def add(self, modality: Collector, detail: str = "") -> None:
        """Adds a modality of all utterances and its notes, with a detail on its frames."""
        self.features[modality.name] = modality.features
        self.present[modality.name] = modality.present
        sequence = modality.sequence()
        if sequence is not None:
            self.sequences[modality.name] = sequence
        self.notes += modality.notes(detail)

    def arrange(self) -> "Table":
        """Sorts the table by conversations, in the order of their first utterances, and `order`."""
        names = self._names()
        first: dict[str, int] = {}
        for name in names:
            first.setdefault(name, len(first))
        order = range(len(names)) if self.order is None else self.order
        take = sorted(range(len(names)), key=lambda i: (first[names[i]], order[i]))
        if any(i < j and names[i] == names[j] for i, j in zip(take[1:], take, strict=False)):
            self.notes.append("utterances were not in order in the file and are sorted")

        lacking = {name: present for name, present in self.present.items() if not present.all()}
        for name, present in lacking.items():
            self.notes.append(f"{name}: {int((~present).sum())} utterances without it")
        table = dataclasses.replace(self, conversation_ids=names, order=None, present=lacking)
        if take == list(range(len(take))):
            return table

        def taken(kind: fields.Kind, values: Any) -> Any:
            if isinstance(values, cells.Sequence):
                return cells.taken(values, np.array(take))
            return fields.taken(values, take) if kind.axis else values

        return dataclasses.replace(table, **fields.mapped(table, taken))

    def to_corpus(self) -> Corpus:
        """Converts an arranged table to a corpus.

        Raises:
            InputError: The corpus would be invalid.
        """
        names = self.conversation_ids
        starts = [i for i, name in enumerate(names) if not i or name != names[i - 1]]

        def converted(kind: fields.Kind, values: Any) -> Any:
            if kind.axis == CONVERSATIONS:
                values = fields.taken(values, starts)
            return tuple(values) if kind.is_text else values

        values: dict[str, Any] = {}
        kinds = fields.kinds(self)
        for name, kind in fields.kinds(Corpus).items():
            if name in kinds:
                entries = fields.entries(self, name, kinds[name])
                by_key = {key: converted(kind, value) for key, value in entries}
                values[name] = by_key if kind.by else by_key.get("")
            elif kind.column in self.traits:
                values[name] = converted(kind, self.traits[kind.column])
        return Corpus(
            **values,
            lengths=np.diff([*starts, len(names)]).astype(np.int32),
            source=self.place,
            source_notes=(f"read as {self.layout}", *self.notes),
        )

    def _names(self) -> list[str]:
        """Returns the conversations, split up if their utterances are in several parts."""
        if not self.utterance_ids:
            raise InputError(self.place, "no utterances", "at least one")
        if self.split is None:
            return self.conversation_ids
        pairs = list(zip(self.conversation_ids, self.split, strict=True))
        parts_of: dict[str, set[str]] = {}
        for name, part in pairs:
            parts_of.setdefault(name, set()).add(part)
        torn = {name for name, parts in parts_of.items() if len(parts) > 1}
        if torn:
            self.notes.append(
                f"{len(torn)} conversations have utterances in several parts of the file's split: "
                "the utterances of each part form a separate conversation"
            )
        return [f"{name}:{part}" if name in torn else name for name, part in pairs]


class Labels(NamedTuple):
    """Classes of N utterances.

    Attributes:
        classes: [N] int32, -1 for none.
        names: Names of the K classes.
        targets: [N] float32 numbers by name, from which the classes are derived.
    """

    classes: np.ndarray
    names: tuple[str, ...]
    targets: Mapping[str, np.ndarray] = {}


def unlabelled(count: int) -> Labels:
    """Returns labels of N unlabelled utterances."""
    return Labels(np.full(count, -1, np.int32), ())


def labelled(texts: Sequence[str], known: Sequence[str] = ()) -> Labels:
    """Returns classes of N texts; an empty text is no label.

    Args:
        texts: A text for each utterance.
        known: Names in order, which are used if they include all texts; otherwise names are sorted.
    """
    present = {text for text in texts if text}
    names = tuple(known) if present <= set(known) else tuple(sorted(present))
    index = {name: i for i, name in enumerate(names)} | {"": -1}
    return Labels(np.array([index[text] for text in texts], np.int32), names)


def numbered(values: Sequence[int] | np.ndarray, place: str) -> Labels:
    """Returns classes of N integers from -1 (none), named `0`, `1`, ...

    Raises:
        InputError: A number is too large for a class.
    """
    classes = np.asarray(values)
    most = int(classes.max(initial=-1))
    if most >= _MOST_CLASSES:
        expected = f"numbers below {_MOST_CLASSES}, or classes that have names"
        raise InputError(place, f"{most}, of classes without names", expected)
    return Labels(classes.astype(np.int32), tuple(str(i) for i in range(most + 1)))


def by_sign(values: np.ndarray) -> np.ndarray:
    """Returns indices into `POLARITY` [N] int32 by the signs of N numbers; -1 for NaN."""
    return np.where(np.isnan(values), -1, np.sign(np.nan_to_num(values)) + 1).astype(np.int32)


def rated(values: np.ndarray, notes: list[str]) -> Labels:
    """Returns classes by the sign of the sentiment, the first column of `RATINGS` [N] or [N, n]."""
    notes.append("labels: the sign of the sentiment, 0 as neutral")
    columns = np.ascontiguousarray(values.reshape(len(values), -1).T)
    targets = dict(zip(RATINGS, columns, strict=False))
    return Labels(by_sign(columns[0]), POLARITY, targets)


class Row(NamedTuple):
    """One utterance; `Table` has the same fields as columns."""

    conversation: str
    utterance: str
    order: Any = None
    split: str | None = None
    speaker: str | None = None
    session: str | None = None
    duration: float | None = None
    clip: str | None = None
    transcript: str | None = None
    key: str | None = None


def of_rows(
    place: object, layout: str, rows: Sequence[Row], labels: Labels, notes: list[str]
) -> Table:
    """Returns a table of utterances, without the fields that any of them lacks."""

    def column(name: str) -> Any:
        values = [getattr(row, name) for row in rows]
        return None if None in values else values

    duration = column("duration")
    return Table(
        place=str(place),
        layout=layout,
        conversation_ids=column("conversation"),
        utterance_ids=column("utterance"),
        labels=labels.classes,
        label_names=labels.names,
        order=column("order"),
        targets=dict(labels.targets),
        split=column("split"),
        speakers=column("speaker"),
        sessions=column("session"),
        duration=None if duration is None else np.array(duration, np.float32),
        clips=column("clip"),
        transcripts=column("transcript"),
        keys=column("key"),
        notes=notes,
    )


def named_rows(ids: Sequence[str], names: Sequence[Name | None], notes: list[str]) -> list[Row]:
    """Returns rows from parsed names; an utterance without one is a conversation of one."""
    unknown = [text for text, name in zip(ids, names, strict=True) if name is None]
    if unknown:
        notes.append(
            f"{len(unknown)} names encode no conversation (first {unknown[0]}): each of these "
            "utterances is a conversation of one"
        )
    rows = []
    for position, (text, name) in enumerate(zip(ids, names, strict=True)):
        name = name or Name(text, 0)
        order = position if name.order is None else name.order
        rows.append(Row(name.conversation, text, order, speaker=name.speaker, session=name.session))
    if any(name is not None and name.order is None for name in names):
        notes.append("the names do not number the turns: they are in the order of the file")
    return rows
