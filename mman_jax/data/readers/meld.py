"""MELD's published files: CSV lists of utterances, and pickles with vectors of one modality."""

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from mman_jax.data.readers import csv_tables, items, pooling
from mman_jax.data.readers.table import Row, Table, labelled, unlabelled
from mman_jax.data.validation import SPLIT_NAMES
from mman_jax.errors import InputError

EMOTIONS = ("neutral", "surprise", "fear", "sadness", "joy", "disgust", "anger")
"""MELD's emotions, in the order of their numbers in pickles."""

LISTS = "MELD's CSV files"
VECTORS = "MELD.Features.Models (dicts of train, validation and test)"

_COLUMNS = ("Dialogue_ID", "Utterance_ID", "Emotion")
_TIME = re.compile(r"(\d+):(\d\d):(\d\d)[,.](\d{1,3})")
_KEY = re.compile(r"(\d{1,6})(?:_(\d{1,6}))?")


def recognises(path: Path) -> bool:
    """Returns whether a file is such a list, or a folder contains one."""
    return bool(_files(path)) if path.is_dir() else set(_COLUMNS) <= set(csv_tables.header(path))


def read(path: Path) -> Table:
    """Reads one list, or the three in a folder: labels, speakers and times, without features."""
    files = {"": path} if path.is_file() else _files(path)
    utterances: list[Row] = []
    labels: list[str] = []
    for part in (part for part in ("", *SPLIT_NAMES) if part in files):
        columns, rows = csv_tables.rows(files[part])
        for line, row in rows:
            where = f"{files[part]}: line {line}"
            cells = dict(zip(columns, row, strict=True))
            numbers = [cells[column].strip() for column in _COLUMNS[:2]]
            for column, number in zip(_COLUMNS, numbers, strict=False):
                if not re.fullmatch(r"\d{1,6}", number):
                    raise InputError(f"{where}: {column}", repr(number)[:60], "a whole number")
            dialogue, utterance = map(int, numbers)
            labels.append(items.text(cells["Emotion"].strip(), where, "a label"))
            utterances.append(
                Row(
                    items.meld_dialogue(dialogue, part or None),
                    str(utterance),
                    utterance,
                    part or None,
                    speaker=cells.get("Speaker", "").strip() or "other",
                    duration=_seconds(cells.get("StartTime", ""), cells.get("EndTime", "")),
                    clip=f"{part or 'clips'}/dia{dialogue}_utt{utterance}.mp4",
                    transcript=cells.get("Utterance", ""),
                )
            )
    notes = ["dialogues: numbered through all parts, as the pickles do (1039 on: validation)"]
    if "" in files:
        notes = ["one part of a split that the file does not name: no split"]
    return Table(path, LISTS, utterances, labelled(labels, EMOTIONS), notes)


def recognises_vectors(loaded: object) -> bool:
    """Returns whether a pickle contains three dicts of vectors, by dialogue or utterance."""
    if not isinstance(loaded, list | tuple) or len(loaded) != len(SPLIT_NAMES):
        return False
    if not all(isinstance(part, dict) for part in loaded):
        return False
    values = [next(iter(part.values()), None) for part in loaded]
    return any(isinstance(value, np.ndarray | list | tuple) for value in values)


def read_vectors(place: str, loaded: Any, pool: pooling.How) -> Table:
    """Reads a loaded pickle: vectors without labels, to be joined to MELD's CSV files.

    Keys are `<dialogue>_<utterance>` for vectors [D], or dialogues for arrays [U, D], in which rows
    of zeros follow the utterances. Dialogue numbers that restart in each part are made unique.
    """
    rows: list[Row] = []
    modality = pooling.Collector("features", pool)
    budget = items.Budget(place)
    for part, vectors in zip(SPLIT_NAMES, loaded, strict=True):
        for name, number, vector in _utterances(f"{place}: {part}", part, vectors):
            budget.spend(vector.size, place)
            where = f"{place}: {part}: dialogue {name}, utterance {number}"
            modality.add_vectors(vector[None], where)
            rows.append(Row(name, str(number), number, part))
    if not rows:
        raise InputError(place, "no utterances", "at least one")
    notes = ["no labels in the file: join it to MELD's CSV files"]
    table = Table(place, VECTORS, rows, unlabelled(len(rows)), notes)
    table.add(modality)
    return table


def _files(folder: Path) -> dict[str, Path]:
    """Returns the lists in a folder, by part."""
    files: dict[str, Path] = {}
    for path in sorted(folder.glob("*.csv")):
        part = items.PARTS.get(re.split(r"[_.]", path.name.lower())[0])
        if part and recognises(path):
            files.setdefault(part, path)
    return files


def _seconds(start: str, end: str) -> float | None:
    times = []
    for cell in (start, end):
        match = _TIME.fullmatch(cell.strip())
        if match is None:
            return None
        hours, minutes, seconds, fraction = map(int, match.groups())
        times.append(3600 * hours + 60 * minutes + seconds + fraction / 1000)
    return max(0.0, times[1] - times[0])


def _utterances(
    place: str, part: str, vectors: Mapping[Any, Any]
) -> Iterator[tuple[str, int, np.ndarray]]:
    """Yields the dialogue, the number and the vector of each utterance of a part."""
    matches: dict[Any, re.Match] = {}
    for key in vectors:
        match = _KEY.fullmatch(items.text(key, place, "a key"))
        if match is None:
            raise InputError(place, f"key {key!r:.60}", "<dialogue>_<utterance>, or <dialogue>")
        matches[key] = match
    # Some files number dialogues across all parts, like the pickles with labels.
    first = min((int(match[1]) for match in matches.values()), default=0)
    through = first >= items.MELD_PARTS[part]
    for key, match in matches.items():
        where = f"{place}: {key}"
        name = items.meld_dialogue(int(match[1]), None if through else part)
        if match[2] is not None:
            yield name, int(match[2]), items.vector(vectors[key], where)
            continue
        array = items.array(vectors[key], where)
        if array.ndim != 2:
            raise InputError(where, f"shape {array.shape}", "[utterances, D]")
        block = np.asarray(array[:])
        block = block[pooling.nonzero(block[None], front=False)[0]]
        if not len(block):
            raise InputError(where, "a dialogue without utterances", "at least one")
        for number, row in enumerate(block):
            yield name, number, items.vector(row, where)
