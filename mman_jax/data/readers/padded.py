"""Dicts of parts with padded arrays [N, T, D]: what MMSA, Multimodal-Transformer and kin share."""

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
"""Keys of such files, and the names of their modalities in a corpus."""

_SAMPLE = 256  # rows, whose zeros tell which side is padded


@dataclasses.dataclass(frozen=True)
class Part:
    """One part of such a file.

    Attributes:
        name: `train`, `valid`, `test`; or empty: a file without parts.
        place: The file and the part, for messages.
        fields: What it holds by key.
        count: Number of utterances.
    """

    name: str
    place: str
    fields: Mapping[Any, Any]
    count: int

    def column(self, key: str) -> Any:
        """Returns a list or an array with a value for each utterance.

        Raises:
            InputError: The key is missing, or has another number of values.
        """
        values = items.sequence(self._field(key), f"{self.place}: {key}", "a value an utterance")
        if len(values) != self.count:
            expected = f"{self.count}, as in the other arrays"
            raise InputError(f"{self.place}: {key}", f"{len(values)} values", expected)
        return values

    def array(self, key: str) -> Array:
        """Returns an array [N, T, D] or [N, D].

        Raises:
            InputError: The key is missing, or holds something else.
        """
        return items.array(self._field(key), f"{self.place}: {key}", self.count)

    def _field(self, key: str) -> Any:
        if key not in self.fields:
            raise InputError(self.place, f"no key {key!r}", "as in the other parts")
        return self.fields[key]


Frames = Callable[[Part, str, Array, bool], tuple[np.ndarray, str]]
"""Tells frames from padding.

From a part, a key, its array [N, T, D], and whether padding precedes the frames: [N, T] bool, which
rows are frames, and a description of what tells them.
"""


def keys(loaded: object) -> set[Any]:
    """Returns the keys of everything in a pickle that holds a modality and so may be a part."""
    if not isinstance(loaded, dict):
        return set()
    parts = [_named(part) for part in (*loaded.values(), loaded) if isinstance(part, dict)]
    return {key for part in parts if part.keys() & MODALITIES.keys() for key in part}


def split(place: str, loaded: Mapping[Any, Any]) -> list[Part]:
    """Returns the parts, in the order train, valid, test.

    Raises:
        InputError: No part holds a modality, or one has no utterances.
    """
    several: dict[str, Mapping[Any, Any]] = {}
    for name, part in _named(loaded).items():
        if name in PARTS and isinstance(part, dict):
            if PARTS[name] in several:
                raise InputError(f"{place}: {name}", "a part twice", "each part once")
            several[PARTS[name]] = part
    several = several or {"": loaded}
    parts = []
    for name in sorted(several, key=(*SPLIT_NAMES, "").index):
        where = f"{place}: {name}" if name else place
        fields = _named(several[name])
        key = next((key for key in MODALITIES if key in fields), None)
        if key is None:
            raise InputError(where, "no modality", "one of " + ", ".join(MODALITIES))
        count = len(items.array(fields[key], f"{where}: {key}"))
        if not count:
            raise InputError(where, "no utterances", "at least one")
        parts.append(Part(name, where, fields, count))
    return parts


def counted_rows(parts: list[Part], notes: list[str]) -> list[Row]:
    """Returns the utterances of a file without ids, which are conversations of one."""
    notes.append("no ids in the file: each utterance is a conversation of one")
    rows = []
    for part in parts:
        names = [f"{part.name or 'row'}{number:05d}" for number in range(part.count)]
        rows += [Row(name, name, split=part.name or None) for name in names]
    return rows


def add_modalities(table: Table, parts: list[Part], pool: pooling.How, frames: Frames) -> None:
    """Adds the modalities of all parts to a table, a chunk of rows at a time.

    If all modalities are padded to one length they were aligned: in sequences, a cell that one
    modality has is one of all, with zeros in the others.

    Args:
        table: The table of all utterances.
        parts: The parts of the file.
        pool: See `pooling.How`.
        frames: See `Frames`.
    """
    arrays = {
        key: [part.array(key) for part in parts]
        for key in MODALITIES
        if any(key in part.fields for part in parts)
    }
    masks: dict[str, list[np.ndarray]] = {}
    details: dict[str, str] = {}
    for key, several in arrays.items():
        if len({array.shape[-1] for array in several}) > 1 or len({a.ndim for a in several}) > 1:
            shapes = ", ".join(str(array.shape) for array in several)
            raise InputError(
                f"{table.place}: {key}", f"{shapes} in the parts", "as many features in each"
            )
        if several[0].ndim == 3:
            front = _padded_in_front(several)
            found = [frames(part, key, a, front) for part, a in zip(parts, several, strict=True)]
            masks[key], details[key] = [mask for mask, _ in found], found[0][1]
    cells = masks
    by_part = list(zip(*masks.values(), strict=True))
    same = all(len({mask.shape for mask in part}) == 1 for part in by_part)
    if pool is None and len(masks) > 1 and same:
        table.notes.append("all modalities have as many cells: taken as aligned")
        union = [np.logical_or.reduce(part) for part in by_part]
        cells = {key: union for key in masks}
    for key, several in arrays.items():
        collector = Collector(MODALITIES[key], pool)
        for number, array in enumerate(several):
            place = f"{parts[number].place}: {key}"
            for rows, block in pooling.chunks(array):
                if key in masks:
                    mask, kept = masks[key][number][rows], cells[key][number][rows]
                    collector.add_padded(block, mask, place, kept)
                else:
                    collector.add_vectors(block, place, check=True)
        table.add(collector, details.get(key, ""))


def by_lengths(lengths: np.ndarray, most: int, front: bool) -> np.ndarray:
    """Returns which rows are frames, [N, T] bool, by lengths [N]."""
    steps = np.arange(most)
    return steps >= most - lengths[:, None] if front else steps < lengths[:, None]


def by_zeros(part: Part, key: str, array: Array, front: bool) -> tuple[np.ndarray, str]:
    """Takes rows of zeros on one side for padding; a kind of `Frames`."""
    masks = [pooling.nonzero(block, front) for _, block in pooling.chunks(array)]
    return np.concatenate(masks), f"padding in {'front' if front else 'back'} by rows of zeros"


def _named(part: Mapping[Any, Any]) -> dict[Any, Any]:
    """Returns the same with keys that are bytes as text."""
    return {k.decode("latin1") if isinstance(k, bytes) else k: v for k, v in part.items()}


def _padded_in_front(arrays: list[Array]) -> bool:
    """Returns whether rows of zeros stand in front of the frames rather than behind them."""
    before = behind = 0
    for array in arrays:
        block = next(pooling.chunks(array))[1][:_SAMPLE]
        if block.shape[1]:
            first, last = ((block[:, side] == 0).all(1) for side in (0, -1))
            before += int((first & ~last).sum())
            behind += int((last & ~first).sum())
    return before > behind
