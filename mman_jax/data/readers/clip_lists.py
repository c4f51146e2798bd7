"""Lists of clips with labels and folds, without features: EmoBox's, and those of SUPERB (s3prl)."""

import json
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from mman_jax.data.readers import items, names, table
from mman_jax.data.validation import SPLIT_NAMES
from mman_jax.errors import InputError

EMOBOX = "EmoBox (a fold of clips as JSON)"
S3PRL = "SUPERB's folds of s3prl (a session's clips as JSON)"

_PATTERNS = (
    "*_fold_*.json*", "fold_*/*_fold_*.json*", "*/fold_*/*_fold_*.json*", "*_meta_data.json",
    "*/*_meta_data.json",
)  # fmt: skip
_LARGEST = 1 << 30  # bytes of a list


def recognises(folder: Path) -> bool:
    """Whether a folder holds such lists."""
    return any(True for pattern in _PATTERNS for _ in folder.glob(pattern))


def read(path: Path) -> table.Table:
    """The utterances of a fold: a folder of lists, a folder of folds, or one list.

    Labels go through the `label_map.json` that lies beside or above. Of several folds in a
    folder the first counts.

    Raises:
        InputError: a list, a line or an entry that does not fit.
    """
    notes: list[str] = []
    parts = {"": path} if path.is_file() else _fold(path, notes)
    rows: list[tuple[str, str, str, dict[str, Any]]] = []
    layout = EMOBOX
    for part, file in parts.items():
        for where, key, entry in _entries(file):
            if "path" in entry and "label" in entry:
                layout = S3PRL
            rows.append((part, where, key, entry))
    if not rows:
        raise InputError(path, "no clips", "a clip or more, each with a label")
    mapped = _label_map(next(iter(parts.values())))
    if mapped:
        notes.append("labels: as label_map.json joins them")
    labels, told, ids, keys, speakers = [], [], [], [], []
    for part, where, key, entry in rows:
        name = key if layout == EMOBOX else PurePosixPath(_field(entry, "path", where)).stem
        parsed, own = _name(name, str(entry.get("dataset", "")), part)
        told.append(parsed)
        ids.append(own)
        keys.append(key)
        label = _field(entry, "emo" if "emo" in entry else "label", where)
        labels.append(items.text(mapped.get(label, label), where, "a label"))
        speaker = entry.get("speaker", parsed.speaker if parsed else None)
        speakers.append(None if speaker is None else items.text(speaker, where, "a speaker"))
    if None in told:
        notes.append(
            f"{told.count(None)} keys tell no conversation ({ids[told.index(None)]} first): each "
            "of these utterances is a conversation of one"
        )
    elif any(parsed.order is None for parsed in told):
        notes.append("the keys do not number the turns: they are in the order of the file")
    whole = [parsed or names.Name(own, 0) for parsed, own in zip(told, ids, strict=True)]
    classes, label_names = table.labelled(labels)
    seconds = [_seconds(entry) for *_, entry in rows]
    return table.Table(
        place=str(path),
        layout=layout,
        conversation_ids=[name.conversation for name in whole],
        utterance_ids=ids,
        order=[row if name.order is None else name.order for row, name in enumerate(whole)],
        labels=classes,
        label_names=label_names,
        split=[part for part, *_ in rows] if all(parts) else None,
        speakers=None if None in speakers else speakers,
        sessions=None if any(n.session is None for n in whole) else [n.session for n in whole],
        clips=[str(entry.get("wav", entry.get("path", ""))) or key for *_, key, entry in rows],
        keys=keys,
        duration=None if None in seconds else np.array(seconds, np.float32),
        notes=notes,
    )


def _fold(folder: Path, notes: list[str]) -> dict[str, Path]:
    """The list of each part."""
    folders = [folder]
    for _ in range(2):  # a set of folds, and several sets
        if not any(map(_lists, folders)):
            folders = [sub for one in folders for sub in sorted(one.iterdir()) if sub.is_dir()]
    folders = [one for one in folders if _lists(one)]
    if not folders:
        raise InputError(folder, "no lists of clips", "files *_train_fold_1.json and *_test_...")
    sets = sorted({one.parent.name for one in folders})
    if len(sets) > 1:
        raise InputError(folder, f"folds of several sets ({', '.join(sets)[:80]})", "one of them")
    if len(folders) > 1:
        notes.append(f"{folders[0].name} is read of {len(folders)} folds; name another to take it")
    found = _lists(folders[0])
    return {part: found[part] for part in SPLIT_NAMES if part in found}


def _lists(folder: Path) -> dict[str, Path]:
    """The list of each part in a folder, of .json and .jsonl the first."""
    found: dict[str, Path] = {}
    for path in sorted(folder.glob("*.json")) + sorted(folder.glob("*.jsonl")):
        words = path.stem.lower().split("_")
        part = next((part for part in ("valid", "test", "train") if part in words), None)
        if part and ("fold" in words or path.stem.endswith("meta_data")):
            found.setdefault(part, path)
    return found


def _entries(path: Path) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """The place, the key and the facts of each clip of a list."""
    if path.stat().st_size > _LARGEST:
        raise InputError(path, f"{path.stat().st_size} bytes", f"a list of at most {_LARGEST}")
    try:
        text = path.read_text(encoding="utf-8")
        lines = text.splitlines()
        by_line = len(lines) > 1 and lines[0].rstrip().endswith("}")
        loaded = (
            [json.loads(line) for line in lines if line.strip()] if by_line else json.loads(text)
        )
    except (OSError, ValueError, RecursionError) as error:
        raise InputError(
            path, f"unreadable ({error!s:.120})", "JSON, or a JSON line a clip"
        ) from error
    if isinstance(loaded, dict) and isinstance(loaded.get("meta_data"), list):
        loaded = loaded["meta_data"]
    if isinstance(loaded, dict) and "key" in loaded:
        loaded = [loaded]
    pairs = loaded.items() if isinstance(loaded, dict) else enumerate(_listed(path, loaded))
    for key, entry in pairs:
        where = f"{path}: {key if isinstance(key, str) else f'entry {key}'}"
        if not isinstance(entry, dict):
            raise InputError(where, f"a {type(entry).__name__}", "an object with wav and emo")
        own = key if isinstance(key, str) else entry.get("key", entry.get("path", str(key)))
        yield where, items.text(own, where, "a key"), entry


def _listed(path: Path, loaded: object) -> list[Any]:
    if not isinstance(loaded, list):
        raise InputError(path, f"a {type(loaded).__name__}", "an object by key, or a list of clips")
    return loaded


def _field(entry: dict[str, Any], field: str, place: str) -> str:
    if field not in entry:
        raise InputError(place, f"no {field!r}", "an object with wav and emo, or path and label")
    return items.text(entry[field], f"{place}: {field}", "a text")


def _name(key: str, dataset: str, part: str) -> tuple[names.Name | None, str]:
    """What a key such as `iemocap-Ses01F_impro04_F000` tells, and the utterance's own id."""
    own = key.removeprefix(f"{dataset}-") if dataset else key
    stem, _, end = own.rpartition("-")
    if end in names.PARTS and stem:
        own, part = stem, names.PARTS[end]
    return names.parse(own, part or None, numbered=False), own


def _seconds(entry: dict[str, Any]) -> float | None:
    length = entry.get("length")
    good = isinstance(length, int | float) and not isinstance(length, bool)
    return float(length) if good and 0 <= length < 1e6 else None


def _label_map(path: Path) -> dict[str, str]:
    """The map in a list's folder or above; empty where there is none."""
    for folder in list(path.parents)[:3]:
        file = folder / "label_map.json"
        if not file.is_file():
            continue
        try:
            found = json.loads(file.read_text(encoding="utf-8"))
        except (OSError, ValueError, RecursionError) as error:
            raise InputError(file, f"unreadable ({error!s:.120})", "JSON") from error
        if not isinstance(found, dict) or not all(isinstance(v, str) for v in found.values()):
            raise InputError(file, "no map", "an object from label to label")
        return found
    return {}
