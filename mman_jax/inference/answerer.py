"""Predictions utterance by utterance, with a state per conversation."""

import functools
import hashlib
import json
import math
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from mman_jax.data import speakers
from mman_jax.errors import InputError
from mman_jax.evaluation.calibration import temper
from mman_jax.files.arrays import read_carded, write_carded
from mman_jax.inference.model import Model
from mman_jax.layers.precision import in_standard_numbers
from mman_jax.systems.base import BaseSystem
from mman_jax.systems.estimator import check_network
from mman_jax.types import Array, Inputs

Answers = tuple[list[str], np.ndarray, list[str] | None]
"""Column names, values [N, C], and labels of the N utterances (None for numbers)."""

USE = (
    "Answers are guesses about how a person sounds or looks to others. In the European Union, "
    "systems that infer emotions from voices or faces are banned at work and in education (AI Act, "
    "Article 5(1)(f)); elsewhere, people must be told that one is used (Article 50(3))."
)
"""Notice for everybody who reads or serves predictions; `docs/use.md` has the sources."""


class Answer(NamedTuple):
    """The prediction for one utterance.

    Attributes:
        label: the emotion; empty for a model of numbers.
        probabilities: probabilities by class, tempered means over the seeds; None for numbers.
        attention: weights by query and key, means over the seeds; None if not requested.
        values: predicted numbers by target, means over the seeds; None for classes.
        familiarity: share of training utterances that are at least as far from the training mean,
            see `Familiarity.compare`; None if unknown.
        unfamiliar: whether the utterance is unlike those of training.
    """

    label: str
    probabilities: dict[str, float] | None = None
    attention: dict[str, dict[str, float]] | None = None
    values: dict[str, float] | None = None
    familiarity: float | None = None
    unfamiliar: bool = False


class Answerer:
    """The models of a run, for predicting utterances one by one.

    The state of a conversation is a pytree of arrays whose size does not depend on the
    conversation's length.

    Attributes:
        models: one model, or in a one-vs-rest protocol one per class.
        attention: whether answers have attention weights.
        dims: D of each modality.
        classes: names of the probabilities, or values, in order.
    """

    @in_standard_numbers
    def __init__(self, models: Sequence[Model], attention: bool = False):
        """Puts the parameters on the device; compiles nothing yet.

        Raises:
            InputError: a system has no attention although it is requested, cannot predict turn by
                turn, or does not read one vector per utterance.
        """
        check_vectors(models)
        self._attends = check_attends(models) if attention else ()
        self._systems = tuple(check_streams(model.build()) for model in models)
        self.models, self.attention = tuple(models), attention
        self.dims = dict(models[0].dims)
        self.classes = class_names(models)
        self._params = [jax.device_put(model.params) for model in models]
        self._predicts = models[0].task.predicts
        self._predict = tuple(model.task.predict for model in models)
        self._units = [model.units for model in models]
        self._shapes = [state_shapes(model) for model in models]

    @in_standard_numbers
    def begin(self) -> Any:
        """Returns the state before a conversation's first utterance, NumPy zeros.

        It consists of the states of the networks and of their scalings, and the slots of speakers.
        """
        networks = jax.tree.map(lambda x: np.zeros(x.shape, x.dtype), self._shapes)
        scalings = [model.scaling.begin() for model in self.models]
        places = [system.places for system in self._systems]
        return networks, scalings, [speakers.begin_places(p) if p else {} for p in places]

    def step(
        self, state: Any, features: Mapping[str, np.ndarray], speaker: str = ""
    ) -> tuple[Any, Answer]:
        """Predicts one utterance, see `step_all`; returns the state after it, and the answer."""
        before = jax.tree.map(lambda x: x[None], state)
        states, (answer,) = self.step_all(before, [features], [speaker])
        return jax.tree.map(lambda x: x[0], states), answer

    @in_standard_numbers
    def step_all(
        self, states: Any, features: Sequence[Mapping[str, np.ndarray]], names: Sequence[str] = ()
    ) -> tuple[Any, list[Answer]]:
        """Predicts an utterance of each of B conversations; compiled once for each B.

        Args:
            states: states of the conversations before these utterances, leaves [B, ...].
            features: for each conversation, [D] float32 of each present modality, unscaled.
            names: names of the B speakers, for models that read speakers or scale features by their
                past turns; utterances with an empty name have the same speaker, as do all if
                `names` is empty.

        Returns:
            The states after these utterances, NumPy arrays, and the answers.
        """
        rows, present = {}, {}
        for modality, size in self.dims.items():
            missing = np.zeros(size, np.float32)
            vectors = [utterance.get(modality, missing) for utterance in features]
            rows[modality] = np.concatenate(vectors).reshape(len(vectors), size)
            present[modality] = np.array([vector is not missing for vector in vectors])
        networks, before, seats = states
        networks = [
            state if model.context else jax.tree.map(np.zeros_like, state)
            for state, model in zip(networks, self.models, strict=True)
        ]
        names = list(names) or [""] * len(features)
        taken = [speakers.take_places(x, names) if x else (x,) for x in seats]
        pairs = [
            model.scaling.step(state, names, rows, present)
            for model, state in zip(self.models, before, strict=True)
        ]
        scaled = [values for _, values in pairs]
        steps = [
            (_compiled_step if system.compiled else _step)(
                system,
                self._predict[i],
                self.attention,
                self._params[i],
                self._units[i],
                networks[i],
                scaled[i],
                present,
                taken[i][1:],
            )
            for i, system in enumerate(self._systems)
        ]
        after, values, weights = map(list, zip(*steps, strict=True))
        tempered = [
            temper(np.asarray(x), model.temperature)
            for x, model in zip(values, self.models, strict=True)
        ]
        _, columns, labels = combine(self.models, tempered)
        named: list[Any] = [dict(zip(self.classes, row, strict=True)) for row in columns.tolist()]
        attention = self._named(weights) if self.attention else [None] * len(named)
        answers = [
            Answer(label, attention=weights, **{self._predicts: values})
            for label, weights, values in zip(
                labels or [""] * len(named), attention, named, strict=True
            )
        ]
        known = self.models[0].familiarity
        if known is not None:
            shares, marks = (x.tolist() for x in known.compare(scaled[0], present))
            answers = [
                answer._replace(familiarity=None if math.isnan(share) else share, unfamiliar=mark)
                for answer, share, mark in zip(answers, shares, marks, strict=True)
            ]
        scalings, seats = [state for state, _ in pairs], [x[0] for x in taken]
        return (jax.tree.map(np.asarray, after), scalings, seats), answers

    def _named(self, weights: Sequence[Array]) -> list[dict[str, dict[str, float]] | None]:
        named = functools.partial(zip, self._attends, strict=True)
        mean = np.mean([np.asarray(x) for x in weights], axis=0).tolist()
        return [{query: dict(named(row)) for query, row in named(matrix)} for matrix in mean]

    @functools.cached_property
    def identity(self) -> str:
        """Returns a digest of the models, which identifies their stored states."""
        digest = hashlib.sha256()
        for m in self.models:
            about = {"network": dict(m.network), "dims": dict(m.dims), "classes": m.classes}
            digest.update(json.dumps(about, sort_keys=True).encode())
            # None has no leaves, so absent fields do not affect the digest.
            numbers = [m.params, dict(m.scaling.mean), dict(m.scaling.scale), m.units]
            numbers += [dict(m.scaling.components), dict(m.scaling.offset), m.scaling.turns]
            for path, array in jax.tree.leaves_with_path(numbers):
                digest.update(jax.tree_util.keystr(path).encode())
                digest.update(np.ascontiguousarray(array).tobytes())
        return digest.hexdigest()


def _step(system, predict, attention, params, units, state, features, present, seat):
    """Predicts an utterance of each of B conversations with one model."""
    there = {m: x[:, None] for m, x in present.items()}
    reset = jnp.zeros_like(next(iter(there.values())))
    inputs = Inputs.unpadded({m: x[:, None] for m, x in features.items()}, reset, there)
    if seat:
        slot, new = (x[:, None] for x in seat)
        inputs = inputs._replace(speakers=slot, new_speaker=new)
    # States are stored as [B, S, 1, ...], as for rows of one conversation, and used as
    # [S, B, ...].
    by_seed = jax.tree.map(lambda x: jnp.swapaxes(x[:, :, 0], 0, 1), state)
    result = system.step_seeds(params, inputs, by_seed, attention)
    after = jax.tree.map(lambda x: jnp.swapaxes(x, 0, 1)[:, :, None], result.state)
    weights = result.weights[:, :, 0].mean(0) if attention else None
    return after, predict(result.logits[:, :, 0], units).mean(0), weights


_compiled_step = jax.jit(_step, static_argnums=(0, 1, 2))


def class_names(models: Sequence[Model]) -> list[str]:
    """Returns the names of a run's probabilities or values, see `combine`."""
    if len(models) == 1:
        return list(models[0].classes)
    return [model.classes[-1] for model in models]


def combine(models: Sequence[Model], values: Sequence[np.ndarray]) -> Answers:
    """Combines the predictions of a run's models for N utterances.

    Args:
        models: one model, or one per class that predicts this class (its last) against the rest.
            Labels then name every class above one half.
        values: the predictions of each model, [N, its classes].
    """
    names = class_names(models)
    if len(models) == 1:
        return names, values[0], models[0].task.labels_of(values[0])
    joined = np.stack([x[:, -1] for x in values], axis=-1)
    labels = [
        "+".join(name for name, p in zip(names, row, strict=True) if p > 0.5) or "none"
        for row in joined
    ]
    return names, joined, labels


def check_attends(models: Sequence[Model]) -> tuple[str, ...]:
    """Returns the modalities that attend to one another, or raises an InputError."""
    for model in models:
        system = check_network("attention", model.build())
        if not system.attends:
            heads = ", ".join(head for stage in system.stages() for head in stage.heads)
            found = f"none in this {type(system).__name__} (heads: {heads})"
            raise InputError("attention", found, "a system with one, such as configs/mman.py")
    return models[0].build().attends


def check_streams(system: BaseSystem) -> BaseSystem:
    """Returns a system that can predict turn by turn, or raises an InputError."""
    if not system.causal or not system.streams:
        why = "grows with the conversation" if system.causal else "depends on later utterances"
        found = f"{type(system).__name__}, whose {'state' if system.causal else 'answer'} {why}"
        raise InputError("answers turn by turn", found, "a causal system, such as mman; or a file")
    return system


def check_vectors(models: Sequence[Model]) -> None:
    """Raises an InputError unless models read one vector per utterance and modality."""
    for model in models:
        if not model.cells.vectors:
            found = f"a {type(model.build()).__name__} over {model.cells.kind}, read from a corpus"
            raise InputError("utterances as vectors", found, "a system over utterances; or a file")


def state_shapes(model: Model) -> Any:
    """Returns the shapes [S, 1, ...] of a model's state, which is all zeros at the beginning."""
    system = check_streams(model.build())
    return system.state_shapes(model.params, {m: model.scaling.sizes[m] for m in model.dims})


def write_states(
    path: pathlib.Path, names: Sequence[str], states: Any, owner: str, gone: Sequence[str] = ()
) -> None:
    """Writes the states of N conversations, which can be resumed, to a .npz file.

    Args:
        path: path of the file.
        names: names of the conversations.
        states: their states, leaves [N, ...].
        owner: `Answerer.identity` of the models.
        gone: conversations whose state was discarded to free memory.
    """
    leaves = jax.tree.leaves(states) if names else []
    card = {"model": owner, "conversations": list(names), "gone": list(gone)}
    write_carded(path, {f"state_{i}": leaf for i, leaf in enumerate(leaves)}, card)


def read_states(path: pathlib.Path, template: Any, owner: str) -> tuple[list[str], Any, list[str]]:
    """Reads a file of `write_states`: the conversations, their states, and the discarded ones.

    Args:
        template: the initial state of a conversation.
        owner: `Answerer.identity` of the models.

    Raises:
        InputError: the file is of another kind or damaged, or its states are of another model.
    """
    expected = "states that were saved with this model"
    file, card = read_carded(path, expected)
    try:
        names, written_by = [str(name) for name in card["conversations"]], card["model"]
        gone = [str(name) for name in card["gone"]]
        arrays = [file[f"state_{i}"] for i in range(len(file))]
    except (LookupError, TypeError) as error:
        raise InputError(path, f"no states ({error!r:.200})", expected) from error
    if written_by != owner:
        raise InputError(path, "states of another model", expected)
    leaves, structure = jax.tree.flatten(template)
    shapes = [((len(names), *leaf.shape), leaf.dtype) for leaf in leaves] if names else []
    if shapes != [(array.shape, array.dtype) for array in arrays]:
        raise InputError(path, "states of other sizes", expected)
    if not all(np.isfinite(array).all() for array in arrays):
        raise InputError(path, "states that are not finite", expected)
    none = [np.zeros((0, *leaf.shape), leaf.dtype) for leaf in leaves]
    return names, jax.tree.unflatten(structure, arrays or none), gone
