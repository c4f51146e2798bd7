"""Utterances as a layout has them, in any order, and the corpus that they make."""

import dataclasses
from collections.abc import Sequence
from typing import Any

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
from mman_jax.errors import InputError

POLARITY = ("negative", "neutral", "positive")

_MOST_CLASSES = 1000
"""That have numbers for names: a larger label is an id, or a rating."""


@dataclasses.dataclass
class Table:
    """N utterances, a list or an array a fact.

    Attributes:
        place: the file, for messages and as the corpus's source.
        layout: its name in words.
        conversation_ids: the id of each one's conversation.
        utterance_ids: the utterances' own, unique in a conversation.
        order: what they are sorted by in a conversation; None: they stand in order.
        labels: [N] int32, -1: none.
        label_names: the K names.
        features: [N, D] float32 for each modality; none in layouts of labels alone.
        present: [N] bool for each modality that some lack.
        targets: [N] float32 numbers by name.
        groups: N names by trait.
        traits: N names of further fields of the corpus, by the name of their column.
        sequences: by modality, of the utterances in the order of the file.
        split: `train`, `valid` or `test` for each, or None.
        speakers: or None.
        sessions: or None.
        duration: [N] float32 seconds, where the layout tells; what there is without features.
        clips: the path of each one's clip, where the layout tells, or None.
        transcripts: the words of each one, where the layout tells, or None.
        keys: other names by which arrays of an utterance may be found, or None.
        notes: what was decided, a sentence each.
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

    def arrange(self) -> "Table":
        """The same in conversation order: conversations as they come, utterances sorted."""
        names = self._names()
        first: dict[str, int] = {}
        for name in names:
            first.setdefault(name, len(first))
        order = range(len(names)) if self.order is None else self.order
        take = sorted(range(len(names)), key=lambda i: (first[names[i]], order[i]))
        within = [i for i, j in zip(take[1:], take, strict=False) if names[i] == names[j] and i < j]
        if within:
            self.notes.append("utterances were not in order in the file and are sorted")

        lacking = {name: there for name, there in self.present.items() if not there.all()}
        for name, there in lacking.items():
            self.notes.append(f"{name}: {int((~there).sum())} utterances without it")
        found = dataclasses.replace(self, conversation_ids=names, order=None, present=lacking)
        if take == list(range(len(take))):
            return found

        def taken(kind: fields.Kind, values: Any) -> Any:
            if isinstance(values, cells.Sequence):
                return cells.taken(values, take)
            return fields.taken(values, take) if kind.axis else values

        return dataclasses.replace(found, **fields.mapped(found, taken))

    def to_corpus(self) -> Corpus:
        """The corpus of an arranged table.

        Raises:
            InputError: what no corpus may hold.
        """
        names = self.conversation_ids
        starts = [i for i, name in enumerate(names) if not i or name != names[i - 1]]

        def whole(kind: fields.Kind, values: Any) -> Any:
            if kind.axis == CONVERSATIONS:
                values = fields.taken(values, starts)
            return tuple(values) if kind.is_text else values

        found: dict[str, Any] = {}
        own = fields.kinds(self)
        for name, kind in fields.kinds(Corpus).items():
            if name in own:
                made = {k: whole(kind, x) for k, x in fields.entries(self, name, own[name])}
                found[name] = made if kind.by else made.get("")
            elif kind.column in self.traits:
                found[name] = whole(kind, self.traits[kind.column])
        return Corpus(
            **found,
            lengths=np.diff([*starts, len(names)]).astype(np.int32),
            source=self.place,
            source_notes=(f"read as {self.layout}", *self.notes),
        )

    def _names(self) -> list[str]:
        """The conversations, those that lie in several parts told apart by them."""
        if not self.utterance_ids:
            raise InputError(self.place, "no utterances", "at least one")
        if self.split is None:
            return self.conversation_ids
        parts_of: dict[str, set[str]] = {}
        for name, part in zip(self.conversation_ids, self.split, strict=True):
            parts_of.setdefault(name, set()).add(part)
        torn = {name for name, parts in parts_of.items() if len(parts) > 1}
        if not torn:
            return self.conversation_ids
        self.notes.append(
            f"{len(torn)} conversations have utterances in several parts of the file's split: "
            "those of a part are a conversation of their own there"
        )
        return [
            f"{name}:{part}" if name in torn else name
            for name, part in zip(self.conversation_ids, self.split, strict=True)
        ]


def labelled(names: Sequence[str], known: Sequence[str] = ()) -> tuple[np.ndarray, tuple[str, ...]]:
    """[N] int32 and the K names of N texts; an empty one is no label.

    Args:
        names: a text an utterance.
        known: the order of the names, where these are all; else they are sorted.
    """
    found = {name for name in names if name}
    order = tuple(known) if found <= set(known) else tuple(sorted(found))
    index = {name: i for i, name in enumerate(order)} | {"": -1}
    return np.array([index[name] for name in names], np.int32), order


def numbered(values: np.ndarray, place: str) -> tuple[np.ndarray, tuple[str, ...]]:
    """[N] int32 and names `0`, `1`, ... of whole numbers from -1 (none).

    Args:
        values: the numbers.
        place: of them, for messages.

    Raises:
        InputError: a number so large that it is hardly a class.
    """
    most = int(np.asarray(values).max(initial=-1))
    if most >= _MOST_CLASSES:
        expected = f"numbers below {_MOST_CLASSES}, or classes that have names"
        raise InputError(place, f"{most}, of classes without names", expected)
    return np.asarray(values).astype(np.int32), tuple(str(i) for i in range(most + 1))


def by_sign(values: np.ndarray) -> np.ndarray:
    """[N] int32 of numbers: an index into `POLARITY`, or -1 where there is none."""
    return np.where(np.isnan(values), -1, np.sign(np.nan_to_num(values)) + 1).astype(np.int32)
