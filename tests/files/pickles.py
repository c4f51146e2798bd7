"""Pickles written opcode by opcode, without the final STOP."""

import struct

import pytest

from mman_jax.errors import InputError
from mman_jax.files import unpickler

NDARRAY = b"cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85U\x01b\x87R"


def text(value: bytes) -> bytes:
    """A string."""
    return b"X" + struct.pack("<I", len(value)) + value


def number(value: int) -> bytes:
    """An integer of up to 71 bits."""
    return b"\x8a\x09" + value.to_bytes(9, "little", signed=True)


def shape(*sizes: int) -> bytes:
    """A tuple of integers."""
    return b"(" + b"".join(map(number, sizes)) + b"t"


def call(name: bytes, *arguments: bytes) -> bytes:
    """A call of a global, `module name`."""
    return b"c" + name.replace(b" ", b"\n") + b"\n(" + b"".join(arguments) + b"tR"


def dtype(code: bytes = b"f4", state: bytes = b"") -> bytes:
    """A dtype, which `state` may change."""
    return b"cnumpy\ndtype\nU" + bytes([len(code)]) + code + b"K\x00K\x01\x87R" + state


def array(sizes: bytes, kind: bytes = dtype(), raw: bytes = b"U\x08" + bytes(8)) -> bytes:
    """An array of a pickled shape, dtype and content."""
    return NDARRAY + b"(K\x01" + sizes + kind + b"\x89" + raw + b"tb"


def load(tmp_path, data):
    """Returns the result of `unpickler.load`."""
    (tmp_path / "x.pkl").write_bytes(data)
    return unpickler.load(tmp_path / "x.pkl")


def refused(tmp_path, data):
    """The message of a refusal: one short line that names the file."""
    with pytest.raises(InputError) as error:
        load(tmp_path, data)
    message = str(error.value)
    assert "x.pkl" in message
    assert "\n" not in message
    assert len(message) < 600
    return message
