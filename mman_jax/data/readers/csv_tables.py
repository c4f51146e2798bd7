"""CSV files by users: one row per utterance, with columns of features."""

import codecs
import csv
import difflib
import io
import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from mman_jax.data import fields
from mman_jax.data.corpus import Corpus
from mman_jax.data.readers import items
from mman_jax.data.readers.table import Row, Table, labelled
from mman_jax.data.validation import SPLIT_NAMES
from mman_jax.errors import InputError, check_pointer, nearest, reading
from mman_jax.files.whole import decode, write_whole

LAYOUT = "a CSV of utterances with columns of features"

_FEATURE = re.compile(r"(.+)_(\d{1,6})")
_TARGETS, _GROUPS = "targets/", "groups/"
_DELIMITERS = ",;\t"
_EXCEL = b"sep="  # Excel may write its delimiter in a line before the header
_UTF16 = codecs.BOM_UTF16_LE  # whose lines end in two bytes
_LONGEST = 1 << 20
"""Largest number of characters of a header."""

_FACTS = {
    "conversation": "conversation", "conversation_id": "conversation",
    "dialogue": "conversation", "dialogue_id": "conversation",
    "utterance": "utterance", "utterance_id": "utterance",
    "label": "label", "emotion": "label",
    **{column: column for column in fields.columns(Corpus)},
}  # fmt: skip


def header(path: Path) -> list[str]:
    """Returns the cells of a file's header; empty if it is not a CSV file."""
    try:
        with path.open("rb") as file:
            start = file.readline(_LONGEST)
            if start.startswith(_EXCEL):
                start = file.readline(_LONGEST)
            line = decode(start + file.read(len(start) % 2 and start.startswith(_UTF16)))
        cells = next(csv.reader([line], strict=True, delimiter=_delimiter(line)), [])
        return [cell.strip() for cell in cells]
    except (OSError, ValueError, csv.Error):
        return []


def _delimiter(line: str) -> str:
    """Returns the delimiter that splits the header into most cells; in case of ties, the comma."""
    return max(_DELIMITERS, key=lambda mark: len(next(csv.reader([line], delimiter=mark), [])))


def recognises(path: Path) -> bool:
    """Returns whether most columns of a file have known names."""
    cells = header(path)
    known = [
        cell.lower() in _FACTS
        or cell.startswith((_TARGETS, _GROUPS))
        or bool(_FEATURE.fullmatch(cell))
        for cell in cells
    ]
    return len(cells) > 1 and "path" not in cells and 2 * sum(known) > len(cells)


def rows(path: Path) -> tuple[list[str], list[tuple[int, list[str]]]]:
    """Returns the columns, and the line number and the cells of each row.

    Raises:
        InputError: The file is not a CSV file, has no rows, or a row has a wrong number of cells.
    """
    with reading(path, "a CSV file in UTF-8", (OSError, ValueError, csv.Error)):
        check_pointer(path)
        text = decode(path.read_bytes())
        excel = text.startswith(_EXCEL.decode())
        file = io.StringIO(text.partition("\n")[2] if excel else text, newline="")
        delimiter = _delimiter(file.readline(_LONGEST))
        file.seek(0)
        lines = csv.reader(file, strict=True, delimiter=delimiter)
        rows = [(lines.line_num + excel, row) for row in lines if any(cell.strip() for cell in row)]
    columns = [cell.strip() for cell in rows[0][1]] if rows else []
    for position, column in enumerate(columns):
        if column in columns[:position]:
            raise InputError(f"{path}: column {column!r:.60}", "occurs twice", "each column once")
    for line, row in rows[1:]:
        if len(row) != len(columns):
            found = f"{len(row)} cells"
            raise InputError(f"{path}: line {line}", found, f"{len(columns)}, as many as columns")
    if len(rows) < 2:
        raise InputError(path, "no rows", "a header, and one row per utterance")
    return columns, rows[1:]


def write(path: Path, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Writes a CSV file.

    Raises:
        InputError: the path cannot be written.
    """
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows([columns, *rows])
    write_whole(path, text.getvalue().encode())


def read(path: Path) -> Table:
    """Reads `label`, `speaker`, `<modality>_<number>`, `targets/<name>` and similar columns.

    If there are columns of conversations and labels, unknown columns are ignored with a note,
    except names that look misspelt, which are an error.
    """
    names, lines = rows(path)
    columns = _columns(path, names)
    notes = []
    if columns.unread:
        unread = ", ".join(name or repr("") for name in columns.unread)[:200]
        notes.append(f"columns not read: {unread}")

    def texts(name: str, at: int) -> list[str]:
        values = []
        for line, row in lines:
            where, cell = f"{path}: line {line}: {names[at]}", row[at].strip()
            if not cell and name != "label":
                raise InputError(where, "empty", "a value in every row")
            values.append(items.text(cell, where, name))
        return values

    facts, groups = (
        {name: texts(name, at) for name, at in positions.items()}
        for positions in (columns.facts, columns.groups)
    )
    count = len(lines)
    if "conversation" not in facts:
        facts["conversation"] = [f"c{row:0{len(str(count))}d}" for row in range(count)]
    if "utterance" not in facts:
        notes.append("no column utterance: utterances are numbered in each conversation")
        places: Counter[str] = Counter()
        facts["utterance"] = []
        for name in facts["conversation"]:
            facts["utterance"].append(str(places[name]))
            places[name] += 1
    if "label" not in facts:
        notes.append("no column label: utterances are context only")
    labels = labelled(facts.pop("label", [""] * count))
    for (line, _), part in zip(lines, facts.get("split", ()), strict=False):
        if part not in SPLIT_NAMES:
            raise InputError(f"{path}: line {line}: split", repr(part), nearest(part, SPLIT_NAMES))
    features: dict[str, np.ndarray] = {}
    for modality, numbers in columns.features.items():
        block = [_numbers(path, lines, numbers[n], names[numbers[n]]) for n in sorted(numbers)]
        features[modality] = np.stack(block, axis=1)
    present = {modality: ~np.isnan(block).all(1) for modality, block in features.items()}
    targets = {name: _numbers(path, lines, at, name) for name, at in columns.targets.items()}
    labels = labels._replace(targets=targets)
    utterances = [
        Row(**dict(zip(facts, values, strict=True))) for values in zip(*facts.values(), strict=True)
    ]
    return Table(path, LAYOUT, utterances, labels, notes, features, present, groups)


class _Columns(NamedTuple):
    """Positions of columns by name, of features by modality and number, and all other names."""

    facts: dict[str, int]
    targets: dict[str, int]
    groups: dict[str, int]
    features: dict[str, dict[int, int]]
    unread: list[str]


def _columns(path: Path, names: list[str]) -> _Columns:
    """Classifies columns by their names."""
    columns = _Columns({}, {}, {}, {}, [])
    for position, name in enumerate(names):
        where = f"{path}: column {name!r:.60}"
        fact = _FACTS.get(name.lower())
        if fact:
            if fact in columns.facts:
                raise InputError(where, f"a second {fact}", "each column once")
            columns.facts[fact] = position
        elif name.startswith(_TARGETS):
            columns.targets[name.removeprefix(_TARGETS)] = position
        elif name.startswith(_GROUPS):
            columns.groups[name.removeprefix(_GROUPS)] = position
        elif match := _FEATURE.fullmatch(name):
            numbers = columns.features.setdefault(match[1], {})
            if int(match[2]) in numbers:
                raise InputError(where, "a second column of this number", "each once")
            numbers[int(match[2])] = position
        else:
            columns.unread.append(name)
    needed = {"conversation", "label"} <= columns.facts.keys()
    for name in columns.unread:
        misspelt = difflib.get_close_matches(name.lower(), _FACTS, n=1, cutoff=0.75)
        if not needed or misspelt:
            known = (*_FACTS, "targets/<name>", "groups/<name>", "<modality>_<number>")
            raise InputError(f"{path}: column {name!r:.60}", "unknown", nearest(name, known))
    for modality, numbers in columns.features.items():
        if sorted(numbers) not in ([*range(len(numbers))], [*range(1, len(numbers) + 1)]):
            found = f"columns {', '.join(map(str, sorted(numbers)[:6]))}"
            raise InputError(f"{path}: modality {modality}", found, "numbers from 0 without gaps")
    if not columns.features:
        raise InputError(path, "no columns of features", "<modality>_0, <modality>_1 and so on")
    return columns


def _numbers(path: Path, lines: list[tuple[int, list[str]]], at: int, name: str) -> np.ndarray:
    """Returns a column as [N] float32; an empty cell is NaN."""
    values = np.empty(len(lines), np.float64)
    for index, (line, row) in enumerate(lines):
        cell = row[at].strip()
        try:
            values[index] = float(cell) if cell else np.nan
        except ValueError:
            where = f"{path}: line {line}: {name}"
            raise InputError(where, repr(cell)[:60], "a number, or empty for none") from None
    with np.errstate(over="ignore"):  # the corpus refuses infinity, and says where
        return values.astype(np.float32)
