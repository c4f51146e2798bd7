"""The small corpus in full, and as NumPy writes it."""

import dataclasses

import numpy as np

from mman_jax.data import fields
from tests.data.small import corpus


def assert_equal(left, right):
    """Of two corpora all but where they came from."""
    for field in dataclasses.fields(left):
        a, b = getattr(left, field.name), getattr(right, field.name)
        if field.name == "features":
            assert list(a) == list(b)
            for name in a:
                np.testing.assert_array_equal(a[name], b[name])
                assert b[name].dtype == np.float32
        elif isinstance(a, np.ndarray):
            np.testing.assert_array_equal(a, b)
            assert a.dtype == b.dtype
        elif field.name != "source":
            assert a == b, field.name


def full():
    """With all that is optional."""
    return corpus(
        speakers=("A", "B", "A", "A", "B", "C"),
        sessions=("S1", "S1", "S2"),
        split=("train", "valid", "test"),
        groups={"gender": tuple("fmffmf"), "age": ("20s", "30s") * 3},
    )


def arrays(**changes):
    """What numpy.savez takes, for the small corpus."""
    made = full()
    values = {f"features/{name}": array for name, array in made.features.items()}
    values |= {f"groups/{name}": np.array(names) for name, names in made.groups.items()}
    for name, kind in fields.kinds(made).items():
        if not kind.by and getattr(made, name) is not None:
            values[name] = np.array(getattr(made, name))
    return {key: value for key, value in (values | changes).items() if value is not None}


def header(shape, dtype="<f4"):
    """How a .npy file of this shape begins."""
    text = f"{{'descr': '{dtype}', 'fortran_order': False, 'shape': {shape}, }}"
    text = text.ljust(117) + "\n"
    return b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text.encode()
