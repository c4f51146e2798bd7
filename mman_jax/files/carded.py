"""Arrays and a card that says what they are, in one .npz that NumPy reads: no pickles."""

import io
import json
import pathlib
from collections.abc import Mapping
from typing import Any

import numpy as np

from mman_jax.errors import InputError
from mman_jax.files import arrays
from mman_jax.files.regular import check_regular
from mman_jax.files.whole import writing

CARD = "card"


def to_bytes(several: Mapping[str, np.ndarray], card: Any, name: str = CARD) -> bytes:
    """The archive.

    Args:
        several: numbers, bool or str, by keys other than the card's.
        card: what JSON holds.
        name: the card's key.
    """
    file = io.BytesIO()
    np.savez(file, **{name: np.array(json.dumps(card))}, **several)
    return file.getvalue()


def write(
    path: pathlib.Path,
    several: Mapping[str, np.ndarray],
    card: Any,
    name: str = CARD,
    make_folder: bool = True,
) -> None:
    """Writes the archive, whole or not at all; see `to_bytes`.

    Args:
        path: of the archive.
        several: see `to_bytes`.
        card: see `to_bytes`.
        name: see `to_bytes`.
        make_folder: whether the folder of the file is made where it is missing.

    Raises:
        InputError: a place that cannot be written.
    """
    with writing(path, make_folder=make_folder) as file:
        file.write(to_bytes(several, card, name))


def read(
    path: str | pathlib.Path, expected: str, name: str = CARD
) -> tuple[dict[str, np.ndarray], Any]:
    """The arrays by key, and the card.

    Args:
        path: of the archive.
        expected: what should be there, for messages.
        name: the card's key.

    Raises:
        InputError: another file, or a damaged one.
    """
    check_regular(path, expected)
    found = arrays.read(path, expected)
    try:
        card = json.loads(str(found.pop(name)))
    except (LookupError, RecursionError, TypeError, ValueError) as error:
        raise InputError(path, f"no {name} ({error!r:.200})", expected) from error
    return found, card
