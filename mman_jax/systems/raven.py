"""RAVEN (Wang et al. 2019), the paper's [14]: word vectors shifted by speech and vision.

The network follows its paper. The authors' public code differs in four ways: no gradient reaches
the modalities other than text, its gates have no sigmoid, it caps the shift differently (see
`cap`), and speech passes a batch normalisation (features here are already standardised). If cells
are utterances, an utterance takes the place of a word, with one frame of each other modality.
"""

from typing import Annotated, Any, ClassVar

import flax.linen as nn
import jax.numpy as jnp

from mman_jax.errors import InputError
from mman_jax.layers.recurrent import LSTM, FramesLSTM
from mman_jax.systems.base import Outputs, System
from mman_jax.systems.citation import Citation
from mman_jax.systems.settings import (
    SEVERAL,
    SUBWORD,
    Ranges,
    Rate,
    Size,
    around,
    find_pivot,
    one_stage,
)
from mman_jax.types import Array, Inputs

_TINY = 1e-12


def _check_share(place: str, share: float) -> None:
    if share < 0:
        raise InputError(place, str(share), "a number from 0")


class RAVEN(System):
    """An LSTM over the pivot's vectors, each shifted by gated embeddings of the other modalities.

    Parameters are under `project_<modality>`, `frames_<modality>`, `gate_<modality>`, `shift`,
    `lstm` and `answer`.

    Attributes:
        pivot: the modality that is shifted; if empty, `text`, or the first one if there is no text.
        projection: units of the layer that reads a frame.
        frames: H of the LSTM over the frames of a word.
        hidden: H of the LSTM over the words.
        beta: the longest shift, as a share of the length of the word's vector.
        dropout: rate on the frames and on the shifted words.
    """

    paper = Citation(
        "RAVEN",
        "an LSTM over text that gated speech and vision shift",
        "Wang et al. 2019",
        {"binary4": ("87.3", "86.2", "69.7", "87.3")},
    )

    reads = frozenset({SEVERAL, SUBWORD})

    pivot: str = ""
    projection: Size = 150
    frames: Size = 150
    hidden: Size = 300
    beta: Annotated[float, _check_share] = 0.2
    dropout: Rate = 0.2

    ranges: ClassVar[Ranges] = {
        "network.projection": around(150, 0.2, 2),
        "network.frames": around(150, 0.2, 2),
        "network.hidden": around(300, 0.2, 1.5),
        "network.beta": {"low": 0.05, "high": 1.0},
    }

    training: ClassVar[dict[str, Any]] = one_stage(batch=1, epochs=500, patience=50)

    @nn.compact
    def __call__(self, inputs: Inputs, state: Any = None, train: bool = False) -> Outputs:
        """Computes logits [B, U, C] of `answer`; see `System.__call__`.

        Modalities other than the pivot may have frames, [B, U, F, D] with `present` [B, U, F]. If
        all of them are missing, a word is not shifted; if the pivot is missing, the state passes
        unchanged. The shifted words [B, U, D] are sown as `shifted` into `intermediates`.
        """
        features, reset, present = inputs.features, inputs.reset, inputs.present

        def drop(x):
            return nn.Dropout(self.dropout, deterministic=not train)(x)

        pivot = find_pivot(self.pivot, self.modalities)
        mask, word = present.get(pivot), features[pivot]
        word = word if mask is None else jnp.where(mask[..., None], word, 0)
        gated: list[Array] = []
        moved: list[Array] = []
        for m in self.modalities:
            if m == pivot:
                continue
            x, known = features[m], present.get(m)
            if x.ndim == 3:
                x, known = x[:, :, None], known if known is None else known[..., None]
            x = x if known is None else jnp.where(known[..., None], x, 0)
            x = nn.Dense(self.projection, name=f"project_{m}")(drop(x))
            lstm = FramesLSTM(self.frames, name=f"frames_{m}")
            _, (embedding, _) = lstm(x, jnp.zeros(x.shape[:3], bool), known)
            both = jnp.concatenate([embedding, word], axis=-1)
            gated.append(self.gate(nn.Dense(1, name=f"gate_{m}")(both)) * embedding)
            moved.append(None if known is None else known.any(-1, keepdims=True))
        shift = nn.Dense(word.shape[-1], name="shift")(jnp.concatenate(gated, axis=-1))
        shift = self.cap(shift, word)
        if all(x is not None for x in moved):
            shift = jnp.where(jnp.any(jnp.stack(moved), axis=0), shift, 0)
        word = word + shift
        self.sow("intermediates", "shifted", word)
        hidden, last = LSTM(self.hidden, name="lstm")(drop(word), reset, mask, state)
        return {"answer": nn.Dense(self.outputs, name="answer")(hidden)}, last

    def gate(self, score: Array) -> Array:
        """Returns the weight of a modality's embedding, computed from the dense layer's score."""
        return nn.sigmoid(score)

    def cap(self, shift: Array, word: Array) -> Array:
        """Limits the shift [..., D] to `beta` times the length of the word [..., D]."""
        longest = self.beta * _length(word)
        return jnp.minimum(longest / _length(shift), 1) * shift


def _length(x: Array) -> Array:
    """Returns the length [..., 1] of vectors [..., D], with a finite gradient at zero."""
    return jnp.sqrt(jnp.maximum(jnp.sum(x * x, axis=-1, keepdims=True), _TINY))
