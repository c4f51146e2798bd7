"""MELD's published files: CSV lists of utterances, and pickles with vectors of one modality.

The lists of MELD_Dyadic and EmoryNLP have the same form.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
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
DYADIC = "MELD_Dyadic's CSV files"
EMORYNLP = "EmoryNLP's CSV files"
VECTORS = "MELD.Features.Models (dicts of train, validation and test)"

_COLUMNS = {"Utterance_ID", "Emotion"}
_DIALOGUES = {"Dialogue_ID", "Scene_ID"}
_OLD = ("Old_Dialogue_ID", "Old_Utterance_ID")
_SCENE = ("Season", "Episode", "Scene_ID")
_MOST = {"train": 1039, "valid": 114}  # dialogues of a part
_TIME = re.compile(r"(\d+):(\d\d):(\d\d)[,.](\d{1,3})")
_KEY = re.compile(r"(\d{1,6})(?:_(\d{1,6}))?")


def recognises(path: Path) -> bool:
    """Returns whether a file is such a list, or a folder contains one."""
    if path.is_dir():
        return bool(_files(path))
    columns = set(csv_tables.header(path))
    return columns >= _COLUMNS and not columns.isdisjoint(_DIALOGUES)


def read(path: Path) -> Table:
    """Reads one list, or the three in a folder: labels, speakers and times, without features."""
    files = {"": path} if path.is_file() else _files(path)
    utterances: list[Row] = []
    labels: list[str] = []
    tables = {part: _rows(files[part]) for part in ("", *SPLIT_NAMES) if part in files}
    layout = _layout(path, tables)
    for part, rows in tables.items():
        for where, cells in rows:
            dialogue, clip = _dialogue(layout, cells, part, where)
            (utterance,) = _numbers(cells, ("Utterance_ID",), where)
            labels.append(items.text(cells["Emotion"], where, "a label"))
            start, end = (
                cells.get(name) or cells.get(f"{name[:-4]}_Time", "")
                for name in ("StartTime", "EndTime")
            )
            utterances.append(
                Row(
                    dialogue,
                    str(utterance),
                    utterance,
                    part or None,
                    speaker=_speaker(cells.get("Speaker", "")),
                    duration=_seconds(start, end),
                    clip=f"{part or 'clips'}/{clip}.mp4",
                    transcript=cells.get("Utterance", ""),
                )
            )
    notes = ["one part of a split that the file does not name: no split"] if "" in files else []
    if layout == LISTS and not notes:
        notes = ["dialogues: numbered across all parts, as in the pickles (validation from 1039)"]
    return Table(path, layout, utterances, labelled(labels, EMOTIONS), notes)


def _rows(path: Path) -> list[tuple[str, dict[str, str]]]:
    """Returns the place and the cells by column of each row."""
    columns, rows = csv_tables.rows(path)
    return [
        (f"{path}: line {line}", dict(zip(columns, map(str.strip, row), strict=True)))
        for line, row in rows
    ]


def _layout(path: Path, tables: Mapping[str, list[tuple[str, dict[str, str]]]]) -> str:
    """Returns the layout of the lists of a corpus."""
    columns = [rows[0][1].keys() for rows in tables.values()]
    scenes = {"Scene_ID" in names for names in columns}
    if len(scenes) > 1:
        raise InputError(path, f"{LISTS} and {EMORYNLP}", "the lists of one corpus")
    if scenes == {True}:
        return EMORYNLP
    # MELD_Dyadic has more dialogues than MELD, so its numbers cannot continue across parts.
    for part, most in _MOST.items():
        for where, cells in tables.get(part, ()):
            if _numbers(cells, ("Dialogue_ID",), where)[0] >= most:
                return DYADIC
    return DYADIC if any(names >= set(_OLD) for names in columns) else LISTS


def _dialogue(layout: str, cells: Mapping[str, str], part: str, where: str) -> tuple[str, str]:
    """Returns the names of a row's dialogue and of its clip."""
    if layout == EMORYNLP:
        season, episode, scene = _numbers(cells, _SCENE, where)
        name = f"s{season:02d}_e{episode:02d}_c{scene:02d}"
        return name, f"{name}_u{cells['Utterance_ID']}"
    dialogue, utterance = _numbers(cells, ("Dialogue_ID", "Utterance_ID"), where)
    name = items.meld_dialogue(dialogue, part or None)
    if layout == DYADIC:
        name = f"{part}_{dialogue:04d}" if part else f"{dialogue:04d}"
        if set(_OLD) <= cells.keys():  # clips have MELD's numbers
            dialogue, utterance = _numbers(cells, _OLD, where)
    return name, f"dia{dialogue}_utt{utterance}"


def _numbers(cells: Mapping[str, str], columns: Iterable[str], where: str) -> list[int]:
    for column in columns:
        number = cells.get(column, "")
        if not re.fullmatch(r"\d{1,6}", number):
            raise InputError(f"{where}: {column}", repr(number)[:60], "a whole number")
    return [int(cells[column]) for column in columns]


def _speaker(cell: str) -> str:
    """Returns the name of a speaker; EmoryNLP's lists of names become one text."""
    if cell.startswith("["):
        cell = ", ".join(name.strip(" '\"") for name in cell.strip("[]").split(","))
    return cell or "other"


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
        words = re.split(r"[_.]", path.name.lower())
        part = next((items.PARTS[word] for word in words if word in items.PARTS), None)
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
