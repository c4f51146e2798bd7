"""Reads a corpus from any layout that is known, told by what is in it and never by its name."""

import csv
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mman_jax.data.corpus import Corpus
from mman_jax.data.readers import (
    bc_lstm,
    bc_lstm_pickle,
    dialogue_rnn,
    meld_vectors,
    misa,
    mmsa,
    mult,
    npz,
    pooling,
)
from mman_jax.data.readers.table import Table
from mman_jax.errors import InputError
from mman_jax.files import unpickler

READABLE = (
    "a .npz corpus, a .csv of utterances, a .pkl, .npy, .csd or .json file, or a folder, of a "
    "layout in docs/corpora.md"
)

_PICKLES = (mmsa, mult, misa, bc_lstm_pickle, meld_vectors, dialogue_rnn)
