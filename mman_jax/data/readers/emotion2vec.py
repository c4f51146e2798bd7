"""emotion2vec's files: frames of all utterances in an array, lengths and labels beside it."""

import dataclasses
from pathlib import Path

import numpy as np

from mman_jax.data.readers import names, pooling, table
from mman_jax.data.readers.cells import Cells
from mman_jax.data.validation import SPLIT_NAMES
from mman_jax.errors import InputError
from mman_jax.files import arrays
from mman_jax.files.on_disk import OnDisk

LAYOUT = "emotion2vec (frames as .npy, .lengths and .emo)"
MODALITY = "speech"


def recognises(folder: Path) -> bool:
    """Whether a folder holds such files, or one array an utterance."""
    return any(path.is_file() for path in folder.glob("*.npy"))


def read(path: Path, pool: pooling.How) -> table.Table:
    """The utterances of one array or of a folder of them; the parts are their names.

    A folder of arrays without lengths is FunASR's output: an array an utterance, without labels.

    Raises:
        InputError: lengths, labels and arrays that do not fit.
    """
    paths = [path] if path.is_file() else sorted(path.glob("*.npy"))
    several = [one for one in paths if one.with_suffix(".lengths").is_file()]
    if not several:
        return _single(path, paths, pool)
    stems = {one.stem.lower(): one for one in several}
    parts = {names.PARTS[stem]: one for stem, one in stems.items() if stem in names.PARTS}
    if len(parts) != len(several) or len(parts) < 2:
        parts = {"": several[0]}
        if len(several) > 1:
            raise InputError(path, f"{len(several)} arrays", "train.npy, valid.npy, test.npy")
    made, ids, labels, split, cells = [], [], [], [], Cells()
    for part in ("", *SPLIT_NAMES):
        if part in parts:
            frames = arrays.read_npy(parts[part])
            lengths = _lengths(parts[part].with_suffix(".lengths"), frames)
            own, emotions = _labels(parts[part].with_suffix(".emo"), len(lengths))
            made.append(_pooled(frames, lengths, pool, cells))
            ids, labels = ids + own, labels + emotions
            split += [part] * len(own)
    notes = [f"{MODALITY}: {pooling.describe(pool)}"]
    whole = _table(path, made, ids, labels, split if all(split) else None, notes)
    return whole if pool else dataclasses.replace(whole, sequences={MODALITY: cells.sequence()})


def _single(path: Path, paths: list[Path], pool: pooling.How) -> table.Table:
    """An array an utterance, named after it."""
    made, cells, framed = [], Cells(), False
    for one in paths:
        array = arrays.read_npy(one)
        rows = array[:].reshape(1, -1) if array.ndim == 1 else array
        if rows.ndim != 2 or not rows.shape[1]:
            raise InputError(one, f"shape {array.shape}", "a vector (D,) or frames (T, D)")
        if path.is_file() and len(rows) > 1:
            expected = f"{one.stem}.lengths with a line an utterance, and {one.stem}.emo"
            raise InputError(one, f"{len(rows)} rows and no lengths beside it", expected)
        framed |= array.ndim == 2
        made.append(_pooled(rows, np.array([len(rows)]), pool, cells))
    notes = ["no labels beside the arrays", f"{MODALITY}: {pooling.describe(pool)}"]
    stems = [one.stem for one in paths]
    whole = _table(path, made, stems, [""] * len(stems), None, notes)
    kept = framed and pool is None
    return dataclasses.replace(whole, sequences={MODALITY: cells.sequence()}) if kept else whole


def _table(
    path: Path,
    made: list[pooling.Pooled],
    ids: list[str],
    labels: list[str],
    split: list[str] | None,
    notes: list[str],
) -> table.Table:
    widths = sorted({one.features.shape[1] for one in made})
    if len(widths) > 1:
        found = f"{' and '.join(map(str, widths))} features"
        raise InputError(path, found, "as many in each array")
    replaced = sum(one.replaced for one in made)
    if replaced:
        notes.append(f"{MODALITY}: {replaced} values NaN or infinite, taken as 0")
    told = [names.parse(name, numbered=False) for name in ids]
    if None in told:
        notes.append(
            f"{told.count(None)} names tell no conversation ({ids[told.index(None)]} first): each "
            "of these utterances is a conversation of one"
        )
    elif any(name.order is None for name in told):
        notes.append("the names do not number the turns: they are in the order of the file")
    whole = [name or names.Name(own, 0) for name, own in zip(told, ids, strict=True)]
    classes, label_names = table.labelled(labels)
    return table.Table(
        place=str(path),
        layout=LAYOUT,
        conversation_ids=[name.conversation for name in whole],
        utterance_ids=ids,
        order=[row if name.order is None else name.order for row, name in enumerate(whole)],
        labels=classes,
        label_names=label_names,
        features={MODALITY: np.concatenate([one.features for one in made])},
        present={MODALITY: np.concatenate([one.present for one in made])},
        split=split,
        speakers=None if any(n.speaker is None for n in whole) else [n.speaker for n in whole],
        sessions=None if any(n.session is None for n in whole) else [n.session for n in whole],
        notes=notes,
    )


def _pooled(
    frames: OnDisk | np.ndarray, lengths: np.ndarray, pool: pooling.How, cells: Cells
) -> pooling.Pooled:
    """Pools the runs of rows, an utterance at a time; `cells` gets them where they are kept."""
    made = []
    for end, size in zip(np.cumsum(lengths), lengths, strict=True):
        own = np.asarray(frames[int(end - size) : int(end)])
        made.append(pooling.ragged([own], pool))
        if pool is None:
            cells.add_one(own)
    return pooling.Pooled(
        np.concatenate([one.features for one in made]),
        np.concatenate([one.present for one in made]),
        sum(one.replaced for one in made),
    )


def _lengths(path: Path, frames: OnDisk | np.ndarray) -> np.ndarray:
    rows = _lines(path)
    if frames.ndim != 2 or not frames.shape[1]:
        raise InputError(path.with_suffix(".npy"), f"shape {frames.shape}", "frames [T, D]")
    for number, row in enumerate(rows):
        if not row.isdigit() or len(row) > 12:
            raise InputError(f"{path}: line {number}", repr(row)[:60], "a number of frames")
    found = np.array([int(row) for row in rows], np.int64)
    if not len(found) or found.sum() != len(frames):
        raise InputError(path, f"a sum of {found.sum()}", f"{len(frames)}, the rows of the array")
    return found


def _labels(path: Path, count: int) -> tuple[list[str], list[str]]:
    """The names and the labels of the utterances."""
    rows = [row.split() for row in _lines(path)]
    if len(rows) != count:
        raise InputError(path, f"{len(rows)} labels", f"{count}, as many as lengths")
    for number, row in enumerate(rows):
        if len(row) != 2:
            found = f"{len(row)} words"
            raise InputError(f"{path}: line {number}", found, "an utterance, a tab, a label")
    return [row[0] for row in rows], [row[1] for row in rows]


def _lines(path: Path) -> list[str]:
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, ValueError) as error:
        raise InputError(path, f"cannot be read ({error!s:.120})", "a line an utterance") from error
    return [line.strip() for line in lines if line.strip()]
