"""MulT (Tsai et al. 2019), the paper's "MuT": each modality attends to each other one, by pairs.

Sizes and rates are those of the authors' public code, whose networks read the words of one
utterance. Here a sequence is a row of cells: over utterances a cell is an utterance of a
conversation, every cell is answered, and attention looks back, at the last `window` cells of its
own conversation. Over frames an utterance is answered from its own alone, as there: its modalities
are sequences of unequal lengths, aligned to nothing, of which the longer looks ahead of the shorter
(`mult_frames.lenient`). What is missing or padding is masked; the authors' code attends to it. The
input convolutions have a kernel of 1, as in that code: wider ones would look at later cells.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from flax.core import freeze

from mman_jax.errors import InputError, nearest
from mman_jax.systems.base import Citation, System, check_rate, check_size, of_modality, one_stage
from mman_jax.systems.mult_network import Network
from mman_jax.types import CELLS, Array


class MulT(System):
    """Cross-modal transformers of all ordered pairs, then one a modality over what they found.

    Parameters lie under `answer`.

    Attributes:
        units: d, features of a projected modality.
        layers: of a cross-modal encoder; those in which a modality looks at itself have at least 3.
        heads: of every attention; they share its features among them.
        window: how many cells attention looks at, the own one included; over frames all.
        cells: what a cell is: `utterances`, `words`, or `frames`, of which an utterance has
            [B, 1, F, D] with `present` [B, 1, F], F of each modality its own.
        frames: of a modality by its name, or `default`, how many frames of an utterance are kept,
            the last ones.
        language: the modality whose features are dropped at `embed_dropout`, and attention to
            which at `attention_dropout`; attention to the other ones is not.
        attention_dropout: rate on weights of attention, to `language` and to a modality itself.
        embed_dropout: rate on what an encoder reads.
        relu_dropout: rate between an encoder's dense layers.
        residual_dropout: rate on what an encoder's layers add.
        output_dropout: rate between the last dense layers.
    """

    paper = Citation(
        "MulT",
        "a cross-modal transformer a pair of modalities",
        "Tsai et al. 2019",
        {"binary4": ("90.7", "86.7", "72.4", "87.4")},
        cited_as="MulT, the paper's “MuT”",
    )

    units: int = 30
    layers: int = 5
    heads: int = 5
    window: int = 64
    cells: str = "utterances"
    frames: Mapping[str, int] = freeze({"default": 500, "text": 50, "speech": 375, "visual": 500})
    language: str = "text"
    attention_dropout: float = 0.1
    embed_dropout: float = 0.25
    relu_dropout: float = 0.1
    residual_dropout: float = 0.1
    output_dropout: float = 0.0

    @classmethod
    def recipe(cls) -> dict[str, Any]:
        """See `System.recipe`."""
        return one_stage(batch=1, falls_after=20, clip=0.8, epochs=40, patience=40)

    @classmethod
    def from_settings(
        cls, settings: Mapping[str, Any], modalities: Sequence[str], classes: int
    ) -> "MulT":
        """The system of these sizes; what is left out has its default.

        Raises:
            InputError: one modality alone, a setting that the system lacks, or of another type.
        """
        if len(modalities) < 2:
            found = f"{', '.join(modalities)} alone"
            raise InputError("modalities", found, "two or more: MulT attends between pairs")
        made = super().from_settings(settings, modalities, classes)
        if made.cells not in CELLS:
            raise InputError("network.cells", repr(made.cells), nearest(made.cells, CELLS))
        for m in made.modalities:
            check_size(f"network.frames.{m}", of_modality("network.frames", made.frames, m))
        return made

    def as_is(self, modality: str) -> dict[str, int]:
        """See `System.as_is`."""
        return {"cells": of_modality("network.frames", self.frames, modality)}

    def setup(self) -> None:
        """Makes the network.

        Raises:
            InputError: sizes that cannot be.
        """
        sizes = ("units", "layers", "heads", "window")
        rates = ("attention", "embed", "relu", "residual", "output")
        for name in sizes:
            check_size(f"network.{name}", getattr(self, name))
        for name in rates:
            rate = getattr(self, f"{name}_dropout")
            check_rate(f"network.{name}_dropout", rate, below_one=True)
        if self.units % self.heads:
            found = f"{self.heads}, of {self.units} units"
            raise InputError("network.heads", found, "heads that divide the units evenly")
        given = (*sizes, "cells", "language", *(f"{name}_dropout" for name in rates))
        sized = {name: getattr(self, name) for name in given}
        self.answer = Network(self.modalities, self.classes, **sized)

    def __call__(
        self,
        features: Mapping[str, Array],
        reset: Array,
        state: Any = None,
        train: bool = False,
        present: Mapping[str, Array] | None = None,
    ) -> tuple[dict[str, Array], dict[str, Array]]:
        """`answer`'s logits [B, U, C]; see `System.__call__`. Over frames there is no state.

        The state, float32: cells of the conversation so far [B]; of its last W cells which
        modalities were there [B, W, M], their embeddings [B, W, M, d], and what each layer read
        in which a modality looks at itself, [B, M, L, W, (M - 1) d].
        """
        logits, state = self.answer(features, reset, state, train, present or {})
        return {"answer": logits}, state
