"""Programs of a stage, compiled for a TPU that is described but not present.

pip install "jax[tpu]==<the version installed>"
python -m experiments.bench --case=tpu
"""

import dataclasses
import math
import os
import time
from collections.abc import Iterator
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh

from experiments.benchmark.measure import conversations, measurement, parts
from experiments.benchmark.peers import CLASSES, DIMS
from mman_jax.errors import InputError
from mman_jax.systems import SYSTEMS, build
from mman_jax.training import mesh as parallel
from mman_jax.training import programs
from mman_jax.training.learner import make_learner
from mman_jax.training.mesh import ROWS, SEEDS
from mman_jax.training.rows import holdout
from mman_jax.training.trainer import Trainer
from mman_jax.trial.config import network, of

_SYSTEMS = ("mman", "mult", "mfm")
_MESHES = ((4, 1), (2, 2))  # seed shards and row shards
_SEEDS = 4
_TOPOLOGY = "v5e:2x2"
_PEAK, _BANDWIDTH, _MEMORY = 197e12, 819e9, 16 * 2**30
"""A chip's bfloat16 operations and bytes per second, and bytes of memory, see
cloud.google.com/tpu/docs/v5e.
"""
_ENVIRONMENT = {
    "TPU_SKIP_MDS_QUERY": "1",
    "TPU_WORKER_HOSTNAMES": "localhost",
    "TPU_WORKER_ID": "0",
    "TPU_ACCELERATOR_TYPE": "v5litepod-4",
    # No chip is used, so that another process may have libtpu too.
    "ALLOW_MULTIPLE_LIBTPU_LOAD": "1",
}


def described_devices() -> list[Any]:
    """Returns the four chips of a described TPU v5e.

    Raises:
        InputError: libtpu is missing, or does not fit this version of JAX.
    """
    from jax.experimental import topologies

    os.environ.update(_ENVIRONMENT)
    try:
        return list(topologies.get_topology_desc(_TOPOLOGY, platform="tpu").devices)
    except Exception as error:
        expected = f'pip install "jax[tpu]=={jax.__version__}"'
        raise InputError("libtpu", f"{error!s:.200}".splitlines()[0], expected) from error


def case_tpu(lengths: np.ndarray, every: bool = False) -> Iterator[dict[str, Any]]:
    """Compiles an epoch of every stage of three systems, or of every system; runs nothing."""
    devices = described_devices()
    by_part = parts(conversations(lengths))
    for name in SYSTEMS if every else _SYSTEMS:
        config = of(name)
        system = build(network(config), list(DIMS), CLASSES)
        trainer = make_learner(
            system, config.train, by_part, classes=CLASSES, mesh=parallel.make_mesh(1)
        )
        if not trainer.resumes:  # an estimator runs nothing on a TPU
            continue
        for shape in _MESHES:
            mesh = Mesh(np.asarray(devices).reshape(shape), (SEEDS, ROWS))
            for stage in trainer.stages:
                traced, start = _trace(trainer, by_part, stage, mesh), time.perf_counter()
                compiled = traced.lower().compile()
                seconds = time.perf_counter() - start
                flops = operations(traced.jaxpr.jaxpr)
                yield _line(compiled, flops, seconds, system=name, stage=stage, mesh=shape)


def operations(jaxpr: Any) -> int:
    """Counts the operations of the matrix products and convolutions of a program on one device.

    The body of a loop counts as often as it runs. `compiled.cost_analysis()` counts it once.
    """
    total = 0
    for equation in jaxpr.eqns:
        inner = [x for x in map(_jaxpr, jax.tree.leaves(equation.params)) if x is not None]
        if equation.primitive.name == "dot_general":
            (contracted, _), _ = equation.params["dimension_numbers"]
            left, out = equation.invars[0].aval.shape, equation.outvars[0].aval
            total += 2 * out.size * math.prod(left[axis] for axis in contracted)
        elif equation.primitive.name == "conv_general_dilated":
            kernel, out = equation.invars[1].aval, equation.outvars[0].aval
            features = kernel.shape[equation.params["dimension_numbers"].rhs_spec[0]]
            total += 2 * out.size * kernel.size // features
        elif equation.primitive.name == "cond":
            total += max(map(operations, inner))
        else:
            total += equation.params.get("length", 1) * sum(map(operations, inner))
    return total


def _jaxpr(parameter: Any) -> Any:
    """Returns the program that a parameter of an operation is, or None."""
    parameter = getattr(parameter, "jaxpr", parameter)
    return parameter if hasattr(parameter, "eqns") else None


def _trace(trainer: Trainer, by_part: Any, name: str, mesh: Mesh) -> Any:
    """Traces an epoch of a stage on a mesh whose devices need not exist."""
    stage, _, predict = trainer.compile(name)
    rows = {"train": by_part["train"], "holdout": holdout(by_part["valid"], by_part["test"])}
    rows = jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype), rows)
    state, per_seed = trainer.template(name, _SEEDS), {}
    if predict:
        answering = dataclasses.replace(stage, method=trainer._stages[name].reads)
        predict = programs.predictions(answering, trainer.mesh)
        per_seed = jax.eval_shape(predict, state.params, {}, rows)
        rows = {part: batch._replace(features={}) for part, batch in rows.items()}
    stage = dataclasses.replace(stage, row_shards=mesh.shape[ROWS])
    by_seed, everywhere = (parallel.layout(mesh, x) for x in (True, False))
    state, per_seed = jax.tree.map(lambda x: x.update(sharding=by_seed), (state, per_seed))
    rows = jax.tree.map(lambda x: x.update(sharding=everywhere), rows)
    return programs.epochs(stage, 1, mesh, "jit").trace(state, per_seed, rows)


def _line(compiled: Any, flops: int, seconds: float, **fields: Any) -> dict[str, Any]:
    memory = compiled.memory_analysis()
    needed = memory.argument_size_in_bytes + memory.temp_size_in_bytes
    accessed = compiled.cost_analysis()["bytes accessed"]
    return measurement(
        "tpu",
        seconds,
        **fields,
        target=_TOPOLOGY,
        gflop=flops / 1e9,
        gigabytes=accessed / 1e9,
        argument_mib=memory.argument_size_in_bytes / 2**20,
        temporary_mib=memory.temp_size_in_bytes / 2**20,
        fits=needed <= _MEMORY,
        least_milliseconds=1000 * max(flops / _PEAK, accessed / _BANDWIDTH),
    )
