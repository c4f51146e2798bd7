"""Models that answer utterance by utterance, as they answer a whole file."""

import functools
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np

from mman_jax.evaluation.attention import weigh
from mman_jax.inference import answers, stream
from mman_jax.inference.model import Model
from mman_jax.systems.key import Key


class Answer(NamedTuple):
    """What is said of one utterance.

    Attributes:
        label: the emotion.
        probabilities: by class; means over the seeds.
        attention: query to key to weight, means over the seeds; None where it was not asked for.
    """

    label: str
    probabilities: dict[str, float]
    attention: dict[str, dict[str, float]] | None = None


class Answerer:
    """The models of a run, ready to answer; what is carried is each conversation's state.

    The state of a conversation is a pytree whose leaves [S, ...] have one size however long the
    conversation lasts.
    """

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
        self.models, self._attention = tuple(models), attention
        self._networks = [model.build() for model in models]
        self._keys = tuple(map(Key, self._networks))
        for network in self._networks:
            stream.check_streams(network)
        self._params = [jax.device_put(model.params) for model in models]
        self._begin = jax.eval_shape(self._begin_all, self._params)

    def begin(self) -> Any:
        """The state before a conversation's first utterance, NumPy zeros."""
        return jax.tree.map(lambda x: np.zeros(x.shape, x.dtype), self._begin)

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
            self._keys, self._attention, self._params, state, scaled, present
        )
        found = [np.asarray(p)[None] for p in found]
        classes, probabilities, labels = answers.combine(self.models, found)
        said = dict(zip(classes, probabilities[0].tolist(), strict=True))
        return state, Answer(labels[0], said, self._named(weights))

    def _begin_all(self, params):
        nothing = {m: np.zeros(d, np.float32) for m, d in self.dims.items()}
        return [
            jax.vmap(lambda p, n=network: stream.init_state(n, p, nothing))(own)
            for network, own in zip(self._networks, params, strict=True)
        ]

    def _named(self, weights: Sequence[Any]) -> dict[str, dict[str, float]] | None:
        if not self._attention:
            return None
        names = self._networks[0].attends
        mean = np.mean([np.asarray(w) for w in weights], axis=0).tolist()
        return {
            query: dict(zip(names, row, strict=True))
            for query, row in zip(names, mean, strict=True)
        }


@functools.partial(jax.jit, static_argnums=(0, 1))
def _step(keys, attention, params, states, features, present):
    after, probabilities, weights = [], [], []
    for key, own, state, given in zip(keys, params, states, features, strict=True):

        def one_seed(p, s, network=key.system, given=given):
            s, found = stream.step(network, p, s, given, present)
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
