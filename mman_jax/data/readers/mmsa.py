"""MMSA's pickles (MOSI, MOSEI, SIMS; aligned or not) and what MMSA-FET writes."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from mman_jax.data.readers import items, names, padded, pooling, table
from mman_jax.data.readers.padded import Part
from mman_jax.errors import InputError

LAYOUT = "MMSA (parts of padded text, audio and vision)"

_KEYS = {
    "regression_labels", "classification_labels", "annotations", "text_bert", "raw_text",
    "audio_lengths", "vision_lengths",
}  # fmt: skip
_RATERS = {"": "", "_T": "_text", "_A": "_audio", "_V": "_vision"}
"""Suffixes of SIMS's labels by modality, and of the targets that they become."""


def recognises(loaded: object) -> bool:
    """Whether a pickle holds this layout."""
    return bool(padded.keys(loaded) & _KEYS)


def read(place: str, loaded: Mapping[Any, Any], pool: pooling.How) -> table.Table:
    """The utterances of a loaded pickle.

    Frames are told from padding by the file's lengths, else by BERT's attention mask where the
    modality is aligned to it, else by rows of zeros. Conversations are videos, in the order of
    their clips' numbers.

    Raises:
        InputError: a part, key, row or id that does not fit.
    """
    parts = padded.split(place, loaded)
    notes: list[str] = []
    ids = [found for part in parts for found in _ids(part)]
    arrays = padded.features(place, parts, pool, notes, _real)
    if "text" not in arrays["features"] and any("text_bert" in part.fields for part in parts):
        notes.append("text: token numbers alone (text_bert), which are no features: left out")
    targets = _targets(parts)
    labels, label_names = _labels(parts, targets.get("sentiment"), notes)
    return table.Table(
        place=place,
        layout=LAYOUT,
        conversation_ids=[video for video, _, _ in ids],
        utterance_ids=[name for _, _, name in ids],
        order=[clip for _, clip, _ in ids],
        labels=labels,
        label_names=label_names,
        **arrays,
        targets=targets,
        split=padded.part_names(parts),
        notes=notes,
    )


def _ids(part: Part) -> list[tuple[str, int, str]]:
    found = []
    for row, value in enumerate(part.column("id")):
        where = f"{part.place}: id: row {row}"
        name = items.text(next(iter(items.cells(value, 1)), None), where)
        told = names.parse(name)
        if told is None or told.order is None:
            raise InputError(where, f"id {name!r:.60}", "<video>$_$<number of the clip>")
        found.append((told.conversation, told.order, name))
    return found


def _real(part: Part, key: str, array: padded.Array, front: bool) -> tuple[padded.Real, str]:
    """Which of a modality's rows are frames, and by what that is told."""
    most = array.shape[1]
    size = part.fields.get(f"{key}_lengths")
    if size is not None and array.ndim == 3:
        known = padded.lengths(f"{part.place}: {key}_lengths", size, part.count, most)
        side = "front" if front else "back"
        return padded.by_lengths(known, most, front), f"padding in {side} by {key}_lengths"
    bert = part.fields.get("text_bert")
    if isinstance(bert, padded.Array) and bert.shape == (part.count, 3, most):
        chunks = (np.asarray(bert[i : i + 1024])[:, 1] for i in range(0, part.count, 1024))
        mask = np.concatenate([chunk == 1 for chunk in chunks])
        return padded.by_mask(mask), "frames by the attention mask of text_bert"
    return padded.by_zeros(front)


def _targets(parts: list[Part]) -> dict[str, np.ndarray]:
    found = {}
    for suffix, name in _RATERS.items():
        key = f"regression_labels{suffix}"
        if any(key in part.fields for part in parts):
            found[f"sentiment{name}"] = np.concatenate(
                [
                    items.numbers(part.column(key), f"{part.place}: {key}", part.count)
                    for part in parts
                ]
            )
    return found


def _labels(
    parts: list[Part], sentiment: np.ndarray | None, notes: list[str]
) -> tuple[np.ndarray, tuple[str, ...]]:
    """Classes by the file's annotations, else by the sign of the number, else by its classes."""
    if any("annotations" in part.fields for part in parts):
        given = [
            _annotation(value, f"{part.place}: annotations: row {row}")
            for part in parts
            for row, value in enumerate(part.column("annotations"))
        ]
        known = ("Negative", "Neutral", "Positive")
        labels, label_names = table.labelled(given, known)
        if sentiment is not None and label_names == known:
            other = int(((labels != table.by_sign(sentiment)) & (labels >= 0)).sum())
            if other:
                notes.append(f"labels: annotations, which differ from the sign for {other}")
        return labels, label_names
    if sentiment is not None:
        notes.append("labels: the sign of regression_labels, 0 as neutral")
        return table.by_sign(sentiment), table.POLARITY
    key = "classification_labels"
    if any(key in part.fields for part in parts):
        given = [
            items.label(value, f"{part.place}: {key}: row {row}")
            for part in parts
            for row, value in enumerate(
                items.numbers(part.column(key), f"{part.place}: {key}", part.count).tolist()
            )
        ]
        return table.numbered(np.array(given), f"{parts[0].place}: {key}")
    notes.append("labels: none in the file")
    return np.full(sum(part.count for part in parts), -1, np.int32), ()


def _annotation(value: object, place: str) -> str:
    # A cell that was empty in the table of labels is NaN in the pickle.
    if isinstance(value, float) and value != value:
        return ""
    if isinstance(value, int | np.integer):
        raise InputError(place, f"label {value!s:.40}", "a text such as Positive")
    return items.text(value, place, "a label")
