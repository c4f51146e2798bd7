"""MELD's published lists: CSV files of utterances, labels, speakers and times, no features."""

import re
from pathlib import Path

import numpy as np

from mman_jax.data.readers import csv_tables, items, names, table
from mman_jax.data.readers.tuples import MELD
from mman_jax.data.validation import SPLIT_NAMES
from mman_jax.errors import InputError

LAYOUT = "MELD's CSV files"

_COLUMNS = ("Dialogue_ID", "Utterance_ID", "Emotion")
_TIME = re.compile(r"(\d+):(\d\d):(\d\d)[,.](\d{1,3})")


def recognises(path: Path) -> bool:
    """Whether a file is such a list, or a folder holds some."""
    return bool(files(path)) if path.is_dir() else set(_COLUMNS) <= set(csv_tables.header(path))


def files(folder: Path) -> dict[str, Path]:
    """MELD's lists in a folder, by part."""
    found: dict[str, Path] = {}
    for path in sorted(folder.glob("*.csv")):
        part = names.PARTS.get(re.split(r"[_.]", path.name.lower())[0])
        if part and recognises(path):
            found.setdefault(part, path)
    return found


def read(path: Path) -> table.Table:
    """The utterances of one list, or of the three in a folder.

    Raises:
        InputError: the file, the line and the column that does not fit.
    """
    if path.is_file():
        return _read(path, {"": path})
    parts = files(path)
    return _read(path, {part: parts[part] for part in SPLIT_NAMES if part in parts})


def _read(place: Path, parts: dict[str, Path]) -> table.Table:
    conversations, order, labels, speakers, split, seconds = [], [], [], [], [], []
    clips, words = [], []
    for part, path in parts.items():
        columns, rows = csv_tables.rows(path)
        for line, row in rows:
            cells = dict(zip(columns, row, strict=True))
            numbers = [cells["Dialogue_ID"].strip(), cells["Utterance_ID"].strip()]
            for column, cell in zip(_COLUMNS, numbers, strict=False):
                if not re.fullmatch(r"\d{1,6}", cell):
                    where = f"{path}: line {line}: {column}"
                    raise InputError(where, repr(cell)[:60], "a whole number")
            conversations.append(names.meld_dialogue(int(numbers[0]), part or None))
            order.append(int(numbers[1]))
            labels.append(items.text(cells["Emotion"].strip(), f"{path}: line {line}", "a label"))
            speakers.append(cells.get("Speaker", "").strip() or "other")
            split.append(part)
            clips.append(f"{part or 'clips'}/dia{int(numbers[0])}_utt{int(numbers[1])}.mp4")
            words.append(cells.get("Utterance", ""))
            seconds.append(_seconds(cells.get("StartTime", ""), cells.get("EndTime", "")))
    notes = ["dialogues: numbered through all parts, as the pickles do (1039 on: validation)"]
    if "" in parts:
        notes = ["one part of a split that the file does not name: no split"]
    classes, label_names = table.labelled(labels, MELD)
    return table.Table(
        place=str(place),
        layout=LAYOUT,
        conversation_ids=conversations,
        utterance_ids=[str(number) for number in order],
        order=order,
        labels=classes,
        label_names=label_names,
        split=None if "" in parts else split,
        speakers=speakers,
        clips=clips,
        transcripts=words,
        duration=None if None in seconds else np.array(seconds, np.float32),
        notes=notes,
    )


def _seconds(start: str, end: str) -> float | None:
    times = [_TIME.fullmatch(cell.strip()) for cell in (start, end)]
    if None in times:
        return None
    hours = [[int(n) for n in time.groups()] for time in times]
    began, ended = (3600 * h + 60 * m + s + f / 1000 for h, m, s, f in hours)
    return max(0.0, ended - began)
