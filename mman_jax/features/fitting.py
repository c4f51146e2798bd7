"""Fitting: reductions, vocabularies and networks, on the training utterances alone."""

import functools
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
from flax import traverse_util

from mman_jax.data import splits
from mman_jax.errors import InputError
from mman_jax.features import classifier, manifest
from mman_jax.features.extraction import Arrays, Extraction
from mman_jax.features.manifest import Utterance
from mman_jax.features.settings import Settings
from mman_jax.features.speech import reduction
from mman_jax.features.text import cnn, tfidf, words
from mman_jax.features.visual.resnet3d import ResNet3D

_UNTRAINED = (
    "visual: no pre-trained weights: the network is trained here, on the labels of the training "
    "conversations; expect less than from one pre-trained on human action"
)

Progress = Callable[[str, int, float], None]


def fit_corpus(
    settings: Settings,
    utterances: Sequence[Utterance],
    measured: Mapping[str, Sequence[np.ndarray]],
    source: str,
    pretrained: Arrays | None = None,
    vectors: Path | None = None,
    progress: Progress = lambda modality, epoch, loss: None,
    notice: Callable[[str], None] = lambda message: None,
) -> tuple[Extraction, list[str] | None]:
    """Fits on the training conversations of a manifest, and on nothing else.

    Args:
        settings: how.
        utterances: N of them, in conversation order.
        measured: by modality, what `measure` gave for each.
        source: of the utterances, for messages.
        pretrained: as for `fit`.
        vectors: as for `fit`.
        progress: told of every epoch of training.
        notice: told, in a line each, what somebody should know: the split, and a network that is
            trained on little.

    Returns:
        What was fitted, and `train`, `valid` or `test` for each conversation. That goes with the
        corpus: what was fitted is honest for this split alone. None where nothing was fitted.

    Raises:
        InputError: utterances without a split that can be used, too few of them, or too few labels.
    """
    nothing = np.zeros((len(utterances), 1), np.float32)
    bare = manifest.to_corpus(utterances, {"none": nothing}, source)
    rows, parts = np.arange(0), None
    if settings.needs_fitting(pretrained is not None):
        split = splits.split(bare)
        everything = np.arange(len(utterances))
        rows = np.concatenate([everything[bare.utterances(i)] for i in split.train])
        parts = np.empty(len(bare.lengths), object)
        for name in ("train", "valid", "test"):
            parts[getattr(split, name)] = name
        parts = parts.tolist()
        notice(f"{split.how}; fitted on {len(rows)} utterances of training")
    if settings.without_encoders.visual and pretrained is None:
        notice(_UNTRAINED)
    some = {name: [values[i] for i in rows] for name, values in measured.items()}
    return fit(settings, some, bare.labels[rows], pretrained, vectors, progress), parts


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
        if modality in settings.encoders:
            fitted[modality] = {}
        elif modality == "speech":
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
