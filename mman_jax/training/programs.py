"""Initial parameters, and the compiled functions of a stage.

The functions run a stage for all seeds on a mesh; they are compiled when first called, and cached.
"""

import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple, TypeVar, cast

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, PartitionSpec

from mman_jax.systems.base import Stage, System
from mman_jax.training import mesh as parallel
from mman_jax.training.mesh import ROWS, SEEDS
from mman_jax.training.optimizer import FROZEN
from mman_jax.training.stage import StageTraining
from mman_jax.types import unscored

ANSWERS = ("training", "out_of_fold")
"""Sources of the predictions that a stage with frozen inputs learns from: networks trained on the
same conversations (`training`), or on other ones (see the function `out_of_fold`).
"""

Make = TypeVar("Make", bound=Callable)


def cached(make: Make) -> Make:
    """Caches the compiled functions that `make` returns, by its arguments and `mesh.compiling`.

    Trainers of equal stages and shapes therefore run the same programs. `make` must be pure, and
    the functions that it returns must hold neither rows nor parameters.
    """

    @functools.lru_cache(32)
    def make_once(quickly: bool, *arguments: Any) -> Any:
        return make(*arguments)

    @functools.wraps(make)
    def lookup(*arguments: Any) -> Any:
        return make_once(parallel.QUICKLY.get(), *arguments)

    return cast(Make, lookup)


def initial(
    system: System, sizes: Sequence[tuple[str, int]], seed: jax.Array, method: str | None = None
) -> dict[str, Any]:
    """Initialises one seed's parameters: those that a method uses, or all.

    `sizes` has each modality's name and D, in order.
    """
    return system.init(jax.random.key(seed), system.example(dict(sizes)), method=method)["params"]


@functools.lru_cache(64)
def shapes(
    system: System, sizes: tuple[tuple[str, int], ...], method: str | None = None
) -> dict[str, Any]:
    """Returns the shapes and dtypes of `initial`, without computing it."""
    seed = jax.ShapeDtypeStruct((), jnp.uint32)
    return jax.eval_shape(lambda seed: initial(system, sizes, seed, method), seed)


def inputs_are_frozen(
    system: System, sizes: Sequence[tuple[str, int]], stage: Stage, groups: Any
) -> bool:
    """Returns whether a stage reads only frozen outputs, which need to be computed only once.

    `groups` has the group that trains each parameter (`optimizer.labels`).
    """
    if not stage.reads:
        return False
    trained = set(jax.tree.leaves(groups)) - {FROZEN}
    return not trained & set(shapes(system, tuple(sizes), stage.reads))


@cached
def start(stage: StageTraining, sizes: tuple[tuple[str, int], ...], mesh: Mesh) -> Callable:
    """Builds the initial states of all seeds; compiled quickly, since it runs once per training."""

    def begin(seed, stop_at, params):
        if missing := set(shapes(stage.system, sizes)) - set(params):
            new = initial(stage.system, sizes, seed)
            params = {name: new[name] if name in missing else params[name] for name in new}
        return stage.start(seed, stop_at, params)

    return jax.jit(
        jax.vmap(begin),
        out_shardings=parallel.layout(mesh, by_seed=True),
        compiler_options=parallel.compiler_options(mesh.devices.flat[0].platform, once=True),
    )


@cached
def epochs(stage: StageTraining, count: int, mesh: Mesh, way: str) -> Any:
    """Compiles `stage.epochs` for `count` epochs; the rows are resident on every device."""
    return parallel.distribute(functools.partial(stage.epochs, count=count), mesh, way)


@cached
def predictions(stage: StageTraining, mesh: Mesh) -> Callable:
    """Compiles `stage.predictions` by part; the rows are resident on every device."""

    def predict(params, per_seed, rows):
        rows = {
            part: batch._replace(features=per_seed[part]) if per_seed else batch
            for part, batch in rows.items()
        }
        return {part: stage.predictions(params, batch) for part, batch in rows.items()}

    return parallel.distribute(predict, mesh, donate=False)


class Streaming(NamedTuple):
    """Compiled methods of a `StageTraining`, for rows and outputs that are spread over `ROWS`.

    Each takes the state or the parameters first, and a tuple of its other arguments last. The
    second argument is {}, except for `finish`, which takes its other arguments there.
    """

    step: Callable
    score: Callable
    averaged: Callable
    finish: Callable
    outputs: Callable


@cached
def streaming(stage: StageTraining, mesh: Mesh) -> Streaming:
    """Compiles the methods of a stage that a `Streamed` feed calls."""

    def spread(function, axes=(), out=PartitionSpec(SEEDS), donate=False):  # noqa: B008
        shared = tuple(PartitionSpec(*([axis] if axis else [])) for axis in axes)
        return parallel.distribute(function, mesh, donate=donate, shared=shared, out=out)

    return Streaming(
        step=spread(lambda state, _, x: stage.step(state, *x), (ROWS, None, None), donate=True),
        score=spread(lambda params, _, x: stage.score(params, *x), (ROWS, ROWS, None)),
        averaged=spread(lambda state, *_: stage.averaged(state)),
        finish=spread(lambda state, results, _: stage.finish(state, *results), donate=True),
        outputs=spread(
            lambda params, _, x: stage.outputs(params, *x),
            (ROWS,),
            out=PartitionSpec(SEEDS, ROWS),
        ),
    )


def out_of_fold(
    train: Mapping[str, jax.Array],
    groups: np.ndarray,
    labels: Mapping[str, np.ndarray],
    train_and_predict: Callable[[Mapping[str, np.ndarray], str], Mapping[str, jax.Array]],
) -> dict[str, Any]:
    """Predicts the training rows with networks that were not trained on their conversations.

    A fusion that learns from the towers' predictions for their own training utterances relies on
    the towers that overfit most. The earlier stages are therefore retrained for the selected
    epochs, leaving out each group of training conversations in turn, and the fusion learns from
    their predictions of that group (stacked generalisation; Wolpert 1992).

    Args:
        train: predictions [S, R + 1, U, ...] by name, of networks that were trained on all rows.
        groups: [R + 1, U] int, the group of each utterance, from 0; negative numbers are padding.
        labels: labels of each part, see `Trainer.run`.
        train_and_predict: a function of labels and a title, which trains on the labels and returns
            predictions like `train`.
    """

    @jax.jit
    def merge(new, old, members):
        def merge_array(x, y):
            return jnp.where(members.reshape(1, *members.shape, *[1] * (x.ndim - 3)), x, y)

        return jax.tree.map(merge_array, new, old)

    count = int(groups.max()) + 1
    for group in range(count):
        members = groups == group
        others = labels["train"].copy()
        others[members] = unscored(others.dtype)
        new = train_and_predict({**labels, "train": others}, f"group {group + 1} of {count}")
        train = merge(new, train, members)
    return dict(train)
