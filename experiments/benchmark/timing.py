"""Seconds of a call, against what the machine can do, as lines of the benchmark."""

import platform
import time
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np


def median(function: Callable[[], Any], repeats: int = 5) -> float:
    """Seconds of a call, the median after one to warm up."""
    seconds = []
    for _ in range(repeats + 1):
        began = time.perf_counter()
        jax.block_until_ready(function())
        seconds.append(time.perf_counter() - began)
    return float(np.median(seconds[1:]))


def matmul_peak() -> float:
    """GFLOP a second of a product of two [2048, 2048] matrices."""
    a = jnp.asarray(np.random.default_rng(0).standard_normal((2048, 2048), np.float32))
    product = jax.jit(jnp.matmul)
    return 2 * 2048**3 / median(lambda: product(a, a)) / 1e9


def line(case: str, seconds: float, **sizes: Any) -> dict[str, Any]:
    """One measurement."""
    device = jax.devices()[0]
    return {
        "case": case,
        **sizes,
        "seconds": seconds,
        "device": f"{device.platform} {device.device_kind} x{jax.device_count()}",
        "versions": {"jax": jax.__version__, "python": platform.python_version()},
    }


def useful(case: str, seconds: float, utterances: int, parameters: int, passes: int, **sizes: Any):
    """One measurement of work on utterances, against the peak of the same process."""
    rate, peak = passes * parameters * utterances / seconds / 1e9, matmul_peak()
    return line(
        case,
        seconds,
        utterances=utterances,
        parameters=parameters,
        utterances_per_second=utterances / seconds,
        useful_gflop_per_second=rate,
        matmul_peak_gflop_per_second=peak,
        useful_over_peak=rate / peak,
        **sizes,
    )
