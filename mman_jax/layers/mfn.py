"""The memory fusion network (Zadeh et al. 2018): parallel LSTMs and a shared memory."""

import functools
from collections.abc import Mapping, Sequence
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from mman_jax.layers.dense import Perceptron
from mman_jax.layers.recurrent import LSTM
from mman_jax.types import Array


class MFN(nn.Module):
    """An LSTM for each modality, attention over the changes of their cell states, a gated memory.

    Parameters lie under `lstm_<modality>`, `attention`, `candidate` and `memory`.

    Attributes:
        modalities: their order in the states' concatenation.
        hidden: H of each modality's LSTM.
        memory: units of the memory.
        inner: units inside the networks of the attention, the memory's candidate, the retain gate
            and the update gate.
        dropout: rate inside these four networks.
    """

    modalities: Sequence[str]
    hidden: Mapping[str, int]
    memory: int
    inner: Sequence[int]
    dropout: float = 0.0

    @nn.compact
    def __call__(
        self,
        features: Mapping[str, Array],
        reset: Array,
        state: Any = None,
        train: bool = False,
        present: Mapping[str, Array] | None = None,
    ) -> tuple[Array, dict[str, Any]]:
        """Runs over the cells of each row.

        Args:
            features: [B, U, D] float32 of each modality; D differs between modalities.
            reset: [B, U] bool, True where a conversation starts.
            state: before the first cell; zeros by default.
            train: whether dropout acts; it then needs the `dropout` key.
            present: [B, U] bool for each modality that may be missing, False where it is: its LSTM
                then keeps its state, and if all are missing, so does the memory.

        Returns:
            The hidden states of all modalities and the memory, [B, U, sum of H + memory] float32;
            and the state after the last cell.
        """
        present = present or {}
        if state is None:
            rows = reset.shape[0]
            sizes = {m: jnp.zeros((rows, self.hidden[m])) for m in self.modalities}
            state = {"lstm": {m: (x, x) for m, x in sizes.items()}}
            state["memory"] = jnp.zeros((rows, self.memory))
        keep = 1.0 - reset[..., None].astype(jnp.float32)
        outputs, before, after, last = [], [], [], {}
        for m in self.modalities:
            start = state["lstm"][m]
            (hidden, cell), last[m] = LSTM(self.hidden[m], name=f"lstm_{m}").states(
                features[m], reset, present.get(m), start
            )
            outputs.append(hidden)
            before.append(jnp.concatenate([start[1][:, None], cell[:, :-1]], axis=1) * keep)
            after.append(cell)
        cells = jnp.concatenate(before + after, axis=-1)
        attention, candidate, retain, update = self.inner
        size = cells.shape[-1]
        scores = Perceptron(attention, size, self.dropout, name="attention")(cells, train)
        seen = jax.nn.softmax(scores) * cells
        new = Perceptron(candidate, self.memory, self.dropout, name="candidate")(seen, train)
        mask = None
        if all(m in present for m in self.modalities):
            mask = functools.reduce(jnp.logical_or, present.values())[..., None]
        scan = nn.scan(
            _Memory,
            variable_broadcast="params",
            split_rngs={"params": False, "dropout": True},
            in_axes=1,
            out_axes=1,
        )
        remember = scan(self.memory, retain, update, self.dropout, train, name="memory")
        memory, memories = remember(state["memory"], (seen, jnp.tanh(new), keep, mask))
        return jnp.concatenate([*outputs, memories], axis=-1), {"lstm": last, "memory": memory}


class _Memory(nn.Module):
    """One step of the gated memory."""

    size: int
    retain: int
    update: int
    dropout: float
    train: bool

    @nn.compact
    def __call__(self, memory, step):
        seen, candidate, keep, mask = step
        memory = memory * keep
        both = jnp.concatenate([seen, memory], axis=-1)

        def gate(name, units):
            net = Perceptron(units, self.size, self.dropout, name=name)
            return jax.nn.sigmoid(net(both, self.train))

        new = gate("retain", self.retain) * memory + gate("update", self.update) * candidate
        if mask is not None:
            new = jnp.where(mask, new, memory)
        return new, new
