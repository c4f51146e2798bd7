"""A small valid corpus, as an object and as NumPy's arrays, and what tests ask of corpora."""

import dataclasses
from typing import Any

import numpy as np
import pytest

from mman_jax.data import fields
from mman_jax.data.corpus import Corpus
from mman_jax.errors import InputError


def corpus(lengths=(2, 1, 3), dims=None, **changes: Any) -> Corpus:
    """Conversations c0, c1, ... of utterances u0, u1, ...; features count up from 0."""
    total = sum(lengths)
    values: dict[str, Any] = {
        "features": {
            name: np.arange(total * dim, dtype=np.float32).reshape(total, dim)
            for name, dim in (dims or {"speech": 2, "text": 3}).items()
        },
        "labels": (np.arange(total) % 2).astype(np.int32),
        "label_names": ("no", "yes"),
        "lengths": np.array(lengths, np.int32),
        "conversation_ids": tuple(f"c{i}" for i in range(len(lengths))),
        "utterance_ids": tuple(f"u{u}" for length in lengths for u in range(length)),
        "source": "small",
    }
    return Corpus(**(values | changes))


def of(count, **changes: Any) -> Corpus:
    """Conversations of one utterance each."""
    return corpus((1,) * count, **changes)


def full() -> Corpus:
    """The small corpus with optional fields."""
    return corpus(
        speakers=("A", "B", "A", "A", "B", "C"),
        sessions=("S1", "S1", "S2"),
        split=("train", "valid", "test"),
        groups={"gender": tuple("fmffmf"), "age": ("20s", "30s") * 3},
    )


def arrays(**changes: Any) -> dict[str, np.ndarray]:
    """The full corpus as arrays for `numpy.savez`; None leaves a key out."""
    made = full()
    values = {f"features/{name}": array for name, array in made.features.items()}
    values |= {f"groups/{name}": np.array(names) for name, names in made.groups.items()}
    for name, kind in fields.kinds(made).items():
        if not kind.by and getattr(made, name) is not None:
            values[name] = np.array(getattr(made, name))
    return {key: value for key, value in (values | changes).items() if value is not None}


def header(shape, dtype="<f4") -> bytes:
    """The header of a .npy file."""
    text = f"{{'descr': '{dtype}', 'fortran_order': False, 'shape': {shape}, }}".ljust(117) + "\n"
    return b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text.encode()


def assert_equal(one: Any, other: Any) -> None:
    """Asserts that two corpora or sequences have equal fields and dtypes, except for `source`."""
    for field in dataclasses.fields(one):
        if field.name != "source":
            _assert_equal(getattr(one, field.name), getattr(other, field.name))


def _assert_equal(one: Any, other: Any) -> None:
    if isinstance(one, dict):
        assert list(one) == list(other)
        for key, value in one.items():
            _assert_equal(value, other[key])
    elif dataclasses.is_dataclass(one):
        assert_equal(one, other)
    elif isinstance(one, np.ndarray):
        assert one.dtype == other.dtype
        np.testing.assert_array_equal(one, other)
    else:
        assert one == other


def refuses(function, *words: str) -> None:
    """Asserts that a call raises an `InputError` of one line that has these words."""
    with pytest.raises(InputError) as error:
        function()
    message = str(error.value)
    assert "\n" not in message
    for word in words:
        assert word in message
