"""A run's models as two functions that JAX alone can load: whole conversations, and one step.

The parameters and the scaling are constants of both. All seeds answer, and their mean is given,
tempered as the model says.
"""

import datetime
import pathlib
import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import export

from mman_jax.data.scaling import LIMIT
from mman_jax.errors import InputError
from mman_jax.evaluation.calibration import temper
from mman_jax.files.whole import read_json
from mman_jax.inference import stream
from mman_jax.inference.model import Model, answers
from mman_jax.layers.precision import in_standard_numbers
from mman_jax.systems.estimator import check_network
from mman_jax.types import Array, Inputs

PLATFORMS = ("cpu", "cuda", "tpu")


@in_standard_numbers
def conversations(models: Sequence[Model]) -> export.Exported:
    """The function of whole conversations, for any B and U.

    It takes `features`, [B, U, D] float32 a modality, not scaled, and `present`, [B, U] bool a
    modality, False where it is missing (its features then count for nothing and may be NaN). A row
    is one conversation; what follows its end changes nothing before it, where the system is causal
    (else give each conversation alone). It gives the probabilities [B, U, C] float32; of a
    model that answers numbers these.

    Args:
        models: one, or one a class after a one-vs-rest protocol: C are then their last classes.

    Raises:
        InputError: a system that is no network, or models over words.
    """
    stream.check_whole(models)
    parts = [(model, model.build(), jax.tree.map(jnp.asarray, model.params)) for model in models]
    for _, system, _ in parts:
        check_network("an export", system)

    def one(features, present):
        # B is mapped over, one row inside: an unknown number of rows could not be cut in blocks.
        present = {m: p[None] for m, p in present.items()}
        reset = jnp.zeros(next(iter(present.values())).shape, bool)
        found = []
        for model, network, params in parts:
            scaled = {m: x[None] for m, x in _scale(model, features).items()}

            def seed(own, model=model, network=network, scaled=scaled):
                inputs = Inputs.unpadded(scaled, reset, present)
                logits, _ = network.apply({"params": own}, inputs)
                return answers(logits[network.head][0], model.units)

            found.append(temper(jax.lax.map(seed, params).mean(0), model.temperature))
        return _joined(found)

    return _export(models, lambda *given: jax.vmap(one)(*given), "b, u")


@in_standard_numbers
def step(models: Sequence[Model]) -> export.Exported:
    """The function of one utterance of each of B conversations, for any B.

    It takes `state` [B, N] float32, of the conversations so far, `features` [B, D] and `present`
    [B] a modality, else as `conversations`; and gives the state after the utterance, and the
    probabilities [B, C] float32.

    Args:
        models: as for `conversations`.

    Raises:
        InputError: a system that cannot answer turn by turn.
    """
    parts = [(model, model.build(), jax.tree.map(jnp.asarray, model.params)) for model in models]
    for _, system, _ in parts:
        stream.check_streams(system)
    begins = _begins(models)
    sizes = [sum(leaf.size for leaf in jax.tree.leaves(begin)) for begin in begins]

    def one(state, features, present):
        after, found = [state[:0]], []  # a system may have no state
        states = jnp.split(state, np.cumsum(sizes)[:-1])
        for (model, network, params), begin, own in zip(parts, begins, states, strict=True):
            scaled = _scale(model, features)

            def seed(own, before, model=model, network=network, scaled=scaled):
                return stream.step(network, own, before, scaled, present, model.units)

            last, probabilities = jax.vmap(seed)(params, _unpack(own, begin))
            after += [leaf.reshape(-1) for leaf in jax.tree.leaves(last)]
            found.append(temper(probabilities.mean(0), model.temperature))
        return jnp.concatenate(after), _joined(found)

    return _export(models, lambda *given: jax.vmap(one)(*given), "b", sum(sizes))


def load(
    folder: str | pathlib.Path, today: datetime.date | None = None
) -> dict[str, Callable[..., Any]]:
    """Reads the functions of a folder that `mman export` wrote.

    Warns if JAX no longer guarantees to read them (see `exported` in `card.json`).

    Args:
        folder: the export.
        today: the date; None: that of this machine's clock.

    Returns:
        The compiled functions by name: `conversation` and, of a system that predicts turn by
        turn, `step` (see `conversations` and `step`).

    Raises:
        InputError: no such folder, or functions that the installed JAX cannot read.
    """
    folder = pathlib.Path(folder)
    about = read_json(folder / "card.json").get("exported")
    if not isinstance(about, dict):
        found = "no functions of jax.export"
        raise InputError(folder / "card.json", found, "an export in the format jax")
    latest = datetime.date.fromisoformat(about["guaranteed_until"])
    if (today or datetime.date.today()) > latest:
        warnings.warn(
            f"{folder}: JAX guarantees to read these functions, exported by JAX {about['jax']}, "
            f"until {latest} only; export the run again",
            stacklevel=2,
        )
    paths = [folder / f"{name}.jax" for name in ("conversation", "step")]
    return {path.stem: _load(path, about["jax"]) for path in paths if path.is_file()}


def _load(path: pathlib.Path, version: str) -> Callable[..., Any]:
    try:
        exported = export.deserialize(bytearray(path.read_bytes()))
        # Its operations are read only where it is lowered: with one row of one utterance, here.
        shapes = [
            jax.ShapeDtypeStruct([d if isinstance(d, int) else 1 for d in aval.shape], aval.dtype)
            for aval in exported.in_avals
        ]
        arguments, _ = jax.tree.unflatten(exported.in_tree, shapes)
        function = jax.jit(exported.call)
        function.lower(*arguments)
        return function
    except Exception as error:  # readers of flatbuffers and of MLIR raise errors of many kinds
        found = f"JAX {jax.__version__} cannot read it; JAX {version} wrote it ({error})"
        expected = "a new export of the run, its weights.safetensors or an ONNX export"
        raise InputError(path, found, expected) from error


@in_standard_numbers
def initial_state(models: Sequence[Model]) -> np.ndarray:
    """The state [N] float32 before a conversation's first utterance; N is that of `step`."""
    begins = jax.tree.leaves(_begins(models))
    return np.zeros(sum(leaf.size for leaf in begins), np.float32)


def _begins(models: Sequence[Model]) -> list[Any]:
    """Shapes [S, ...] of each model's state; `stream.init_state` says that all of it is zeros."""

    def begin(model):
        nothing = {m: jnp.zeros(d, jnp.float32) for m, d in model.dims.items()}
        return jax.vmap(lambda p: stream.init_state(model.build(), p, nothing))(model.params)

    return [jax.eval_shape(lambda m=model: begin(m)) for model in models]


def _unpack(flat: Array, shapes: Any) -> Any:
    leaves, structure = jax.tree.flatten(shapes)
    parts = jnp.split(flat, np.cumsum([leaf.size for leaf in leaves], dtype=int))[:-1]
    laid = [part.reshape(leaf.shape) for part, leaf in zip(parts, leaves, strict=True)]
    return jax.tree.unflatten(structure, laid)


def _scale(model: Model, features: Mapping[str, Array]) -> dict[str, Array]:
    mean, scale = model.scaling.mean, model.scaling.scale
    return {m: jnp.clip((x - mean[m]) * scale[m], -LIMIT, LIMIT) for m, x in features.items()}


def _joined(found: Sequence[Array]) -> Array:
    """As `answers.combine` does: of models of one class each, that class's probability."""
    return found[0] if len(found) == 1 else jnp.stack([p[..., -1] for p in found], axis=-1)


def _export(models, function, axes: str, state: int | None = None) -> export.Exported:
    shape = export.symbolic_shape(axes)
    given = [
        {m: jax.ShapeDtypeStruct((*shape, d), jnp.float32) for m, d in models[0].dims.items()},
        {m: jax.ShapeDtypeStruct(shape, jnp.bool_) for m in models[0].dims},
    ]
    if state is not None:
        given.insert(0, jax.ShapeDtypeStruct((*shape, state), jnp.float32))
    return export.export(jax.jit(function), platforms=PLATFORMS)(*given)
