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

from tests.data import small
from tests.data.readers import public, public_folders
from tests.robustness import examples
from tests.robustness.mutations import Files

_TEXTS = st.one_of(
    st.sampled_from(["c0", "train", "test", "u0", "M", "0", "-1", "nan", "../x", "/etc/x", ""]),
    st.text(max_size=6),
)
_FLOATS = st.floats(width=32) | st.sampled_from([0.0, 3e38, -1e-40, 1e300])
_INTEGERS = st.integers(-2, 3) | st.sampled_from([2**31, 2**63, -(2**63), 10**40])
_SCALARS = st.one_of(st.none(), st.booleans(), _INTEGERS, _FLOATS, _TEXTS, st.binary(max_size=6))
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
def _arrays(draw: st.DrawFn) -> np.ndarray:
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
    changed = draw(st.sets(st.sampled_from(sorted(small.arrays())), max_size=2))
    for key, array in small.arrays().items():
        if key not in changed:
            members[key + ".npy"] = public_folders.npy(array)
        elif draw(st.booleans()):
            members[key + ".npy"] = public_folders.npy(draw(_arrays()))
        elif draw(st.booleans()):
            text = draw(_HEADERS).encode()
            size = draw(st.sampled_from([len(text), 1, 65535]))
            start = b"\x93NUMPY" + draw(st.sampled_from([b"\1\0", b"\2\0", b"\3\0", b"\0\1"]))
            members[key + ".npy"] = start + struct.pack("<H", size) + text + bytes(48)
    if draw(st.booleans()):
        name = draw(st.sampled_from(["features/", "features/../../x", "/labels", "a\\b"]) | _TEXTS)
        members[name or "x"] = public_folders.npy(draw(_arrays()))
    file = io.BytesIO()
    packing = draw(st.sampled_from([zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2]))
    with zipfile.ZipFile(file, "w", packing) as archive:
        for name, content in members.items():
            archive.writestr(zipfile.ZipInfo(name.encode("utf-8", "replace").decode()), content)
    return {"case.npz": file.getvalue()}


_OBJECTS = st.recursive(
    _SCALARS | _arrays(),
    lambda inner: st.one_of(
        st.lists(inner, max_size=4),
        st.lists(inner, max_size=3).map(tuple),
        st.dictionaries(_TEXTS | st.integers(-2, 2), inner, max_size=3),
        st.sets(_TEXTS, max_size=3),
    ),
    max_leaves=8,
)


_JSON = st.recursive(
    st.none() | st.booleans() | _INTEGERS | st.floats() | st.text(max_size=6),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3)
    ),
    max_leaves=6,
)


@st.composite
def _altered(draw: st.DrawFn, whole: Any) -> Any:
    """The same JSON with something, anywhere in it, left out or replaced by anything."""
    if isinstance(whole, dict | list) and whole and draw(st.integers(0, 5)):
        keys = sorted(whole) if isinstance(whole, dict) else list(range(len(whole)))
        key = draw(st.sampled_from(keys))
        changed = whole.copy()
        if draw(st.integers(0, 5)):
            changed[key] = draw(_altered(whole[key]))
        else:
            del changed[key]
        return changed
    return draw(_JSON)


@st.composite
def runs(draw: st.DrawFn) -> Files:
    """The JSON files of a run, altered in one or two places."""
    files = draw(st.sampled_from(examples.runs()))
    changed = {}
    for name, content in files.items():
        value = json.loads(content)
        for _ in range(draw(st.integers(0, 2))):
            value = draw(_altered(value))
        changed[name] = _dumped(value)
    return changed


@st.composite
def lines(draw: st.DrawFn) -> Files:
    """Utterances, altered in one line or more."""
    (content,) = examples.lines()[0].values()
    found = []
    for line in content.splitlines():
        value = json.loads(line)
        found.append(_dumped(draw(_altered(value))) if draw(st.booleans()) else line)
    return {"case.jsonl": b"\n".join(found)}


@st.composite
def checkpoints(draw: st.DrawFn, valid: Files) -> Files:
    """A folder of checkpoints with one of its JSON files altered, and digests that are right."""
    readable = [name for name in sorted(valid) if valid[name][:1] == b"{" and "digests" not in name]
    name = draw(st.sampled_from(readable))
    return examples.sign(dict(valid) | {name: _dumped(draw(_altered(json.loads(valid[name]))))})


@st.composite
def _replaced(draw: st.DrawFn, whole: Any) -> Any:
    """The same with something, anywhere in it, left out, repeated or replaced by anything."""
    if isinstance(whole, np.ndarray) and whole.size and draw(st.integers(0, 3)):
        kind = draw(st.integers(0, 3))
        if kind == 0:
            return whole[: draw(st.integers(0, len(whole)))]
        if kind == 1:
            return whole[..., : draw(st.integers(0, whole.shape[-1]))]
        if kind == 2:
            numbers = ["f2", "f8"] if whole.dtype.kind in "fiub" else []
            return whole.astype(draw(st.sampled_from([*numbers, "U9", object])))
        return whole.reshape(-1)
    if isinstance(whole, dict | list | tuple) and whole and draw(st.integers(0, 6)):
        several = whole.items() if isinstance(whole, dict) else enumerate(whole)
        items = sorted(several, key=lambda item: repr(item[0]))
        key, value = draw(st.sampled_from(items))
        kind = draw(st.integers(0, 8))
        if isinstance(whole, dict):
            rest = {k: v for k, v in whole.items() if kind or k != key}
            if kind == 1:
                rest[draw(_TEXTS | st.integers(-2, 2))] = value
            elif kind > 1:
                rest[key] = draw(_replaced(value))
            return rest
        rest = list(whole)
        if kind == 0:
            del rest[key]
        elif kind == 1:
            rest.append(value)
        else:
            rest[key] = draw(_replaced(value))
        return type(whole)(rest)
    return draw(_OBJECTS)


@st.composite
def layouts(draw: st.DrawFn) -> Files:
    """A public pickle with one to three things in it replaced."""
    whole = public.PICKLES[draw(st.sampled_from(sorted(public.PICKLES)))]()
    for _ in range(draw(st.integers(1, 3))):
        whole = draw(_replaced(whole))
    return {"case.pkl": pickle.dumps(whole, draw(st.integers(0, pickle.HIGHEST_PROTOCOL)))}


@st.composite
def folders(draw: st.DrawFn) -> Files:
    """A public folder with one or two of its files altered in their own form."""
    files = dict(public_folders.FOLDERS[draw(st.sampled_from(sorted(public_folders.FOLDERS)))]())
    for _ in range(draw(st.integers(1, 2))):
        name = draw(st.sampled_from(sorted(files)))
        if name.endswith(".json"):
            files[name] = _dumped(draw(_altered(json.loads(files[name]))))
        elif name.endswith(".npy"):
            files[name] = public_folders.npy(draw(_arrays()))
        elif name.endswith(".pkl"):
            files[name] = pickle.dumps(draw(_replaced(pickle.loads(files[name]))))
        elif name.endswith(".npz"):
            with np.load(io.BytesIO(files[name]), allow_pickle=True) as held:
                facts = {key: draw(_replaced(held[key].item())) for key in held.files}
            files[name] = public_folders.npz(**{key: _boxed(value) for key, value in facts.items()})
        else:
            files[name] = draw(_lines_of(files[name]))
    return files


@st.composite
def tables(draw: st.DrawFn) -> Files:
    """A CSV file with cells, rows and columns that do not belong."""
    content = draw(st.sampled_from(examples.tables()))["case.csv"]
    return {"case.csv": draw(_lines_of(content))}


def _boxed(value: Any) -> np.ndarray:
    box = np.empty((), object)
    box[()] = value
    return box


@st.composite
def _lines_of(draw: st.DrawFn, content: bytes) -> bytes:
    """Lines of cells, some of them changed."""
    comma = b"," if b"," in content else b"\t"
    rows = [line.split(comma) for line in content.split(b"\n")]
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
    return b"\n".join(comma.join(row) for row in rows)


def _dumped(value: Any) -> bytes:
    return json.dumps(value).encode("utf-8", "replace")
