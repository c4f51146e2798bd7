"""Cells, the elements of a batch's rows: utterances, their words, or their frames."""

from mman_jax.data.cells.frames import Frames
from mman_jax.data.cells.utterances import Cells, Utterances
from mman_jax.data.cells.words import Words

KINDS: dict[str, type[Cells]] = {kind.kind: kind for kind in (Utterances, Words, Frames)}
"""Classes of cells, by their names in `config.data.cells`."""
