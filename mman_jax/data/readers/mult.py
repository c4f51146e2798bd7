"""The pickles of Multimodal-Transformer (CMU's processed data) and of MultiBench."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from mman_jax.data.readers import items, names, padded, pooling, table
from mman_jax.data.readers.padded import Part
from mman_jax.errors import InputError

LAYOUT = "Multimodal-Transformer or MultiBench (parts of padded vision, audio and text)"

_FOUR = ("neutral", "happy", "sad", "angry")
_MOSEI = ("sentiment", "happy", "sad", "anger", "surprise", "disgust", "fear")
_NONE = "labels [N, 1, 1] (a number), [N, 4, 2] (IEMOCAP), [N, 1, 7] (MOSEI) or [N, 1] (classes)"


def recognises(loaded: object) -> bool:
    """Whether a pickle holds this layout."""
    return bool(padded.keys(loaded))


def read(place: str, loaded: Mapping[Any, Any], pool: pooling.How) -> table.Table:
    """The utterances of a loaded pickle.

    Rows of zeros on one side are padding; which side is seen from the arrays.

    Raises:
        InputError: a part, key, row or id that does not fit.
    """
    parts = padded.split(place, loaded)
    notes: list[str] = []
    arrays = padded.features(
        place, parts, pool, notes, lambda part, key, array, front: padded.by_zeros(front)
    )
    conversations, ids, order = _ids(parts, notes)
    labels, label_names, targets = _labels(parts, notes)
    return table.Table(
        place=place,
        layout=LAYOUT,
        conversation_ids=conversations,
        utterance_ids=ids,
        order=order,
        labels=labels,
        label_names=label_names,
        **arrays,
        targets=targets,
        split=padded.part_names(parts),
        notes=notes,
    )


def _ids(parts: list[Part], notes: list[str]) -> tuple[list[str], list[str], list[Any] | None]:
    """Conversations, utterances and what orders them, by ids of whatever form."""
    if not any("id" in part.fields for part in parts):
        notes.append("no ids in the file: each utterance is a conversation of one")
        alone = [f"{part.name or 'row'}{i:05d}" for part in parts for i in range(part.count)]
        return alone, alone, None
    rows: list[list[str]] = []
    for part in parts:
        for row, value in enumerate(part.column("id")):
            where = f"{part.place}: id: row {row}"
            cells = items.cells(value, 3)
            if not cells:
                raise InputError(where, "an empty id", "an id")
            rows.append([_cell(cell, where) for cell in cells])
    firsts = [row[0] for row in rows]
    parsed = [names.parse(name) for name in firsts]
    # A video whose own name ends in a number comes again and again; a clip comes once.
    once = len(set(firsts)) == len(firsts)
    if once and all(told is not None and told.order is not None for told in parsed):
        return [told.conversation for told in parsed], firsts, [told.order for told in parsed]
    times = [_seconds(row) for row in rows]
    if all(time is not None for time in times):
        notes.append("conversations: videos, their utterances in the order of their times")
        ids = [f"{row[0]}[{row[1]}-{row[2]}]" for row in rows]
        if len(set(ids)) < len(ids):
            ids = [f"{name}.{row}" for row, name in enumerate(ids)]
            notes.append("ids come twice and have the number of their row after them")
        return firsts, ids, times
    notes.append("the ids tell no conversation: each utterance is a conversation of one")
    if not once:
        firsts = [f"{name}.{row}" for row, name in enumerate(firsts)]
        notes.append("ids come twice and have the number of their row after them")
    return firsts, firsts, None


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


def _labels(
    parts: list[Part], notes: list[str]
) -> tuple[np.ndarray, tuple[str, ...], dict[str, np.ndarray]]:
    """[N] classes, their names, and the numbers that they come from."""
    found = [
        items.numbers(np.asarray(part.column("labels")), f"{part.place}: labels") for part in parts
    ]
    place = f"{parts[0].place}: labels"
    if len({values.shape[1:] for values in found}) > 1:
        shapes = " and ".join(sorted({str(values.shape[1:]) for values in found}))
        raise InputError(place, f"shapes {shapes} in the parts", _NONE)
    values = np.concatenate(found)
    if values.shape[1:] == (4, 2):
        return _emotions(values, notes)
    flat = values.reshape(len(values), -1)
    if flat.shape[1] == len(_MOSEI):
        notes.append("labels: the sign of the sentiment, 0 as neutral")
        targets = {name: flat[:, i] for i, name in enumerate(_MOSEI)}
        return table.by_sign(flat[:, 0]), table.POLARITY, targets
    if flat.shape[1] != 1:
        raise InputError(place, f"shape {values.shape}", _NONE)
    numbers = flat[:, 0]
    whole = all(np.asarray(part.fields["labels"]).dtype.kind in "iub" for part in parts)
    if values.ndim < 3 and (whole or set(np.unique(numbers).tolist()) <= {0.0, 1.0}):
        notes.append("labels: whole numbers as they are; the file does not say what they mean")
        if (numbers < 0).any():
            return *table.labelled([f"{number:g}" for number in numbers]), {}
        classes = [items.label(n, f"{place}: row {row}") for row, n in enumerate(numbers.tolist())]
        return *table.numbered(np.array(classes), place), {}
    notes.append("labels: the sign of the sentiment, 0 as neutral")
    return table.by_sign(numbers), table.POLARITY, {"sentiment": numbers}


def _emotions(
    values: np.ndarray, notes: list[str]
) -> tuple[np.ndarray, tuple[str, ...], dict[str, np.ndarray]]:
    """IEMOCAP's four answers of no and yes: the class where one alone is yes."""
    yes = values.argmax(-1) == 1
    one = yes.sum(1) == 1
    notes.append(
        f"labels: four answers of yes or no (targets {', '.join(_FOUR)}); {int(one.sum())} "
        f"utterances have one yes, their class; the other {int((~one).sum())} have none"
    )
    labels = np.where(one, yes.argmax(1), -1).astype(np.int32)
    return labels, _FOUR, {name: yes[:, i].astype(np.float32) for i, name in enumerate(_FOUR)}
