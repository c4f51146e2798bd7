"""A long short-term memory over what lies inside a cell."""

import flax.linen as nn

from mman_jax.layers.lstm import LSTM

FramesLSTM = nn.vmap(
    LSTM, in_axes=1, out_axes=1, variable_axes={"params": None}, split_rngs={"params": False}
)
"""`LSTM` over the frames of each cell by itself: inputs [B, U, F, D], `reset` and `mask` [B, U, F].

It gives hidden states [B, U, F, H], and the states after the last frame, [B, U, H] each.
"""
