"""Random conversations in rows, for benchmarks."""

import pathlib
from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from experiments.benchmark.peer_pytorch import CLASSES, DIMS
from mman_jax.data import batching
from mman_jax.data.corpus import Corpus
from mman_jax.systems.base import System
from mman_jax.training import mesh as parallel
from mman_jax.types import Batch, Inputs


def conversations(
    lengths: np.ndarray,
    times: int = 1,
    folder: str | None = None,
    dims: Mapping[str, int] = DIMS,
    classes: int = CLASSES,
) -> Batch:
    """Rows of random conversations of the given lengths, so many times over, one empty row last.

    With a folder their features are written there, and memory-mapped.
    """
    lengths = np.tile(lengths, times)
    random, total = np.random.default_rng(0), int(lengths.sum())
    features = {}
    for modality, size in dims.items():
        features[modality] = np.empty((total, size), np.float32)
        if folder:
            path = pathlib.Path(folder) / modality
            features[modality] = np.memmap(path, np.float32, "w+", shape=(total, size))
        for start in range(0, total, 10_000):
            rows = features[modality][start : start + 10_000]
            random.standard_normal(rows.shape, np.float32, out=rows)
    corpus = Corpus(
        features,
        random.integers(0, classes, total).astype(np.int32),
        tuple("abcd"[:classes]),
        lengths.astype(np.int32),
        tuple(f"c{i}" for i in range(len(lengths))),
        tuple(f"u{i}" for i in range(total)),
    )
    layout = batching.pack(corpus.lengths, range(len(lengths)))
    return batching.rows(corpus, layout, corpus.labels, None)


def parts(rows: Batch) -> dict[str, Batch]:
    """All rows to train on; three of them stand for validation and for test."""
    few = jax.tree.map(lambda x: x[-4:], rows)
    return {"train": rows, "valid": few, "test": few}


def answering(system: System, params: Any, rows: Batch) -> Callable[[], Any]:
    """A call that answers all rows, of one seed."""
    features = {m: jnp.asarray(np.asarray(x)) for m, x in rows.features.items()}
    answer = jax.jit(
        lambda p, x, r: system.apply({"params": p}, Inputs.unpadded(x, r))[0][system.head],
        compiler_options=parallel.compiler_options(jax.devices()[0].platform),
    )
    return lambda: answer(params, features, rows.reset)
