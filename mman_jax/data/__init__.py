"""Corpora of conversations: reading and checking them, splits, scaling, batches. NumPy only."""

from mman_jax.data.batching import Layout, pack
from mman_jax.data.corpus import Corpus
from mman_jax.data.protocols import PROTOCOLS, Task, check_table_1, tasks
from mman_jax.data.readers.read import read_corpus
from mman_jax.data.scaling import Scaling
from mman_jax.data.splits import Split, split

__all__ = [
    "PROTOCOLS",
    "Corpus",
    "Layout",
    "Scaling",
    "Split",
    "Task",
    "check_table_1",
    "pack",
    "read_corpus",
    "split",
    "tasks",
]
