"""Emotion in conversations from speech, face and words.

The public API. Nothing here reads flags, writes files unasked, or prints.
"""

from mman_jax.data.corpus import Corpus
from mman_jax.data.parts import Parts, prepare
from mman_jax.data.readers.read import read_corpus
from mman_jax.data.synthetic.process import synthetic_corpus
from mman_jax.data.synthetic.words import words_corpus
from mman_jax.errors import InputError
from mman_jax.inference.answerer import Answer, Answerer
from mman_jax.inference.model import Model
from mman_jax.layers.attention import MultiModalAttention
from mman_jax.layers.recurrent import LSTM
from mman_jax.layers.tower import ContextualLSTM, LateFusion, Tower
from mman_jax.systems import SYSTEMS, build
from mman_jax.systems.base import Stage, System
from mman_jax.systems.mman import MMAN
from mman_jax.tasks import Task, metrics, tasks
from mman_jax.training.mesh import make_mesh
from mman_jax.training.state import Outcome, Snapshot
from mman_jax.training.trainer import Trainer
from mman_jax.types import UNSCORED, Batch, Inputs
from mman_jax.version import __version__

__all__ = [
    "LSTM",
    "MMAN",
    "SYSTEMS",
    "UNSCORED",
    "Answer",
    "Answerer",
    "Batch",
    "ContextualLSTM",
    "Corpus",
    "InputError",
    "Inputs",
    "LateFusion",
    "Model",
    "MultiModalAttention",
    "Outcome",
    "Parts",
    "Snapshot",
    "Stage",
    "System",
    "Task",
    "Tower",
    "Trainer",
    "__version__",
    "build",
    "make_mesh",
    "metrics",
    "prepare",
    "read_corpus",
    "synthetic_corpus",
    "tasks",
    "words_corpus",
]
