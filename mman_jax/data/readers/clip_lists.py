"""Lists of clips with labels and folds, but without features, of EmoBox and SUPERB (s3prl)."""

import json
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any

from mman_jax.data.readers import items
from mman_jax.data.readers.items import Name
from mman_jax.data.readers.table import Table, labelled, named_rows
from mman_jax.data.validation import SPLIT_NAMES
from mman_jax.errors import InputError, reading

EMOBOX = "EmoBox (a fold of clips as JSON)"
S3PRL = "SUPERB's folds of s3prl (a session's clips as JSON)"

_PATTERNS = (
    "*_fold_*.json*", "fold_*/*_fold_*.json*", "*/fold_*/*_fold_*.json*", "*_meta_data.json",
    "*/*_meta_data.json",
)  # fmt: skip
_LARGEST = 1 << 30  # largest number of bytes of a list
_FAILURES = (OSError, ValueError, RecursionError)


def recognises(folder: Path) -> bool:
    """Returns whether a folder contains such lists."""
    return any(True for pattern in _PATTERNS for _ in folder.glob(pattern))


def read(path: Path) -> Table:
    """Reads a fold: a folder of lists, a folder of folds, or one list.

    Labels are mapped by the `label_map.json` in the same folder or above. If a folder has several
    folds, the first is read.
    """
    notes: list[str] = []
    lists = {"": path} if path.is_file() else _fold(path, notes)
    entries = [(part, *entry) for part, file in lists.items() for entry in _entries(file)]
    if not entries:
        raise InputError(path, "no clips", "at least one labelled clip")
    is_s3prl = any("path" in entry and "label" in entry for *_, entry in entries)
    label_map = _label_map(next(iter(lists.values())))
    if label_map:
        notes.append("labels: mapped by label_map.json")
    names: list[tuple[Name | None, str]] = []
    labels: list[str] = []
    for part, where, key, entry in entries:
        stem = PurePosixPath(_field(entry, "path", where)).stem if is_s3prl else key
        names.append(_name(stem, str(entry.get("dataset", "")), part))
        label = _field(entry, "emo" if "emo" in entry else "label", where)
        labels.append(items.text(label_map.get(label, label), where, "a label"))
    rows = named_rows([name for _, name in names], [parsed for parsed, _ in names], notes)
    for position, (part, where, key, entry) in enumerate(entries):
        speaker = entry.get("speaker", rows[position].speaker)
        rows[position] = rows[position]._replace(
            split=part or None,
            speaker=None if speaker is None else items.text(speaker, where, "a speaker"),
            duration=_seconds(entry),
            clip=str(entry.get("wav", entry.get("path", ""))) or key,
            key=key,
        )
    return Table(path, S3PRL if is_s3prl else EMOBOX, rows, labelled(labels), notes)


def _fold(folder: Path, notes: list[str]) -> dict[str, Path]:
    """Returns the list of each part of a fold."""
    folders = [folder]
    for _ in range(2):  # the path may be a folder of folds, or of several such folders
        if not any(map(_lists, folders)):
            folders = [path for parent in folders for path in sorted(parent.iterdir())]
            folders = [path for path in folders if path.is_dir()]
    folders = [path for path in folders if _lists(path)]
    if not folders:
        raise InputError(folder, "no lists of clips", "files *_train_fold_1.json and *_test_...")
    sets = sorted({path.parent.name for path in folders})
    if len(sets) > 1:
        raise InputError(folder, f"folds of several sets ({', '.join(sets)[:80]})", "one of them")
    if len(folders) > 1:
        notes.append(f"{folders[0].name}, the first of {len(folders)} folds")
    lists = _lists(folders[0])
    return {part: lists[part] for part in SPLIT_NAMES if part in lists}


def _lists(folder: Path) -> dict[str, Path]:
    """Returns the list of each part in a folder, .json before .jsonl."""
    lists: dict[str, Path] = {}
    for path in sorted(folder.glob("*.json")) + sorted(folder.glob("*.jsonl")):
        words = path.stem.lower().split("_")
        part = next((part for part in ("valid", "test", "train") if part in words), None)
        if part and ("fold" in words or path.stem.endswith("meta_data")):
            lists.setdefault(part, path)
    return lists


def _entries(path: Path) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Yields the place, the key and the fields of each clip of a list."""
    if path.stat().st_size > _LARGEST:
        raise InputError(path, f"{path.stat().st_size} bytes", f"a list of at most {_LARGEST}")
    with reading(path, "JSON, or one JSON line per clip", _FAILURES):
        text = path.read_text(encoding="utf-8")
        lines = text.splitlines()
        if len(lines) > 1 and lines[0].rstrip().endswith("}"):
            loaded = [json.loads(line) for line in lines if line.strip()]
        else:
            loaded = json.loads(text)
    if isinstance(loaded, dict) and isinstance(loaded.get("meta_data"), list):
        loaded = loaded["meta_data"]
    if isinstance(loaded, dict) and "key" in loaded:
        loaded = [loaded]
    if not isinstance(loaded, dict | list):
        expected = "an object by key, or a list of clips"
        raise InputError(path, f"a {type(loaded).__name__}", expected)
    for key, entry in loaded.items() if isinstance(loaded, dict) else enumerate(loaded):
        where = f"{path}: {key if isinstance(key, str) else f'entry {key}'}"
        if not isinstance(entry, dict):
            raise InputError(where, f"a {type(entry).__name__}", "an object with wav and emo")
        name = key if isinstance(key, str) else entry.get("key", entry.get("path", str(key)))
        yield where, items.text(name, where, "a key"), entry


def _field(entry: dict[str, Any], field: str, place: str) -> str:
    if field not in entry:
        raise InputError(place, f"no {field!r}", "an object with wav and emo, or path and label")
    return items.text(entry[field], f"{place}: {field}", "a text")


def _name(key: str, dataset: str, part: str) -> tuple[Name | None, str]:
    """Parses a key such as `iemocap-Ses01F_impro04_F000`; also returns the utterance's id."""
    name = key.removeprefix(f"{dataset}-") if dataset else key
    stem, _, end = name.rpartition("-")
    if end in items.PARTS and stem:
        name, part = stem, items.PARTS[end]
    return items.parse_name(name, part or None, numbered=False), name


def _seconds(entry: dict[str, Any]) -> float | None:
    length = entry.get("length")
    if not isinstance(length, int | float) or isinstance(length, bool):
        return None
    return float(length) if 0 <= length < 1e6 else None


def _label_map(path: Path) -> dict[str, str]:
    """Returns the label map in a list's folder or above; empty without one."""
    for folder in list(path.parents)[:3]:
        file = folder / "label_map.json"
        if not file.is_file():
            continue
        with reading(file, "JSON", _FAILURES):
            labels = json.loads(file.read_text(encoding="utf-8"))
        if not isinstance(labels, dict) or not all(isinstance(v, str) for v in labels.values()):
            raise InputError(file, "no map", "an object from label to label")
        return labels
    return {}
