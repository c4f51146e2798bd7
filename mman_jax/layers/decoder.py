"""The attention decoder of Tripathi and Beigi 2018: as many steps as it reads frames."""

import flax.linen as nn
import jax
import jax.numpy as jnp

from mman_jax.layers.attention import weigh
from mman_jax.types import Array

_GLOROT = nn.initializers.glorot_uniform()


class AttentionDecoder(nn.Module):
    """At each step it weighs all frames by its state, and gives a softmax over its units.

    With frames x_i, state s, output y (0 before the first step) and context c, each step is

        e_i = v . tanh(s W + x_i U + b),  c = sum of softmax(e)_i x_i,
        r, z = sigmoid(y W + s U + c C + b), each its own,
        y' = softmax(y W + s U + c C + b),
        s' = (1 - z) s + z tanh(y W + (r s) U + c C + b),

    and the state before the first is tanh(x_0 W). Parameters: `score` [H], `asked`, `heard`,
    `begin`; and a kernel of each of the four, in the order r, z, candidate, output, side by side:
    `output` [H, 4H] of y, `state` [H, 4H] of s, `context` [D, 4H] of c, and `bias` [4H].

    Attributes:
        units: H, of the state and of an output.
    """

    units: int

    @nn.compact
    def __call__(self, frames: Array, present: Array) -> Array:
        """Outputs of all steps; frames that are not there are not weighed.

        Args:
            frames: [B, F, D] float32, those that are there first.
            present: [B, F] bool.

        Returns:
            [B, F, H] float32, F steps whatever is there.
        """
        size, units = frames.shape[-1], self.units
        zeros = nn.initializers.zeros_init()
        score = self.param("score", nn.initializers.normal(0.05), (units,))
        asked = self.param("asked", _GLOROT, (units, units))
        heard = frames @ self.param("heard", _GLOROT, (size, units))
        heard = heard + self.param("bias_score", zeros, (units,))
        begin = self.param("begin", _GLOROT, (size, units))
        of_output = self.param("output", _GLOROT, (units, 4 * units))
        of_state = self.param("state", _GLOROT, (units, 4 * units))
        of_context = self.param("context", _GLOROT, (size, 4 * units))
        bias = self.param("bias", zeros, (4 * units,))
        gates, rest = of_state[:, : 2 * units], of_state[:, 2 * units :]
        for_candidate, for_output = jnp.split(rest, 2, axis=-1)

        def step(carry, _):
            state, output = carry
            scores = jnp.tanh((state @ asked)[:, None] + heard) @ score
            context = jnp.einsum("bf,bfd->bd", weigh(scores, present), frames)
            given = output @ of_output + context @ of_context + bias
            own = given[:, : 2 * units] + state @ gates
            reset, update = jnp.split(nn.sigmoid(own), 2, axis=-1)
            candidate, answer = jnp.split(given[:, 2 * units :], 2, axis=-1)
            answer = nn.softmax(answer + state @ for_output)
            candidate = jnp.tanh(candidate + (reset * state) @ for_candidate)
            return ((1 - update) * state + update * candidate, answer), answer

        first = jnp.tanh(frames[:, 0] @ begin)
        start = (first, jnp.zeros_like(first))
        _, outputs = jax.lax.scan(step, start, None, length=frames.shape[1])
        return outputs.swapaxes(0, 1)
