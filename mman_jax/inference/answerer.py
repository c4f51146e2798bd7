"""Models that answer utterance by utterance, as they answer a whole file."""

import functools
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np

from mman_jax.evaluation.attention import weigh
from mman_jax.evaluation.calibration import temper
from mman_jax.inference import answers, stream
from mman_jax.inference.model import Model
from mman_jax.layers.precision import in_standard_numbers


class Answer(NamedTuple):
    """What is said of one utterance.

    Attributes:
        label: the emotion; empty where numbers are answered.
        probabilities: by class; means over the seeds, tempered.
        attention: query to key to weight, means over the seeds; None where it was not asked for.
        values: where numbers are answered these, by target, means over the seeds; else None.
    """

    label: str
    probabilities: dict[str, float]
    attention: dict[str, dict[str, float]] | None = None
    values: dict[str, float] | None = None


class Answerer:
    """The models of a run, ready to answer; what is carried is each conversation's state.

    The state of a conversation is a pytree whose leaves [S, ...] have one size however long the
    conversation lasts.

    Attributes:
        models: of the run.
        attention: whether answers tell their attention weights.
        dims: D of each modality.
        keys: the models' systems, for what is compiled.
        params: of each model, [S, ...], on the device.
        units: of each model, as `Model` has them.
    """

    @in_standard_numbers
    def __init__(self, models: Sequence[Model], attention: bool = False):
        """Compiles nothing yet.

        Args:
            models: one, or one a class after a one-vs-rest protocol.
            attention: whether answers tell their attention weights.

        Raises:
            InputError: attention is asked for, and there is none; or a system that cannot answer
                turn by turn, or does so word by word.
        """
        stream.check_whole(models)
        if attention:
            answers.check_attends(models)
        self.dims = dict(models[0].dims)
        self.models, self.attention = tuple(models), attention
        self.networks = tuple(model.build() for model in models)
        for network in self.networks:
            stream.check_streams(network)
        self.params = [jax.device_put(model.params) for model in models]
        self.units = [model.units for model in models]
        self._begin = jax.eval_shape(self._begin_all, self.params)

    @property
    def classes(self) -> list[str]:
        """Whose probabilities, or values, are told, in order."""
        one_row = [np.zeros((1, len(model.classes)), np.float32) for model in self.models]
        return answers.combine(self.models, one_row)[0]

    @in_standard_numbers
    def begin(self) -> Any:
        """The state before a conversation's first utterance, NumPy zeros."""
        return jax.tree.map(lambda x: np.zeros(x.shape, x.dtype), self._begin)

    @in_standard_numbers
    def step(self, state: Any, features: Mapping[str, np.ndarray]) -> tuple[Any, Answer]:
        """One utterance: the state after it, and the answer.

        Args:
            state: of the conversation so far.
            features: [D] float32 of the modalities that are there, not scaled.
        """
        whole = {m: features.get(m, np.zeros(d, np.float32)) for m, d in self.dims.items()}
        scaled = [model.scaling.apply(whole) for model in self.models]
        present = {m: np.array(m in features) for m in self.dims}
        state, found, weights = _step(
            self.networks, self.attention, self.params, state, scaled, present, self.units
        )
        one_row = (
            [np.asarray(p)[None] for p in found],
            [None if w is None else np.asarray(w)[None] for w in weights],
        )
        return state, self.say(*one_row)[0]

    def say(
        self, found: Sequence[np.ndarray], weights: Sequence[np.ndarray | None]
    ) -> list[Answer]:
        """Answers in words to B utterances.

        Args:
            found: of each model, the probabilities [B, C] of its classes, not tempered, or values.
            weights: of each model, the attention [B, M (query), M (key)], or None.
        """
        tempered = [
            given if model.units is not None else temper(given, model.temperature)
            for model, given in zip(self.models, found, strict=True)
        ]
        classes, said, labels = answers.combine(self.models, tempered)
        rows = [dict(zip(classes, row, strict=True)) for row in said.tolist()]
        looked = self._named(weights) if self.attention else [None] * len(rows)
        if labels is None:
            several = zip(rows, looked, strict=True)
            return [Answer("", {}, attention, values) for values, attention in several]
        return [Answer(*each) for each in zip(labels, rows, looked, strict=True)]

    def _begin_all(self, params):
        nothing = {m: np.zeros(d, np.float32) for m, d in self.dims.items()}
        return [
            jax.vmap(lambda p, n=network: stream.init_state(n, p, nothing))(own)
            for network, own in zip(self.networks, params, strict=True)
        ]

    def _named(self, weights: Sequence[np.ndarray]) -> list[dict[str, dict[str, float]]]:
        names = self.networks[0].attends
        return [
            {
                query: dict(zip(names, row, strict=True))
                for query, row in zip(names, one, strict=True)
            }
            for one in np.mean(weights, axis=0).tolist()
        ]


@functools.partial(jax.jit, static_argnums=(0, 1))
def _step(networks, attention, params, states, features, present, units):
    after, probabilities, weights = [], [], []
    every = zip(networks, params, states, features, units, strict=True)
    for network, own, state, given, scale in every:

        def one_seed(p, s, network=network, given=given, scale=scale):
            s, found = stream.step(network, p, s, given, present, scale)
            if not attention:
                return s, found, None
            rows = {m: x[None, None] for m, x in given.items()}
            there = {m: x[None, None] for m, x in present.items()}
            return s, found, weigh(network, p, rows, there)[0, 0]

        state, found, looked = jax.vmap(one_seed)(own, state)
        after.append(state)
        probabilities.append(found.mean(0))
        weights.append(None if looked is None else looked.mean(0))
    return after, probabilities, weights
