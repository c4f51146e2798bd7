"""MERBench's folders (`<set>-process`): a folder of .npy files an encoder, and labels as .npz."""

from pathlib import Path
from typing import Any

import numpy as np

from mman_jax.data.label_names import EMOTIONS
from mman_jax.data.readers import items, names, pooling, table
from mman_jax.data.readers.cells import Cells
from mman_jax.errors import InputError
from mman_jax.files import arrays, objects

LAYOUT = "MERBench (features by encoder, labels as .npz)"
CORPORA = {
    "whole_corpus": "", "train_corpus": "train", "val_corpus": "valid", "test_corpus": "test",
}  # fmt: skip
"""Keys of a label file, and the part that each is."""

_MELD = ("anger", "joy", "sadness", "neutral", "disgust", "fear", "surprise")
_NO_VALUE = -10  # what stands for no sentiment in IEMOCAP's and MELD's files


def recognises(folder: Path) -> bool:
    """Whether a folder holds this layout."""
    return bool(_encoders(folder)) or any(map(has_labels, folder.glob("*.npz")))


def has_labels(path: Path) -> bool:
    """Whether an archive holds labels of this layout."""
    return bool(CORPORA.keys() & set(objects.keys(path)))


def read(folder: Path, pool: pooling.How) -> table.Table:
    """The utterances of a folder, or of a label file alone, which has no features.

    Where there are several label files, the one of most utterances counts. Each encoder is a
    modality; of one with vectors an utterance (-UTT) and frames (-FRA), the vectors.

    Raises:
        InputError: labels or a feature file that is missing or does not fit.
    """
    notes: list[str] = []
    if folder.is_file():
        path, folder = folder, folder.parent
    else:
        path = _label_file(folder, notes)
    rows = _rows(path, notes)
    told = [names.parse(name, part) for name, part, _ in rows]
    lacking = [name for (name, *_), parsed in zip(rows, told, strict=True) if parsed is None]
    if lacking:
        notes.append(
            f"{len(lacking)} names tell no conversation ({lacking[0]} first): each of these "
            "utterances is a conversation of one"
        )
    told = [parsed or names.Name(name, 0) for (name, *_), parsed in zip(rows, told, strict=True)]
    if any(parsed.order is None for parsed in told):
        notes.append("the names do not number the turns: they are in the order of the file")
    labels, label_names, targets = _labels(path, rows, told, notes)
    parts = [part for _, part, _ in rows]
    found = table.Table(
        place=str(path),
        layout=LAYOUT,
        conversation_ids=[name.conversation for name in told],
        utterance_ids=[name for name, *_ in rows],
        order=[row if t.order is None else t.order for row, t in enumerate(told)],
        labels=labels,
        label_names=label_names,
        targets=targets,
        split=parts if all(parts) else None,
        speakers=_known([name.speaker for name in told]),
        sessions=_known([name.session for name in told]),
        keys=[name for name, *_ in rows],
        notes=notes,
    )
    for encoder, (where, framed) in _encoders(folder).items():
        cells = Cells()
        made = _features(where, found.utterance_ids, pool, cells)
        found.features[encoder], found.present[encoder] = made.features, made.present
        if framed:
            found.sequences |= {} if pool else {encoder: cells.sequence()}
            notes.append(f"{encoder}: {pooling.describe(pool)}")
        if made.replaced:
            notes.append(f"{encoder}: {made.replaced} values NaN or infinite, taken as 0")
    return found


def _known(values: list[str | None]) -> list[str] | None:
    return None if None in values else values


def _encoders(folder: Path) -> dict[str, tuple[Path, bool]]:
    """The folder of each encoder, and whether it holds frames."""
    found: dict[str, tuple[Path, bool]] = {}
    for kind in ("-UTT", "-FRA"):
        for where in sorted((folder / "features").glob(f"*{kind}")):
            if where.is_dir():
                found.setdefault(where.name.removesuffix(kind), (where, kind == "-FRA"))
    return found


def _label_file(folder: Path, notes: list[str]) -> Path:
    paths = [path for path in sorted(folder.glob("*.npz")) if has_labels(path)]
    if not paths:
        raise InputError(folder, "no labels", "label.npz, label_4way.npz or label_6way.npz")
    sizes = {
        path: sum(len(_corpus(path, v)) for v in objects.read(path).values()) for path in paths
    }
    chosen = max(paths, key=lambda path: sizes[path])
    if len(paths) > 1:
        notes.append(f"labels: {chosen.name}, the largest of {len(paths)}; name one to take it")
    return chosen


def _corpus(path: Path, held: object) -> dict[Any, Any]:
    if not isinstance(held, dict):
        raise InputError(path, f"a {type(held).__name__}", "a dict by utterance")
    return held


def _rows(path: Path, notes: list[str]) -> list[tuple[str, str, dict[Any, Any]]]:
    """The name, the part and the facts of each utterance."""
    rows: list[tuple[str, str, dict[Any, Any]]] = []
    other = []
    for key, held in objects.read(path).items():
        if key not in CORPORA:
            # MER's challenges have several test sets: test1, test2, ...
            part = "test" if key.startswith("test") and key.endswith("_corpus") else None
            other += [key] if part is None else []
        else:
            part = CORPORA[key]
        if part is None:
            continue
        for name, facts in _corpus(path, held).items():
            where = f"{path}: {key}"
            if not isinstance(facts, dict):
                raise InputError(f"{where}: {name!r:.60}", f"a {type(facts).__name__}", "a dict")
            plain = {key: _plain(value) for key, value in facts.items()}
            rows.append((items.text(name, where), part, plain))
    if other:
        notes.append(f"not read: {', '.join(other)}")
    if not rows:
        raise InputError(path, "no utterances", "a dict by utterance in " + ", ".join(CORPORA))
    return rows


def _plain(value: Any) -> Any:
    """The number in an array of one."""
    return value.item() if isinstance(value, np.ndarray) and value.size == 1 else value


def _labels(
    path: Path,
    rows: list[tuple[str, str, dict[Any, Any]]],
    told: list[names.Name],
    notes: list[str],
) -> tuple[np.ndarray, tuple[str, ...], dict[str, np.ndarray]]:
    emotions = [facts.get("emo") for *_, facts in rows]
    wheres = [f"{path}: utterance {name}" for name, *_ in rows]
    values = [facts.get("val", _NO_VALUE) for *_, facts in rows]
    ratings = items.numbers(values, f"{path}: val", len(rows))
    ratings[ratings == _NO_VALUE] = np.nan
    targets = {} if np.isnan(ratings).all() else {"sentiment": ratings}
    if all(isinstance(emotion, str) for emotion in emotions):
        return *table.labelled(emotions), targets
    classes = np.array(list(map(items.label, emotions, wheres)), np.int32)
    if targets and len(set(classes.tolist())) == 1:
        notes.append("labels: the sign of the sentiment, 0 as neutral")
        return table.by_sign(ratings), table.POLARITY, targets
    known: tuple[str, ...] = ()
    if all(name.session for name in told):
        known = EMOTIONS if classes.max() >= 4 else EMOTIONS[:4]
    elif any("dia" in name and "_utt" in name for name, *_ in rows[:1]):
        known = _MELD
    if known and classes.max() < len(known):
        return classes, known, targets
    notes.append("labels: named by their numbers, as the file does not say what they mean")
    return *table.numbered(classes, f"{path}: labels"), targets


def _features(folder: Path, ids: list[str], pool: pooling.How, cells: Cells) -> pooling.Pooled:
    """One encoder's files, which `cells` get; an utterance without one lacks the modality."""
    sequences: list[np.ndarray | None] = []
    width = 0
    for name in ids:
        path = folder / f"{name}.npy"
        # A name is not to lead out of the folder.
        if Path(name).name != name or not path.is_file():
            sequences.append(None)
            cells.skip()
            continue
        array = np.asarray(arrays.read_npy(path)[:])
        rows = array.reshape(1, -1) if array.ndim == 1 else array
        if rows.ndim != 2 or not rows.shape[1]:
            raise InputError(path, f"shape {array.shape}", "a vector (D,) or frames (T, D)")
        width = width or rows.shape[1]
        if rows.shape[1] != width:
            raise InputError(path, f"{rows.shape[1]} features", f"{width}, as the others")
        made = pooling.ragged([rows], "mean" if len(rows) == 1 else pool)
        sequences.append(made)
        if pool is None:
            cells.add_one(rows)
    if not width:
        raise InputError(folder, "no file of any utterance", f"{ids[0]}.npy and so on")
    first = next(made for made in sequences if made is not None)
    empty = np.zeros_like(first.features)
    return pooling.Pooled(
        np.concatenate([empty if made is None else made.features for made in sequences]),
        np.array([made is not None and bool(made.present[0]) for made in sequences]),
        sum(made.replaced for made in sequences if made is not None),
    )
