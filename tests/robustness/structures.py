"""Input of the right form with anything in its places, drawn by Hypothesis."""

import io
import json
import pickle
import struct
import zipfile
from typing import Any

import hypothesis
import hypothesis.strategies as st
import numpy as np

from tests.robustness import examples
from tests.robustness.mutations import Files

TEXTS = st.one_of(
    st.sampled_from(["c0", "train", "test", "u0", "M", "0", "-1", "nan", "../x", "/etc/x", ""]),
    st.text(max_size=6),
)
FLOATS = st.floats(width=32) | st.sampled_from([0.0, 3e38, -1e-40, 1e300])
INTEGERS = st.integers(-2, 3) | st.sampled_from([2**31, 2**63, -(2**63), 10**40])
_SCALARS = st.one_of(st.none(), st.booleans(), INTEGERS, FLOATS, TEXTS, st.binary(max_size=6))
_DTYPES = ["<f4", ">f4", "<f8", "<f2", "<i4", "<i8", "|u1", "<U3", "|S2", "|b1", "<c8", "<M8[s]"]


def draw(strategy: st.SearchStrategy[Files], count: int, seed: int) -> list[Files]:
    """At most `count` cases; the same seed draws the same ones."""
    found: list[Files] = []

    @hypothesis.seed(seed)
    @hypothesis.settings(
        max_examples=count,
        database=None,
        deadline=None,
        phases=[hypothesis.Phase.generate],
        suppress_health_check=list(hypothesis.HealthCheck),
    )
    @hypothesis.given(strategy)
    def collect(case: Files) -> None:
        found.append(case)

    collect()
    return found[:count]


@st.composite
def arrays(draw: st.DrawFn) -> np.ndarray:
    """An array of any small shape and dtype, with any bytes in it."""
    shape = tuple(draw(st.lists(st.integers(0, 4), max_size=3)))
    dtype = np.dtype(draw(st.sampled_from(_DTYPES)))
    size = int(np.prod(shape, dtype=int)) * dtype.itemsize
    raw = draw(st.binary(min_size=size, max_size=size))
    return np.frombuffer(bytearray(raw), dtype).reshape(shape) if size else np.empty(shape, dtype)


_HEADERS = st.builds(
    "{{'descr': {}, 'fortran_order': {}, 'shape': {}, }}\n".format,
    st.sampled_from([*map(repr, _DTYPES), "'|O'", "'|V8'", "[('a', '<f4')]", "'<f4', 'x': 1", "1"]),
    st.sampled_from(["True", "False", "None", "0"]),
    st.sampled_from(["(6, 2)", "(6,)", "()", "(-6, -2)", "(0, 2**40)", "(99999999999, 2)", "[6]"]),
)


@st.composite
def npz(draw: st.DrawFn) -> Files:
    """An archive with right checksums: members replaced, added, left out, their headers changed."""
    members: dict[str, bytes] = {}
    changed = draw(st.sets(st.sampled_from(sorted(examples.arrays())), max_size=2))
    for key, array in examples.arrays().items():
        if key not in changed:
            members[key + ".npy"] = npy(array)
        elif draw(st.booleans()):
            members[key + ".npy"] = npy(draw(arrays()))
        elif draw(st.booleans()):
            text = draw(_HEADERS).encode()
            size = draw(st.sampled_from([len(text), 1, 65535]))
            start = b"\x93NUMPY" + draw(st.sampled_from([b"\1\0", b"\2\0", b"\3\0", b"\0\1"]))
            members[key + ".npy"] = start + struct.pack("<H", size) + text + bytes(48)
    if draw(st.booleans()):
        name = draw(st.sampled_from(["features/", "features/../../x", "/labels", "a\\b"]) | TEXTS)
        members[name or "x"] = npy(draw(arrays()))
    file = io.BytesIO()
    packing = draw(st.sampled_from([zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2]))
    with zipfile.ZipFile(file, "w", packing) as archive:
        for name, content in members.items():
            archive.writestr(zipfile.ZipInfo(name.encode("utf-8", "replace").decode()), content)
    return {"case.npz": file.getvalue()}


OBJECTS = st.recursive(
    _SCALARS | arrays(),
    lambda inner: st.one_of(
        st.lists(inner, max_size=4),
        st.lists(inner, max_size=3).map(tuple),
        st.dictionaries(TEXTS | st.integers(-2, 2), inner, max_size=3),
        st.sets(TEXTS, max_size=3),
    ),
    max_leaves=8,
)


@st.composite
def pickles(draw: st.DrawFn) -> Files:
    """The 9-tuple with up to two of its parts, entries or items replaced by anything."""
    parts: list[Any] = list(examples.nine_tuple())
    for _ in range(draw(st.integers(0, 2))):
        part = draw(st.integers(0, 8))
        whole = parts[part]
        depth = draw(st.integers(0, 2))
        if depth == 0 or not isinstance(whole, dict):
            parts[part] = draw(OBJECTS)
        else:
            name = draw(st.sampled_from(sorted(whole, key=repr)) | TEXTS) if whole else ""
            items = whole.get(name)
            item = draw(OBJECTS)
            one = depth == 2 and isinstance(items, list)
            parts[part] = whole | {name: [item, *items[1:]] if one else item}
    whole = tuple(parts) if draw(st.integers(0, 9)) else draw(OBJECTS)
    return {"case.pkl": pickle.dumps(whole, draw(st.integers(2, pickle.HIGHEST_PROTOCOL)))}


_CELLS = st.one_of(FLOATS.map(repr), INTEGERS.map(str), TEXTS, st.sampled_from(["1", "0", '"']))


@st.composite
def folder(draw: st.DrawFn) -> Files:
    """The bc-LSTM layout with cells, rows, columns and files that do not belong."""
    files = dict(examples.folder()[0])
    for _ in range(draw(st.integers(0, 3))):
        name = draw(st.sampled_from(sorted(files)))
        rows = [line.split(b",") for line in files[name].split(b"\n")[:-1]]
        row = draw(st.integers(0, max(0, len(rows) - 1)))
        cell = f'"{draw(_CELLS)}"'.encode("utf-8", "replace")
        kind = draw(st.integers(0, 4))
        if kind == 0 and rows:
            rows[row].append(cell)
        elif kind == 1 and rows:
            del rows[row]
        elif kind == 2:
            rows.insert(row, [cell] * draw(st.integers(1, 4)))
        elif rows:
            rows[row][draw(st.integers(0, len(rows[row]) - 1))] = cell
        files[name] = b"".join(b",".join(cells) + b"\n" for cells in rows)
    if draw(st.booleans()):
        extra = draw(st.sampled_from(["mma/a", "1/a", "gaze/a", "text/b", "text"]))
        part = draw(st.sampled_from(["train", "test"]))
        files[f"{extra}_{part}0.csv"] = files.get(f"text/text_{part}0.csv", b"")
    return files


_JSON = st.recursive(
    st.none() | st.booleans() | INTEGERS | st.floats() | st.text(max_size=6),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3)
    ),
    max_leaves=6,
)


@st.composite
def altered(draw: st.DrawFn, whole: Any) -> Any:
    """The same JSON with something, anywhere in it, left out or replaced by anything."""
    if isinstance(whole, dict | list) and whole and draw(st.integers(0, 5)):
        keys = sorted(whole) if isinstance(whole, dict) else list(range(len(whole)))
        key = draw(st.sampled_from(keys))
        changed = whole.copy()
        if draw(st.integers(0, 5)):
            changed[key] = draw(altered(whole[key]))
        else:
            del changed[key]
        return changed
    return draw(_JSON)


def dumped(value: Any) -> bytes:
    return json.dumps(value).encode("utf-8", "replace")


@st.composite
def runs(draw: st.DrawFn) -> Files:
    """The JSON files of a run, altered in one or two places."""
    files = draw(st.sampled_from(examples.runs()))
    changed = {}
    for name, content in files.items():
        value = json.loads(content)
        for _ in range(draw(st.integers(0, 2))):
            value = draw(altered(value))
        changed[name] = dumped(value)
    return changed


@st.composite
def lines(draw: st.DrawFn) -> Files:
    """Utterances, altered in one line or more."""
    (content,) = examples.lines()[0].values()
    found = []
    for line in content.splitlines():
        value = json.loads(line)
        found.append(dumped(draw(altered(value))) if draw(st.booleans()) else line)
    return {"case.jsonl": b"\n".join(found)}


@st.composite
def checkpoints(draw: st.DrawFn, valid: Files) -> Files:
    """A folder of checkpoints with one of its JSON files altered, and digests that are right."""
    readable = [name for name in sorted(valid) if valid[name][:1] == b"{" and "digests" not in name]
    name = draw(st.sampled_from(readable))
    return examples.sign(dict(valid) | {name: dumped(draw(altered(json.loads(valid[name]))))})


def npy(array: np.ndarray) -> bytes:
    file = io.BytesIO()
    np.lib.format.write_array(file, array, allow_pickle=False)
    return file.getvalue()
