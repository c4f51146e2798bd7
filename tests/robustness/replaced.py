"""Public layouts with anything in the places of some of their values, drawn by Hypothesis."""

import io
import json
import pickle
from typing import Any

import hypothesis.strategies as st
import numpy as np

from tests.data.readers import public, public_folders
from tests.robustness import corpora, structures
from tests.robustness.mutations import Files


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
                rest[draw(structures.TEXTS | st.integers(-2, 2))] = value
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
    return draw(structures.OBJECTS)


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
            files[name] = structures.dumped(draw(structures.altered(json.loads(files[name]))))
        elif name.endswith(".npy"):
            files[name] = structures.npy(draw(structures.arrays()))
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
    content = draw(st.sampled_from(corpora.tables()))["case.csv"]
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
        cell = str(draw(structures.TEXTS | structures.FLOATS | structures.INTEGERS)).encode(
            "utf-8", "replace"
        )
        kind = draw(st.integers(0, 5))
        if kind == 0:
            row.append(cell)
        elif kind == 1:
            rows.append(list(row))
        elif row:
            row[draw(st.integers(0, len(row) - 1))] = cell
    return b"\n".join(comma.join(row) for row in rows)
