"""The DialogueRNN-style pickle: nine parts, of which seven are keyed by conversation."""

import re
from pathlib import Path
from typing import Any

import numpy as np

from mman_jax.data.corpus import Corpus
from mman_jax.data.protocols import EMOTIONS
from mman_jax.data.readers import layouts
from mman_jax.errors import InputError
from mman_jax.files import unpickler

FIELDS = (
    "videoIDs",
    "videoSpeakers",
    "videoLabels",
    "videoText",
    "videoAudio",
    "videoVisual",
    "videoSentence",
    "trainVid",
    "testVid",
)
MODALITIES = {"speech": "videoAudio", "visual": "videoVisual", "text": "videoText"}

_LARGEST_LABEL = 999
_LONGEST_ID = 1000
_LEAST_BYTES = 6  # of an utterance in a file: an id, a speaker, a label and three vectors
_NUMBERS = (int, float, bool)


def read(path: str | Path) -> Corpus:
    """Read a pickle; conversations are sorted by id, and those in no split are left out.

    Where the ids look like IEMOCAP's, labels are its six emotions, sessions are the first five
    characters, and a speaker is a session and M or F; else labels are named by their numbers,
    and a speaker is a conversation and the speaker's name in it.

    Raises:
        InputError: what `unpickler.load` refuses; another number or kind of parts; the
            conversation, utterance and modality of whatever does not fit.
    """
    path = Path(path)
    parts = _parts(path, unpickler.load(path))
    split = _split(path, parts)
    names = sorted(split)
    utterance_ids: list[str] = []
    speakers: list[str] = []
    labels: list[int] = []
    lengths: list[int] = []
    blocks: dict[str, list[np.ndarray]] = {modality: [] for modality in MODALITIES}
    iemocap = all(re.match(r"Ses\d\d", name) for name in names)
    # A vector may be referred to many times over; honest files hold at least one byte a value.
    budget = width_budget = path.stat().st_size
    for name in names:
        place = f"{path}: conversation {name}"
        named = _sequence(parts, "videoIDs", name, place)
        if not len(named):
            raise InputError(place, "no utterances", "at least one")
        # Not listed before it is known that there can be so many: one byte can refer to a list.
        budget -= _LEAST_BYTES * len(named)
        if budget < 0:
            raise InputError(place, "more utterances than the file holds", "a whole pickle")
        ids = [_text(item, f"{place}: videoIDs") for item in named]
        items = {}
        for field in FIELDS[1:6]:
            values = _sequence(parts, field, name, place)
            if len(values) != len(ids):
                expected = f"{len(ids)}, as in videoIDs"
                raise InputError(f"{place}: {field}", f"{len(values)} utterances", expected)
            items[field] = list(values)
        for modality, field in MODALITIES.items():
            width_budget -= sum(_width(item) for item in items[field])
            if width_budget < 0:
                raise InputError(path, "more features than the file holds", "a whole pickle")
            blocks[modality].append(_block(items[field], ids, f"{place}, utterance", modality))
        for utterance, speaker, label in zip(
            ids, items["videoSpeakers"], items["videoLabels"], strict=True
        ):
            where = f"{place}, utterance {utterance}"
            speakers.append(_speaker(speaker, name, iemocap, where))
            labels.append(_label(label, where))
        utterance_ids += ids
        lengths.append(len(ids))
    six = iemocap and all(name.startswith("Ses0") for name in names)
    return Corpus(
        features={modality: _join(path, modality, blocks[modality], names) for modality in blocks},
        labels=np.array(labels, np.int32),
        label_names=EMOTIONS if six else tuple(str(n) for n in range(max(labels) + 1)),
        lengths=np.array(lengths, np.int32),
        conversation_ids=tuple(names),
        utterance_ids=tuple(utterance_ids),
        speakers=tuple(speakers),
        sessions=tuple(name[:5] for name in names) if iemocap else None,
        split=tuple(split[name] for name in names),
        source=str(path),
    )


def _parts(path: Path, loaded: object) -> dict[str, Any]:
    expected = f"the 9-tuple ({', '.join(FIELDS)})"
    layouts.refuse(path, loaded)
    if not isinstance(loaded, tuple | list) or len(loaded) != len(FIELDS):
        count = f" of {len(loaded)}" if isinstance(loaded, tuple | list | dict) else ""
        raise InputError(path, f"a {type(loaded).__name__}{count}", expected)
    parts: dict[str, Any] = {}
    for position, (field, value) in enumerate(zip(FIELDS, loaded, strict=True)):
        place = f"{path}: part {position} ({field})"
        if field in ("trainVid", "testVid"):
            if not isinstance(value, set | frozenset | list | tuple):
                found = f"a {type(value).__name__}"
                raise InputError(place, found, f"a set or list of conversation ids, in {expected}")
            parts[field] = [_text(name, place) for name in value]
        elif isinstance(value, dict):
            parts[field] = {_text(name, place): items for name, items in value.items()}
            if len(parts[field]) < len(value):
                raise InputError(place, "a conversation id twice, as text and otherwise", "once")
        else:
            found = f"a {type(value).__name__}"
            raise InputError(place, found, f"a dict keyed by conversation, in {expected}")
    return parts


def _split(path: Path, parts: dict[str, Any]) -> dict[str, str]:
    split: dict[str, str] = {}
    for part, field in (("train", "trainVid"), ("test", "testVid")):
        for name in parts[field]:
            place = f"{path}: conversation {name}"
            if split.setdefault(name, part) != part:
                raise InputError(place, "in two splits, trainVid and testVid", "one split")
            if name not in parts["videoIDs"]:
                raise InputError(place, f"in {field} but not in videoIDs", "in both")
    if not split:
        raise InputError(path, "an empty corpus: no ids in trainVid and testVid", "at least one")
    return split


def _sequence(
    parts: dict[str, Any], field: str, name: str, place: str
) -> np.ndarray | list[Any] | tuple[Any, ...]:
    if name not in parts[field]:
        raise InputError(f"{place}: {field}", "nothing for this conversation", "an entry")
    value = parts[field][name]
    if not isinstance(value, list | tuple) and not (isinstance(value, np.ndarray) and value.ndim):
        found = f"a {type(value).__name__}"
        raise InputError(f"{place}: {field}", found, "a list with one item an utterance")
    return value


def _width(vector: object) -> int:
    if isinstance(vector, np.ndarray):
        return vector.size
    return len(vector) if isinstance(vector, list | tuple) else 1


def _block(vectors: list[Any], ids: list[str], place: str, modality: str) -> np.ndarray:
    """[utterances, D] float32 of one conversation."""
    rows = []
    for vector, utterance in zip(vectors, ids, strict=True):
        where = f"{place} {utterance}, modality {modality}"
        if isinstance(vector, np.ndarray):
            good = vector.ndim == 1 and vector.dtype.kind in "fiub"
            found = f"{vector.dtype} of shape {vector.shape}"
        else:
            good = isinstance(vector, list | tuple) and all(type(v) in _NUMBERS for v in vector)
            found = f"a {type(vector).__name__} of something other than numbers"
        if not good:
            raise InputError(where, found, "a vector of numbers")
        if rows and len(vector) != len(rows[0]):
            raise InputError(where, f"{len(vector)} features", f"{len(rows[0])}, as before it")
        try:
            with np.errstate(over="ignore"):  # the corpus refuses infinity, and says where
                rows.append(np.asarray(vector, np.float64).astype(np.float32))
        except OverflowError:
            raise InputError(where, "an integer too large", "float32 features") from None
    return np.stack(rows)


def _join(path: Path, modality: str, blocks: list[np.ndarray], names: list[str]) -> np.ndarray:
    for block, name in zip(blocks, names, strict=True):
        if block.shape[1] != blocks[0].shape[1]:
            place = f"{path}: conversation {name}, modality {modality}"
            expected = f"{blocks[0].shape[1]}, as in conversation {names[0]}"
            raise InputError(place, f"{block.shape[1]} features", expected)
    return np.concatenate(blocks)


def _text(value: object, place: str) -> str:
    if isinstance(value, bytes):
        value = value.decode("latin1")
    if type(value) not in (str, int) and not isinstance(value, np.str_ | np.integer):
        raise InputError(place, f"a {type(value).__name__} as an id", "text")
    if isinstance(value, int) and value.bit_length() > 64:
        raise InputError(place, f"an integer of {value.bit_length()} bits as an id", "64 at most")
    # Names are put together and repeated: a long one would be copied for every utterance.
    if isinstance(value, str) and len(value) > _LONGEST_ID:
        raise InputError(place, f"an id of {len(value)} characters", f"at most {_LONGEST_ID}")
    return str(value)


def _speaker(value: object, conversation: str, iemocap: bool, place: str) -> str:
    if not isinstance(value, str | bytes | int | np.integer):
        raise InputError(place, f"a {type(value).__name__} as speaker", "a name")
    name = _text(value, place)
    if iemocap and name not in ("M", "F"):
        raise InputError(place, f"speaker {name!r:.40}", "M or F")
    return f"{conversation[:5] if iemocap else conversation}_{name}"


def _label(value: object, place: str) -> int:
    # Whole floats are what some writers make of labels.
    whole = isinstance(value, int | np.integer) or (
        isinstance(value, float | np.floating) and value == np.round(value)
    )
    if not whole or not -1 <= value <= _LARGEST_LABEL:
        huge = isinstance(value, int) and value.bit_length() > 64  # too long to be written out
        plain = isinstance(value, int | float | np.number) and not huge
        shown = value if plain else type(value).__name__
        raise InputError(
            place, f"label {shown!s:.40} out of range", f"0 to {_LARGEST_LABEL}, or -1"
        )
    return int(value)
