"""Utterances of many conversations answered at once, as each would be by itself."""

import functools
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from mman_jax.evaluation.attention import weigh
from mman_jax.inference.answerer import Answer, Answerer
from mman_jax.inference.model import answers
from mman_jax.layers.precision import in_standard_numbers
from mman_jax.types import Inputs

SIZES = (1, 4, 8, 16, 32, 64, 128, 256)
"""Utterances of a step: in one of 256 each costs two thirds of what it costs in one of 64; above,
answers to all of it would wait long for little more a second."""
_MANY, _FULL = 64, 0.8
"""A step of so many costs hardly more for each than a larger one; from which share that is paid."""


class Batched:
    """The states of a bounded number of conversations, each in a place of its own.

    They lie in arrays [places, ...] in the host's memory, which the system gives where a place is
    first used; a step is compiled once for each of `sizes`.
    """

    @in_standard_numbers
    def __init__(self, answerer: Answerer, places: int, sizes: Sequence[int] = SIZES):
        """Compiles nothing yet.

        Args:
            answerer: of a run.
            places: conversations at most.
            sizes: utterances of a step, ascending; fewer are padded to the next of these.
        """
        self.answerer, self.sizes = answerer, tuple(sizes)
        leaves, self._structure = jax.tree.flatten(answerer.begin())
        self._leaves = [np.zeros((places, *leaf.shape), leaf.dtype) for leaf in leaves]

    def compile(self) -> None:
        """Compiles the steps of all sizes; no state changes."""
        for size in self.sizes:
            self._answer(self._gather(np.zeros(size, np.int64), 0), [{}] * size)

    def fitting(self, waiting: int) -> int:
        """How many of so many utterances go into one step.

        Many rather wait for the next one than that a step of twice their number is paid for.
        """
        most = min(waiting, self.sizes[-1])
        below = max((size for size in self.sizes if size <= most), default=0)
        above = next(size for size in self.sizes if size >= most)
        return below if below >= _MANY and most < _FULL * above else most

    @in_standard_numbers
    def step(
        self,
        places: Sequence[int],
        begins: Sequence[bool],
        features: Sequence[Mapping[str, np.ndarray]],
    ) -> list[Answer]:
        """Answers one utterance of each of B conversations, and keeps the states after them.

        Args:
            places: of the conversations, all different.
            begins: whether it is the first utterance of its conversation.
            features: [D] float32 of the modalities that are there, not scaled.
        """
        made: list[Answer] = []
        for first in range(0, len(places), self.sizes[-1]):
            part = slice(first, first + self.sizes[-1])
            given, where = list(features[part]), np.array(places[part], np.int64)
            for leaf in self._leaves:
                leaf[where[np.array(begins[part], bool)]] = 0
            size = next(size for size in self.sizes if size >= len(given))
            padded = np.concatenate([where, np.repeat(where[:1], size - len(where))])
            after, answers = self._answer(
                self._gather(padded, len(where)), given + [{}] * (size - len(given))
            )
            for leaf, new in zip(self._leaves, jax.tree.leaves(after), strict=True):
                leaf[where] = np.asarray(new)[: len(where)]
            made += answers[: len(where)]
        return made

    @in_standard_numbers
    def read(self, places: Mapping[str, int]) -> dict[str, Any]:
        """Copies of the states in these places, in the form of `Answerer.begin`, by name."""
        where = np.array(list(places.values()), np.int64)
        copies = [leaf[where] for leaf in self._leaves]
        return {
            name: jax.tree.unflatten(self._structure, [copy[i] for copy in copies])
            for i, name in enumerate(places)
        }

    @in_standard_numbers
    def write(self, place: int, state: Any) -> None:
        """Puts a state in the form of `Answerer.begin` into a place."""
        for leaf, own in zip(self._leaves, jax.tree.leaves(state), strict=True):
            leaf[place] = own

    def _gather(self, places: np.ndarray, real: int) -> Any:
        rows = [leaf[places] for leaf in self._leaves]
        for row in rows:
            row[real:] = 0
        return jax.tree.unflatten(self._structure, rows)

    def _answer(
        self, states: Any, features: Sequence[Mapping[str, np.ndarray]]
    ) -> tuple[Any, list[Answer]]:
        whole, present = {}, {}
        for modality, size in self.answerer.dims.items():
            nothing = np.zeros(size, np.float32)
            rows = [given.get(modality, nothing) for given in features]
            whole[modality] = np.concatenate(rows).reshape(len(rows), size)
            present[modality] = np.array([row is not nothing for row in rows])
        scaled = [model.scaling.apply(whole) for model in self.answerer.models]
        networks, attention = self.answerer.networks, self.answerer.attention
        after, found, weights = _step(
            networks, attention, self.answerer.params, states, scaled, present, self.answerer.units
        )
        looked = [None if w is None else np.asarray(w) for w in weights]
        return after, self.answerer.say([np.asarray(p) for p in found], looked)


@functools.partial(jax.jit, static_argnums=(0, 1))
def _step(networks, attention, params, states, features, present, units):
    there = {m: x[:, None] for m, x in present.items()}
    start = jnp.zeros_like(next(iter(there.values())))
    after, probabilities, weights = [], [], []
    every = zip(networks, params, states, features, units, strict=True)
    for network, own, state, given, scale in every:
        rows = {m: x[:, None] for m, x in given.items()}

        def one_seed(one, system=network, rows=rows, scale=scale):
            p, s = one
            logits, s = system.apply({"params": p}, Inputs.unpadded(rows, start, there), s)
            found = answers(logits[system.head][:, 0], scale)
            return s, found, weigh(system, p, rows, there)[:, 0] if attention else None

        # Stored [B, S, 1, ...], a conversation's state as one of a single row; needed [S, B, ...].
        by_seed = jax.tree.map(lambda x: jnp.swapaxes(x[:, :, 0], 0, 1), state)
        # One seed after the other: their products are then plain ones, which CPUs are good at.
        state, found, looked = jax.lax.map(one_seed, (own, by_seed))
        after.append(jax.tree.map(lambda x: jnp.swapaxes(x, 0, 1)[:, :, None], state))
        probabilities.append(found.mean(0))
        weights.append(None if looked is None else looked.mean(0))
    return after, probabilities, weights
