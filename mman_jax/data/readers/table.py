"""Tables of a layout's utterances, in any order, and their conversion to a corpus."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from mman_jax.data import fields
from mman_jax.data import sequences as cells
from mman_jax.data.corpus import Corpus
from mman_jax.data.label_names import cleaned
from mman_jax.data.readers.items import Name
from mman_jax.data.readers.pooling import Collector
from mman_jax.errors import InputError

POLARITY = ("negative", "neutral", "positive")
RATINGS = ("sentiment", "happy", "sad", "anger", "surprise", "disgust", "fear")
"""Ratings of CMU-MOSEI's utterances; CMU-MOSI has only the first."""

_MOST_CLASSES = 1000
"""Largest number of classes named by numbers; larger labels are probably ids or ratings."""


class Row(NamedTuple):
    """One utterance; a field that is None in any row of a table is ignored in all rows.

    Attributes:
        conversation: Id of its conversation.
        utterance: Its id, unique in the conversation.
        order: Sort key within the conversation; by default, the order of the rows.
        split: `train`, `valid` or `test`.
        speaker, session, gender: Values of the corpus's columns.
        duration: Seconds; the only feature of some layouts.
        clip: Path of its clip.
        transcript: Its words.
        key: Another name for joining arrays.
    """

    conversation: str
    utterance: str
    order: Any = None
    split: str | None = None
    speaker: str | None = None
    session: str | None = None
    gender: str | None = None
    duration: float | None = None
    clip: str | None = None
    transcript: str | None = None
    key: str | None = None


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
    """Returns classes of N texts; an empty text means no label.

    The names are `known`, in this order, if it includes all texts; otherwise the sorted texts.
    """
    present = {text for text in texts if text}
    names = tuple(known) if present <= set(known) else tuple(sorted(present))
    index = {name: i for i, name in enumerate(names)} | {"": -1}
    return Labels(np.array([index[text] for text in texts], np.int32), names)


def numbered(
    values: Sequence[int] | np.ndarray, place: str, notes: list[str] | None = None
) -> Labels:
    """Returns classes of N integers from -1 (none), named `0`, `1`, ..., with a note."""
    if notes is not None:
        notes.append("labels: named by their numbers, as the file does not say what they mean")
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


@dataclasses.dataclass
class Table:
    """N utterances of a file.

    Attributes:
        place: The file, for messages and as the corpus's source.
        layout: Name of the layout in words.
        rows: The utterances.
        labels: Their classes and targets.
        notes: Notes on the reader's decisions.
        features: [N, D] float32 for each modality; empty in layouts with labels only.
        present: [N] bool for each modality that some utterances lack.
        groups: N names by trait.
        sequences: Frames or words by modality, in the order of the file.
    """

    place: object
    layout: str
    rows: Sequence[Row]
    labels: Labels
    notes: list[str]
    features: dict[str, np.ndarray] = dataclasses.field(default_factory=dict)
    present: dict[str, np.ndarray] = dataclasses.field(default_factory=dict)
    groups: dict[str, list[str]] = dataclasses.field(default_factory=dict)
    sequences: dict[str, cells.Sequence] = dataclasses.field(default_factory=dict)

    def column(self, name: str) -> list[Any] | None:
        """Returns a value of all rows; None if a row lacks it."""
        values = [getattr(row, name) for row in self.rows]
        return None if None in values else values

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
        rows = self._separate()
        names = [row.conversation for row in rows]
        first = {name: -position for position, name in enumerate(reversed(names))}
        order = self.column("order") or range(len(rows))
        take = sorted(range(len(rows)), key=lambda i: (first[names[i]], order[i]))
        if any(i < j and names[i] == names[j] for i, j in zip(take[1:], take, strict=False)):
            self.notes.append("utterances were not in order in the file and are sorted")
        lacking = {name: present for name, present in self.present.items() if not present.all()}
        for name, present in lacking.items():
            self.notes.append(f"{name}: {int((~present).sum())} utterances without it")
        if take == list(range(len(take))):
            return dataclasses.replace(self, rows=rows, present=lacking)

        def taken(values: Mapping[str, Any]) -> dict[str, Any]:
            return {name: fields.taken(x, take) for name, x in values.items()}

        classes, label_names, targets = self.labels
        index = np.array(take)
        return dataclasses.replace(
            self,
            rows=fields.taken(rows, take),
            labels=Labels(classes[take], label_names, taken(targets)),
            features=taken(self.features),
            present=taken(lacking),
            groups=taken(self.groups),
            sequences={name: cells.taken(x, index) for name, x in self.sequences.items()},
        )

    def to_corpus(self) -> Corpus:
        """Converts an arranged table to a corpus."""
        names = [row.conversation for row in self.rows]
        starts = [i for i, name in enumerate(names) if not i or name != names[i - 1]]
        columns: dict[str, Any] = {}
        for name, kind in fields.kinds(Corpus).items():
            values = self.column(kind.column) if kind.column else None
            if values is not None:
                by_conversation = kind.axis == fields.CONVERSATIONS
                columns[name] = tuple(fields.taken(values, starts) if by_conversation else values)
        corpus = Corpus(
            features=self.features,
            labels=self.labels.classes,
            label_names=tuple(self.labels.names),
            lengths=np.diff([*starts, len(names)]).astype(np.int32),
            conversation_ids=tuple(fields.taken(names, starts)),
            utterance_ids=tuple(row.utterance for row in self.rows),
            present=self.present,
            targets=dict(self.labels.targets),
            groups={name: tuple(values) for name, values in self.groups.items()},
            sequences=self.sequences,
            source=str(self.place),
            source_notes=(f"read as {self.layout}", *self.notes),
            **columns,
        )
        return cleaned(corpus)

    def _separate(self) -> list[Row]:
        """Returns the rows, with conversations split up if they are in several parts."""
        if not self.rows:
            raise InputError(self.place, "no utterances", "at least one")
        parts = self.column("split")
        parts_of: dict[str, set[str]] = {}
        for row, part in zip(self.rows, parts or (), strict=False):
            parts_of.setdefault(row.conversation, set()).add(part)
        divided = {name for name, several in parts_of.items() if len(several) > 1}
        if not divided:
            return list(self.rows)
        self.notes.append(
            f"{len(divided)} conversations have utterances in several parts of the file's split: "
            "the utterances of each part form a separate conversation"
        )
        return [
            row._replace(conversation=f"{row.conversation}:{row.split}")
            if row.conversation in divided
            else row
            for row in self.rows
        ]


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
