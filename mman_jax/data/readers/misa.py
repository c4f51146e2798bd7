"""The pickles of MISA and MMIM: a list of words, visual and acoustic frames, label and segment."""

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from mman_jax.data.readers import items, names, pooling, table
from mman_jax.data.readers.cells import Cells
from mman_jax.errors import InputError
from mman_jax.files import unpickler

LAYOUT = "MISA or MMIM (a list of words, visual, acoustic, label and segment)"

_EMOTIONS = ("happy", "sad", "anger", "surprise", "disgust", "fear")
_EXPECTED = "((words, visual [T, D], acoustic [T, D], ...), label, segment)"


def recognises(loaded: object) -> bool:
    """Whether a pickle holds this layout."""
    if not isinstance(loaded, list | tuple) or not loaded:
        return False
    first = loaded[0]
    if not isinstance(first, list | tuple) or len(first) != 3:
        return False
    return isinstance(first[0], list | tuple) and len(first[0]) >= 3


def read(place: str, loaded: Any, pool: pooling.How) -> table.Table:
    """The utterances of one loaded pickle, which is one part of a split that it does not name."""
    return read_parts(place, {"": (place, loaded)}, pool)


def files(folder: Path) -> dict[str, Path]:
    """The pickles of a folder that are named after parts."""
    found = {}
    for path in sorted(folder.iterdir()):
        part = names.PARTS.get(path.stem.lower())
        if part and path.suffix.lower() in (".pkl", ".pickle") and path.is_file():
            found.setdefault(part, path)
    return found


def read_folder(folder: Path, pool: pooling.How) -> table.Table:
    """The utterances of `train.pkl`, `dev.pkl` and `test.pkl` in a folder.

    Raises:
        InputError: one that cannot be read, or that is of another layout.
    """
    parts = {}
    for part, path in files(folder).items():
        loaded = unpickler.load(path)
        if not recognises(loaded):
            raise InputError(path, f"a {type(loaded).__name__}", f"a list of {_EXPECTED}")
        parts[part] = (str(path), loaded)
    order = [part for part in ("train", "valid", "test") if part in parts]
    return read_parts(str(folder), {part: parts[part] for part in order}, pool)


def read_parts(place: str, parts: dict[str, tuple[str, Any]], pool: pooling.How) -> table.Table:
    """The utterances of several parts.

    Args:
        place: for messages, and the source.
        parts: for each the place of its file, and what that holds.
        pool: see `pooling.How`.

    Raises:
        InputError: the item that does not fit.
    """
    frames: dict[str, list[np.ndarray]] = {"speech": [], "visual": []}
    several: list[_Item] = []
    split = []
    for part, (file, loaded) in parts.items():
        # An array may be referred to many times over; honest files hold a byte a value.
        budget = Path(file).stat().st_size
        for row, item in enumerate(loaded):
            one = _item(item, f"{file}: item {row}")
            for modality, value in one.frames.items():
                before = frames[modality]
                if before and value.shape[1] != before[0].shape[1]:
                    expected = f"{before[0].shape[1]}, as before it"
                    found, where = f"{value.shape[1]} features", f"{file}: item {row}, {one.id}"
                    raise InputError(f"{where}, modality {modality}", found, expected)
                budget -= value.size
                before.append(value)
            if budget < 0:
                raise InputError(file, "more frames than the file holds", "a whole pickle")
            several.append(one)
            split.append(part)
    ratings = [one.rating for one in several]
    widths = {len(rating) for rating in ratings}
    if len(widths) > 1:
        raise InputError(place, f"labels of {sorted(widths)} numbers", "as many in each item")
    values = np.array(ratings, np.float32)
    notes = [
        "text: numbers of words alone, which are no features: left out",
        "labels: the sign of the sentiment, 0 as neutral",
    ]
    if "" in parts:
        notes.append("one part of a split that the file does not name: no split")
    features, present, sequences = {}, {}, {}
    for modality, arrays in frames.items():
        made = pooling.ragged(arrays, pool)
        features[modality], present[modality] = made.features, made.present
        if pool is None:
            cells = Cells()
            for array in arrays:
                cells.add_one(array)
            sequences[modality] = cells.sequence()
        notes.append(f"{modality}: {pooling.describe(pool)}")
        if made.replaced:
            notes.append(f"{modality}: {made.replaced} values NaN or infinite, taken as 0")
    targets = dict(zip(("sentiment", *_EMOTIONS), values.T, strict=False))
    return table.Table(
        place=place,
        layout=LAYOUT,
        conversation_ids=[one.parsed.conversation for one in several],
        utterance_ids=[one.id for one in several],
        order=[one.parsed.order for one in several],
        labels=table.by_sign(values[:, 0]),
        label_names=table.POLARITY,
        features=features,
        present=present,
        sequences=sequences,
        targets={name: np.ascontiguousarray(column) for name, column in targets.items()},
        split=None if "" in parts else split,
        notes=notes,
    )


class _Item(NamedTuple):
    id: str
    parsed: names.Name
    frames: dict[str, np.ndarray]
    rating: list[float]


def _item(item: Any, where: str) -> _Item:
    """One utterance, its frames [T, D] by modality.

    Raises:
        InputError: it does not fit.
    """
    if not recognises([item]):
        raise InputError(where, f"a {type(item).__name__}", _EXPECTED)
    (_, visual, acoustic, *_), label, segment = item
    name = items.text(next(iter(items.cells(segment, 1)), None), where)
    where = f"{where}, {name}"
    parsed = names.parse(name)
    if parsed is None or parsed.order is None:
        raise InputError(where, f"id {name!r:.60}", "video[segment]")
    frames = {"speech": acoustic, "visual": visual}
    for modality, value in frames.items():
        good = isinstance(value, np.ndarray) and value.ndim == 2
        if not good or value.dtype.kind not in "fiu":
            found = f"{getattr(value, 'dtype', type(value).__name__)} of shape "
            found += str(getattr(value, "shape", "unknown"))
            raise InputError(f"{where}, modality {modality}", found, "frames [T, D]")
    return _Item(name, parsed, frames, _rating(label, where))


def _rating(label: Any, place: str) -> list[float]:
    found = items.numbers(items.cells(label, 9), f"{place}: label")
    if len(found) not in (1, 1 + len(_EMOTIONS)):
        expected = "one number (1, 1), or MOSEI's seven (1, 7)"
        raise InputError(f"{place}: label", f"{len(found)} numbers", expected)
    return found.tolist()
