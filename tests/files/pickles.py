"""Pickles written by hand, and what becomes of them."""

import struct

import pytest

from mman_jax.errors import InputError
from mman_jax.files import unpickler


def load(tmp_path, data):
    """What `unpickler.load` gives."""
    (tmp_path / "x.pkl").write_bytes(data)
    return unpickler.load(tmp_path / "x.pkl")


def refused(tmp_path, data):
    """How it refuses: one short line that names the file."""
    with pytest.raises(InputError) as error:
        load(tmp_path, data)
    message = str(error.value)
    assert "x.pkl" in message
    assert "\n" not in message
    assert len(message) < 600
    return message


def text(value):
    """A text, as an opcode."""
    return b"X" + struct.pack("<I", len(value)) + value


def array_pickle(
    shape,
    dtype=b"f4",
    raw=b"\0" * 8,
    state=b"(K\x03U\x01<NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb",
):
    start = b"\x80\x02cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85U\x01b\x87R"
    return b"".join(
        [
            start + b"(K\x01(",
            *(b"\x8a\x08" + struct.pack("<q", n) for n in shape),
            b"tcnumpy\ndtype\nU" + bytes([len(dtype)]) + dtype + b"K\x00K\x01\x87R" + state,
            b"\x89U" + bytes([len(raw)]) + raw + b"tb.",
        ]
    )
