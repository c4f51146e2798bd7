"""Exports of a run's models: a function for conversations, one for single steps, and a card.

Both functions need only JAX, contain the parameters and the scaling as constants, and return the
mean over all seeds, with the model's temperature.
"""

import copy
import datetime
import pathlib
import platform
import warnings
from collections.abc import Callable, Mapping, Sequence
from importlib import metadata
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import export
from jax.flatten_util import ravel_pytree

from mman_jax.data.scaling import LIMIT
from mman_jax.errors import InputError
from mman_jax.evaluation.calibration import temper
from mman_jax.features.extraction import Extraction
from mman_jax.files.whole import read_json
from mman_jax.inference.answerer import check_streams, check_vectors, class_names, state_shapes
from mman_jax.inference.model import Model
from mman_jax.layers.precision import in_standard_numbers
from mman_jax.systems.base import System
from mman_jax.systems.estimator import check_network
from mman_jax.systems.step import step_seeds
from mman_jax.tasks import from_results
from mman_jax.types import Array, Inputs

FORMAT = 1
"""Version of the card's format."""

PLATFORMS = ("cpu", "cuda", "tpu")

_PACKAGES = ("jax", "flax", "numpy")

_CALLS = {
    "conversation.jax": "(features, present) -> {predicts} [B, U, C] float32, C in order of {kind}",
    "step.jax": "(state, features, present) -> state [B, N], {predicts} [B, C]",
    "state.npy": "[N] float32, the state before the first utterance",
    "features": "float32 by modality, [B, U, D] of conversations, [B, D] of a step; see scaling",
    "present": "bool by modality, [B, U] or [B]; False: missing, its features are ignored",
    "spoken": "a third argument of systems that read speakers: `speakers` int32, the place of the "
    "speaker (0 to {places} - 1), and `new_speaker` bool, True where it passes to this one; [B, U] "
    "or [B]",
    "rows": "a row is a conversation from its beginning; padding after its end is ignored",
}


@in_standard_numbers
def conversations(models: Sequence[Model]) -> export.Exported:
    """Exports the function of full conversations, for any B and U.

    The function takes, for each modality, unscaled `features` [B, U, D] float32, and `present`
    [B, U] bool, which is False where the modality is missing (its features are then ignored and may
    be NaN); if the system reads speakers, also `speakers` and `new_speaker` (see `Inputs`) [B, U].
    A row is one conversation; if the system is causal, padding after its end has no effect
    (otherwise each conversation needs a separate call). The function returns the probabilities
    [B, U, C] float32, or the numbers; in a one-vs-rest protocol, C are the models' last classes.

    Raises:
        InputError: the system is not a network, or does not read one vector per utterance.
    """
    check_vectors(models)
    parts = [(model, check_network("an export", model.build())) for model in models]

    # The function of one row is mapped over B, because blocks of rows need a known number of rows.
    def one_row(*cells: Mapping[str, Array]) -> Array:
        return _joined([_predict_row(model, system, *cells)[1] for model, system in parts])

    return _export(models, jax.vmap(one_row), "b, u")


@in_standard_numbers
def step(models: Sequence[Model]) -> export.Exported:
    """Exports the function of one utterance of each of B conversations, for any B.

    The function takes the `state` [B, N] float32 of the conversations so far, and for each modality
    `features` [B, D] and `present` [B] as in `conversations`. It returns the state after the
    utterance, and the probabilities [B, C] float32.

    Raises:
        InputError: the system cannot predict turn by turn.
    """
    for model in models:
        check_streams(model.build())
    parts = [(model, check_network("an export", model.build())) for model in models]
    begin, unravel = _ravelled(models)

    def one_row(state: Array, *arguments: Mapping[str, Array]) -> tuple[Array, Array]:
        cells = jax.tree.map(lambda x: x[None], arguments)
        rows = [
            _predict_row(model, system, *cells, states=states)
            for (model, system), states in zip(parts, unravel(state), strict=True)
        ]
        after, _ = ravel_pytree([states for states, _ in rows])
        # The result must depend on the argument even if the system has no state.
        return jnp.concatenate([state[:0], after]), _joined([values[0] for _, values in rows])

    return _export(models, jax.vmap(one_row), "b", len(begin))


@in_standard_numbers
def initial_state(models: Sequence[Model]) -> np.ndarray:
    """Returns the state [N] float32 before a conversation's first utterance, for `step`."""
    return np.asarray(_ravelled(models)[0])


def _ravelled(models: Sequence[Model]) -> tuple[Array, Callable[[Array], Any]]:
    """Returns the initial states of all models as one vector, and the inverse function."""
    shapes = [state_shapes(model) for model in models]
    return ravel_pytree(jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), shapes))


def load(
    folder: str | pathlib.Path, today: datetime.date | None = None
) -> dict[str, Callable[..., Any]]:
    """Reads and compiles the functions of a folder that `mman export` wrote; returns them by name.

    They are `conversation` and, if the system predicts turn by turn, `step` (see `conversations`
    and `step`). Issues a warning if JAX no longer guarantees that it can read them (see `exported`
    in `card.json`).

    Args:
        folder: folder of the export.
        today: the date; by default the current date.

    Raises:
        InputError: the folder is missing, or the installed JAX cannot read the functions.
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


def card(
    models: Sequence[Model],
    results: Mapping[str, Any],
    extraction: Extraction | None,
    replaced: bool,
    date: datetime.date,
) -> dict[str, Any]:
    """Returns `card.json` of an export: a description of the model, its scores and its calls.

    Args:
        models: models of the run.
        results: `results.json` of the run.
        extraction: feature extraction of the run's corpus, if known.
        replaced: whether the weights differ from those that the run trained.
        date: date of the export.
    """
    model, task = models[0], models[0].task
    system = check_network("an export", model.build())
    tasks = results.get("tasks", {results["protocol"]: results})
    # The network in PyTorch returns probabilities.
    architecture = system.architecture() if task.has_probabilities else None
    if architecture and not model.context:
        architecture["context"] = False
    calls = {
        name: call.format(predicts=task.predicts, kind=task.kind, places=system.places)
        for name, call in _CALLS.items()
        if (system.streams or name not in ("step.jax", "state.npy"))
        and (system.places or name != "spoken")
    }
    answers: dict[str, Any] = {task.kind: class_names(models)}
    calibration = None
    if task.has_probabilities:
        several = "every class above 0.5, else none"
        answers["label"] = several if len(models) > 1 else "the most probable class"
        calibration = {
            "rule": "the seeds' mean probabilities ** (1 / temperature), divided by their sum, "
            "done inside",
            "temperature": {name: m.temperature for name, m in zip(tasks, models, strict=True)},
        }
    return {
        "format": FORMAT,
        "system": results["system"],
        "protocol": results["protocol"],
        **answers,
        "modalities": dict(model.dims),
        "scaling": {
            "rule": model.scaling.rule,
            "limit": LIMIT,
            "turns": model.scaling.turns,
            "components": {m: len(x) for m, x in model.scaling.offset.items()},
            "mean": {m: _numbers(model.scaling.mean[m]) for m in model.dims},
            "scale": {m: _numbers(model.scaling.scale[m]) for m in model.dims},
        },
        "calibration": calibration,
        "calls": calls,
        "architecture": architecture,
        "networks": {name: m.seeds for name, m in zip(tasks, models, strict=True)},
        "seeds": None if replaced else {n: t.get("seeds") for n, t in tasks.items()},
        "parameters": results.get("parameters"),
        "corpus": corpus_facts(results.get("corpus")),
        "scores": None if replaced else {name: _scores(task) for name, task in tasks.items()},
        "limits": [
            *limits(results.get("corpus") or {}, replaced, system.causal, model.in_context),
            "Lowered for CPUs, CUDA and TPUs; run and tested on CPUs.",
            "JAX reads files of jax.export for six months (see exported), .safetensors always.",
        ],
        "exported": {
            "jax": metadata.version("jax"),
            "made": date.isoformat(),
            # JAX promises to read files of jax.export for six months.
            "guaranteed_until": (date + datetime.timedelta(days=180)).isoformat(),
        },
        "licences": _licences(extraction, model.dims),
        "versions": {"python": platform.python_version()}
        | {name: metadata.version(name) for name in (*_PACKAGES, "mman_jax")},
    }


def _load(path: pathlib.Path, version: str) -> Callable[..., Any]:
    try:
        exported = export.deserialize(bytearray(path.read_bytes()))
        # Operations are only read on lowering, here for one row of one utterance.
        shapes = [
            jax.ShapeDtypeStruct([d if isinstance(d, int) else 1 for d in aval.shape], aval.dtype)
            for aval in exported.in_avals
        ]
        arguments, _ = jax.tree.unflatten(exported.in_tree, shapes)
        function = jax.jit(exported.call)
        function.lower(*arguments)
        return function
    except Exception as error:  # the parsers of flatbuffers and MLIR raise many kinds of errors
        found = f"JAX {jax.__version__} cannot read it; JAX {version} wrote it ({error})"
        expected = "a new export of the run, its weights.safetensors or an ONNX export"
        raise InputError(path, found, expected) from error


def _predict_row(
    model: Model,
    system: System,
    features: Mapping[str, Array],
    present: Mapping[str, Array],
    spoken: Mapping[str, Array] | None = None,
    *,
    states: Any = None,
) -> tuple[Any, Array]:
    """Returns the states after a conversation's utterances, and its predictions [U, C].

    `states` are those of all seeds before the utterances; None at the start of a conversation.
    """
    scaling, rows = model.scaling, {}
    for m, x in features.items():
        scores = jnp.clip((x - scaling.mean[m]) * scaling.scale[m], -LIMIT, LIMIT)
        rows[m] = scaling.reduce(m, scores)[None]
    there = {m: x[None] for m, x in present.items()}
    reset = jnp.full_like(next(iter(there.values())), not model.context)
    inputs = Inputs.unpadded(rows, reset, there)
    inputs = inputs._replace(**{name: x[None] for name, x in (spoken or {}).items()})
    result = step_seeds(system, jax.tree.map(jnp.asarray, model.params), inputs, states)
    values = model.task.predict(result.logits[:, 0], model.units).mean(0)
    return result.state, temper(values, model.temperature)


def _joined(values: Sequence[Array]) -> Array:
    """Joins predictions like `answerer.combine`; one-vs-rest models contribute one class each."""
    return values[0] if len(values) == 1 else jnp.stack([x[..., -1] for x in values], axis=-1)


def _export(
    models: Sequence[Model], function: Callable[..., Any], axes: str, state: int | None = None
) -> export.Exported:
    rows = export.symbolic_shape(axes)

    def of(dtype: Any, *size: int) -> jax.ShapeDtypeStruct:
        return jax.ShapeDtypeStruct((*rows, *size), dtype)

    dims = models[0].dims
    arguments: list[Any] = [{m: of(jnp.float32, d) for m, d in dims.items()}]
    arguments.append({m: of(jnp.bool_) for m in dims})
    if any(model.build().places for model in models):
        arguments.append({"speakers": of(jnp.int32), "new_speaker": of(jnp.bool_)})
    if state is not None:
        arguments.insert(0, of(jnp.float32, state))
    return export.export(jax.jit(function), platforms=PLATFORMS)(*arguments)


def corpus_facts(corpus: Any) -> dict[str, Any]:
    """Returns the corpora's description from the results, without the folders of their paths."""
    described = copy.deepcopy(dict(corpus)) if isinstance(corpus, dict) else {}
    for part in (described, described.get("test")):
        if isinstance(part, dict):
            part["path"] = pathlib.PurePath(str(part.get("path"))).name
    return described


def _numbers(array: np.ndarray) -> list[float]:
    # The shortest decimals that round to the same float32.
    return [float(str(value)) for value in array.astype(np.float32)]


def _scores(task: Mapping[str, Any]) -> dict[str, Any]:
    kind = from_results(task)
    names = (*kind.score_names(task["test"]), kind.constant)
    return {part: {name: task[part][name] for name in names} for part in ("validation", "test")}


def limits(corpus: Mapping[str, Any], replaced: bool, causal: bool, in_context: bool) -> list[str]:
    """Returns the limits of a model in sentences."""
    reads = "A prediction depends on its utterance alone."
    if in_context and causal:
        reads = "A prediction depends on the conversation up to its utterance, not on later ones."
    elif in_context:
        reads = "A prediction depends on the full conversation: a row is one, without padding."
    sentences = [
        "Inputs are features extracted like those of the training corpus, not raw clips.",
        reads,
        "Scores are of single seeds; answers are the mean over all seeds.",
    ]
    if replaced:
        sentences.append("The weights are not those that the run trained: no score is known.")
    if isinstance(corpus.get("test"), Mapping):
        by = corpus["test"].get("scaled")
        sentences.append(f"Test scores are of another corpus (see corpus.test), scaled by {by}.")
    if corpus.get("path") == "synthetic":  # a path of a file otherwise
        sentences.append("The training corpus is synthetic: scores say nothing about real speech.")
    return sentences


def _licences(extraction: Extraction | None, dims: Mapping[str, int]) -> list[str]:
    licences = [
        "The code that wrote this is Apache-2.0. The licence of the training corpus determines how "
        "the weights may be used."
    ]
    if extraction is None:
        return [*licences, "The origin of the features is unknown; they may also have licences."]
    return licences + [licence for m, licence in extraction.licences.items() if m in dims]
