"""Cells, the elements of a batch's rows: utterances, their words, or their frames."""

from mman_jax.data.cells.inside import Frames, Words
from mman_jax.data.cells.utterances import Cells, Utterances

KINDS: dict[str, type[Cells]] = {kind.kind: kind for kind in (Utterances, Words, Frames)}
"""Classes of cells, by their names in `config.data.cells`."""
