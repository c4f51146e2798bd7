"""The corpora of a trial: the one that it trains on, and another one if it is tested on that."""

import dataclasses
import functools
import os
from typing import Any

from ml_collections import ConfigDict

from mman_jax.data import another, relabelling
from mman_jax.data.corpus import Corpus
from mman_jax.data.readers import pooling
from mman_jax.data.readers.read import read_corpus
from mman_jax.data.synthetic.process import synthetic_corpus
from mman_jax.data.synthetic.words import words_corpus
from mman_jax.errors import InputError, nearest

EACH = "each"
"""The value of `data.scale` by which a test corpus is scaled by its own statistics."""


@dataclasses.dataclass(frozen=True)
class Tested:
    """Another corpus that a trial is tested on.

    Attributes:
        own: the whole corpus that is trained on.
        corpus: the whole corpus that is tested on, in the modalities of the other.
        scaled: what its features are scaled by, in words.
    """

    own: Corpus
    corpus: Corpus
    scaled: str

    def about(self) -> dict[str, Any]:
        """What results say of both, beside the parts."""
        size = {"conversations": len(self.own.lengths), "utterances": len(self.own.labels)}
        return size | {"test": self.card()}

    def card(self) -> dict[str, str]:
        """What a model says of it, too."""
        return {
            "path": self.corpus.source,
            "sha256": self.corpus.fingerprint(),
            "which": another.test_part(self.corpus)[1],
            "scaled": self.scaled,
        }


def check(data: ConfigDict) -> None:
    """Refuses settings of a test corpus that do not go together.

    Raises:
        InputError: naming the field.
    """
    if data.scale is not None and data.scale != EACH:
        raise InputError("config.data.scale", repr(data.scale), nearest(data.scale, [EACH]))
    if data.test is None:
        if data.scale is not None:
            found = f"{data.scale!r} without another corpus to test on"
            raise InputError("config.data.scale", found, "config.data.test, too")
        return
    if data.path is None:
        found = f"{data.test!r} without a corpus to train on"
        raise InputError("config.data.test", found, "config.data.path, too")
    if data.cells != "utterances":
        found = f"{data.test!r}, and cells of {data.cells}"
        raise InputError("config.data.test", found, "utterances")
    if data.target:
        found = f"{data.target!r}, with another corpus to test on"
        raise InputError("config.data.target", found, "labels of utterances")
    if data.folds:
        found = f"{data.test!r}, and folds by {data.folds}, each of which tests on its own"
        raise InputError("config.data.test", found, "one of the two")


def load_corpus(data: ConfigDict) -> Corpus:
    """The corpus to train on that a config names, in the modalities and labels that it names."""
    corpus, _ = _load(data, with_test=False)
    return corpus


def load_corpora(data: ConfigDict) -> tuple[Corpus, Tested | None]:
    """The same, and the other corpus that is tested on, if one is named.

    Raises:
        InputError: what `check` refuses; a corpus that cannot be read; a label of the map that
            neither has.
    """
    check(data)
    corpus, other = _load(data, with_test=True)
    if other is None:
        return corpus, None
    other = other.select_modalities(list(corpus.features))
    scaled = "the test corpus's own statistics, without labels" if data.scale == EACH else ""
    return corpus, Tested(corpus, other, scaled or "the statistics of the training conversations")


def modalities(data: ConfigDict) -> list[str]:
    """The modalities that a config names."""
    return [name.strip() for name in data.modalities.split(",") if name.strip()]


def _load(data: ConfigDict, with_test: bool) -> tuple[Corpus, Corpus | None]:
    if data.path is None:
        corpus = synthetic_corpus() if data.cells == "utterances" else words_corpus()
    else:
        corpus = _read(data.path, "mean" if data.cells == "utterances" else None)
    names = modalities(data)
    pivot = data.pivot
    if data.cells == "words" and not pivot and "text" in corpus.sequences:
        pivot = "text"  # also of other modalities the words are those of text
    if names and pivot not in ("", *names):
        names.append(pivot)
    corpus = corpus.select_modalities(names) if names else corpus
    other = _read(data.test, "mean") if with_test and data.test is not None else None
    labels = relabelling.read(data.label_map or "")
    if with_test or data.test is None:
        relabelling.check(labels, [one for one in (corpus, other) if one is not None])
    corpus = relabelling.relabel(corpus, labels)
    return corpus, None if other is None else relabelling.relabel(other, labels)


def _read(path: str, pool: pooling.How) -> Corpus:
    """A corpus, read once for the many parts of a study that a process trains on it."""
    if not os.path.isfile(path):
        return read_corpus(path, pool=pool)
    about = os.stat(path)
    return _read_once(path, pool, about.st_ino, about.st_size, about.st_mtime_ns)


@functools.lru_cache(maxsize=2)  # a corpus, and one that is tested on
def _read_once(path: str, pool: pooling.How, *_: int) -> Corpus:
    return read_corpus(path, pool=pool)
