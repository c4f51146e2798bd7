"""Corpora of a trial for training and testing, and their cells."""

import dataclasses
import functools
import os
from typing import Any

from ml_collections import ConfigDict

from mman_jax.data import cross_corpus
from mman_jax.data.cells import KINDS, Cells
from mman_jax.data.corpus import Corpus
from mman_jax.data.label_names import check_map, read_map, relabel
from mman_jax.data.readers import pooling
from mman_jax.data.readers.read import read_corpus
from mman_jax.data.scaling import Rule
from mman_jax.data.synthetic.process import synthetic_corpus
from mman_jax.data.synthetic.words import words_corpus
from mman_jax.errors import InputError, nearest, within
from mman_jax.systems import SYSTEMS, build
from mman_jax.systems.base import BaseSystem
from mman_jax.systems.settings import SPEAKERS, SUBWORD
from mman_jax.trial.config import network

EACH = "each"
"""The value of `data.scale` for scaling a test corpus by the statistics of that corpus."""

SPEAKER = "speaker"
"""The value of `data.scale_by` for scaling by the statistics of each speaker."""


@dataclasses.dataclass(frozen=True)
class External:
    """Another corpus that a trial is tested on.

    Attributes:
        training: the full training corpus.
        corpus: the full corpus that is tested on, with the modalities of the training corpus.
        scaled_apart: whether its features are scaled by its own statistics.
        scaled: a description of the statistics by which its features are scaled.
    """

    training: Corpus
    corpus: Corpus
    scaled_apart: bool
    scaled: str

    def about(self) -> dict[str, Any]:
        """Returns the fields of both corpora in results, in addition to the parts."""
        conversations, utterances = len(self.training.lengths), len(self.training.labels)
        return {"conversations": conversations, "utterances": utterances, "test": self.card()}

    def card(self) -> dict[str, str]:
        """Returns the fields of the corpus in a model's card."""
        return {
            "path": self.corpus.source,
            "sha256": self.corpus.fingerprint(),
            "which": cross_corpus.test_part(self.corpus)[1],
            "scaled": self.scaled,
        }


def load_corpus(data: ConfigDict) -> Corpus:
    """Reads the training corpus, with the modalities and labels that a config names."""
    corpus, _ = _load(data, with_test=False)
    return corpus


def load_corpora(data: ConfigDict) -> tuple[Corpus, External | None]:
    """Reads the training corpus, and the other corpus to test on if a config names one.

    Raises:
        InputError: settings contradict each other, a corpus cannot be read, or the label map has a
            label that neither corpus has.
    """
    _check_test(data)
    corpus, other = _load(data, with_test=True)
    if other is None:
        return corpus, None
    other = other.select_modalities(list(corpus.features))
    scaled = "the statistics of the training conversations"
    if data.scale == EACH:
        scaled = "the test corpus's own statistics, without labels"
    if data.scale_by == SPEAKER:
        scaled = "the statistics of each of its speakers, without labels"
    return corpus, External(corpus, other, data.scale == EACH, scaled)


def load_cells(config: ConfigDict, corpus: Corpus) -> Cells:
    """Creates the cells of a config, with frames if the system reads frames."""
    data, names = config.data, modalities(config.data)

    @functools.cache
    def system() -> BaseSystem:
        with within("config"):
            # The number of classes does not matter.
            known = list(corpus.sequences or corpus.features)
            built = build(network(config), names or known, 2)
            built.check_data("classes", data.cells)
        return built

    # Building an unknown system raises the error.
    reads = getattr(SYSTEMS.get(config.system), "reads", ())
    places = system().places if SPEAKERS in reads else 0
    return KINDS[data.cells].make(
        corpus,
        names,
        subword=SUBWORD in reads,
        frame_view=lambda name: system().frame_view(name),  # built if needed
        places=places,
        pivot=data.pivot,
        most=data.words,
    )


def scaling_rule(data: ConfigDict) -> Rule:
    """Returns the operations of a config's scaling in addition to standardising."""
    return Rule(data.scale_by == SPEAKER, data.reduce.to_dict())


def modalities(data: ConfigDict) -> list[str]:
    """Returns the modalities that a config names."""
    return [name.strip() for name in data.modalities.split(",") if name.strip()]


def _check_test(data: ConfigDict) -> None:
    """Raises an InputError if settings of scaling and of a test corpus contradict each other."""
    for field, value in (("scale", EACH), ("scale_by", SPEAKER)):
        if data[field] not in (None, value):
            raise InputError(
                f"config.data.{field}", repr(data[field]), nearest(data[field], [value])
            )
    inside, tests = not KINDS[data.cells].vectors, data.test is not None
    cells, folds = f"and cells of {data.cells}", f"and folds by {data.folds}"
    for field, wrong, found, expected in (
        ("scale_by", inside, cells, "utterances"),
        ("scale", not tests, "without another corpus to test on", "config.data.test as well"),
        ("test", data.path is None, "without a corpus to train on", "config.data.path as well"),
        ("test", inside, cells, "utterances"),
        ("target", tests, "with another corpus to test on", "labels of utterances"),
        ("test", data.folds, f"{folds}, which have their own test parts", "one of the two"),
    ):
        if data[field] and wrong:
            raise InputError(f"config.data.{field}", f"{data[field]!r}, {found}", expected)


def _load(data: ConfigDict, with_test: bool) -> tuple[Corpus, Corpus | None]:
    kind = KINDS[data.cells]
    if data.path is None:
        corpus = synthetic_corpus() if kind.vectors else words_corpus()
    else:
        corpus = _read(data.path, kind.pool)
    names, pivot = modalities(data), data.pivot or kind.reference_modality(corpus)
    if names and pivot not in ("", *names):
        names.append(pivot)
    corpus = corpus.select_modalities(names) if names else corpus
    other = _read(data.test, kind.pool) if with_test and data.test is not None else None
    labels = read_map(data.label_map or "")
    if with_test or data.test is None:
        check_map(labels, [corpus] if other is None else [corpus, other])
    corpus = relabel(corpus, labels)
    return corpus, None if other is None else relabel(other, labels)


def _read(path: str, pool: pooling.How) -> Corpus:
    """Reads a corpus, once for all trials of a study that a process trains on it."""
    if not os.path.isfile(path):
        return read_corpus(path, pool=pool)
    stat = os.stat(path)
    return _read_once(path, pool, stat.st_ino, stat.st_size, stat.st_mtime_ns)


@functools.lru_cache(maxsize=2)  # a training corpus and a test corpus
def _read_once(path: str, pool: pooling.How, *_: int) -> Corpus:
    return read_corpus(path, pool=pool)
