"""Manifests: CSV files that assign clips to the utterances of conversations."""

import dataclasses
import math
import os
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from mman_jax.data import fields
from mman_jax.data.corpus import Corpus
from mman_jax.data.readers import csv_tables, table
from mman_jax.data.validation import RESERVED, SPLIT_NAMES, check_key, is_line
from mman_jax.errors import InputError, nearest
from mman_jax.features import media
from mman_jax.files.whole import check_regular

REQUIRED = ("utterance_id", "path")
OPTIONAL = (
    *("conversation_id", "start", "end", "track", "channel", "transcript", "label"),
    *("speaker", "session", "split"),
)
GROUPS = "groups/"
"""Prefix of a column that groups utterances, such as `groups/gender`."""

_OF_CONVERSATION = ("session", "split")
_TRAITS = [column for column in fields.columns(Corpus) if column not in OPTIONAL]


@dataclasses.dataclass(frozen=True)
class Utterance:
    """An utterance of a manifest."""

    conversation_id: str
    utterance_id: str  # unique in the conversation
    path: str  # of the clip
    start: float | None = None  # seconds into the clip; None for its beginning
    end: float | None = None  # seconds into the clip; None for its end
    transcript: str = ""  # empty if unknown
    label: str = ""  # empty for an utterance that is context only
    speaker: str | None = None
    session: str | None = None  # of the conversation
    split: str | None = None  # `train`, `valid` or `test`
    groups: tuple[tuple[str, str], ...] = ()  # pairs of a trait and its value, see `Corpus.groups`
    traits: tuple[tuple[str, str], ...] = ()  # the same for fields of `Corpus`, such as gender
    channel: int | None = None  # of the audio, from 1; None: a mix of all
    track: int | None = None  # of the audio, from 1; None: the first

    @property
    def name(self) -> str:
        """Returns the conversation and the utterance, for a message."""
        return f"conversation {self.conversation_id}, utterance {self.utterance_id}"

    def read_audio(self) -> np.ndarray:
        """Reads the audio, [samples] float32; see `media.read_audio`."""
        return media.read_audio(self.path, self.start, self.end, self.channel, self.track or 1)


def read(path: str | Path) -> tuple[Utterance, ...]:
    """Reads a manifest in UTF-8 with the columns `REQUIRED`, and any of `OPTIONAL` and `groups/`.

    Utterances are returned in conversation order: conversations in the order of their first rows,
    and the rows of each in the order of the file. Without `conversation_id`, each utterance is a
    conversation of its id. A relative `path` is relative to the manifest's folder.
    """
    path = Path(path)
    check_regular(path, "a CSV manifest in UTF-8")
    columns, rows = csv_tables.rows(path)
    _check_columns(path, columns)
    utterances = []
    for line, row in rows:
        cells = {column: cell.strip() for column, cell in zip(columns, row, strict=True)}
        utterances.append(_utterance(f"{path}: line {line}", path.parent, cells))
    _check_together(path, [line for line, _ in rows], utterances)
    order = dict.fromkeys(u.conversation_id for u in utterances)
    rank = {name: position for position, name in enumerate(order)}
    return tuple(sorted(utterances, key=lambda u: rank[u.conversation_id]))


def write(path: Path, utterances: Sequence[Utterance]) -> None:
    """Writes a manifest without empty columns; the paths of clips are relative to its folder.

    Raises:
        InputError: the path cannot be written.
    """
    rows = []
    for u in utterances:
        values = {name: getattr(u, name) for name in (*REQUIRED, *OPTIONAL)}
        values["path"] = os.path.relpath(u.path, path.parent)
        values |= {f"{GROUPS}{name}": value for name, value in u.groups} | dict(u.traits)
        rows.append({name: "" if value is None else str(value) for name, value in values.items()})
    columns = [name for name in rows[0] if any(row[name] for row in rows)]
    csv_tables.write(path, columns, [[row[name] for name in columns] for row in rows])


def to_corpus(
    utterances: Sequence[Utterance],
    features: Mapping[str, np.ndarray],
    source: str,
    split: Sequence[str] | None = None,
) -> Corpus:
    """Builds the corpus of utterances in conversation order.

    Args:
        utterances: the N utterances.
        features: [N, D] float32 for each modality.
        source: origin of the corpus, for messages.
        split: `train`, `valid` or `test` for each conversation; by default the utterances' `split`.

    Raises:
        InputError: the corpus would be invalid.
    """
    lengths = Counter(u.conversation_id for u in utterances)
    firsts = list({u.conversation_id: u for u in reversed(utterances)}.values())[::-1]
    labels = table.labelled([u.label for u in utterances])

    def known(values: list[str | None]) -> tuple[str, ...] | None:
        present = tuple(value for value in values if value is not None)
        return present if values and len(present) == len(values) else None

    def pairs(field: str) -> dict[str, tuple[str, ...]]:
        names = [name for name, _ in getattr(utterances[0], field)] if utterances else []
        return {name: tuple(dict(getattr(u, field))[name] for u in utterances) for name in names}

    columns = fields.columns(Corpus)
    traits: dict[str, Any] = {columns[name]: values for name, values in pairs("traits").items()}
    return Corpus(
        features=dict(features),
        labels=labels.classes,
        label_names=labels.names,
        lengths=np.array(list(lengths.values()), np.int32),
        conversation_ids=tuple(lengths),
        utterance_ids=tuple(u.utterance_id for u in utterances),
        speakers=known([u.speaker for u in utterances]),
        sessions=known([u.session for u in firsts]),
        split=known([u.split for u in firsts]) if split is None else tuple(split),
        groups=pairs("groups"),
        source=source,
        **traits,
    )


def _check_columns(path: Path, columns: list[str]) -> None:
    known = (*REQUIRED, *OPTIONAL, *_TRAITS)
    for column in columns:
        if column not in known and not column.startswith(GROUPS):
            expected = nearest(column, (*known, f"{GROUPS}<name>"))
            raise InputError(f"{path}: column {column!r:.60}", "unknown", expected)
        if column.startswith(GROUPS):
            place, name = f"{path}: column {column!r:.60}", column.removeprefix(GROUPS)
            check_key(name, place)
            if name in RESERVED:
                found = "the name of another column of the manifest"
                raise InputError(place, found, f"{name}, or another name")
    for column in REQUIRED:
        if column not in columns:
            found = f"no column {column!r} among {', '.join(columns)}"
            raise InputError(path, found, ", ".join(REQUIRED))


def _utterance(place: str, folder: Path, cells: dict[str, str]) -> Utterance:
    optional = ("start", "end", "track", "channel", "transcript", "label")
    for column, cell in cells.items():
        if not cell and column not in optional:
            raise InputError(f"{place}: {column}", "empty", "a value in every row")
        if not (is_line(cell) if column == "transcript" else cell.isprintable()):
            raise InputError(f"{place}: {column}", f"{cell!r:.60}", "printable text")
    numbers: dict[str, Any] = {}
    for column in ("track", "channel"):
        cell = cells.get(column, "")
        if cell and not (cell.isdecimal() and int(cell) > 0):
            raise InputError(f"{place}: {column}", f"{cell!r:.60}", "a number from 1, or empty")
        numbers[column] = int(cell) if cell else None
    split = cells.get("split")
    if split is not None and split not in SPLIT_NAMES:
        raise InputError(f"{place}: split", repr(split), nearest(split, SPLIT_NAMES))
    start, end = (
        parse_seconds(f"{place}: {column}", cells[column]) if cells.get(column) else None
        for column in ("start", "end")
    )
    if end is not None and end <= (start or 0.0):
        raise InputError(f"{place}: end", f"{end:g} s, start {start or 0:g} s", "a later end")
    places = {"path": str(folder / cells["path"]), "start": start, "end": end, **numbers}
    groups = {k.removeprefix(GROUPS): cell for k, cell in cells.items() if k.startswith(GROUPS)}
    columns: dict[str, Any] = {"conversation_id": cells["utterance_id"]} | cells | places
    own = {column: columns[column] for column in (*REQUIRED, *OPTIONAL) if column in columns}
    traits = tuple((column, cell) for column, cell in cells.items() if column in _TRAITS)
    return Utterance(**own, groups=tuple(groups.items()), traits=traits)


def parse_seconds(place: str, cell: str) -> float:
    """Parses a time in a cell of a table, or raises an InputError."""
    try:
        seconds = float(cell)
    except ValueError:
        seconds = math.nan
    if not 0 <= seconds < math.inf:
        raise InputError(place, f"{cell!r:.60}", "seconds, 0 or more")
    return seconds


def _check_together(path: Path, lines: list[int], utterances: list[Utterance]) -> None:
    seen: dict[tuple[str, str], int] = {}
    first: dict[str, Utterance] = {}
    for line, utterance in zip(lines, utterances, strict=True):
        place = f"{path}: line {line}: {utterance.name}"
        earlier = seen.setdefault((utterance.conversation_id, utterance.utterance_id), line)
        if earlier != line:
            found = f"the same ids as line {earlier}"
            raise InputError(place, found, "unique utterance ids in a conversation")
        other = first.setdefault(utterance.conversation_id, utterance)
        for column in _OF_CONVERSATION:
            value, expected = getattr(utterance, column), getattr(other, column)
            if value != expected:
                found = f"{column} {value!r}, but {expected!r} in an earlier row"
                raise InputError(place, found, f"one {column} per conversation")
