"""Dicts of parts with padded arrays [N, T, D]: what MMSA, Multimodal-Transformer and kin share."""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from mman_jax.data.readers import cells, items, pooling
from mman_jax.data.readers.names import PARTS
from mman_jax.data.validation import SPLIT_NAMES
from mman_jax.errors import InputError

MODALITIES = {"audio": "speech", "vision": "visual", "text": "text"}
"""Keys of such files, and what the modalities are called."""

Array = cells.Array
Real = cells.Real

_SAMPLE = 256  # rows by whose zeros the padded side is told


@dataclasses.dataclass(frozen=True)
class Part:
    """One part of such a file.

    Attributes:
        name: `train`, `valid`, `test`, or empty: a file without parts.
        place: for messages.
        fields: what it holds by key.
        count: its utterances.
    """

    name: str
    place: str
    fields: Mapping[Any, Any]
    count: int

    def column(self, key: str) -> Any:
        """A list or an array with a value an utterance.

        Raises:
            InputError: the key is missing, or another number of values.
        """
        where = f"{self.place}: {key}"
        if key not in self.fields:
            raise InputError(self.place, f"no key {key!r}", "as in the other parts")
        values = items.sequence(self.fields[key], where, "a value an utterance")
        if len(values) != self.count:
            expected = f"{self.count}, as in the other arrays"
            raise InputError(where, f"{len(values)} values", expected)
        return values


def keys(loaded: object) -> set[Any]:
    """The keys of all that may be a part of a pickle, if it holds a modality."""
    if not isinstance(loaded, dict):
        return set()
    found: set[Any] = set()
    for part in (*loaded.values(), loaded):
        if isinstance(part, dict):
            own = _named(part).keys()
            found |= own if own & MODALITIES.keys() else set()
    return found


def _named(part: Mapping[Any, Any]) -> dict[Any, Any]:
    """The same with keys that are bytes as text."""
    return {k.decode("latin1") if isinstance(k, bytes) else k: v for k, v in part.items()}


def split(place: str, loaded: Mapping[Any, Any]) -> list[Part]:
    """The parts, in the order train, valid, test.

    Raises:
        InputError: no part holds a modality, or one has no utterances.
    """
    found: dict[str, Mapping[Any, Any]] = {}
    for name, part in _named(loaded).items():
        if name in PARTS and isinstance(part, dict):
            if PARTS[name] in found:
                raise InputError(f"{place}: {name}", "a part twice", "each part once")
            found[PARTS[name]] = part
    found = found or {"": loaded}
    parts = []
    for name in sorted(found, key=(*SPLIT_NAMES, "").index):
        where = f"{place}: {name}" if name else place
        fields = _named(found[name])
        key = next((key for key in MODALITIES if key in fields), None)
        if key is None:
            raise InputError(where, "no modality", "one of " + ", ".join(MODALITIES))
        count = len(array(f"{where}: {key}", fields[key]))
        if not count:
            raise InputError(where, "no utterances", "at least one")
        parts.append(Part(name, where, fields, count))
    return parts


def part_names(parts: list[Part]) -> list[str] | None:
    """The part of each utterance; None where the file has none."""
    return [part.name for part in parts for _ in range(part.count)] if parts[0].name else None


def features(
    place: str,
    parts: list[Part],
    how: pooling.How,
    notes: list[str],
    real: Callable[[Part, str, Array, bool], tuple[Real, str]],
) -> dict[str, dict[str, Any]]:
    """A table's `features`, `present` and `sequences` of each modality over all parts.

    Args:
        place: for messages.
        parts: of the file.
        how: see `pooling.How`.
        notes: what is decided is added to them.
        real: from a part, a key, its array, and whether padding stands in front: which rows are
            frames, and how that is told in words.
    """
    features, present, padded = {}, {}, {}
    for key, modality in MODALITIES.items():
        if not any(key in part.fields for part in parts):
            continue
        arrays = []
        for part in parts:
            if key not in part.fields:
                raise InputError(part.place, f"no key {key!r}", "as in the other parts")
            arrays.append(array(f"{part.place}: {key}", part.fields[key], part.count))
        before = front(arrays)
        told = [real(part, key, one, before) for part, one in zip(parts, arrays, strict=True)]
        frames = [one for one, _ in told]
        made = _pool(arrays, frames, how, f"{place}: {key}")
        features[modality], present[modality] = made.features, made.present
        if how is None and arrays[0].ndim == 3:
            padded[modality] = (arrays, frames)
        if arrays[0].ndim == 3:
            notes.append(f"{modality}: {pooling.describe(how)}; {told[0][1]}")
        if made.replaced:
            notes.append(f"{modality}: {made.replaced} values NaN or infinite, taken as 0")
    return {
        "features": features,
        "present": present,
        "sequences": cells.of_modalities(padded, notes),
    }


def array(place: str, value: object, count: int | None = None) -> Array:
    """A value that is [N, T, D], or [N, D] of vectors.

    Raises:
        InputError: something else, or another N.
    """
    if not isinstance(value, Array):
        raise InputError(place, f"a {type(value).__name__}", "an array [N, T, D] of numbers")
    good = value.ndim in (2, 3) and value.dtype.kind in "fiu" and value.shape[-1] > 0
    if not good:
        found = f"{value.dtype} of shape {value.shape}"
        raise InputError(place, found, "an array [N, T, D] of numbers")
    if count is not None and len(value) != count:
        raise InputError(place, f"{len(value)} utterances", f"{count}, as in the other arrays")
    return value


def front(arrays: list[Array]) -> bool:
    """Whether rows of zeros stand in front of the frames rather than behind them."""
    before = behind = 0
    for one in arrays:
        block = np.asarray(one[: min(_SAMPLE, pooling.rows_at_once(one))])
        if block.ndim == 3 and block.shape[1]:
            first, last = ((block[:, side] == 0).all(1) for side in (0, -1))
            before += int((first & ~last).sum())
            behind += int((last & ~first).sum())
    return before > behind


def lengths(place: str, values: object, count: int, most: int) -> np.ndarray:
    """[N] int64 of a list of lengths.

    Raises:
        InputError: another count, no whole number, or one beyond the padding.
    """
    found = items.numbers(values, place, count)
    wrong = np.flatnonzero(~((found >= 0) & (found <= most) & (found == np.round(found))))
    if len(wrong):
        row = int(wrong[0])
        expected = f"a whole number from 0 to {most}, the padded length"
        raise InputError(f"{place}: row {row}", f"length {found[row]:g}", expected)
    return found.astype(np.int64)


def by_lengths(count: np.ndarray, most: int, front: bool) -> Real:
    """Frames by the lengths [N] of rows that are padded to `most`."""
    steps = np.arange(most)

    def real(rows: slice, _: np.ndarray) -> np.ndarray:
        size = count[rows, None]
        return steps >= most - size if front else steps < size

    return real


def by_mask(mask: np.ndarray) -> Real:
    """Frames by a mask [N, T] bool."""
    return lambda rows, _: mask[rows]


def by_zeros(front: bool) -> tuple[Real, str]:
    """Frames up to the rows of zeros on one side, and that in words."""
    said = f"padding in {'front' if front else 'back'} by rows of zeros"
    return lambda _, block: pooling.nonzero(block, front), said


def _pool(arrays: list[Array], real: list[Real], how: pooling.How, place: str) -> pooling.Pooled:
    widths = [one.shape[-1] for one in arrays]
    if len(set(widths)) > 1 or len({one.ndim for one in arrays}) > 1:
        found = f"{', '.join(str(one.shape) for one in arrays)} in the parts"
        raise InputError(place, found, "as many features in each")
    if arrays[0].ndim == 2:
        return pooling.vectors(np.concatenate([np.asarray(one) for one in arrays]))
    made = [pooling.padded(one, which, how) for one, which in zip(arrays, real, strict=True)]
    return pooling.Pooled(
        np.concatenate([one.features for one in made]),
        np.concatenate([one.present for one in made]),
        sum(one.replaced for one in made),
    )
