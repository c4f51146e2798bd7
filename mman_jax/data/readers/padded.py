"""Dicts of parts with padded arrays [N, T, D], as in MMSA and Multimodal-Transformer."""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from mman_jax.data.readers import items, pooling
from mman_jax.data.readers.items import PARTS, Array
from mman_jax.data.readers.pooling import Collector
from mman_jax.data.readers.table import Row, Table
from mman_jax.data.validation import SPLIT_NAMES
from mman_jax.errors import InputError

MODALITIES = {"audio": "speech", "vision": "visual", "text": "text"}
"""Modalities of a corpus, by their keys in such files."""

_SAMPLE = 256  # number of rows whose zeros determine the padded side


@dataclasses.dataclass(frozen=True)
class Part:
    """One part of such a file.

    Attributes:
        name: `train`, `valid` or `test`; empty for a file without parts.
        place: The file and the part, for messages.
        fields: Its fields by key.
        count: Number of utterances.
    """

    name: str
    place: str
    fields: Mapping[Any, Any]
    count: int

    def column(self, key: str) -> Any:
        """Returns a list or an array with one value per utterance."""
        values = items.sequence(self._field(key), f"{self.place}: {key}", "one value per utterance")
        if len(values) != self.count:
            expected = f"{self.count}, as in the other arrays"
            raise InputError(f"{self.place}: {key}", f"{len(values)} values", expected)
        return values

    def array(self, key: str) -> Array:
        """Returns an array [N, T, D] or [N, D]."""
        return items.array(self._field(key), f"{self.place}: {key}", self.count)

    def _field(self, key: str) -> Any:
        if key not in self.fields:
            raise InputError(self.place, f"no key {key!r}", "as in the other parts")
        return self.fields[key]


Frames = Callable[[Part, str, Array, bool], tuple[np.ndarray, str]]
"""Distinguishes frames from padding.

Maps a part, a key, its array [N, T, D], and whether padding precedes the frames to [N, T] bool,
which rows are frames, and a description of the criterion.
"""


def keys(loaded: object) -> set[Any]:
    """Returns the keys of all dicts in a pickle that contain a modality, so may be parts."""
    if not isinstance(loaded, dict):
        return set()
    parts = [_named(part) for part in (*loaded.values(), loaded) if isinstance(part, dict)]
    return {key for part in parts if part.keys() & MODALITIES.keys() for key in part}


def split(place: str, loaded: Mapping[Any, Any]) -> list[Part]:
    """Returns the parts, in the order train, valid, test."""
    parts_by_name: dict[str, Mapping[Any, Any]] = {}
    for name, part in _named(loaded).items():
        if name in PARTS and isinstance(part, dict):
            if PARTS[name] in parts_by_name:
                raise InputError(f"{place}: {name}", "a part twice", "each part once")
            parts_by_name[PARTS[name]] = part
    parts_by_name = parts_by_name or {"": loaded}
    parts = []
    for name in sorted(parts_by_name, key=(*SPLIT_NAMES, "").index):
        where = f"{place}: {name}" if name else place
        fields = _named(parts_by_name[name])
        key = next((key for key in MODALITIES if key in fields), None)
        if key is None:
            raise InputError(where, "no modality", "one of " + ", ".join(MODALITIES))
        count = len(items.array(fields[key], f"{where}: {key}"))
        if not count:
            raise InputError(where, "no utterances", "at least one")
        parts.append(Part(name, where, fields, count))
    return parts


def counted_rows(parts: list[Part], notes: list[str]) -> list[Row]:
    """Returns the utterances of a file without ids, each as a conversation of one."""
    notes.append("no ids in the file: each utterance is a conversation of one")
    rows = []
    for part in parts:
        names = [f"{part.name or 'row'}{number:05d}" for number in range(part.count)]
        rows += [Row(name, name, split=part.name or None) for name in names]
    return rows


def add_modalities(table: Table, parts: list[Part], pool: pooling.How, frames: Frames) -> None:
    """Adds the modalities of all parts to a table, a chunk of rows at a time.

    Modalities that are padded to the same length are aligned: in sequences, a cell of any modality
    is then a cell of all, with zeros where a modality has none.
    """
    arrays = {
        key: [part.array(key) for part in parts]
        for key in MODALITIES
        if any(key in part.fields for part in parts)
    }
    masks: dict[str, list[np.ndarray]] = {}
    details: dict[str, str] = {}
    for key, in_parts in arrays.items():
        if len({array.shape[-1] for array in in_parts}) > 1 or len({a.ndim for a in in_parts}) > 1:
            shapes = ", ".join(str(array.shape) for array in in_parts)
            raise InputError(
                f"{table.place}: {key}", f"{shapes} in the parts", "as many features in all parts"
            )
        if in_parts[0].ndim == 3:
            front = _padded_in_front(in_parts)
            pairs = [frames(part, key, a, front) for part, a in zip(parts, in_parts, strict=True)]
            masks[key], details[key] = [mask for mask, _ in pairs], pairs[0][1]
    cells = masks
    by_part = list(zip(*masks.values(), strict=True))
    same = all(len({mask.shape for mask in part}) == 1 for part in by_part)
    if pool is None and len(masks) > 1 and same:
        table.notes.append("all modalities have equal numbers of cells, and are treated as aligned")
        union = [np.logical_or.reduce(part) for part in by_part]
        cells = {key: union for key in masks}
    for key, in_parts in arrays.items():
        collector = Collector(MODALITIES[key], pool)
        for number, array in enumerate(in_parts):
            place = f"{parts[number].place}: {key}"
            for rows, block in pooling.chunks(array):
                if key in masks:
                    mask, cell_mask = masks[key][number][rows], cells[key][number][rows]
                    collector.add_padded(block, mask, place, cell_mask)
                else:
                    collector.add_vectors(block, place, check=True)
        table.add(collector, details.get(key, ""))


def by_zeros(part: Part, key: str, array: Array, front: bool) -> tuple[np.ndarray, str]:
    """Treats rows of zeros on one side as padding; an implementation of `Frames`."""
    masks = [pooling.nonzero(block, front) for _, block in pooling.chunks(array)]
    return np.concatenate(masks), f"padding in {'front' if front else 'back'} by rows of zeros"


def _named(part: Mapping[Any, Any]) -> dict[Any, Any]:
    """Converts keys that are bytes to text."""
    return {k.decode("latin1") if isinstance(k, bytes) else k: v for k, v in part.items()}


def _padded_in_front(arrays: list[Array]) -> bool:
    """Returns whether padding by rows of zeros precedes the frames."""
    before = behind = 0
    for array in arrays:
        block = next(pooling.chunks(array))[1][:_SAMPLE]
        if block.shape[1]:
            first, last = ((block[:, side] == 0).all(1) for side in (0, -1))
            before += int((first & ~last).sum())
            behind += int((last & ~first).sum())
    return before > behind
