"""Utterances as a layout has them, in any order, and the corpus that they make."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from mman_jax.data import sequences as cells
from mman_jax.data.corpus import Corpus
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
        conversations: the id of each one's conversation.
        ids: the utterances' own, unique in a conversation.
        order: what they are sorted by in a conversation; None: they stand in order.
        labels: [N] int32, -1: none.
        label_names: the K names.
        features: [N, D] float32 for each modality; none in layouts of labels alone.
        present: [N] bool for each modality that some lack.
        targets: [N] float32 numbers by name.
        groups: N names by trait.
        sequences: by modality, of the utterances in the order of the file.
        parts: `train`, `valid` or `test` for each, or None.
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
    conversations: list[str]
    ids: list[str]
    labels: np.ndarray
    label_names: tuple[str, ...]
    order: Sequence[Any] | None = None
    features: dict[str, np.ndarray] = dataclasses.field(default_factory=dict)
    present: dict[str, np.ndarray] = dataclasses.field(default_factory=dict)
    targets: dict[str, np.ndarray] = dataclasses.field(default_factory=dict)
    groups: dict[str, list[str]] = dataclasses.field(default_factory=dict)
    sequences: dict[str, cells.Sequence] = dataclasses.field(default_factory=dict)
    parts: list[str] | None = None
    speakers: list[str] | None = None
    sessions: list[str] | None = None
    duration: np.ndarray | None = None
    clips: list[str] | None = None
    transcripts: list[str] | None = None
    keys: list[str] | None = None
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

        def taken(values: Any) -> Any:
            return None if values is None else [values[i] for i in take]

        same = take == list(range(len(take)))

        def arrays(group: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
            return {name: array if same else array[take] for name, array in group.items()}

        lacking = {name: there for name, there in self.present.items() if not there.all()}
        for name, there in lacking.items():
            self.notes.append(f"{name}: {int((~there).sum())} utterances without it")
        return dataclasses.replace(
            self,
            conversations=[names[i] for i in take],
            ids=taken(self.ids),
            order=None,
            labels=self.labels[take],
            features=arrays(self.features),
            present=arrays(lacking),
            targets=arrays(self.targets),
            groups={name: taken(values) for name, values in self.groups.items()},
            sequences=self.sequences
            if same
            else {name: cells.taken(one, take) for name, one in self.sequences.items()},
            parts=taken(self.parts),
            speakers=taken(self.speakers),
            sessions=taken(self.sessions),
            duration=None if self.duration is None else self.duration[take],
            clips=taken(self.clips),
            transcripts=taken(self.transcripts),
            keys=taken(self.keys),
        )

    def to_corpus(self) -> Corpus:
        """The corpus of an arranged table.

        Raises:
            InputError: what no corpus may hold.
        """
        starts = [
            i
            for i, name in enumerate(self.conversations)
            if not i or name != self.conversations[i - 1]
        ]

        def firsts(values: list[str] | None) -> tuple[str, ...] | None:
            return None if values is None else tuple(values[i] for i in starts)

        return Corpus(
            features=self.features,
            present=self.present,
            targets=self.targets,
            groups={name: tuple(values) for name, values in self.groups.items()},
            sequences=self.sequences,
            labels=self.labels,
            label_names=self.label_names,
            lengths=np.diff([*starts, len(self.ids)]).astype(np.int32),
            conversation_ids=firsts(self.conversations),
            utterance_ids=tuple(self.ids),
            speakers=None if self.speakers is None else tuple(self.speakers),
            sessions=firsts(self.sessions),
            split=firsts(self.parts),
            source=self.place,
            source_notes=(f"read as {self.layout}", *self.notes),
        )

    def _names(self) -> list[str]:
        """The conversations, those that lie in several parts told apart by them."""
        if not self.ids:
            raise InputError(self.place, "no utterances", "at least one")
        if self.parts is None:
            return self.conversations
        parts_of: dict[str, set[str]] = {}
        for name, part in zip(self.conversations, self.parts, strict=True):
            parts_of.setdefault(name, set()).add(part)
        torn = {name for name, parts in parts_of.items() if len(parts) > 1}
        if not torn:
            return self.conversations
        self.notes.append(
            f"{len(torn)} conversations have utterances in several parts of the file's split: "
            "those of a part are a conversation of their own there"
        )
        return [
            f"{name}:{part}" if name in torn else name
            for name, part in zip(self.conversations, self.parts, strict=True)
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
