"""A stage's functions for all seeds on a mesh, compiled when first called and then kept."""

import functools
from collections.abc import Callable
from typing import Any

import jax
from jax.sharding import Mesh, PartitionSpec

from mman_jax.training import mesh as parallel
from mman_jax.training.kept import kept
from mman_jax.training.mesh import ROWS, SEEDS
from mman_jax.training.stage import StageTraining


@kept
def epochs(stage: StageTraining, count: int, mesh: Mesh, way: str) -> Callable:
    """`stage.epochs` of so many, of rows that lie on every device."""
    return parallel.distribute(functools.partial(stage.epochs, count=count), mesh, way)


@kept
def predictions(stage: StageTraining, mesh: Mesh) -> Callable:
    """`stage.predictions` by part, of rows that lie on every device."""

    def predict(params, own, rows):
        rows = {
            part: batch._replace(features=own[part]) if own else batch
            for part, batch in rows.items()
        }
        return {part: stage.predictions(params, batch) for part, batch in rows.items()}

    return parallel.distribute(predict, mesh, donate=False)


@kept
def step(stage: StageTraining, mesh: Mesh) -> Callable:
    """`stage.step` from (state, {}, its other arguments); the batch is spread over the rows."""
    return _spread(lambda state, _, x: stage.step(state, *x), mesh, (ROWS, None, None), donate=True)


@kept
def score(stage: StageTraining, mesh: Mesh) -> Callable:
    """`stage.score` from (params, {}, its other arguments); the batch is spread over the rows."""
    return _spread(lambda params, _, x: stage.score(params, *x), mesh, (ROWS, ROWS, None))


@kept
def validated(stage: StageTraining, mesh: Mesh) -> Callable:
    """`stage.kept` from (state, {}, ())."""
    return _spread(lambda state, _, __: stage.kept(state), mesh, ())


@kept
def finish(stage: StageTraining, mesh: Mesh) -> Callable:
    """`stage.finish` from (state, its other arguments, ())."""
    return _spread(lambda state, own, _: stage.finish(state, *own), mesh, (), donate=True)


@kept
def outputs(stage: StageTraining, mesh: Mesh) -> Callable:
    """`stage.outputs` from (params, {}, a batch), both spread over the rows."""

    def answer(params, _, batch):
        return stage.outputs(params, batch)

    return _spread(answer, mesh, ROWS, out=PartitionSpec(SEEDS, ROWS))


def _spread(
    function: Callable,
    mesh: Mesh,
    axes: Any,
    out: PartitionSpec = PartitionSpec(SEEDS),  # noqa: B008
    donate: bool = False,
) -> Callable:
    specs = jax.tree.map(
        lambda axis: PartitionSpec(*([axis] if axis else [])), axes, is_leaf=lambda x: x is None
    )
    return parallel.distribute(function, mesh, donate=donate, shared=specs, out=out)
