"""Arrays and a card (JSON) that describes them, in one .npz archive without pickles."""

import io
import json
import pathlib
from collections.abc import Mapping
from typing import Any

import numpy as np

from mman_jax.errors import InputError
from mman_jax.files import arrays
from mman_jax.files.whole import check_regular, writing

CARD = "card"


def to_bytes(several: Mapping[str, np.ndarray], card: Any, name: str = CARD) -> bytes:
    """Returns an archive of arrays of numbers, bool or str, with the card under `name`."""
    file = io.BytesIO()
    members: dict[str, Any] = {name: np.array(json.dumps(card)), **several}
    np.savez(file, **members)
    return file.getvalue()


def write(
    path: pathlib.Path,
    several: Mapping[str, np.ndarray],
    card: Any,
    name: str = CARD,
    make_folder: bool = True,
) -> None:
    """Writes the archive of `to_bytes` atomically."""
    with writing(path, make_folder=make_folder) as file:
        file.write(to_bytes(several, card, name))


def read(
    path: str | pathlib.Path, expected: str, name: str = CARD
) -> tuple[dict[str, np.ndarray], Any]:
    """Reads the arrays by key, and the card; `expected` describes the file in messages."""
    check_regular(path, expected)
    loaded = arrays.read(path, expected)
    try:
        card = json.loads(str(loaded.pop(name)))
    except (LookupError, RecursionError, TypeError, ValueError) as error:
        raise InputError(path, f"no {name} ({error!r:.200})", expected) from error
    return loaded, card
