"""Pickles of Multimodal-Transformer (CMU's processed data) and MultiBench."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from mman_jax.data.readers import items, padded, pooling, table
from mman_jax.data.readers.padded import Part
from mman_jax.errors import InputError

LAYOUT = "Multimodal-Transformer or MultiBench (parts of padded vision, audio and text)"

_FOUR = ("neutral", "happy", "sad", "angry")
_LABELS = "labels [N, 1, 1] (a number), [N, 4, 2] (IEMOCAP), [N, 1, 7] (MOSEI) or [N, 1] (classes)"


def recognises(loaded: object) -> bool:
    """Returns whether a pickle has this layout."""
    return bool(padded.keys(loaded))


def read(place: str, loaded: Mapping[Any, Any], pool: pooling.How) -> table.Table:
    """Reads a loaded pickle; rows of zeros on one side of the arrays are padding."""
    parts = padded.split(place, loaded)
    notes: list[str] = []
    rows = _rows(parts, notes)
    result = table.Table(place, LAYOUT, rows, _labels(parts, notes), notes)
    padded.add_modalities(result, parts, pool, padded.by_zeros)
    return result


def _rows(parts: list[Part], notes: list[str]) -> list[table.Row]:
    """Returns rows with conversations, utterances and their order, from ids of any known form."""
    if not any("id" in part.fields for part in parts):
        return padded.counted_rows(parts, notes)
    ids: list[list[str]] = []
    split: list[str | None] = []
    for part in parts:
        split += [part.name or None] * part.count
        for row, value in enumerate(part.column("id")):
            where = f"{part.place}: id: row {row}"
            cells = items.first_values(value, 3)
            if not cells:
                raise InputError(where, "an empty id", "an id")
            ids.append([_cell(cell, where) for cell in cells])
    names = [cells[0] for cells in ids]
    parsed = [name for name in map(items.parse_name, names) if name and name.order is not None]
    times = [_seconds(cells) for cells in ids]
    conversations: list[str] = names
    order: list[Any] = [None] * len(ids)
    # A video whose name ends in a number occurs repeatedly, a clip only once.
    if len(set(names)) == len(parsed) == len(ids):
        conversations = [name.conversation for name in parsed]
        order = [name.order for name in parsed]
    elif None not in times:
        notes.append("conversations: videos, their utterances in the order of their times")
        order = times
        names = _unique([f"{cells[0]}[{cells[1]}-{cells[2]}]" for cells in ids], notes)
    else:
        notes.append("the ids encode no conversation: each utterance is a conversation of one")
        conversations = names = _unique(names, notes)
    return list(map(table.Row, conversations, names, order, split))


def _unique(names: list[str], notes: list[str]) -> list[str]:
    if len(set(names)) == len(names):
        return names
    notes.append("ids are not unique and are followed by the number of their row")
    return [f"{name}.{row}" for row, name in enumerate(names)]


def _cell(value: Any, place: str) -> str:
    if isinstance(value, float | np.floating):
        return repr(float(value))
    return items.text(value, place).strip("\0 ")


def _seconds(row: list[str]) -> tuple[float, float] | None:
    try:
        start, end = (float(cell) for cell in row[1:3])
    except ValueError:
        return None
    return (start, end) if np.isfinite([start, end]).all() else None


def _labels(parts: list[Part], notes: list[str]) -> table.Labels:
    """Returns labels, interpreted by their shape and values."""
    by_part = [
        items.numbers(np.asarray(part.column("labels")), f"{part.place}: labels") for part in parts
    ]
    place = f"{parts[0].place}: labels"
    if len({values.shape[1:] for values in by_part}) > 1:
        shapes = " and ".join(sorted({str(values.shape[1:]) for values in by_part}))
        raise InputError(place, f"shapes {shapes} in the parts", _LABELS)
    values = np.concatenate(by_part)
    if values.shape[1:] == (4, 2):
        return _emotions(values, notes)
    flat = values.reshape(len(values), -1)
    if flat.shape[1] == len(table.RATINGS):
        return table.rated(flat, notes)
    if flat.shape[1] != 1:
        raise InputError(place, f"shape {values.shape}", _LABELS)
    numbers = flat[:, 0]
    integral = all(np.asarray(part.fields["labels"]).dtype.kind in "iub" for part in parts)
    if values.ndim == 3 or not (integral or set(np.unique(numbers).tolist()) <= {0.0, 1.0}):
        return table.rated(numbers, notes)
    notes.append("labels: integers, named by their value; the file does not explain them")
    if (numbers < 0).any():
        return table.labelled([f"{number:g}" for number in numbers])
    classes = [items.label(n, f"{place}: row {row}") for row, n in enumerate(numbers.tolist())]
    return table.numbered(classes, place)


def _emotions(values: np.ndarray, notes: list[str]) -> table.Labels:
    """Returns classes from IEMOCAP's four binary labels, for utterances with exactly one."""
    yes = values.argmax(-1) == 1
    single = yes.sum(1) == 1
    notes.append(
        f"labels: four answers of yes or no (targets {', '.join(_FOUR)}); {int(single.sum())} "
        f"utterances have one yes, their class; the other {int((~single).sum())} have none"
    )
    classes = np.where(single, yes.argmax(1), -1).astype(np.int32)
    targets = {name: yes[:, i].astype(np.float32) for i, name in enumerate(_FOUR)}
    return table.Labels(classes, _FOUR, targets)
