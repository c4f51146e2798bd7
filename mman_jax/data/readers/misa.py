"""Pickles of MISA and MMIM: lists of words, visual and acoustic frames, label and segment."""

from pathlib import Path
from typing import Any

import numpy as np

from mman_jax.data.readers import items, pooling
from mman_jax.data.readers.table import RATINGS, Row, Table, rated
from mman_jax.data.validation import SPLIT_NAMES
from mman_jax.errors import InputError
from mman_jax.files import unpickler

LAYOUT = "MISA or MMIM (a list of words, visual, acoustic, label and segment)"

_EXPECTED = "((words, visual [T, D], acoustic [T, D], ...), label, segment)"


def recognises(loaded: object) -> bool:
    """Returns whether a pickle has this layout."""
    if not isinstance(loaded, list | tuple) or not loaded:
        return False
    first = loaded[0]
    if not isinstance(first, list | tuple) or len(first) != 3:
        return False
    return isinstance(first[0], list | tuple) and len(first[0]) >= 3


def files(folder: Path) -> dict[str, Path]:
    """Returns the pickles of a folder that are named after parts."""
    paths: dict[str, Path] = {}
    for path in sorted(folder.iterdir()):
        part = items.PARTS.get(path.stem.lower())
        if part and path.suffix.lower() in (".pkl", ".pickle") and path.is_file():
            paths.setdefault(part, path)
    return paths


def read_folder(folder: Path, pool: pooling.How) -> Table:
    """Reads `train.pkl`, `dev.pkl` and `test.pkl` of a folder."""
    parts = {}
    for part, path in files(folder).items():
        loaded = unpickler.load(path)
        if not recognises(loaded):
            raise InputError(path, f"a {type(loaded).__name__}", f"a list of {_EXPECTED}")
        parts[part] = (str(path), loaded)
    return _read(str(folder), {name: parts[name] for name in SPLIT_NAMES if name in parts}, pool)


def read(place: str, loaded: Any, pool: pooling.How) -> Table:
    """Reads a loaded pickle, which is an unnamed part of a split."""
    return _read(place, {"": (place, loaded)}, pool)


def _read(place: str, parts: dict[str, tuple[str, Any]], pool: pooling.How) -> Table:
    """Reads parts, each given by the place and the content of its file."""
    modalities = [pooling.Collector(name, pool) for name in ("visual", "speech")]
    rows: list[Row] = []
    ratings: list[list[float]] = []
    for part, (file, loaded) in parts.items():
        budget = items.Budget(file)
        for number, item in enumerate(loaded):
            where = f"{file}: item {number}"
            if not recognises([item]):
                raise InputError(where, f"a {type(item).__name__}", _EXPECTED)
            (_, *arrays), label, segment = item
            name, video, order = items.clip(segment, where)
            where = f"{where}, {name}"
            rows.append(Row(video, name, order, part or None))
            for modality, value in zip(modalities, arrays, strict=False):
                at = f"{where}, modality {modality.name}"
                frames = items.array(value, at)
                if frames.ndim != 2:
                    raise InputError(at, f"shape {frames.shape}", "frames [T, D]")
                budget.spend(frames.size, file)
                modality.add(np.asarray(frames), at)
            ratings.append(_rating(label, f"{where}: label"))
    widths = {len(rating) for rating in ratings}
    if len(widths) > 1:
        raise InputError(place, f"labels of {sorted(widths)} numbers", "equal numbers in all items")
    notes = ["text: only indices of words, which are not features: left out"]
    if "" in parts:
        notes.append("one part of a split that the file does not name: no split")
    labels = rated(np.array(ratings, np.float32), notes)
    table = Table(place, LAYOUT, rows, labels, notes)
    for modality in reversed(modalities):
        table.add(modality)
    return table


def _rating(label: Any, place: str) -> list[float]:
    numbers = items.numbers(items.first_values(label, 9), place)
    if len(numbers) not in (1, len(RATINGS)):
        expected = "one number (1, 1), or MOSEI's seven (1, 7)"
        raise InputError(place, f"{len(numbers)} numbers", expected)
    return numbers.tolist()
