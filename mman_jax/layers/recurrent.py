"""Recurrent layers over packed rows of cells: LSTM and GRU, with the parameters of PyTorch's.

The scan of the LSTM has a single product per step, `h @ kernel_hidden`. The inputs of all
utterances are projected by one product before it, and the gradient of the weights is one product
after the backward scan.
"""

import functools
from collections.abc import Mapping
from typing import Any

import chex
import flax.linen as nn
import jax
import jax.numpy as jnp

from mman_jax.layers.dense import uniform
from mman_jax.types import Array

State = tuple[Array, Array]
"""Hidden and cell state, each [B, H] float32."""


def _gate_scale(hidden: int) -> Array:
    # sigmoid(x) = (1 + tanh(x / 2)) / 2: with the sigmoid gates halved, one tanh computes all four.
    half, one = jnp.full(hidden, 0.5), jnp.ones(hidden)
    return jnp.concatenate([half, half, one, half])


# Number of rows for fast matrix products on CPUs (two x86 cores, H = 300): with a [H, 4H] matrix,
# more rows halve the speed; with a [4H, H] matrix, any other number is slower.
_BLOCK = 16


def _product(rows: Array, kernel: Array) -> Array:
    """Computes `rows @ kernel` ([B, K] and [K, N]), on CPUs in blocks of rows."""

    def blocks(rows, kernel):
        count = rows.shape[0]
        if kernel.shape[0] > kernel.shape[1] and count > _BLOCK // 2:
            rows = jnp.pad(rows, ((0, -count % _BLOCK), (0, 0)))
        parts = [rows[i : i + _BLOCK] @ kernel for i in range(0, len(rows), _BLOCK)]
        return jnp.concatenate(parts)[:count]

    return jax.lax.platform_dependent(rows, kernel, cpu=blocks, default=jnp.matmul)


def _forward(gates, kernel, keep, mask, state):
    scale = _gate_scale(kernel.shape[0])

    def step(carry, x):
        gates, keep, mask = x
        hidden, cell = (s * keep for s in carry)
        act = jnp.tanh(scale * (gates + _product(hidden, kernel)))
        i, f, g, o = jnp.split(act, 4, axis=-1)
        new_cell = (0.5 * f + 0.5) * cell + (0.5 * i + 0.5) * g
        new_hidden = (0.5 * o + 0.5) * jnp.tanh(new_cell)
        if mask is not None:
            new_hidden = jnp.where(mask, new_hidden, hidden)
            new_cell = jnp.where(mask, new_cell, cell)
        return (new_hidden, new_cell), (new_hidden, new_cell, act)

    last, (hidden, cell, act) = jax.lax.scan(step, state, (gates, keep, mask))
    return hidden, last, cell, act


@functools.partial(jax.custom_vjp, nondiff_argnums=(5,))
def lstm_scan(
    gates: Array,
    kernel: Array,
    keep: Array,
    mask: Array | None,
    state: State,
    cells: bool = False,
) -> tuple[Array | State, State]:
    """Runs the recurrence over U utterances, time first, with a hand-written backward pass.

    Args:
        gates: [U, B, 4H] float, the inputs' contribution to the gates i, f, g, o.
        kernel: [H, 4H] float, the kernel of the hidden state.
        keep: [U, B, 1] float, 0 where a conversation starts, otherwise 1.
        mask: [U, B, 1] bool, False where the state passes unchanged; None if no cell is masked.
        state: hidden and cell state before the first utterance, [B, H] each.
        cells: whether to also return all cell states.

    Returns:
        Hidden states [U, B, H] float, or with `cells` a pair of hidden and cell states; and the
        state after the last utterance, [B, H] each.
    """
    hidden, last, cell, _ = _forward(gates, kernel, keep, mask, state)
    return (hidden, cell) if cells else hidden, last


def _scan_forward(gates, kernel, keep, mask, state, cells):
    hidden, last, cell, act = _forward(gates, kernel, keep, mask, state)
    saved = (kernel, keep, mask, state, hidden, cell, act)
    return ((hidden, cell) if cells else hidden, last), saved


def _scan_backward(cells, saved, cotangents):
    kernel, keep, mask, state, hidden, cell, act = saved
    d_states, d_last = cotangents
    d_hidden, d_cells = d_states if cells else (d_states, None)
    before_hidden, before_cell = (
        jnp.concatenate([first[None], rest[:-1]]) * keep
        for first, rest in zip(state, (hidden, cell), strict=True)
    )
    i, f, g, o = jnp.split(act, 4, axis=-1)
    # Factors that do not depend on the next utterance's gradient, computed for the full row:
    # d_gates = (d_cell, d_cell, d_cell, d_hidden) * local.
    tanh_cell = jnp.tanh(cell)
    if mask is not None:
        tanh_cell = jnp.where(mask, tanh_cell, 0.0)
    local = [
        0.25 * g * (1 - i * i),
        0.25 * before_cell * (1 - f * f),
        0.5 * (i + 1) * (1 - g * g),
        0.25 * tanh_cell * (1 - o * o),
    ]
    to_cell = (0.5 * o + 0.5) * (1 - tanh_cell * tanh_cell)
    forget = 0.5 * f + 0.5
    if mask is not None:
        local = [jnp.where(mask, x, 0.0) for x in local]
        to_cell = jnp.where(mask, to_cell, 0.0)
        forget = jnp.where(mask, forget, 1.0)
    # The barrier keeps XLA from fusing these into the scan and recomputing them at each step.
    local, to_cell, forget = jax.lax.optimization_barrier(
        (jnp.concatenate(local, axis=-1), to_cell, forget * keep)
    )
    kernel_t = kernel.T

    def step(carry, x):
        d_hidden, d_cell = carry
        d_out, d_cell_out, local, to_cell, forget, keep, mask = x
        d_hidden = d_hidden + d_out
        if d_cell_out is not None:
            d_cell = d_cell + d_cell_out
        d_cell = d_cell + d_hidden * to_cell
        d_gates = jnp.concatenate([d_cell, d_cell, d_cell, d_hidden], axis=-1) * local
        d_before = _product(d_gates, kernel_t)
        if mask is not None:
            d_before = jnp.where(mask, d_before, d_hidden)
        return (d_before * keep, d_cell * forget), d_gates

    by_step = (d_hidden, d_cells, local, to_cell, forget, keep, mask)
    d_state, d_gates = jax.lax.scan(step, d_last, by_step, reverse=True)
    hidden_size, width = kernel.shape
    d_kernel = before_hidden.reshape(-1, hidden_size).T @ d_gates.reshape(-1, width)
    return d_gates, d_kernel, None, None, d_state


lstm_scan.defvjp(_scan_forward, _scan_backward)


def backwards(reset: Array) -> Array:
    """Returns `reset` [B, U] of rows in the reverse order: a conversation starts at its last cell.

    Examples:
        >>> backwards(jnp.array([[True, False, True]])).tolist()
        [[True, True, False]]
    """
    return jnp.concatenate([reset[:, 1:], jnp.ones_like(reset[:, :1])], axis=1)[:, ::-1]


class LSTM(nn.Module):
    """One LSTM layer over rows of utterances, with the parameters of PyTorch's.

    `kernel_input` [D, 4H], `kernel_hidden` [H, 4H], `bias_input` [4H] and `bias_hidden` [4H] are
    the transposes of PyTorch's `weight_ih_l0`, `weight_hh_l0`, `bias_ih_l0` and `bias_hh_l0`, with
    gates in the order i, f, g, o. Kernels are initialised as in PyTorch, from
    U(-1/sqrt(H), 1/sqrt(H)); biases start at zero.

    Attributes:
        hidden: H.
        reverse: whether it runs from the last utterance to the first. Its state is then zero where
            the next utterance starts another conversation or is padding.
        feeds_back: whether it is a decoder: it reads its inputs only where `reset` is True, and its
            previous hidden state elsewhere; D is then H.
    """

    hidden: int
    reverse: bool = False
    feeds_back: bool = False

    @nn.compact
    def __call__(
        self,
        inputs: Array,
        reset: Array,
        mask: Array | None = None,
        state: State | None = None,
        cells: bool = False,
    ) -> tuple[Any, State]:
        """Runs over the utterances of each row.

        Args:
            inputs: [B, U, D] float32.
            reset: [B, U] bool, True where a conversation starts: the state is zero before it. A
                reversed scan also needs True where padding starts.
            mask: [B, U] bool, False where the state passes unchanged and the output repeats it.
                It may be None if padding occurs only at the end of rows.
            state: the state before the first utterance, [B, H] each; zeros by default.
            cells: whether to also return the cell states.

        Returns:
            Hidden states [B, U, H] float32, or with `cells` a pair of hidden and cell states; and
            the state after the last utterance.

        Raises:
            AssertionError: if a shape disagrees.
        """
        chex.assert_rank(inputs, 3)
        rows, utterances, features = inputs.shape
        chex.assert_shape(reset, (rows, utterances))
        init = nn.initializers.uniform(2 * self.hidden**-0.5)

        def uniform(key, shape):
            return init(key, shape) - self.hidden**-0.5

        width = 4 * self.hidden
        kernel_input = self.param("kernel_input", uniform, (features, width))
        kernel_hidden = self.param("kernel_hidden", uniform, (self.hidden, width))
        zeros = nn.initializers.zeros_init()
        bias = self.param("bias_input", zeros, (width,)) + self.param(
            "bias_hidden", zeros, (width,)
        )
        if state is None:
            state = (jnp.zeros((rows, self.hidden), inputs.dtype),) * 2
        chex.assert_shape(state, (rows, self.hidden))
        if self.reverse:
            inputs, mask = inputs[:, ::-1], mask if mask is None else mask[:, ::-1]
            reset = backwards(reset)
        if mask is not None:
            chex.assert_shape(mask, (rows, utterances))
            mask = mask.T[..., None]
        if self.feeds_back:
            # The input is h, except where a conversation starts: h is 0 there.
            inputs = jnp.where(reset[..., None], inputs, 0)
            kernel_hidden = kernel_input + kernel_hidden
        flat = inputs.swapaxes(0, 1).reshape(-1, features)
        gates = (flat @ kernel_input + bias).reshape(utterances, rows, width)
        keep = 1.0 - reset.T[..., None].astype(inputs.dtype)
        states, state = lstm_scan(gates, kernel_hidden, keep, mask, state, cells)
        states = jax.tree.map(lambda x: x.swapaxes(0, 1), states)
        return jax.tree.map(lambda x: x[:, ::-1], states) if self.reverse else states, state


FramesLSTM = nn.vmap(
    LSTM, in_axes=1, out_axes=1, variable_axes={"params": None}, split_rngs={"params": False}
)
"""`LSTM` over the frames of each cell: inputs [B, U, F, D], `reset` and `mask` [B, U, F].

It returns hidden states [B, U, F, H], and the states after the last frame, [B, U, H] each.
"""


class GRUCell(nn.Module):
    """The parameters of a GRU, as in PyTorch; `gru_step` uses them.

    `kernel_input` [D, 3H], `kernel_hidden` [H, 3H], `bias_input` [3H] and `bias_hidden` [3H] are
    the transposes of PyTorch's, with gates in the order r, z, n, and are initialised as in PyTorch.

    Attributes:
        hidden: H.
    """

    hidden: int

    @nn.compact
    def parameters(self, features: int) -> dict[str, Array]:
        """Returns the parameters by name for D input features."""
        start, width = uniform(self.hidden), 3 * self.hidden
        shapes = {
            "kernel_input": (features, width),
            "kernel_hidden": (self.hidden, width),
            "bias_input": (width,),
            "bias_hidden": (width,),
        }
        return {name: self.param(name, start, shape) for name, shape in shapes.items()}


def gru_step(cell: Mapping[str, Array], projected: Array, hidden: Array) -> Array:
    """Computes the next hidden state [..., H] of a GRU with the parameters of a `GRUCell`.

    `projected` [..., 3H] are the inputs times `kernel_input`.
    """
    of_input = jnp.split(projected + cell["bias_input"], 3, axis=-1)
    of_hidden = jnp.split(hidden @ cell["kernel_hidden"] + cell["bias_hidden"], 3, axis=-1)
    r, z = (nn.sigmoid(x + h) for x, h in zip(of_input[:2], of_hidden[:2], strict=True))
    new = jnp.tanh(of_input[2] + r * of_hidden[2])
    return (1 - z) * new + z * hidden


class GRU(GRUCell):
    """One GRU layer over rows of cells; see `GRUCell`."""

    def __call__(
        self, inputs: Array, reset: Array, mask: Array | None = None, state: Array | None = None
    ) -> tuple[Array, Array]:
        """Runs over the cells of each row; the arguments are those of `LSTM`.

        Returns:
            Hidden states [B, U, H] float32, and the state after the last cell [B, H].
        """
        chex.assert_rank(inputs, 3)
        rows, cells, features = inputs.shape
        chex.assert_shape(reset, (rows, cells))
        cell = self.parameters(features)
        if state is None:
            state = jnp.zeros((rows, self.hidden), inputs.dtype)
        chex.assert_shape(state, (rows, self.hidden))
        if mask is None:
            mask = jnp.ones((rows, cells), bool)
        projected = (inputs.reshape(-1, features) @ cell["kernel_input"]).reshape(rows, cells, -1)
        keep = 1.0 - reset[..., None].astype(inputs.dtype)

        def step(hidden, x):
            projected, keep, mask = x
            hidden = hidden * keep
            hidden = jnp.where(mask, gru_step(cell, projected, hidden), hidden)
            return hidden, hidden

        by_cell = (jnp.swapaxes(x, 0, 1) for x in (projected, keep, mask[..., None]))
        last, hidden = jax.lax.scan(step, state, tuple(by_cell))
        return jnp.swapaxes(hidden, 0, 1), last
