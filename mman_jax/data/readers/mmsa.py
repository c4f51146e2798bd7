"""Pickles of MMSA (MOSI, MOSEI, SIMS; aligned or not) and of MMSA-FET."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from mman_jax.data.readers import items, padded, pooling, table
from mman_jax.data.readers.items import Array
from mman_jax.data.readers.padded import Part
from mman_jax.errors import InputError

LAYOUT = "MMSA (parts of padded text, audio and vision)"

_KEYS = {
    "regression_labels", "classification_labels", "annotations", "text_bert", "raw_text",
    "audio_lengths", "vision_lengths",
}  # fmt: skip
_RATERS = {"": "", "_T": "_text", "_A": "_audio", "_V": "_vision"}
"""Suffixes of targets, by the suffixes of SIMS's labels of modalities."""


def recognises(loaded: object) -> bool:
    """Returns whether a pickle has this layout."""
    return bool(padded.keys(loaded) & _KEYS)


def read(place: str, loaded: Mapping[Any, Any], pool: pooling.How) -> table.Table:
    """Reads a loaded pickle.

    Frames are distinguished from padding by the file's lengths, otherwise by BERT's attention mask
    if the modality is aligned to it, otherwise by rows of zeros. Conversations are videos, whose
    clips are ordered by number.
    """
    parts = padded.split(place, loaded)
    notes: list[str] = []
    rows: list[table.Row] = []
    for part in parts:
        for row, value in enumerate(part.column("id")):
            name, video, order = items.clip(value, f"{part.place}: id: row {row}")
            rows.append(table.Row(video, name, order, part.name or None))
    targets = {
        f"sentiment{name}": _numbers(parts, f"regression_labels{suffix}")
        for suffix, name in _RATERS.items()
        if _has(parts, f"regression_labels{suffix}")
    }
    labels = _labels(parts, targets.get("sentiment"), notes)
    result = table.Table(place, LAYOUT, rows, labels._replace(targets=targets), notes)
    padded.add_modalities(result, parts, pool, _frames)
    if "text" not in result.features and _has(parts, "text_bert"):
        notes.append("text: only indices of tokens (text_bert), which are not features: left out")
    return result


def _has(parts: list[Part], key: str) -> bool:
    return any(key in part.fields for part in parts)


def _numbers(parts: list[Part], key: str) -> np.ndarray:
    """Returns [N] float32, a number for each utterance of all parts."""
    return np.concatenate([
        items.numbers(part.column(key), f"{part.place}: {key}", part.count) for part in parts
    ])  # fmt: skip


def _frames(part: Part, key: str, array: Array, front: bool) -> tuple[np.ndarray, str]:
    """Distinguishes a modality's frames from padding; see `padded.Frames`."""
    most = array.shape[1]
    sizes = part.fields.get(f"{key}_lengths")
    if sizes is not None:
        lengths = items.lengths(sizes, f"{part.place}: {key}_lengths", part.count, most)
        steps = np.arange(most)[::-1] if front else np.arange(most)
        side = "front" if front else "back"
        return steps < lengths[:, None], f"padding in {side} by {key}_lengths"
    bert = part.fields.get("text_bert")
    if isinstance(bert, Array) and bert.shape == (part.count, 3, most):
        mask = np.concatenate([block[:, 1] == 1 for _, block in pooling.chunks(bert)])
        return mask, "frames by the attention mask of text_bert"
    return padded.by_zeros(part, key, array, front)


def _labels(parts: list[Part], sentiment: np.ndarray | None, notes: list[str]) -> table.Labels:
    """Returns classes from annotations, or if there are none from the sign, or class numbers."""
    if _has(parts, "annotations"):
        annotations = [
            _annotation(value, f"{part.place}: annotations: row {row}")
            for part in parts
            for row, value in enumerate(part.column("annotations"))
        ]
        known = ("Negative", "Neutral", "Positive")
        labels = table.labelled(annotations, known)
        if sentiment is not None and labels.names == known:
            other = int(
                ((labels.classes != table.by_sign(sentiment)) & (labels.classes >= 0)).sum()
            )
            if other:
                notes.append(f"labels: annotations, which differ from the sign for {other}")
        return labels
    if sentiment is not None:
        notes.append("labels: the sign of regression_labels, 0 as neutral")
        return table.Labels(table.by_sign(sentiment), table.POLARITY)
    key = "classification_labels"
    if _has(parts, key):
        classes = [
            items.label(number, f"{part.place}: {key}: row {row}")
            for part in parts
            for row, number in enumerate(_numbers([part], key).tolist())
        ]
        return table.numbered(classes, f"{parts[0].place}: {key}")
    notes.append("labels: none in the file")
    return table.unlabelled(sum(part.count for part in parts))


def _annotation(value: object, place: str) -> str:
    # Empty cells of the table of labels are NaN in the pickle.
    if isinstance(value, float) and value != value:
        return ""
    if isinstance(value, int | np.integer):
        raise InputError(place, f"label {value!s:.40}", "a text such as Positive")
    return items.text(value, place, "a label")
