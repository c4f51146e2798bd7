"""CMU-MultimodalSDK's computational sequences (`.csd`, HDF5): features and labels over time."""

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from mman_jax.data.readers import names, pooling, table
from mman_jax.data.readers.cells import Cells, in_order
from mman_jax.data.sequences import Sequence
from mman_jax.errors import InputError

LAYOUT = "CMU-MultimodalSDK's computational sequences"
MAGIC = b"\x89HDF\r\n\x1a\n"

_EXPECTED = "/<root>/data/<video>/features and intervals"
_EMOTIONS = ("happy", "sad", "anger", "surprise", "disgust", "fear")
_FREE_BYTES = 64 << 20
_LARGEST_RATIO = 1100  # of gzip


def recognises(folder: Path) -> bool:
    """Whether a folder holds such files."""
    return any(True for _ in folder.glob("*.csd"))


def read(path: Path, pool: pooling.How) -> table.Table:
    """The utterances of a file, or of all files in a folder.

    With a file of labels, utterances are its intervals, and have those frames whose interval
    overlaps. Without, they are the segments of an aligned file, or else whole videos.

    Raises:
        InputError: h5py is missing; a file that cannot be read; frames or labels that do not fit.
    """
    paths = [path] if path.is_file() else sorted(path.glob("*.csd"))
    with contextlib.ExitStack() as stack:
        files = {one: stack.enter_context(_open(one)) for one in paths}
        features: dict[str, _Sequence] = {}
        labels: _Sequence | None = None
        notes: list[str] = []
        for one, sequence in files.items():
            if "label" in sequence.root.lower():
                if labels is not None:
                    raise InputError(one, f"labels again ({sequence.root})", "one file of labels")
                labels = sequence
            elif sequence.root in features:
                raise InputError(one, f"{sequence.root} again", "each sequence once")
            else:
                features[sequence.root] = sequence
        segments = _segments(path, labels, features, notes)
        made, sequences = _features(path, features, segments, pool, notes)
    told = [segment.name for segment in segments]
    ratings = [segment.rating for segment in segments]
    targets: dict[str, np.ndarray] = {}
    classes, label_names = np.full(len(told), -1, np.int32), ()
    if labels is not None:
        values = np.stack(ratings).astype(np.float32)
        classes, label_names = table.by_sign(values[:, 0]), table.POLARITY
        columns = zip(("sentiment", *_EMOTIONS), values.T, strict=False)
        targets = {name: np.ascontiguousarray(column) for name, column in columns}
        notes.append("labels: the sign of the sentiment, 0 as neutral")
    else:
        notes.append("no labels: no file whose root is named so")
    notes.append("no split: the standard folds are in the SDK, not in its files")
    return table.Table(
        place=str(path),
        layout=LAYOUT,
        conversation_ids=[name.conversation for name in told],
        utterance_ids=[f"{name.conversation}[{name.order}]" for name in told],
        order=[s.name.order if s.seconds is None else float(s.seconds[0]) for s in segments],
        labels=classes,
        label_names=label_names,
        features={name: one.features for name, one in made.items()},
        present={name: one.present for name, one in made.items()},
        sequences=sequences,
        targets=targets,
        notes=notes,
    )


class _Segment:
    """An utterance: its name, its seconds (None: all there is) and its label."""

    def __init__(self, name: names.Name, seconds: Any = None, rating: Any = None):
        self.name, self.seconds, self.rating = name, seconds, rating


class _Sequence:
    """One open file."""

    def __init__(self, path: Path, file: Any):
        self.path = path
        if len(file) != 1:
            raise InputError(path, f"{len(file)} groups", f"one, as in {_EXPECTED}")
        (self.root,) = file
        self.data = _child(path, _child(path, file, self.root), "data")
        self.keys = list(self.data)

    def frames(self, key: str) -> tuple[np.ndarray, np.ndarray]:
        """[n, D] features and [n, 2] seconds of a video or a segment."""
        where = f"{self.path}: {key}"
        group = _child(self.path, self.data, key)
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
        good = features.ndim == 2 and features.shape[1] and intervals.dtype.kind in "fiu"
        if not good or intervals.shape != (len(features), 2):
            found = f"features {features.shape} and intervals {intervals.shape}"
            raise InputError(where, found, "(n, D) and (n, 2)")
        return features[:], intervals[:]


def _child(path: Path, group: Any, name: str) -> Any:
    import h5py

    link = group.get(name, getlink=True) if isinstance(group, h5py.Group) else None
    # A link of another kind can lead into another file.
    if not isinstance(link, h5py.HardLink):
        raise InputError(f"{path}: {getattr(group, 'name', '')}", f"no {name!r}", _EXPECTED)
    return group[name]


@contextlib.contextmanager
def _open(path: Path) -> Iterator[_Sequence]:
    try:
        import h5py
    except ImportError as error:
        expected = "pip install 'mman_jax[csd]'"
        raise InputError(f"{path}: reading .csd files", "h5py is missing", expected) from error
    try:
        with h5py.File(path, "r") as file:
            yield _Sequence(path, file)
    except InputError:
        raise
    except Exception as error:
        # Bytes that are no HDF5 file can fail in any way; none of them is a bug of ours.
        raise InputError(path, f"unreadable ({error!s:.120})", _EXPECTED) from error


def _name(key: str) -> names.Name | None:
    """The video and the number of an aligned segment's key."""
    return names.parse(key) if key.endswith("]") else None


def _segments(
    path: Path, labels: _Sequence | None, features: dict[str, _Sequence], notes: list[str]
) -> list[_Segment]:
    if not features:
        raise InputError(path, "labels alone", "a file of features beside them")
    found: list[_Segment] = []
    if labels is not None:
        width = 0
        for key in labels.keys:
            values, seconds = labels.frames(key)
            where = f"{labels.path}: {key}"
            if values.dtype.kind not in "fiu" or values.shape[1] not in (1, 1 + len(_EMOTIONS)):
                raise InputError(
                    where, f"{values.dtype} of {values.shape}", "n x 1 or n x 7 numbers"
                )
            width = width or values.shape[1]
            if values.shape[1] != width:
                raise InputError(where, f"{values.shape[1]} numbers", f"{width}, as before it")
            own = _name(key)
            for row, (when, rating) in enumerate(zip(seconds, values, strict=True)):
                name = own or names.Name(key, row)
                found.append(_Segment(name, None if own else when, rating))
    else:
        keys = list(dict.fromkeys(key for sequence in features.values() for key in sequence.keys))
        aligned = [name for name in map(_name, keys) if name is not None]
        if len(aligned) == len(keys):
            found = [_Segment(name) for name in aligned]
        else:
            notes.append("whole videos: without labels nothing tells their utterances")
            found = [_Segment(names.Name(key, 0)) for key in keys]
    if not found:
        raise InputError(path, "no utterances", "at least one")
    return found


def _features(
    path: Path,
    features: dict[str, _Sequence],
    segments: list[_Segment],
    pool: pooling.How,
    notes: list[str],
) -> tuple[dict[str, pooling.Pooled], dict[str, Sequence]]:
    made, sequences = {}, {}
    for root, sequence in features.items():
        held, cells = set(sequence.keys), Cells()
        ragged: list[pooling.Pooled | None] = []
        key, frames = None, None
        for segment in segments:
            own = f"{segment.name.conversation}[{segment.name.order}]"
            wanted = own if own in held else segment.name.conversation
            if wanted not in held:
                ragged.append(None)
                cells.skip()
                continue
            if wanted != key:
                key, frames = wanted, sequence.frames(wanted)
            values, seconds = frames
            if values.dtype.kind not in "fiu":
                break
            if segment.seconds is not None and wanted != own:
                start, end = segment.seconds
                inside = (seconds[:, 0] < end) & (seconds[:, 1] > start)
                values, seconds = values[inside], seconds[inside] - start
            ragged.append(pooling.ragged([values], pool))
            if pool is None:
                cells.add_one(*in_order(values, seconds))
        if len(ragged) < len(segments):
            notes.append(f"{root}: words, which are no features: left out")
            continue
        first = next((one for one in ragged if one is not None), None)
        if first is None:
            raise InputError(sequence.path, "no video of the others", "the same corpus")
        widths = sorted({one.features.shape[1] for one in ragged if one is not None})
        if len(widths) > 1:
            found = f"{' and '.join(map(str, widths))} features"
            raise InputError(sequence.path, found, "as many in each video")
        empty = np.zeros_like(first.features)
        whole = pooling.Pooled(
            np.concatenate([empty if one is None else one.features for one in ragged]),
            np.array([one is not None and bool(one.present[0]) for one in ragged]),
            sum(one.replaced for one in ragged if one is not None),
        )
        made[root] = whole
        if pool is None:
            sequences[root] = cells.sequence()
        notes.append(f"{root}: {pooling.describe(pool)}")
        if whole.replaced:
            notes.append(f"{root}: {whole.replaced} values NaN or infinite, taken as 0")
    if not made:
        raise InputError(path, "words alone", "a sequence of numbers")
    return made, sequences
