"""CSV files of one's own: a row an utterance, with columns of features."""

import csv
import difflib
import re
from collections import Counter
from pathlib import Path
from typing import NamedTuple

import numpy as np

from mman_jax.data import fields
from mman_jax.data.corpus import Corpus
from mman_jax.data.readers import items, table
from mman_jax.data.validation import SPLIT_NAMES
from mman_jax.errors import InputError, nearest

LAYOUT = "a CSV of utterances with columns of features"

_FEATURE = re.compile(r"(.+)_(\d{1,6})")
_TARGETS, _GROUPS = "targets/", "groups/"
_DELIMITERS = ",;\t"
_LONGEST = 1 << 20
"""Characters of a header, at most."""

_FACTS = {
    "conversation": "conversation", "conversation_id": "conversation",
    "dialogue": "conversation", "dialogue_id": "conversation",
    "utterance": "utterance", "utterance_id": "utterance",
    "label": "label", "emotion": "label",
    **{column: column for column in fields.columns(Corpus)},
}  # fmt: skip


def header(path: Path) -> list[str]:
    """The cells of a file's first line; none where it is no CSV file in UTF-8."""
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            line = file.readline(_LONGEST)
            own = csv.reader([line], strict=True, delimiter=_delimiter(line))
            return [cell.strip() for cell in next(own, [])]
    except (OSError, ValueError, csv.Error):
        return []


def _delimiter(line: str) -> str:
    """What separates the cells: the comma, unless semicolons or tabs make more of the header."""
    return max(_DELIMITERS, key=lambda one: len(next(csv.reader([line], delimiter=one), [])))


def recognises(path: Path) -> bool:
    """Whether a file begins as one of these does."""
    cells = header(path)
    starts = (_TARGETS, _GROUPS)
    known = [
        cell.lower() in _FACTS or cell.startswith(starts) or bool(_FEATURE.fullmatch(cell))
        for cell in cells
    ]
    return len(cells) > 1 and "path" not in cells and 2 * sum(known) > len(cells)


def rows(path: Path) -> tuple[list[str], list[tuple[int, list[str]]]]:
    """The columns, and the line number and the cells of each row.

    Raises:
        InputError: no CSV file, no row, or one of another number of cells.
    """
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            delimiter = _delimiter(file.readline(_LONGEST))
            file.seek(0)
            lines = csv.reader(file, strict=True, delimiter=delimiter)
            rows = [(lines.line_num, row) for row in lines if any(cell.strip() for cell in row)]
    except (OSError, ValueError, csv.Error) as error:
        raise InputError(path, f"cannot be read ({error!s:.120})", "a CSV file in UTF-8") from error
    columns = [cell.strip() for cell in rows[0][1]] if rows else []
    for position, column in enumerate(columns):
        if column in columns[:position]:
            raise InputError(f"{path}: column {column!r:.60}", "comes twice", "each column once")
    for line, row in rows[1:]:
        if len(row) != len(columns):
            found = f"{len(row)} cells"
            raise InputError(f"{path}: line {line}", found, f"{len(columns)}, as many as columns")
    if len(rows) < 2:
        raise InputError(path, "no rows", "a header, and a row an utterance")
    return columns, rows[1:]


class Columns(NamedTuple):
    """Where everything stands in a row.

    Attributes:
        facts: the position of each fact, and of each `groups/<name>`.
        targets: by name.
        features: by modality, the position of each number.
        unread: the names of all others.
    """

    facts: dict[str, int]
    targets: dict[str, int]
    features: dict[str, dict[int, int]]
    unread: list[str]


def placed(path: Path, columns: list[str]) -> Columns:
    """What each column is, by its name.

    Raises:
        InputError: the column that is there twice, that nobody knows or whose number does not fit.
    """
    made = Columns({}, {}, {}, [])
    for position, column in enumerate(columns):
        where = f"{path}: column {column!r:.60}"
        fact = _FACTS.get(column.lower())
        if fact:
            if fact in made.facts:
                raise InputError(where, f"a second {fact}", "each column once")
            made.facts[fact] = position
        elif column.startswith(_TARGETS):
            made.targets[column.removeprefix(_TARGETS)] = position
        elif column.startswith(_GROUPS):
            made.facts[column] = position
        elif match := _FEATURE.fullmatch(column):
            numbers = made.features.setdefault(match[1], {})
            if int(match[2]) in numbers:
                raise InputError(where, "a second column of this number", "each once")
            numbers[int(match[2])] = position
        else:
            made.unread.append(column)
    for column in made.unread:
        if not {"conversation", "label"} <= made.facts.keys() or _misspelt(column):
            known = (*_FACTS, "targets/<name>", "groups/<name>", "<modality>_<number>")
            where = f"{path}: column {column!r:.60}"
            raise InputError(where, "unknown", nearest(column, known))
    for modality, numbers in made.features.items():
        if sorted(numbers) not in ([*range(len(numbers))], [*range(1, len(numbers) + 1)]):
            found = f"columns {', '.join(map(str, sorted(numbers)[:6]))}"
            raise InputError(f"{path}: modality {modality}", found, "numbers from 0 without gaps")
    if not made.features:
        raise InputError(path, "no columns of features", "<modality>_0, <modality>_1 and so on")
    return made


def read(path: Path) -> table.Table:
    """The utterances of a file: facts by name, features `<modality>_<number>`, `targets/<name>`,
    `groups/<name>`.

    Columns of other names are left unread, and told, where conversations and labels are found
    without them; one that looks like a misspelt name is refused.

    Raises:
        InputError: the file, the line and the column that does not fit.
    """
    columns, lines = rows(path)
    facts, targets, places, unread = placed(path, columns)
    notes = []
    if unread:
        notes.append(f"columns left unread: {', '.join(name or repr('') for name in unread)[:200]}")

    def column(name: str) -> list[str] | None:
        if name not in facts:
            return None
        found = []
        for line, row in lines:
            cell = row[facts[name]].strip()
            if not cell and name != "label":
                raise InputError(f"{path}: line {line}: {name}", "empty", "a value in every row")
            found.append(items.text(cell, f"{path}: line {line}: {name}", name))
        return found

    count = len(lines)
    ids, conversations = column("utterance"), column("conversation")
    if conversations is None:
        notes.append("no column conversation: each utterance is a conversation of one")
        conversations = [f"c{row:0{len(str(count))}d}" for row in range(count)]
    if ids is None:
        notes.append("no column utterance: utterances are named by their place in a conversation")
        ids = _counted(conversations)
    if "label" not in facts:
        notes.append("no column label: utterances are context only")
    labels, label_names = table.labelled(column("label") or [""] * count)
    parts = column("split")
    for (line, _), part in zip(lines, parts or [], strict=False):
        if part not in SPLIT_NAMES:
            raise InputError(f"{path}: line {line}: split", repr(part), nearest(part, SPLIT_NAMES))
    features = {}
    for modality, numbers in places.items():
        features[modality] = np.empty((count, len(numbers)), np.float32)
        for at, position in enumerate(numbers[n] for n in sorted(numbers)):
            features[modality][:, at] = _numbers(path, lines, position, columns[position])
    return table.Table(
        place=str(path),
        layout=LAYOUT,
        conversation_ids=conversations,
        utterance_ids=ids,
        labels=labels,
        label_names=label_names,
        features=features,
        present={modality: ~np.isnan(block).all(1) for modality, block in features.items()},
        targets={name: _numbers(path, lines, at, name) for name, at in targets.items()},
        groups={name.removeprefix(_GROUPS): column(name) for name in facts if _GROUPS in name},
        traits={name: column(name) or [] for name in facts if name in fields.columns(Corpus)},
        split=parts,
        speakers=column("speaker"),
        sessions=column("session"),
        notes=notes,
    )


def _counted(conversations: list[str]) -> list[str]:
    """The place of each utterance in its conversation, from 0."""
    seen: Counter[str] = Counter()
    ids = []
    for name in conversations:
        ids.append(str(seen[name]))
        seen[name] += 1
    return ids


def _misspelt(column: str) -> bool:
    return bool(difflib.get_close_matches(column.lower(), _FACTS, n=1, cutoff=0.75))


def _numbers(path: Path, lines: list[tuple[int, list[str]]], at: int, name: str) -> np.ndarray:
    """[N] float32 of a column; an empty cell is NaN."""
    found = np.empty(len(lines), np.float64)
    for index, (line, row) in enumerate(lines):
        cell = row[at].strip()
        try:
            found[index] = float(cell) if cell else np.nan
        except ValueError:
            where = f"{path}: line {line}: {name}"
            raise InputError(where, repr(cell)[:60], "a number, or empty: none") from None
    with np.errstate(over="ignore"):  # the corpus refuses infinity, and says where
        return found.astype(np.float32)
