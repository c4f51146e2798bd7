"""The manifest: a CSV file that says which clip is which utterance of which conversation."""

import csv
import dataclasses
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from mman_jax.data import fields
from mman_jax.data.corpus import Corpus
from mman_jax.data.validation import SPLIT_NAMES, TOLD, check_key, is_line
from mman_jax.errors import InputError, nearest
from mman_jax.files.regular import check_regular

REQUIRED = ("conversation_id", "utterance_id", "path")
OPTIONAL = ("start", "end", "transcript", "label", "speaker", "session", "split")
GROUPS = "groups/"
"""How a column begins that groups utterances, such as `groups/gender`."""

_OF_CONVERSATION = ("session", "split")
_TRAITS = [column for column in fields.columns(Corpus) if column not in OPTIONAL]


@dataclasses.dataclass(frozen=True)
class Utterance:
    """One utterance: where its clip is, and what is known of it.

    Attributes:
        conversation_id: whose turn it is part of.
        utterance_id: unique in the conversation.
        path: the clip.
        start: seconds into the clip, or None: from its beginning.
        end: seconds into the clip, or None: to its end.
        transcript: its words; "" where not given.
        label: its emotion; "" where not given: context only.
        speaker: who speaks, or None where the manifest does not say.
        session: of the conversation, or None.
        split: `train`, `valid` or `test`, or None.
        groups: pairs of a trait and what the utterance has of it, see `Corpus.groups`.
        traits: the same of other fields of `Corpus` with a column, such as its gender.
    """

    conversation_id: str
    utterance_id: str
    path: str
    start: float | None = None
    end: float | None = None
    transcript: str = ""
    label: str = ""
    speaker: str | None = None
    session: str | None = None
    split: str | None = None
    groups: tuple[tuple[str, str], ...] = ()
    traits: tuple[tuple[str, str], ...] = ()

    @property
    def name(self) -> str:
        """The conversation and the utterance, for a message."""
        return f"conversation {self.conversation_id}, utterance {self.utterance_id}"


def read(path: str | Path) -> tuple[Utterance, ...]:
    """Reads a manifest: UTF-8, a header line, the columns of `REQUIRED`, any of `OPTIONAL` and
    any `groups/<name>`.

    Utterances come back in conversation order: conversations as they first appear, the rows of
    each in the order of the file. A relative `path` is relative to the manifest's folder.

    Raises:
        InputError: the file, the line and the column that cannot be used.
    """
    path = Path(path)
    check_regular(path, "a CSV manifest in UTF-8")
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            lines = csv.reader(file, strict=True)
            rows = [(lines.line_num, row) for row in lines if any(cell.strip() for cell in row)]
    except (OSError, ValueError, csv.Error) as error:
        reason = getattr(error, "strerror", None) or error
        raise InputError(path, f"cannot be read ({reason})", "a CSV manifest in UTF-8") from error
    if not rows:
        raise InputError(path, "an empty file", "a header line: " + ",".join(REQUIRED))
    (_, header), *rows = rows
    columns = _columns(path, [cell.strip() for cell in header])
    if not rows:
        raise InputError(path, "a header and no rows", "a row for each utterance")
    utterances = []
    for line, row in rows:
        if len(row) != len(columns):
            found = f"{len(row)} cells"
            raise InputError(f"{path}: line {line}", found, f"{len(columns)}, as many as columns")
        cells = {column: cell.strip() for column, cell in zip(columns, row, strict=True)}
        utterances.append(_utterance(f"{path}: line {line}", path.parent, cells))
    _check_together(path, [line for line, _ in rows], utterances)
    order = list(dict.fromkeys(u.conversation_id for u in utterances))
    place = {name: position for position, name in enumerate(order)}
    return tuple(sorted(utterances, key=lambda u: place[u.conversation_id]))


def to_corpus(
    utterances: Sequence[Utterance],
    features: Mapping[str, np.ndarray],
    source: str,
    split: Sequence[str] | None = None,
) -> Corpus:
    """The corpus of these utterances, which stand in conversation order.

    Args:
        utterances: N of them.
        features: [N, D] float32 for each modality.
        source: for messages.
        split: `train`, `valid` or `test` for each conversation; by default what they say.

    Raises:
        InputError: what no corpus may hold.
    """
    conversations: dict[str, list[Utterance]] = {}
    for utterance in utterances:
        conversations.setdefault(utterance.conversation_id, []).append(utterance)
    firsts = [members[0] for members in conversations.values()]
    names = sorted({u.label for u in utterances if u.label})
    index = {name: i for i, name in enumerate(names)} | {"": -1}

    def known(values: list[str | None]) -> tuple[str, ...] | None:
        return tuple(values) if values and None not in values else None

    traits = [name for name, _ in utterances[0].groups] if utterances else []
    columns = fields.columns(Corpus)
    more: dict[str, Any] = {
        columns[name]: tuple(dict(u.traits)[name] for u in utterances)
        for name, _ in (utterances[0].traits if utterances else ())
    }
    return Corpus(
        features=dict(features),
        labels=np.array([index[u.label] for u in utterances], np.int32),
        label_names=tuple(names),
        lengths=np.array([len(members) for members in conversations.values()], np.int32),
        conversation_ids=tuple(conversations),
        utterance_ids=tuple(u.utterance_id for u in utterances),
        speakers=known([u.speaker for u in utterances]),
        sessions=known([u.session for u in firsts]),
        split=known([u.split for u in firsts]) if split is None else tuple(split),
        groups={name: tuple(dict(u.groups)[name] for u in utterances) for name in traits},
        source=source,
        **more,
    )


def _columns(path: Path, columns: list[str]) -> list[str]:
    known = (*REQUIRED, *OPTIONAL, *_TRAITS)
    for position, column in enumerate(columns):
        if column not in known and not column.startswith(GROUPS):
            expected = nearest(column, (*known, f"{GROUPS}<name>"))
            raise InputError(f"{path}: column {column!r:.60}", "unknown", expected)
        if column.startswith(GROUPS):
            place, name = f"{path}: column {column!r:.60}", column.removeprefix(GROUPS)
            check_key(name, place)
            if name in TOLD:
                found = "what the manifest tells otherwise"
                raise InputError(place, found, f"{name}, or another name")
        if column in columns[:position]:
            raise InputError(f"{path}: column {column!r}", "comes twice", "each column once")
    for column in REQUIRED:
        if column not in columns:
            found = f"no column {column!r} among {', '.join(columns)}"
            raise InputError(path, found, ", ".join(REQUIRED))
    return columns


def _utterance(place: str, folder: Path, cells: dict[str, str]) -> Utterance:
    optional = ("start", "end", "transcript", "label")
    for column, cell in cells.items():
        if not cell and column not in optional:
            raise InputError(f"{place}: {column}", "empty", "a value in every row")
        if not (is_line(cell) if column == "transcript" else cell.isprintable()):
            raise InputError(f"{place}: {column}", f"{cell!r:.60}", "printable text")
    split = cells.get("split")
    if split is not None and split not in SPLIT_NAMES:
        raise InputError(f"{place}: split", repr(split), nearest(split, SPLIT_NAMES))
    start, end = (_seconds(f"{place}: {c}", cells.get(c, "")) for c in ("start", "end"))
    if end is not None and end <= (start or 0.0):
        raise InputError(f"{place}: end", f"{end:g} s, start {start or 0:g} s", "an end after it")
    texts = {column: cells[column] for column in ("transcript", "label") if column in cells}
    known = {column: cells.get(column) for column in ("speaker", "session")}
    return Utterance(
        conversation_id=cells["conversation_id"],
        utterance_id=cells["utterance_id"],
        path=str(folder / cells["path"]),
        start=start,
        end=end,
        split=split,
        groups=tuple(
            (column.removeprefix(GROUPS), cell)
            for column, cell in cells.items()
            if column.startswith(GROUPS)
        ),
        traits=tuple((column, cell) for column, cell in cells.items() if column in _TRAITS),
        **texts,
        **known,
    )


def _seconds(place: str, cell: str) -> float | None:
    if not cell:
        return None
    try:
        seconds = float(cell)
    except ValueError:
        seconds = math.nan
    if not math.isfinite(seconds) or seconds < 0:
        raise InputError(place, repr(cell), "seconds, 0 or more")
    return seconds


def _check_together(path: Path, lines: list[int], utterances: list[Utterance]) -> None:
    seen: dict[tuple[str, str], int] = {}
    first: dict[str, Utterance] = {}
    for line, utterance in zip(lines, utterances, strict=True):
        place = f"{path}: line {line}: {utterance.name}"
        before = seen.setdefault((utterance.conversation_id, utterance.utterance_id), line)
        if before != line:
            found = f"the same ids as line {before}"
            raise InputError(place, found, "unique utterance ids in a conversation")
        other = first.setdefault(utterance.conversation_id, utterance)
        for column in _OF_CONVERSATION:
            own, others = getattr(utterance, column), getattr(other, column)
            if own != others:
                found = f"{column} {own!r}, but {others!r} in an earlier row"
                raise InputError(place, found, f"one {column} a conversation")
