"""MERBench's folders (`<set>-process`): .npy files in a folder per encoder, and labels as .npz."""

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from mman_jax.data.label_names import EMOTIONS
from mman_jax.data.readers import items, pooling, table
from mman_jax.data.readers.items import Name
from mman_jax.errors import InputError
from mman_jax.files import archive, unpickler

LAYOUT = "MERBench (features by encoder, labels as .npz)"
CORPORA = {
    "whole_corpus": "", "train_corpus": "train", "val_corpus": "valid", "test_corpus": "test",
}  # fmt: skip
"""Parts of the split by key of a label file."""

_MELD = ("anger", "joy", "sadness", "neutral", "disgust", "fear", "surprise")
_NO_VALUE = -10  # marks a missing sentiment in IEMOCAP's and MELD's files


class _Facts(NamedTuple):
    """Name, part and fields of an utterance in a label file."""

    name: str
    part: str
    facts: dict[Any, Any]


def recognises(folder: Path) -> bool:
    """Returns whether a folder has this layout."""
    return bool(_encoders(folder)) or any(map(has_labels, folder.glob("*.npz")))


def has_labels(path: Path) -> bool:
    """Returns whether an archive contains labels of this layout."""
    return bool(CORPORA.keys() & set(archive.keys(path)))


def read(folder: Path, pool: pooling.How) -> table.Table:
    """Reads a folder, or a single label file, which has no features.

    If there are several label files, the one with the most utterances is read. Each encoder is a
    modality; if it has both vectors (-UTT) and frames (-FRA), the vectors are read.
    """
    notes: list[str] = []
    if folder.is_file():
        path, folder = folder, folder.parent
    else:
        path = _label_file(folder, notes)
    utterances = _utterances(path, notes)
    ids = [utterance.name for utterance in utterances]
    names = [items.parse_name(utterance.name, utterance.part) for utterance in utterances]
    rows = table.named_rows(ids, names, notes)
    for position, (name, part, _) in enumerate(utterances):
        rows[position] = rows[position]._replace(split=part or None, key=name)
    labels = _labels(path, utterances, names, notes)
    result = table.Table(path, LAYOUT, rows, labels, notes)
    for encoder, (where, framed) in _encoders(folder).items():
        result.add(_modality(encoder, where, ids, pool, framed))
    return result


def _encoders(folder: Path) -> dict[str, tuple[Path, bool]]:
    """Returns the folder of each encoder, and whether it contains frames."""
    encoders: dict[str, tuple[Path, bool]] = {}
    for kind in ("-UTT", "-FRA"):
        for where in sorted((folder / "features").glob(f"*{kind}")):
            if where.is_dir():
                encoders.setdefault(where.name.removesuffix(kind), (where, kind == "-FRA"))
    return encoders


def _label_file(folder: Path, notes: list[str]) -> Path:
    paths = [path for path in sorted(folder.glob("*.npz")) if has_labels(path)]
    if not paths:
        raise InputError(folder, "no labels", "label.npz, label_4way.npz or label_6way.npz")
    sizes: dict[Path, int] = {}
    for path in paths:
        corpora = unpickler.load_archive(path).values()
        sizes[path] = sum(len(_dict(corpus, path, "a dict by utterance")) for corpus in corpora)
    chosen = max(paths, key=lambda path: sizes[path])
    if len(paths) > 1:
        notes.append(f"labels: {chosen.name}, the largest of {len(paths)} label files")
    return chosen


def _dict(value: object, place: object, expected: str) -> dict[Any, Any]:
    if not isinstance(value, dict):
        raise InputError(place, f"a {type(value).__name__}", expected)
    return value


def _utterances(path: Path, notes: list[str]) -> list[_Facts]:
    rows: list[_Facts] = []
    unread = []
    for key, corpus in unpickler.load_archive(path).items():
        # MER's challenges have several test sets: test1, test2, ...
        is_test = key.startswith("test") and key.endswith("_corpus")
        if key not in CORPORA and not is_test:
            unread.append(key)
            continue
        for name, facts in _dict(corpus, path, "a dict by utterance").items():
            where = f"{path}: {key}"
            facts = _dict(facts, f"{where}: {name!r:.60}", "a dict")
            plain = {fact: _plain(value) for fact, value in facts.items()}
            rows.append(_Facts(items.text(name, where), CORPORA.get(key, "test"), plain))
    if unread:
        notes.append(f"not read: {', '.join(unread)}")
    if not rows:
        raise InputError(path, "no utterances", "a dict by utterance in " + ", ".join(CORPORA))
    return rows


def _plain(value: Any) -> Any:
    """Returns the element of an array of size one, and any other value unchanged."""
    return value.item() if isinstance(value, np.ndarray) and value.size == 1 else value


def _labels(
    path: Path, rows: list[_Facts], names: list[Name | None], notes: list[str]
) -> table.Labels:
    emotions = [row.facts.get("emo") for row in rows]
    values = [row.facts.get("val", _NO_VALUE) for row in rows]
    ratings = items.numbers(values, f"{path}: val", len(rows))
    ratings[ratings == _NO_VALUE] = np.nan
    is_rated = not np.isnan(ratings).all()
    targets = {"sentiment": ratings} if is_rated else {}
    texts = [emotion for emotion in emotions if isinstance(emotion, str)]
    if len(texts) == len(emotions):
        return table.labelled(texts)._replace(targets=targets)
    wheres = [f"{path}: utterance {row.name}" for row in rows]
    classes = np.array(list(map(items.label, emotions, wheres)), np.int32)
    if is_rated and len(set(classes.tolist())) == 1:
        return table.rated(ratings, notes)
    known: tuple[str, ...] = ()
    if all(name and name.session for name in names):
        known = EMOTIONS if classes.max() >= 4 else EMOTIONS[:4]
    elif "dia" in rows[0].name and "_utt" in rows[0].name:
        known = _MELD
    if known and classes.max() < len(known):
        return table.Labels(classes, known, targets)
    return table.numbered(classes, f"{path}: labels", notes)._replace(targets=targets)


def _modality(
    encoder: str, folder: Path, ids: list[str], pool: pooling.How, framed: bool
) -> pooling.Collector:
    """Reads one encoder's files; an utterance without a file lacks the modality."""
    modality = pooling.Collector(encoder, pool if framed or pool is None else "mean")
    for name in ids:
        path = folder / f"{name}.npy"
        # Names must not point outside of the folder.
        if Path(name).name != name or not path.is_file():
            modality.skip()
            continue
        modality.add_file(path, framed)
    if modality.width is None:
        raise InputError(folder, "no file of any utterance", f"{ids[0]}.npy and so on")
    return modality
