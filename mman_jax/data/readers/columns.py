"""Columns of pickles keyed by conversation: an item an utterance, of each conversation in turn."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from mman_jax.data.readers import items, tuples
from mman_jax.data.readers.tuples import Layout
from mman_jax.errors import InputError


def column(place: str, parts: Mapping[str, Any], field: str, name: str, length: int) -> list[Any]:
    """The items of one conversation.

    Raises:
        InputError: none, or another number than `length`.
    """
    where = f"{place}: conversation {name}"
    values = sequence(parts, field, name, where)
    if len(values) != length:
        expected = f"{length}, as in {'ids' if 'ids' in parts else 'labels'}"
        raise InputError(f"{where}: {field}", f"{len(values)} utterances", expected)
    return list(values)


def sequence(
    parts: Mapping[str, Any], field: str, name: str, place: str
) -> np.ndarray | list[Any] | tuple[Any, ...]:
    """The items of one conversation, of any number.

    Raises:
        InputError: none, or no list of them.
    """
    if name not in parts[field]:
        raise InputError(f"{place}: {field}", "nothing for this conversation", "an entry")
    expected = "a list with one item an utterance"
    return items.sequence(parts[field][name], f"{place}: {field}", expected)


def features(
    place: str,
    layout: Layout,
    parts: Mapping[str, Any],
    conversations: list[str],
    lengths: list[int],
    ids: list[str],
    notes: list[str],
) -> dict[str, np.ndarray]:
    """[N, D] of each modality; several blocks of text become their mean.

    Args:
        place: the file.
        layout: what its parts are.
        parts: by field.
        conversations: their ids, in order.
        lengths: utterances of each.
        ids: of all utterances.
        notes: what is decided is added to them.

    Raises:
        InputError: the conversation, utterance and modality that does not fit.
    """
    made: dict[str, np.ndarray] = {}
    blocks: dict[str, int] = {}
    # A vector may be referred to many times over; honest files hold at least one byte a value.
    budget = Path(place).stat().st_size
    fields = [field for field in tuples.VECTORS if field in layout.fields]
    for field in sorted(fields, key=("speech", "visual", *tuples.VECTORS[:4]).index):
        modality = field.rstrip("234")
        rows: list[np.ndarray] = []
        start = 0
        for name, length in zip(conversations, lengths, strict=True):
            values = column(place, parts, field, name, length)
            budget -= sum(_width(value) for value in values)
            if budget < 0:
                raise InputError(place, "more features than the file holds", "a whole pickle")
            for utterance, value in zip(ids[start : start + length], values, strict=True):
                where = f"{place}: conversation {name}, utterance {utterance}, modality {modality}"
                rows.append(items.vector(value, where))
                if len(rows[-1]) != len(rows[0]):
                    expected = f"{len(rows[0])}, as before it"
                    raise InputError(where, f"{len(rows[-1])} features", expected)
            start += length
        block = np.stack(rows)
        if modality in made and block.shape != made[modality].shape:
            found = f"{block.shape[1]} features in {field}"
            raise InputError(place, found, f"{made[modality].shape[1]}, as in {modality}")
        made[modality] = made[modality] + block if modality in made else block
        blocks[modality] = blocks.get(modality, 0) + 1
    for modality, count in blocks.items():
        if count > 1:
            made[modality] = made[modality] / np.float32(count)
            notes.append(f"{modality}: the mean of its {count} blocks")
    return made


def _width(vector: object) -> int:
    if isinstance(vector, np.ndarray):
        return vector.size
    return len(vector) if isinstance(vector, list | tuple) else 1
