"""Computational sequences of CMU-MultimodalSDK (`.csd`, HDF5): features and labels over time."""

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from mman_jax.data.readers import items, pooling
from mman_jax.data.readers.items import Name
from mman_jax.data.readers.table import RATINGS, Row, Table, rated, unlabelled
from mman_jax.errors import InputError, reading, require

LAYOUT = "CMU-MultimodalSDK's computational sequences"
MAGIC = b"\x89HDF\r\n\x1a\n"

_EXPECTED = "/<root>/data/<video>/features and intervals"
_FREE_BYTES = 64 << 20
_LARGEST_RATIO = 1100  # largest compression ratio of gzip


def recognises(folder: Path) -> bool:
    """Returns whether a folder contains such files."""
    return any(True for _ in folder.glob("*.csd"))


def read(path: Path, pool: pooling.How) -> Table:
    """Reads a file, or all files in a folder.

    If there is a file of labels, its intervals are the utterances, which have the overlapping
    frames. Otherwise, utterances are the segments of an aligned file, or full videos.

    Raises:
        InputError: h5py is missing, a file cannot be read, or frames or labels are invalid.
    """
    paths = [path] if path.is_file() else sorted(path.glob("*.csd"))
    notes: list[str] = []
    with contextlib.ExitStack() as stack:
        features: dict[str, _File] = {}
        for file in (stack.enter_context(_open(file)) for file in paths):
            root = "labels" if "label" in file.root.lower() else file.root
            if root in features:
                raise InputError(file.path, f"a second {root} ({file.root})", "each sequence once")
            features[root] = file
        label_file = features.pop("labels", None)
        if not features:
            raise InputError(path, "labels alone", "a file of features in addition")
        segments = _labelled(label_file) if label_file else _unlabelled(features, notes)
        if not segments:
            raise InputError(path, "no utterances", "at least one")
        modalities = [_modality(file, segments, pool, notes) for file in features.values()]
    if label_file is None:
        labels = unlabelled(len(segments))
        notes.append("no labels: none of the files contains labels")
    else:
        ratings = [segment.rating for segment in segments if segment.rating is not None]
        labels = rated(np.stack(ratings).astype(np.float32), notes)
    notes.append("no split: the standard folds are in the SDK, not in its files")
    rows = [
        Row(s.video, s.id, s.number if s.seconds is None else float(s.seconds[0])) for s in segments
    ]
    table = Table(path, LAYOUT, rows, labels, notes)
    for modality in modalities:
        if modality is not None:
            table.add(modality)
    if not table.features:
        raise InputError(path, "words alone", "a sequence of numbers")
    return table


class _Segment(NamedTuple):
    """An utterance: its number in a video, [2] seconds if known, and [1] or [7] ratings, if any."""

    video: str
    number: int
    seconds: np.ndarray | None = None
    rating: np.ndarray | None = None

    @property
    def id(self) -> str:
        return f"{self.video}[{self.number}]"


class _File:
    """An open file with one computational sequence."""

    def __init__(self, path: Path, file: Any):
        self.path = path
        if len(file) != 1:
            raise InputError(path, f"{len(file)} groups", f"one, as in {_EXPECTED}")
        (self.root,) = file
        self._data = _child(path, _child(path, file, self.root), "data")
        self.keys = list(self._data)

    def frames(self, key: str) -> tuple[np.ndarray, np.ndarray]:
        """Returns [n, D] features and [n, 2] seconds of a video or a segment."""
        where = f"{self.path}: {key}"
        group = _child(self.path, self._data, key)
        arrays = []
        for name in ("features", "intervals"):
            array = _child(self.path, group, name)
            size = array.size * array.dtype.itemsize
            stored = array.id.get_storage_size()
            if array.is_virtual or array.external or size > _FREE_BYTES + _LARGEST_RATIO * stored:
                raise InputError(f"{where}: {name}", "no plain array", "values in the file itself")
            arrays.append(array)
        features, intervals = arrays
        if features.ndim == 1 and features.dtype.kind in "fiu":
            features = features[:].reshape(-1, 1)
        valid = features.ndim == 2 and features.shape[1] and intervals.dtype.kind in "fiu"
        if not valid or intervals.shape != (len(features), 2):
            found = f"features {features.shape} and intervals {intervals.shape}"
            raise InputError(where, found, "(n, D) and (n, 2)")
        return features[:], intervals[:]


@contextlib.contextmanager
def _open(path: Path) -> Iterator[_File]:
    h5py = require("h5py", "csd", f"{path}: reading .csd files")
    with reading(path, _EXPECTED), h5py.File(path, "r") as file:
        yield _File(path, file)


def _child(path: Path, group: Any, name: str) -> Any:
    import h5py

    link = group.get(name, getlink=True) if isinstance(group, h5py.Group) else None
    # Links of other kinds can lead to another file.
    if not isinstance(link, h5py.HardLink):
        raise InputError(f"{path}: {getattr(group, 'name', '')}", f"no {name!r}", _EXPECTED)
    return group[name]


def _parse(key: str) -> Name | None:
    """Returns the video and the number of an aligned segment's key."""
    return items.parse_name(key) if key.endswith("]") else None


def _labelled(file: _File) -> list[_Segment]:
    """Returns the intervals of a file of labels."""
    segments: list[_Segment] = []
    width = 0
    for key in file.keys:
        values, seconds = file.frames(key)
        where = f"{file.path}: {key}"
        if values.dtype.kind not in "fiu" or values.shape[1] not in (1, len(RATINGS)):
            found = f"{values.dtype} of {values.shape}"
            raise InputError(where, found, "n x 1 or n x 7 numbers")
        width = width or values.shape[1]
        if values.shape[1] != width:
            raise InputError(where, f"{values.shape[1]} numbers", f"{width}, as before it")
        parsed = _parse(key)
        for row, (interval, rating) in enumerate(zip(seconds, values, strict=True)):
            if parsed is None:
                segments.append(_Segment(key, row, interval, rating))
            else:
                segments.append(_Segment(parsed.conversation, parsed.order or 0, None, rating))
    return segments


def _unlabelled(features: dict[str, _File], notes: list[str]) -> list[_Segment]:
    """Returns the segments of aligned files, or full videos."""
    keys = list(dict.fromkeys(key for file in features.values() for key in file.keys))
    aligned = [name for name in map(_parse, keys) if name is not None]
    if len(aligned) == len(keys):
        return [_Segment(name.conversation, name.order or 0) for name in aligned]
    notes.append("full videos: without labels, their utterances are unknown")
    return [_Segment(key, 0) for key in keys]


def _modality(
    file: _File, segments: list[_Segment], pool: pooling.How, notes: list[str]
) -> pooling.Collector | None:
    """Reads the frames of all segments; returns None if they are words instead of numbers."""
    modality = pooling.Collector(file.root, pool)
    keys = set(file.keys)
    loaded = ""
    for segment in segments:
        key = segment.id if segment.id in keys else segment.video
        if key not in keys:
            modality.skip()
            continue
        if key != loaded:
            (frames, times), loaded = file.frames(key), key
        if frames.dtype.kind not in "fiu":
            notes.append(f"{file.root}: words, which are not features: left out")
            return None
        values, seconds = frames, times
        if segment.seconds is not None and key != segment.id:
            start, end = segment.seconds
            inside = (times[:, 0] < end) & (times[:, 1] > start)
            values, seconds = frames[inside], times[inside] - start
        modality.add(values, f"{file.path}: {key}", seconds)
    if modality.width is None:
        raise InputError(file.path, "no video of the others", "the same corpus")
    return modality
