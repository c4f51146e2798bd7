"""A pickle with IEMOCAP's shape and label counts, and random features."""

import json
import pickle
import struct
from pathlib import Path

import numpy as np

from mman_jax.data.label_names import TABLE_1

LENGTHS = json.loads(
    (Path(__file__).parents[1] / "experiments/benchmark/iemocap_lengths.json").read_text()
)
DIMS = (100, 100, 512)  # of text, audio and visual


def write(path: str | Path, seed: int = 0, dims: tuple = DIMS, python2: bool = True) -> None:
    """Writes the 9-tuple; `dims` are those of text, audio and visual."""
    parts = build(seed, dims)
    Path(path).write_bytes(python2_pickle(parts) if python2 else pickle.dumps(parts))


def build(seed: int = 0, dims: tuple = DIMS) -> tuple:
    rng = np.random.default_rng(seed)
    ids, speakers, labels, sentences = {}, {}, {}, {}
    vectors = ({}, {}, {})
    members = {"train": [], "test": []}
    for part in members:
        lengths = rng.permutation(LENGTHS[part]).tolist()
        pool = rng.permutation(np.repeat(np.arange(6), TABLE_1[part])).tolist()
        for index, length in enumerate(lengths):
            session = 5 if part == "test" else 1 + index // 30
            name = f"Ses0{session}{'FM'[index % 2]}_impro{1 + index % 30 // 2:02d}"
            name += "b" * (index == 30 and part == "test")
            members[part].append(name)
            ids[name] = [f"{name}_F{u:03d}" for u in range(length)]
            speakers[name] = ["FM"[u % 2] for u in range(length)]
            labels[name], pool = pool[:length], pool[length:]
            sentences[name] = ["words"] * length
            for field, dim in zip(vectors, dims, strict=True):
                field[name] = list(rng.standard_normal((length, dim), np.float32))
    split = (set(members["train"]), set(members["test"]))
    return (ids, speakers, labels, *vectors, sentences, *split)


def python2_pickle(value: object) -> bytes:
    """A pickle as Python 2 writes it at protocol 2: byte strings, and its module names."""
    out = [b"\x80\x02"]
    _put(value, out, [0])
    return b"".join([*out, b"."])


def _put(value: object, out: list[bytes], memo: list[int]) -> None:
    if isinstance(value, str | bytes):
        raw = value.encode("latin1") if isinstance(value, str) else value
        short = len(raw) < 256
        out += [b"U" + bytes([len(raw)]) if short else b"T" + struct.pack("<i", len(raw)), raw]
    elif isinstance(value, bool):
        out.append(b"\x88" if value else b"\x89")
    elif isinstance(value, int):
        out.append(b"J" + struct.pack("<i", value))
    elif isinstance(value, np.ndarray):
        code = value.dtype.str[1:].encode()
        out.append(b"cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85U\x01b\x87R")
        out.append(b"r" + struct.pack("<I", memo[0]))
        memo[0] += 1
        out.append(b"(K\x01")
        _put(value.shape, out, memo)
        out += [b"cnumpy\ndtype\nU", bytes([len(code)]), code, b"K\x00K\x01\x87R"]
        out.append(b"(K\x03U\x01<NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb\x89")
        _put(value.tobytes(), out, memo)
        out.append(b"tb")
    elif isinstance(value, set):
        out.append(b"c__builtin__\nset\n")
        _put(sorted(value), out, memo)
        out.append(b"\x85R")
    elif isinstance(value, dict):
        out.append(b"}(")
        for item in value.items():
            _put(item[0], out, memo)
            _put(item[1], out, memo)
        out.append(b"u")
    else:
        open_, close = (b"(", b"t") if isinstance(value, tuple) else (b"](", b"e")
        out.append(open_)
        for item in value:
            _put(item, out, memo)
        out.append(close)
