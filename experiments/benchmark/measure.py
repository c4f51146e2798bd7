"""Timers and random conversations that the cases of `experiments.bench` share."""

import json
import pathlib
import platform
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from experiments.benchmark.peers import CLASSES, DIMS
from mman_jax.data import batching
from mman_jax.data.corpus import Corpus
from mman_jax.systems.base import System
from mman_jax.training import mesh as parallel
from mman_jax.types import UNSCORED, Batch, Inputs


def median_seconds(function: Callable[[], Any], repeats: int = 5) -> float:
    """Returns the median seconds of a call, after one call to warm up."""
    seconds = []
    for _ in range(repeats + 1):
        start = time.perf_counter()
        jax.block_until_ready(function())
        seconds.append(time.perf_counter() - start)
    return float(np.median(seconds[1:]))


def measurement(case: str, seconds: float, **fields: Any) -> dict[str, Any]:
    """Returns a line of the benchmark."""
    device = jax.devices()[0]
    return {
        "case": case,
        **fields,
        "seconds": seconds,
        "device": f"{device.platform} {device.device_kind} x{jax.device_count()}",
        "versions": {"jax": jax.__version__, "python": platform.python_version()},
    }


def throughput(
    case: str, seconds: float, utterances: int, parameters: int, passes: int, **fields: Any
) -> dict[str, Any]:
    """Returns a line with the rate of useful operations, and its share of the machine's peak.

    `parameters` is the number of those that process each of the real utterances; `passes` the
    operations per parameter and utterance: 6 in training, 2 in prediction.
    """
    rate = passes * parameters * utterances / seconds / 1e9
    matrix = jnp.asarray(np.random.default_rng(0).standard_normal((2048, 2048), np.float32))
    product = jax.jit(jnp.matmul)
    peak = 2 * 2048**3 / median_seconds(lambda: product(matrix, matrix)) / 1e9
    return measurement(
        case,
        seconds,
        utterances=utterances,
        parameters=parameters,
        utterances_per_second=utterances / seconds,
        useful_gflop_per_second=rate,
        matmul_peak_gflop_per_second=peak,
        useful_over_peak=rate / peak,
        **fields,
    )


def child_measurement(module: str, *arguments: str) -> dict[str, Any]:
    """Runs a module in a separate process and returns the JSON line that it prints."""
    command = [sys.executable, "-m", module, *arguments]
    return json.loads(subprocess.run(command, stdout=subprocess.PIPE, check=True).stdout)


def conversations(
    lengths: np.ndarray,
    times: int = 1,
    folder: str | None = None,
    dims: Mapping[str, int] = DIMS,
    classes: int = CLASSES,
) -> Batch:
    """Returns rows of random conversations of these lengths, and one empty row at the end.

    `times` repeats the lengths; with a folder, the features are memory-mapped.
    """
    lengths = np.tile(lengths, times).astype(np.int32)
    random, total = np.random.default_rng(0), int(lengths.sum())
    features: dict[str, np.ndarray] = {}
    for modality, size in dims.items():
        features[modality] = np.empty((total, size), np.float32)
        if folder:
            path = pathlib.Path(folder) / modality
            features[modality] = np.memmap(path, np.float32, "w+", shape=(total, size))
        for start in range(0, total, 10_000):
            chunk = features[modality][start : start + 10_000]
            random.standard_normal(chunk.shape, np.float32, out=chunk)
    corpus = Corpus(
        features,
        labels=random.integers(0, classes, total).astype(np.int32),
        label_names=tuple("abcd"[:classes]),
        lengths=lengths,
        conversation_ids=tuple(f"c{i}" for i in range(len(lengths))),
        utterance_ids=tuple(f"u{i}" for i in range(total)),
    )
    layout = batching.pack(corpus.lengths, range(len(lengths)))
    labels = batching.place(layout, corpus.labels, UNSCORED)
    return batching.rows(corpus, layout, None)._replace(labels=labels)


def parts(rows: Batch) -> dict[str, Batch]:
    """Returns all rows as the training part, and three of them for validation and test."""
    few = jax.tree.map(lambda x: x[-4:], rows)
    return {"train": rows, "valid": few, "test": few}


def predictor(system: System, params: Any, rows: Batch) -> Callable[[], Any]:
    """Returns a function that computes the logits of one seed for all rows."""
    features = {m: jnp.asarray(np.asarray(x)) for m, x in rows.features.items()}
    predict = jax.jit(
        lambda p, x, r: system.apply({"params": p}, Inputs.unpadded(x, r))[0][system.head],
        compiler_options=parallel.compiler_options(jax.devices()[0].platform),
    )
    return lambda: predict(params, features, rows.reset)
