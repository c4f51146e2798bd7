"""Archives with an array a modality and part, `mosi_audio_train`, as Memory Fusion Network's."""

import dataclasses
import re
from pathlib import Path

import numpy as np

from mman_jax.data.readers import items, padded, pooling, table
from mman_jax.data.readers.names import PARTS
from mman_jax.data.readers.padded import Part
from mman_jax.errors import InputError
from mman_jax.files import arrays, objects

LAYOUT = "Memory Fusion Network (an array for each modality and part, aligned by words)"

_KEYS = {"audio": "audio", "video": "vision", "vision": "vision", "text": "text"}
_RATINGS = "y"
_NAMED = re.compile(rf"(?:\w*_)?({'|'.join((*_KEYS, _RATINGS))})_({'|'.join(PARTS)})")

_FIVE, _THREE = (1, 5), 3
"""A scale without a sign, of reviews; and the end of the scale of sentiment, which has one."""

_POSITIVE = 3.5
"""From this number of five on a review counts as positive, as in papers on ICT-MMMO."""


def recognises(path: Path) -> bool:
    """Whether a file is an archive of this layout."""
    keys = objects.keys(path)
    matches = [_NAMED.fullmatch(key) for key in keys]
    return bool(matches) and all(matches) and _RATINGS in {match[1] for match in matches}


def read(path: Path, pool: pooling.How) -> table.Table:
    """The utterances of an archive; each is a conversation of one, as there are no ids.

    A word is a row in which any modality has something: with the words of one modality alone the
    others would no longer stand beside them.

    Raises:
        InputError: a part or an array that does not fit.
    """
    nested: dict[str, dict[str, arrays.Stored | np.ndarray]] = {}
    for key, array in arrays.read(path, "arrays of numbers").items():
        modality, part = _NAMED.fullmatch(key).groups()
        own = nested.setdefault(part, {})
        name = _KEYS.get(modality, modality)
        if name in own:
            raise InputError(f"{path}: {key}", "a modality twice in a part", "each once")
        own[name] = array
    parts, notes = _alike(padded.split(str(path), nested))
    words = {part.name: _words(part) for part in parts}
    said = "words: rows in which any modality is not zero"
    found = padded.features(
        str(path), parts, pool, notes, lambda part, *_: (padded.by_mask(words[part.name]), said)
    )
    notes.append("no ids in the file: each utterance is a conversation of one")
    ids = [f"{part.name or 'row'}{i:05d}" for part in parts for i in range(part.count)]
    ratings = np.concatenate([
        items.numbers(np.ravel(part.column(_RATINGS)), f"{part.place}: {_RATINGS}", part.count)
        for part in parts
    ])  # fmt: skip
    labels, names = _labels(ratings, notes)
    return table.Table(
        place=str(path),
        layout=LAYOUT,
        conversation_ids=ids,
        utterance_ids=ids,
        labels=labels,
        label_names=names,
        **found,
        targets={"sentiment": ratings},
        split=padded.part_names(parts),
        notes=notes,
    )


def _alike(parts: list[Part]) -> tuple[list[Part], list[str]]:
    """The parts with the modalities that all of them have, and what was left out."""
    everywhere = set.intersection(*(set(part.fields) for part in parts))
    others = sorted(set().union(*(part.fields for part in parts)) - everywhere - {_RATINGS})
    notes = [f"{padded.MODALITIES[key]}: left out, not all parts have it" for key in others]
    return [
        dataclasses.replace(part, fields={k: x for k, x in part.fields.items() if k not in others})
        for part in parts
    ], notes


def _words(part: Part) -> np.ndarray:
    """[N, T] bool, where any modality has something."""
    found = []
    for key in padded.MODALITIES.keys() & part.fields.keys():
        place = f"{part.place}: {key}"
        array = np.asarray(padded.array(place, part.fields[key], part.count))
        if array.ndim != 3:
            raise InputError(place, f"shape {array.shape}", "an array [N, T, D] of numbers")
        found.append((array != 0).any(-1))
    if len({one.shape for one in found}) > 1:
        shapes = " and ".join(sorted(str(one.shape) for one in found))
        raise InputError(part.place, f"words {shapes}", "as many in each modality")
    return np.any(found, axis=0)


def _labels(ratings: np.ndarray, notes: list[str]) -> tuple[np.ndarray, tuple[str, ...]]:
    """[N] classes and their names; of ratings of one to five, as papers cut them."""
    low, high = np.nanmin(ratings, initial=np.inf), np.nanmax(ratings, initial=-np.inf)
    if _FIVE[0] <= low and _THREE < high <= _FIVE[1]:
        notes.append(f"labels: positive from {_POSITIVE} of {_FIVE[1]} on")
        positive = np.where(np.isnan(ratings), -1, ratings >= _POSITIVE)
        return positive.astype(np.int32), (table.POLARITY[0], table.POLARITY[-1])
    notes.append("labels: the sign of the sentiment, 0 as neutral")
    return table.by_sign(ratings), table.POLARITY
