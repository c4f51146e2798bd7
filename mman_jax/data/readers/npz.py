"""Corpora as .npz archives, which `numpy.load(..., allow_pickle=False)` can also read.

Archives by users may omit ids, names, lengths and order, which have defaults.
"""

import collections
import math
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from mman_jax.data import fields
from mman_jax.data.corpus import Corpus
from mman_jax.data.fields import CONVERSATIONS, UTTERANCES, Kind, entries, kinds
from mman_jax.data.label_names import cleaned, stated
from mman_jax.data.readers import items, table
from mman_jax.data.sequences import Sequence, taken
from mman_jax.data.validation import CLASSES, ONE_VECTOR
from mman_jax.errors import InputError, nearest, reading
from mman_jax.files import archive, arrays, unpickler
from mman_jax.files.arrays import Stored
from mman_jax.files.whole import writing

NOTES = "source_notes"
SEQUENCES, COUNTS = "sequences/", "sequence_lengths/"
INTERVALS, NAMES = "intervals/", "sequence_names/"
FEATURES = "features/"
_CELLS = {
    SEQUENCES: Kind(np.float32, rank=2),
    COUNTS: Kind(np.int32),
    INTERVALS: Kind(np.float64, rank=2),
    NAMES: Kind(str),
}
"""Arrays of a `Sequence`, by the prefixes of their keys."""

_NUMBERS = {"f": "fiub", "i": "iu", "b": "b"}
_EITHER = ("labels", "conversation", "groups/")
"""Keys of arrays of texts; integers are converted to texts."""

_KIND_NAMES = {
    "fiub": "numbers", "iu": "integers", "iuU": "integers or str", "U": "str",
    "b": "bool",
}  # fmt: skip


def read(path: str | Path) -> Corpus:
    """Reads a corpus; uncompressed float32 features are memory-mapped, not loaded.

    Features of other number types become float32, and other integers int32. Labels that are text
    become classes in alphabetical order; an empty text means no label. Instead of lengths,
    `conversation` [N] may have an id for each utterance; utterances of a conversation need not be
    adjacent. Without either, each utterance is a conversation of one. `split` and `sessions` may
    have an entry for each utterance. Conversations and utterances without ids are numbered. The
    corpus's notes report these decisions.

    Raises:
        InputError: The file is not an archive, truncated or damaged; a key is missing or unknown;
            an array has a wrong dtype or claims more data than there is; or arrays do not match.
    """
    path = Path(path)
    with reading(path, "a corpus as an .npz archive"), path.open("rb") as file:
        headers = _headers(path, file)
        loaded = {key: _load(path, array, key) for key, array in headers.items()}
    by_field: dict[str, Any] = {key: a for key, a in loaded.items() if "/" not in key}
    for key, kind in _stored().items():
        if kind.by:
            by_field[key.removesuffix("/")] = _group(loaded, key)
    return _corpus(str(path), by_field | {"sequences": _sequences(path, loaded)})


def write(corpus: Corpus, path: str | Path) -> None:
    """Writes a corpus atomically; equal corpora give equal bytes.

    Raises:
        InputError: The suffix is not .npz, or the path cannot be written.
    """
    path = Path(path)
    if path.suffix.lower() != ".npz":
        raise InputError(path, f"suffix {path.suffix!r}", "a path that ends in .npz")
    contents: dict[str, Any] = {}
    for name, kind in kinds(corpus).items():
        for key, values in entries(corpus, name, kind):
            if name == "sequences":
                contents |= {SEQUENCES + key: values.values, COUNTS + key: values.lengths}
                contents |= {INTERVALS + key: values.intervals, NAMES + key: values.names}
            else:
                contents[f"{name}/{key}" if kind.by else name] = values
    contents[NOTES] = corpus.source_notes or None
    target = writing(path, "a writable place", make_folder=False)
    with target as file, zipfile.ZipFile(file, "w") as packed:
        for key, values in contents.items():
            if values is None:
                continue
            array = np.array(values, str) if isinstance(values, tuple) else values
            # A ZipInfo has a fixed date by default.
            info = zipfile.ZipInfo(key + ".npy")
            with packed.open(info, "w", force_zip64=True) as member:
                np.lib.format.write_array(member, array, allow_pickle=False)


def _stored() -> dict[str, Kind]:
    """Returns the kind of each key or prefix, except those of sequences (see `_CELLS`)."""
    declared = {name + "/" * bool(kind.by): kind for name, kind in kinds(Corpus).items()}
    del declared[SEQUENCES]
    return {**declared, NOTES: Kind(str), "conversation": Kind(str)}


def _group(loaded: Mapping[str, np.ndarray], prefix: str) -> dict[str, np.ndarray]:
    return {key.removeprefix(prefix): a for key, a in loaded.items() if key.startswith(prefix)}


def _sequences(path: Path, loaded: Mapping[str, np.ndarray]) -> dict[str, Sequence]:
    """Returns the sequences, each made of up to four arrays."""
    groups = {prefix: _group(loaded, prefix) for prefix in _CELLS}
    values, counts, intervals, names = groups.values()
    for prefix, group in groups.items():
        for name in group.keys() - values.keys():
            found = f"without {SEQUENCES}{name}"
            raise InputError(f"{path}: {prefix}{name}", found, "the two together, or neither")
    sequences: dict[str, Sequence] = {}
    for name, array in values.items():
        if name not in counts:
            expected = "int32 [N], the cells of each utterance"
            raise InputError(f"{path}: {COUNTS}{name}", "missing", expected)
        words = tuple(map(str, names[name].tolist())) if name in names else None
        sequences[name] = Sequence(array, counts[name], intervals.get(name), words)
    return sequences


def _headers(path: Path, file: BinaryIO) -> dict[str, Stored]:
    """Returns the headers of all arrays, checked against the sizes of the archive's members."""
    stored = _stored() | _CELLS
    members = archive.members(path, file)
    for key in members:
        if _prefix(key) not in stored or key in _CELLS:
            known = nearest(key, [f"{k}<name>" if k.endswith("/") else k for k in stored])
            raise InputError(f"{path}: {key}", "an unknown key", known)
    if "labels" not in members:
        found = f"no key 'labels' among {', '.join(members)}"
        raise InputError(path, found, "a class for each utterance, as a text or a number from 0")
    if not any(key.startswith((FEATURES, SEQUENCES)) for key in members):
        raise InputError(path, "no modalities", f"a key {FEATURES}<modality> for each")
    headers: dict[str, Stored] = {}
    for key, member in members.items():
        headers[key] = arrays.stored(f"{path}: {key}", member)
        _check_header(headers[key], key, stored[_prefix(key)])
    return headers


def _prefix(key: str) -> str:
    """Returns a key up to its slash, or the full key if it has none."""
    return key[: key.find("/") + 1] or key


def _check_header(array: Stored, key: str, declared: Kind) -> None:
    kind = "U" if declared.is_text else _NUMBERS[np.dtype(declared.dtype).kind]
    if _prefix(key) in _EITHER:
        kind = "iuU"
    if "U" in kind and len(array.shape) == 1:
        if array.dtype == object:
            return  # texts as objects, as in pandas, which the reader of pickles loads
        if array.dtype.kind == "S" and array.dtype.itemsize:
            kind += "S"  # texts in UTF-8, as in h5py and old files
    rank = declared.rank
    if array.dtype.kind not in kind or not array.dtype.itemsize or len(array.shape) != rank:
        expected = f"{_KIND_NAMES[kind]} in {rank} dimension{'s' * (rank > 1)}"
        if key == "labels" and array.dtype.kind == "f":
            expected = CLASSES
        elif key.startswith(FEATURES) and len(array.shape) == 3:
            expected = ONE_VECTOR
        elif key.startswith(SEQUENCES) and len(array.shape) == 3:
            expected = "[T, D], the cells of all utterances one after the other, without padding"
        elif array.dtype.kind == "O":
            raise InputError(array.place, arrays.OBJECTS, expected)
        raise InputError(array.place, f"{array.dtype} of shape {array.shape}", expected)
    array.check_size()


def _load(path: Path, array: Stored, key: str) -> np.ndarray:
    declared = (_stored() | _CELLS)[_prefix(key)]
    member = array.member
    times = member.name.startswith(INTERVALS)
    if member.stored and array.dtype == np.float32 and member.size > array.header and not times:
        # Reading to the end verifies the checksum, in bounded memory.
        collections.deque(archive.chunks(member), maxlen=0)
        start = member.offset + array.header
        return np.memmap(path, np.float32, "r", start, array.shape, array.order)
    values = _texts(array) if array.dtype == object else array.load()
    if values.dtype.kind == "S":
        try:
            return np.char.decode(values, "utf-8")
        except UnicodeDecodeError as error:
            raise InputError(array.place, "bytes that are not UTF-8", "text") from error
    if declared.is_array and np.dtype(declared.dtype).kind == "f":
        with np.errstate(over="ignore"):  # the corpus refuses infinity, and says where
            return values.astype(np.float64 if times else np.float32, copy=False)
    if values.dtype.kind in "Ub":
        return values
    bounds = np.iinfo(np.int32)
    if values.size and not bounds.min <= int(values.min()) <= int(values.max()) <= bounds.max:
        raise InputError(array.place, "a number out of range", "int32")
    return values.astype(np.int32)


def _texts(array: Stored) -> np.ndarray:
    """Reads an array of objects as texts or integers; NaN becomes an empty text."""
    loaded = unpickler.loads_array(array)
    if not isinstance(loaded, np.ndarray) or loaded.shape != array.shape:
        raise InputError(array.place, f"a {type(loaded).__name__}", "an array as its header says")
    values = loaded.tolist()
    if values and all(type(value) is int and abs(value) < 2**62 for value in values):
        return np.array(values, np.int64)
    empty = [isinstance(value, float) and math.isnan(value) for value in values]
    texts = ["" if e else items.text(v, array.place) for v, e in zip(values, empty, strict=True)]
    return np.array(texts, dtype=str)


def _corpus(place: str, by_field: Mapping[str, Any]) -> Corpus:
    """Returns the corpus of arrays by field, or by field and name; and of `conversation`."""
    notes = list(_strings(by_field, "source_notes") or ())
    count = len(by_field["labels"])
    labels, label_names = _labels(place, by_field, notes)
    lengths, ids, order = _conversations(place, by_field, count, notes)
    known: dict[str, Any] = {"labels": labels, "label_names": label_names}
    known |= {"lengths": lengths, "conversation_ids": ids}
    values: dict[str, Any] = {}
    for name, kind in kinds(Corpus).items():
        value = known.get(name, by_field.get(name))
        if value is None:
            continue
        if kind.by:
            values[name] = {
                key: _ordered(f"{place}: {name}/{key}", kind, array, count, order)
                for key, array in value.items()
            }
        elif kind.axis == CONVERSATIONS and name not in known:
            values[name] = _of_conversations(place, by_field, name, lengths, order)
        else:
            values[name] = _ordered(f"{place}: {name}", kind, value, count, order)
    if "utterance_ids" not in values:
        notes.append("utterance_ids: not given, numbered in each conversation")
        values["utterance_ids"] = tuple(str(u) for length in lengths for u in range(max(0, length)))
    return cleaned(Corpus(**values, source=place, source_notes=tuple(notes)))


def _ordered(
    place: str, kind: Kind, values: Any, count: int, order: np.ndarray | None
) -> np.ndarray | tuple[str, ...] | Sequence:
    """Returns values of a field in the corpus's order; the corpus rejects invalid values."""
    if kind.is_text and isinstance(values, np.ndarray):
        values = tuple(map(str, values.tolist()))
    if order is None or kind.axis != UTTERANCES:
        return values
    if isinstance(values, Sequence):
        return taken(values, order) if values.fits(count) else values
    if len(values) == count:
        return fields.taken(values, order)
    if kind.is_text:
        return values
    raise InputError(place, f"{len(values)} entries", f"{count}, as labels")


def _strings(by_field: Mapping[str, Any], key: str) -> tuple[str, ...] | None:
    return tuple(map(str, by_field[key].tolist())) if key in by_field else None


def _labels(
    place: str, by_field: Mapping[str, Any], notes: list[str]
) -> tuple[np.ndarray, tuple[str, ...]]:
    labels, names = by_field["labels"], _strings(by_field, "label_names")
    if labels.dtype.kind != "U":
        if names is None:
            names = table.numbered(labels, f"{place}: labels").names
            notes.append("label_names: not given, named by their numbers")
        return labels, names
    texts = labels.tolist()
    if names is None:
        labelled = table.labelled(texts)
        notes.append(f"label_names: not given, those of labels: {', '.join(labelled.names)[:200]}")
        return labelled.classes, labelled.names
    for row, label in enumerate(texts):
        if stated(label) and stated(label) not in names:
            expected = f"one of label_names ({', '.join(names)[:200]}), or empty for none"
            raise InputError(f"{place}: labels: row {row}", f"{label!r:.60}", expected)
    # Labels in other spellings become new names, which `label_names.cleaned` merges.
    names += tuple(sorted(set(filter(None, texts)) - set(names)))
    return table.labelled(texts, names).classes, names


def _conversations(
    place: str, by_field: Mapping[str, Any], count: int, notes: list[str]
) -> tuple[np.ndarray, tuple[str, ...], np.ndarray | None]:
    """Returns the lengths, the ids, and the utterances' order (None if it is unchanged)."""
    ids = _strings(by_field, "conversation_ids")
    owners = _strings(by_field, "conversation")
    if owners is None:
        lengths = by_field.get("lengths")
        if lengths is None:
            lengths = np.ones(count, np.int32)
        if ids is None:
            width = len(str(max(0, len(lengths) - 1)))
            ids = tuple(f"c{number:0{width}d}" for number in range(len(lengths)))
            notes.append("conversation_ids: not given, numbered")
        return lengths, ids, None
    where = f"{place}: conversation"
    if "lengths" in by_field:
        raise InputError(where, "in addition to lengths, which are redundant", "one of the two")
    if len(owners) != count:
        raise InputError(where, f"{len(owners)} entries", f"{count}, as many as labels")
    first: dict[str, int] = {}
    numbers = np.array([first.setdefault(name, len(first)) for name in owners], np.int64)
    if ids is not None and set(ids) != set(first):
        found = "other ids than in conversation"
        raise InputError(f"{place}: conversation_ids", found, "the same, or none")
    order = None
    if (np.diff(numbers) < 0).any():
        order = np.argsort(numbers, kind="stable")
        notes.append("conversation: utterances of a conversation were not adjacent and are sorted")
    return np.bincount(numbers, minlength=len(first)).astype(np.int32), tuple(first), order


def _of_conversations(
    place: str,
    by_field: Mapping[str, Any],
    key: str,
    lengths: np.ndarray,
    order: np.ndarray | None,
) -> tuple[str, ...] | None:
    """Returns one entry per conversation, from entries per conversation or per utterance."""
    values = _strings(by_field, key)
    total = len(by_field["labels"])
    if values is None or len(values) == len(lengths) or len(values) != total:
        return values
    if "conversation" not in by_field and int(lengths.sum()) != total:
        return values
    if order is not None:
        values = fields.taken(values, order)
    merged: list[str] = []
    for number, end in enumerate(np.cumsum(lengths).tolist()):
        entries = set(values[end - lengths[number] : end])
        if len(entries) != 1:
            where = f"{place}: {key}: conversation number {number}"
            both = " and ".join(sorted(entries)[:3])
            raise InputError(where, f"{both} in one conversation", "one of them")
        merged += entries
    return tuple(merged)
