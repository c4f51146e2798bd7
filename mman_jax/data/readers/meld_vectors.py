"""MELD's vectors of one modality (MELD.Features.Models): three dicts, by dialogue or utterance."""

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from mman_jax.data.readers import items, names, padded, pooling, table
from mman_jax.data.validation import SPLIT_NAMES
from mman_jax.errors import InputError

LAYOUT = "MELD.Features.Models (dicts of train, validation and test)"

_KEY = re.compile(r"(\d{1,6})(?:_(\d{1,6}))?")


def recognises(loaded: object) -> bool:
    """Whether a pickle holds this layout."""
    if not isinstance(loaded, list | tuple) or len(loaded) != len(SPLIT_NAMES):
        return False
    if not all(isinstance(part, dict) for part in loaded):
        return False
    values = [next(iter(part.values()), None) for part in loaded]
    return any(isinstance(value, np.ndarray | list | tuple) for value in values)


def read(place: str, loaded: Any, pool: pooling.How) -> table.Table:
    """The utterances of a loaded pickle: vectors without labels, to be joined to MELD's CSV.

    Keys are `<dialogue>_<utterance>` of vectors [D], or dialogues of arrays [U, D] with rows of
    zeros behind the utterances. Dialogues restart in each part and are numbered through here.

    Args:
        place: the file.
        loaded: what it holds.
        pool: of no use here: utterances have one vector.

    Raises:
        InputError: the part and key of whatever does not fit.
    """
    del pool
    rows: list[tuple[str, int, str, np.ndarray]] = []
    # A vector may be referred to many times over; honest files hold at least one byte a value.
    budget = Path(place).stat().st_size
    for part, held in zip(SPLIT_NAMES, loaded, strict=True):
        for name, number, vector in _utterances(f"{place}: {part}", part, held):
            budget -= vector.size
            if budget < 0:
                raise InputError(place, "more features than the file holds", "a whole pickle")
            if rows and len(vector) != len(rows[0][3]):
                where = f"{place}: {part}: dialogue {name}, utterance {number}"
                found, expected = f"{len(vector)} features", f"{len(rows[0][3])}, as before it"
                raise InputError(where, found, expected)
            rows.append((name, number, part, vector))
    if not rows:
        raise InputError(place, "no utterances", "at least one")
    return table.Table(
        place=place,
        layout=LAYOUT,
        conversation_ids=[name for name, *_ in rows],
        utterance_ids=[str(number) for _, number, *_ in rows],
        order=[number for _, number, *_ in rows],
        labels=np.full(len(rows), -1, np.int32),
        label_names=(),
        features={"features": np.stack([vector for *_, vector in rows])},
        split=[part for _, _, part, _ in rows],
        notes=["no labels in the file: join it to MELD's CSV files"],
    )


def _utterances(
    place: str, part: str, held: Mapping[Any, Any]
) -> Iterator[tuple[str, int, np.ndarray]]:
    """The dialogue, the utterance's number and its vector, of one part."""
    keys = {key: _KEY.fullmatch(items.text(key, place, "a key")) for key in held}
    for key, match in keys.items():
        if match is None:
            raise InputError(place, f"key {key!r:.60}", "<dialogue>_<utterance>, or <dialogue>")
    # Some files number the dialogues of all parts through, as the pickles with labels do.
    through = min((int(match[1]) for match in keys.values()), default=0) >= names.MELD_PARTS[part]
    for key, match in keys.items():
        where = f"{place}: {key}"
        name = names.meld_dialogue(int(match[1]), None if through else part)
        if match[2] is not None:
            yield name, int(match[2]), items.vector(held[key], where)
            continue
        block = padded.array(where, held[key])
        if block.ndim != 2:
            raise InputError(where, f"shape {block.shape}", "[utterances, D]")
        block = np.asarray(block[:])
        real = pooling.nonzero(block[None], front=False)[0]
        if not real.any():
            raise InputError(where, "a dialogue without utterances", "at least one")
        for number, row in enumerate(block[real]):
            yield name, number, items.vector(row, where)
