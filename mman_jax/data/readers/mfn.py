"""Memory Fusion Network's archives, with an array per modality and part (`mosi_audio_train`)."""

import dataclasses
import re
from pathlib import Path

import numpy as np

from mman_jax.data.readers import items, padded, pooling
from mman_jax.data.readers.padded import Part
from mman_jax.data.readers.table import POLARITY, Labels, Table, rated
from mman_jax.errors import InputError
from mman_jax.files import archive, arrays

LAYOUT = "Memory Fusion Network (an array for each modality and part, aligned by words)"

_KEYS = {"audio": "audio", "video": "vision", "vision": "vision", "text": "text"}
_RATINGS = "y"
_NAMED = re.compile(rf"(?:\w*_)?({'|'.join((*_KEYS, _RATINGS))})_({'|'.join(items.PARTS)})")

_FIVE, _THREE = (1, 5), 3
"""Range of ratings of reviews, and largest absolute value of ratings of sentiment."""

_POSITIVE = 3.5
"""Smallest rating, of five, of a positive review, as in papers on ICT-MMMO."""


def recognises(path: Path) -> bool:
    """Returns whether a file is an archive of this layout."""
    matches = [_NAMED.fullmatch(key) for key in archive.keys(path)]
    return None not in matches and any(match and match[1] == _RATINGS for match in matches)


def read(path: Path, pool: pooling.How) -> Table:
    """Reads an archive; each utterance is a conversation of its own, since there are no ids.

    A row is a word if any modality is not zero, so that the modalities remain aligned.
    """
    nested: dict[str, dict[str, np.ndarray]] = {}
    for key, array in arrays.read(path, "arrays of numbers").items():
        match = _NAMED.fullmatch(key)
        if match is None:
            raise InputError(f"{path}: {key}", "an unknown key", "<modality>_<part>")
        modality, part_name = match.groups()
        fields = nested.setdefault(part_name, {})
        name = _KEYS.get(modality, modality)
        if name in fields:
            raise InputError(f"{path}: {key}", "a modality twice in a part", "each once")
        fields[name] = array
    notes: list[str] = []
    parts = _alike(padded.split(str(path), nested), notes)
    words = {part.name: _words(part) for part in parts}
    rows = padded.counted_rows(parts, notes)
    ratings = [
        items.numbers(np.ravel(part.column(_RATINGS)), f"{part.place}: {_RATINGS}", part.count)
        for part in parts
    ]
    labels = _labels(np.concatenate(ratings), notes)
    table = Table(path, LAYOUT, rows, labels, notes)
    description = "words: rows in which any modality is not zero"
    padded.add_modalities(table, parts, pool, lambda part, *_: (words[part.name], description))
    return table


def _alike(parts: list[Part], notes: list[str]) -> list[Part]:
    """Removes modalities that not all parts have."""
    everywhere = set.intersection(*(set(part.fields) for part in parts))
    others = set().union(*(part.fields for part in parts)) - everywhere - {_RATINGS}
    for key in sorted(others):
        notes.append(f"{padded.MODALITIES[key]}: left out, not all parts have it")
    return [
        dataclasses.replace(part, fields={k: x for k, x in part.fields.items() if k not in others})
        for part in parts
    ]


def _words(part: Part) -> np.ndarray:
    """Returns which rows are words, [N, T] bool."""
    filled = []
    for key in padded.MODALITIES.keys() & part.fields.keys():
        array = np.asarray(part.array(key))
        if array.ndim != 3:
            found = f"shape {array.shape}"
            raise InputError(f"{part.place}: {key}", found, "an array [N, T, D] of numbers")
        filled.append((array != 0).any(-1))
    if len({mask.shape for mask in filled}) > 1:
        shapes = " and ".join(sorted(str(mask.shape) for mask in filled))
        raise InputError(part.place, f"words {shapes}", "the same number in each modality")
    return np.any(filled, axis=0)


def _labels(ratings: np.ndarray, notes: list[str]) -> Labels:
    """Returns classes by the sign of ratings; for ratings from one to five, by `_POSITIVE`."""
    low, high = np.nanmin(ratings, initial=np.inf), np.nanmax(ratings, initial=-np.inf)
    if not (_FIVE[0] <= low and _THREE < high <= _FIVE[1]):
        return rated(ratings, notes)
    notes.append(f"labels: positive from {_POSITIVE} of {_FIVE[1]} on")
    positive = np.where(np.isnan(ratings), -1, ratings >= _POSITIVE).astype(np.int32)
    return Labels(positive, (POLARITY[0], POLARITY[-1]), {"sentiment": ratings})
