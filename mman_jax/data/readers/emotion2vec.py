"""emotion2vec's files: an array with the frames of all utterances, and their lengths and labels."""

from pathlib import Path

import numpy as np

from mman_jax.data.readers import items, pooling
from mman_jax.data.readers.items import Array
from mman_jax.data.readers.table import Table, labelled, named_rows
from mman_jax.data.validation import SPLIT_NAMES
from mman_jax.errors import InputError, reading
from mman_jax.files import arrays

LAYOUT = "emotion2vec (frames as .npy, .lengths and .emo)"
MODALITY = "speech"


def recognises(folder: Path) -> bool:
    """Returns whether a folder contains such files, or one array per utterance."""
    return any(path.is_file() for path in folder.glob("*.npy"))


def read(path: Path, pool: pooling.How) -> Table:
    """Reads one array, or a folder of arrays that are named by the parts.

    A folder of arrays without lengths is FunASR's output: one array per utterance, without labels.
    """
    paths = [path] if path.is_file() else sorted(path.glob("*.npy"))
    modality = pooling.Collector(MODALITY, pool)
    notes: list[str] = []
    if not any(array.with_suffix(".lengths").is_file() for array in paths):
        notes.append("no labels next to the arrays")
        for file in paths:
            count = modality.add_file(file)
            if path.is_file() and count > 1:
                expected = f"{file.stem}.lengths with one line per utterance, and {file.stem}.emo"
                raise InputError(file, f"{count} rows, and no file of lengths next to it", expected)
        utterances = [(file.stem, "", "") for file in paths]
    else:
        utterances = _utterances(path, paths, modality)
    ids, labels, split = zip(*utterances, strict=True)
    parsed = [items.parse_name(name, numbered=False) for name in ids]
    rows = named_rows(ids, parsed, notes)
    rows = [row._replace(split=part or None) for row, part in zip(rows, split, strict=True)]
    table = Table(path, LAYOUT, rows, labelled(labels), notes)
    table.add(modality)
    return table


def _utterances(
    path: Path, paths: list[Path], modality: pooling.Collector
) -> list[tuple[str, str, str]]:
    """Returns the id, the label and the part of each utterance, and adds its frames."""
    several = [array for array in paths if array.with_suffix(".lengths").is_file()]
    parts = {items.PARTS.get(array.stem.lower(), ""): array for array in several}
    if len(several) == 1:
        parts = {"": several[0]}
    elif "" in parts or len(parts) != len(several):
        raise InputError(path, f"{len(several)} arrays", "train.npy, valid.npy, test.npy")
    utterances = []
    for part in (part for part in ("", *SPLIT_NAMES) if part in parts):
        frames = arrays.read_npy(parts[part])
        lengths = _lengths(parts[part].with_suffix(".lengths"), frames)
        labels = _labels(parts[part].with_suffix(".emo"), len(lengths))
        for (name, label), end, size in zip(labels, np.cumsum(lengths), lengths, strict=True):
            modality.add(np.asarray(frames[int(end - size) : int(end)]), f"{parts[part]}: {name}")
            utterances.append((name, label, part))
    return utterances


def _lengths(path: Path, frames: Array) -> np.ndarray:
    rows = _lines(path)
    if frames.ndim != 2 or not frames.shape[1]:
        raise InputError(path.with_suffix(".npy"), f"shape {frames.shape}", "frames [T, D]")
    for number, row in enumerate(rows):
        if not row.isdigit() or len(row) > 12:
            raise InputError(f"{path}: line {number}", repr(row)[:60], "a number of frames")
    lengths = np.array([int(row) for row in rows], np.int64)
    if not len(lengths) or lengths.sum() != len(frames):
        found = f"a sum of {lengths.sum()}"
        raise InputError(path, found, f"{len(frames)}, the rows of the array")
    return lengths


def _labels(path: Path, count: int) -> list[tuple[str, str]]:
    """Returns the name and the label of each utterance."""
    rows = [row.split() for row in _lines(path)]
    if len(rows) != count:
        raise InputError(path, f"{len(rows)} labels", f"{count}, as many as lengths")
    for number, row in enumerate(rows):
        if len(row) != 2:
            found = f"{len(row)} words"
            raise InputError(f"{path}: line {number}", found, "an utterance, a tab, a label")
    return [(name, label) for name, label in rows]


def _lines(path: Path) -> list[str]:
    with reading(path, "one line per utterance", (OSError, ValueError)):
        lines = path.read_text(encoding="utf-8").splitlines()
    return [line.strip() for line in lines if line.strip()]
