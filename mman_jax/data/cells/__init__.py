"""Cells: what the rows of a batch consist of: utterances, their words, or their frames."""

from mman_jax.data.cells.unaligned import Unaligned
from mman_jax.data.cells.utterances import Cells, Utterances
from mman_jax.data.cells.words import Words

KINDS: dict[str, type[Cells]] = {kind.kind: kind for kind in (Utterances, Words, Unaligned)}
"""The kinds of cells by their names in `config.data.cells`."""
