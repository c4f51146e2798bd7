"""Fitting: reductions, vocabularies and networks, on the training utterances alone."""

import functools
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
from flax import traverse_util

from mman_jax.errors import InputError
from mman_jax.features import classifier
from mman_jax.features.extraction import Arrays, Extraction, Settings
from mman_jax.features.speech import reduction
from mman_jax.features.text import cnn, tfidf, words
from mman_jax.features.visual.resnet3d import ResNet3D

Progress = Callable[[str, int, float], None]


def fit(
    settings: Settings,
    measured: Mapping[str, Sequence[np.ndarray]],
    labels: np.ndarray,
    pretrained: Arrays | None = None,
    vectors: Path | None = None,
    progress: Progress = lambda modality, epoch, loss: None,
) -> Extraction:
    """Fits what each modality needs, on the training utterances and nothing else.

    Args:
        settings: how.
        measured: by modality, what `measure` gave for the N training utterances.
        labels: [N] int32 of the training utterances; -1: no label.
        pretrained: the network's weights for pictures, or None: trained here.
        vectors: the word2vec file that text of the kind `cnn` needs.
        progress: told of every epoch of training.

    Raises:
        InputError: too few utterances or labels.
    """
    fitted: dict[str, Arrays] = {}
    for modality in settings.modalities:
        values = measured[modality]
        tell = functools.partial(progress, modality)
        if modality == "speech":
            components = settings.speech.components
            if components:
                found = reduction.fit(np.stack(values), components)
            fitted[modality] = vars(found) if components else {}
        elif modality == "visual":
            fitted[modality] = pretrained or _fit_visual(settings, values, labels, tell)
        elif settings.text.kind == "tfidf":
            fitted[modality] = vars(tfidf.fit([str(t) for t in values], settings.text.features))
        else:
            transcripts = [str(transcript) for transcript in values]
            fitted[modality] = _fit_text(settings, transcripts, labels, vectors, tell)
    return Extraction(settings, fitted)


def _fit_visual(settings, clips, labels, progress):
    labelled, classes = _classes(labels)
    network = ResNet3D(settings.visual.width, int(classes.max()) + 1)

    def inputs(chosen, random):
        # A window of each, another one every time.
        those = [clips[labelled[i]] for i in chosen]
        return np.stack([clip[random.integers(len(clip))] for clip in those])

    recipe = classifier.Recipe(settings.visual.epochs, 8, 1e-3, settings.seed)
    return _flat(classifier.fit(network, inputs, classes, recipe, progress))


def _fit_text(settings, transcripts, labels, vectors, progress):
    if vectors is None:
        raise InputError("text", "no word vectors", "a word2vec file, or the kind tfidf")
    known = {word for transcript in transcripts for word in words.tokens(transcript)}
    vocabulary, table = words.read_vectors(vectors, known, settings.text.frequent)
    if not known & set(vocabulary):
        raise InputError(vectors, "no word of the training transcripts", "some of them")
    embedding = cnn.Embedding(np.array(vocabulary), table, settings.text.words)
    labelled, classes = _classes(labels)
    laid, mask = embedding.apply([transcripts[i] for i in labelled])
    network = cnn.TextCNN(settings.text.features, int(classes.max()) + 1)
    recipe = classifier.Recipe(settings.text.epochs, 32, 1e-3, settings.seed)

    def inputs(chosen, random):
        return laid[chosen], mask[chosen]

    found = _flat(classifier.fit(network, inputs, classes, recipe, progress))
    return {"vocabulary": embedding.vocabulary, "vectors": table} | found


def _classes(labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Which utterances have a label, and their classes, numbered without gaps."""
    labelled = np.flatnonzero(labels >= 0)
    if not len(labelled):
        expected = "labels, or features that need none (tfidf, given weights)"
        raise InputError("feature network", "no labelled training utterance", expected)
    return labelled, np.unique(labels[labelled], return_inverse=True)[1].astype(np.int32)


def _flat(variables: dict) -> dict[str, np.ndarray]:
    return traverse_util.flatten_dict(variables, sep="/")
