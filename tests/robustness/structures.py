"""Valid files with unsuitable values in some places, drawn by Hypothesis."""

import io
import json
import pickle
import struct
import zipfile
from collections.abc import Sequence
from typing import Any

import hypothesis
import hypothesis.strategies as st
import numpy as np

from tests.data.readers.public_folders import npy
from tests.robustness import examples
from tests.robustness.mutations import Files

_TEXTS = st.one_of(
    st.sampled_from(
        ["c0", "train", "test", "u0", "M", "0", "-1", "nan", "../x", "/etc/x", '"', ""]
    ),
    st.text(max_size=6),
)
_FLOATS = st.floats(width=32) | st.sampled_from([0.0, 3e38, -1e-40, 1e300])
_INTEGERS = st.integers(-2, 3) | st.sampled_from([2**31, 2**63, -(2**63), 10**40])
_DTYPES = ["<f4", ">f4", "<f8", "<f2", "<i4", "<i8", "|u1", "<U3", "|S2", "|b1", "<c8", "<M8[s]"]
_PACKINGS = [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2]


def draw(valid: Sequence[Files], count: int, seed: int) -> list[Files]:
    """Draws at most `count` cases, which depend on the seed alone.

    Args:
        valid: valid cases; only pickles, arrays, archives, JSON and tables in them are changed.
        count: the largest number of cases.
        seed: random seed.
    """
    cases: list[Files] = []

    @hypothesis.seed(seed)
    @hypothesis.settings(
        max_examples=count,
        database=None,
        deadline=None,
        phases=[hypothesis.Phase.generate],
        suppress_health_check=list(hypothesis.HealthCheck),
    )
    @hypothesis.given(_changed(valid))
    def collect(case: Files) -> None:
        cases.append(case)

    if any(_form(content) for files in valid for content in files.values()):
        collect()
    return cases[:count]


def _form(content: bytes) -> Any:
    """The strategy that changes a file; None if its form is unknown."""
    if content.startswith(b"PK"):
        return _archive
    if content.startswith(b"\x93NUMPY"):
        return _npy
    if content.startswith(b"{"):
        return _json
    if content.endswith(b"."):
        return _pickle
    return _table if content.endswith(b"\n") and b"\0" not in content else None


@st.composite
def _changed(draw: st.DrawFn, valid: Sequence[Files]) -> Files:
    files = dict(valid[draw(st.integers(0, len(valid) - 1))])
    names = sorted(name for name, content in files.items() if _form(content))
    some = draw(st.sets(st.sampled_from(names), min_size=1, max_size=2)) if names else ()
    for name in sorted(some):
        files[name] = draw(_form(files[name])(files[name]))
    return files


@st.composite
def _arrays(draw: st.DrawFn) -> np.ndarray:
    """An array of any small shape and any dtype and content."""
    shape = tuple(draw(st.lists(st.integers(0, 4), max_size=3)))
    dtype = np.dtype(draw(st.sampled_from(_DTYPES)))
    size = int(np.prod(shape, dtype=int)) * dtype.itemsize
    raw = draw(st.binary(min_size=size, max_size=size))
    return np.frombuffer(bytearray(raw), dtype).reshape(shape) if size else np.empty(shape, dtype)


_OBJECTS = st.recursive(
    st.one_of(
        *(st.none(), st.booleans(), _INTEGERS, _FLOATS, _TEXTS, st.binary(max_size=6)), _arrays()
    ),
    lambda inner: st.one_of(
        st.lists(inner, max_size=4),
        st.lists(inner, max_size=3).map(tuple),
        st.dictionaries(_TEXTS | st.integers(-2, 2), inner, max_size=3),
        st.sets(_TEXTS, max_size=3),
    ),
    max_leaves=8,
)


@st.composite
def _replaced(draw: st.DrawFn, value: Any) -> Any:
    """A value in which something at any depth is left out, repeated or replaced."""
    if isinstance(value, np.ndarray) and value.size and draw(st.integers(0, 3)):
        kind = draw(st.integers(0, 3))
        if kind == 0:
            return value[: draw(st.integers(0, len(value)))]
        if kind == 1:
            return value[..., : draw(st.integers(0, value.shape[-1]))]
        if kind == 2:
            numbers = ["f2", "f8"] if value.dtype.kind in "fiub" else []
            return value.astype(draw(st.sampled_from([*numbers, "U9", object])))
        return value.reshape(-1)
    if not isinstance(value, dict | list | tuple) or not value or not draw(st.integers(0, 6)):
        return draw(_OBJECTS)
    several = value.items() if isinstance(value, dict) else enumerate(value)
    key, item = draw(st.sampled_from(sorted(several, key=lambda pair: repr(pair[0]))))
    rest = dict(value) if isinstance(value, dict) else list(value)
    kind = draw(st.integers(0, 8))
    if kind == 0:
        del rest[key]
    elif kind > 1:
        rest[key] = draw(_replaced(item))
    elif isinstance(rest, dict):
        rest[draw(_TEXTS | st.integers(-2, 2))] = item
    else:
        rest.append(item)
    return type(value)(rest)


@st.composite
def _pickle(draw: st.DrawFn, content: bytes) -> bytes:
    value = draw(_replaced(pickle.loads(content)))
    return pickle.dumps(value, draw(st.integers(0, pickle.HIGHEST_PROTOCOL)))


@st.composite
def _json(draw: st.DrawFn, content: bytes) -> bytes:
    """A JSON file, or one with an object per line."""
    try:
        lines = [json.loads(content)]
    except ValueError:
        lines = [json.loads(line) for line in content.splitlines()]
    at = draw(st.integers(0, len(lines) - 1))
    lines[at] = draw(_replaced(lines[at]))
    return "\n".join(json.dumps(line, default=str) for line in lines).encode("utf-8", "replace")


@st.composite
def _npy(draw: st.DrawFn, content: bytes) -> bytes:
    return npy(draw(_arrays()))


_HEADERS = st.builds(
    "{{'descr': {}, 'fortran_order': {}, 'shape': {}, }}\n".format,
    st.sampled_from([*map(repr, _DTYPES), "'|O'", "'|V8'", "[('a', '<f4')]", "'<f4', 'x': 1", "1"]),
    st.sampled_from(["True", "False", "None", "0"]),
    st.sampled_from(["(6, 2)", "(6,)", "()", "(-6, -2)", "(0, 2**40)", "(99999999999, 2)", "[6]"]),
)


@st.composite
def _archive(draw: st.DrawFn, content: bytes) -> bytes:
    """An archive with right checksums and other members or headers."""
    members, _ = examples.unpack(content)
    for name in draw(st.sets(st.sampled_from(sorted(members)), max_size=2)):
        kind = draw(st.integers(0, 3))
        if kind == 0:
            del members[name]
        elif kind == 1:
            text = draw(_HEADERS).encode()
            size = draw(st.sampled_from([len(text), 1, 65535]))
            start = b"\x93NUMPY" + draw(st.sampled_from([b"\1\0", b"\2\0", b"\3\0", b"\0\1"]))
            members[name] = start + struct.pack("<H", size) + text + bytes(48)
        else:
            members[name] = npy(draw(_member(members[name])))
    if draw(st.booleans()):
        name = draw(st.sampled_from(["features/", "features/../../x", "/labels", "a\\b"]) | _TEXTS)
        members[name or "x"] = npy(draw(_arrays()))
    return examples.pack(members, draw(st.sampled_from(_PACKINGS)))


@st.composite
def _member(draw: st.DrawFn, content: bytes) -> np.ndarray:
    value = np.load(io.BytesIO(content), allow_pickle=True) if _form(content) is _npy else None
    if value is None or value.dtype != object:
        return draw(_arrays())
    box = np.empty((), object)
    box[()] = draw(_replaced(value.item()))
    return box


@st.composite
def _table(draw: st.DrawFn, content: bytes) -> bytes:
    """Lines of cells with cells, rows and columns changed."""
    separator = b"," if b"," in content else b"\t"
    rows = [line.split(separator) for line in content.split(b"\n")]
    for _ in range(draw(st.integers(1, 3))):
        row = rows[draw(st.integers(0, len(rows) - 1))]
        cell = str(draw(_TEXTS | _FLOATS | _INTEGERS)).encode("utf-8", "replace")
        kind = draw(st.integers(0, 5))
        if kind == 0:
            row.append(cell)
        elif kind == 1:
            rows.append(list(row))
        elif row:
            row[draw(st.integers(0, len(row) - 1))] = cell
    return b"\n".join(separator.join(row) for row in rows)
