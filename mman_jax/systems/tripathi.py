"""The concatenating network (Tripathi and Beigi 2018), the paper's [12]. It knows no context.

Each modality ends in a linear layer; these are concatenated, and dense layers answer. Over frames a
modality has a branch of theirs: of words two LSTMs, of speech an LSTM under an attention decoder,
of faces (theirs are of motion capture) convolutions over an utterance cut into equal parts. Over
utterances a branch reads the utterance's vector.

The branches differ from their code in four ways: words come as vectors, theirs are embedded by
vectors that are trained; the LSTMs have two biases (the same functions), and no dropout inside
their recurrence; what is missing or padding is masked.
"""

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import flax.linen as nn
import jax.numpy as jnp
from flax.core import freeze

from mman_jax.errors import InputError, nearest
from mman_jax.systems.base import (
    Citation,
    System,
    check_rate,
    check_size,
    check_sizes,
    of_modality,
    one_stage,
)
from mman_jax.systems.tripathi_branches import Attended, Convolved, Recurrent
from mman_jax.types import CELLS, Array

_KINDS = ("recurrent", "attended", "convolved")


class Tripathi(System):
    """Parameters lie under `linear_<modality>`, over frames `branch_<modality>`; `dense`, `answer`.

    Attributes:
        units: of each modality's layer and of the dense layer.
        dropout: rate after each of them; over frames inside the branches.
        cells: what a cell is, `utterances`, `words` or `frames`.
        branches: over frames of each modality, by its name or `default`, its branch: `recurrent`,
            `attended` or `convolved`.
        words: frames of an utterance that a recurrent branch reads, the last ones.
        frames: that an attended branch reads, the first ones.
        parts: into which an utterance's frames are averaged for a convolved branch.
        recurrent: H of the LSTMs of a recurrent branch.
        attended: H of the LSTM and the decoder of an attended one.
        channels: of each convolution of a convolved one.
    """

    paper = Citation(
        "Tripathi",
        "dense layers, concatenated; no context",
        "Tripathi and Beigi 2018",
        {"iemocap": ("71.04",)},
    )

    units: int = 256
    dropout: float = 0.2
    cells: str = "utterances"
    branches: Mapping[str, str] = freeze(
        {
            "default": "attended",
            "text": "recurrent",
            "speech": "attended",
            "visual": "convolved",
        }
    )
    words: int = 50
    frames: int = 100
    parts: int = 200
    recurrent: int = 256
    attended: int = 128
    channels: tuple[int, ...] = (32, 64, 64, 128, 128)

    in_context: ClassVar[bool] = False

    @classmethod
    def recipe(cls) -> dict[str, Any]:
        """See `System.recipe`."""
        return one_stage(batch=3, epochs=30, patience=30)

    @classmethod
    def from_settings(
        cls, settings: Mapping[str, Any], modalities: Sequence[str], classes: int
    ) -> "Tripathi":
        """The system of these sizes; what is left out has its default.

        Raises:
            InputError: a setting that the system lacks, of another type, or that cannot be.
        """
        made = super().from_settings(settings, modalities, classes)
        if made.cells not in CELLS:
            raise InputError("network.cells", repr(made.cells), nearest(made.cells, CELLS))
        for name in ("words", "frames", "parts", "recurrent", "attended"):
            check_size(f"network.{name}", getattr(made, name))
        check_sizes("network.channels", made.channels)
        for m in made.modalities:
            kind = made._kind(m)
            if kind not in _KINDS:
                raise InputError(f"network.branches.{m}", repr(kind), nearest(kind, _KINDS))
        return made

    def as_is(self, modality: str) -> dict[str, int]:
        """See `System.as_is`."""
        return {
            "recurrent": {"cells": self.words},
            "attended": {"first": self.frames},
            "convolved": {"parts": self.parts},
        }[self._kind(modality)]

    def setup(self) -> None:
        """Makes the layers."""
        check_size("network.units", self.units)
        check_rate("network.dropout", self.dropout)
        if self.cells == "frames":
            self.branch = {m: self._branch(m) for m in self.modalities}
        else:
            self.linear = {m: nn.Dense(self.units) for m in self.modalities}
        self.dense = nn.Dense(self.units)
        self.answer = nn.Dense(self.classes)
        self.drop = nn.Dropout(self.dropout)

    def __call__(
        self,
        features: Mapping[str, Array],
        reset: Array,
        state: Any = None,
        train: bool = False,
        present: Mapping[str, Array] | None = None,
    ) -> tuple[dict[str, Array], tuple[()]]:
        """Logits [B, U, C] of `answer`; see `System.__call__`. There is no state."""
        if self.cells == "frames":
            return {"answer": self._of_frames(features, train, present or {})}, ()
        branches = []
        for m in self.modalities:
            there = present[m][..., None] if present and m in present else True
            found = self.linear[m](jnp.where(there, features[m], 0))
            found = jnp.where(there, found, 0)  # without the bias, too
            branches.append(self.drop(found, deterministic=not train))
        hidden = nn.relu(self.dense(nn.relu(jnp.concatenate(branches, axis=-1))))
        return {"answer": self.answer(self.drop(hidden, deterministic=not train))}, ()

    def _of_frames(self, features, train, present):
        branches = []
        for m in self.modalities:
            x = features[m]
            x = x[:, :, None] if x.ndim == 3 else x  # one vector is one frame
            there = present.get(m, jnp.ones(x.shape[:3], bool)).reshape(x.shape[:3])
            found = self.branch[m](jnp.where(there[..., None], x, 0), there, train)
            branches.append(jnp.where(there.any(-1, keepdims=True), found, 0))
        hidden = nn.relu(self.dense(nn.relu(jnp.concatenate(branches, axis=-1))))
        return self.answer(hidden)

    def _branch(self, modality):
        both = {"units": self.units, "dropout": self.dropout}
        return {
            "recurrent": lambda: Recurrent(self.recurrent, **both),
            "attended": lambda: Attended(self.frames, self.attended, **both),
            "convolved": lambda: Convolved(self.parts, tuple(self.channels), **both),
        }[self._kind(modality)]()

    def _kind(self, modality):
        return of_modality("network.branches", self.branches, modality)
