"""Features of transcripts: TF-IDF, or a CNN on word vectors."""

import dataclasses
import re
from collections import Counter
from collections.abc import Sequence
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from flax import traverse_util

from mman_jax.errors import InputError
from mman_jax.features import classifier
from mman_jax.features.extractor import Arrays, TextExtractor, TrainingData
from mman_jax.features.text import readers
from mman_jax.types import Array

_WORD = re.compile(r"\w+(?:['\u2019]\w+)*")
_SMALLEST = 1e-6  # smallest ratio to the largest singular value that is not a rounding error


def tokens(transcript: str) -> list[str]:
    """Returns the words of a transcript, in lower case, without punctuation."""
    return [word.replace("\u2019", "'") for word in _WORD.findall(transcript.lower())]


@dataclasses.dataclass(frozen=True)
class _Text(TextExtractor):
    """Settings of both kinds of features; a saved extraction lists all of them.

    Attributes:
        kind: name of the kind.
        features: K, the number of features.
        words: maximum number of words, from the start of a transcript, that the network reads.
        frequent: number of the vector file's most frequent words to know in addition to those of
            training.
        epochs: epochs of the network's training.
    """

    kind: str = dataclasses.field(init=False)
    features: int = 100
    words: int = 50
    frequent: int = 20_000
    epochs: int = 30

    def __post_init__(self):
        for field in ("features", "words", "epochs"):
            if getattr(self, field) < 1:
                raise InputError(f"text {field}", str(getattr(self, field)), "1 or more")
        if self.frequent < 0:
            raise InputError("text frequent", str(self.frequent), "0 or more")


@dataclasses.dataclass(frozen=True)
class TfIdfText(_Text):
    """TF-IDF, reduced by a singular value decomposition."""

    kind: str = dataclasses.field(default="tfidf", init=False)

    def needs_fitting(self, pretrained: bool) -> bool:
        """Returns True, since the vocabulary is fitted to the training transcripts."""
        return True

    def fit(self, measured: Sequence[np.ndarray], data: TrainingData) -> Arrays:
        """Fits to the N training transcripts, which allow at most min(N, V) - 1 components.

        Directions with a singular value of zero are left out, since they would be noise.

        Returns:
            `vocabulary` [V] str, sorted; `idf` [V] float64: 1 + ln((1 + N) / (1 + transcripts with
            the word)); `components` [V, K] float64: orthonormal columns, by decreasing singular
            value.
        """
        transcripts = [str(transcript) for transcript in measured]
        documents = [set(tokens(transcript)) for transcript in transcripts]
        occurrences = Counter(word for document in documents for word in document)
        components = min(self.features, len(documents) - 1, len(occurrences) - 1)
        if components < 1:
            found = f"{len(documents)} training transcripts of {len(occurrences)} different words"
            raise InputError("text", found, "at least 2 of each")
        vocabulary = np.array(sorted(occurrences))
        counts = np.array([occurrences[word] for word in vocabulary.tolist()])
        idf = 1.0 + np.log((1 + len(documents)) / (1 + counts))
        from scipy.sparse.linalg import svds  # slow to import, and few commands need it

        weights = _tfidf(vocabulary, idf, transcripts)
        # A fixed start makes the iteration reproducible.
        start = np.ones(min(weights.shape))
        _, values, directions = svds(weights, k=components, v0=start)
        order = np.argsort(-values)
        directions = directions[order[values[order] > _SMALLEST * values.max()]].T
        largest = directions[np.abs(directions).argmax(0), np.arange(directions.shape[1])]
        directions = directions * np.where(largest < 0, -1.0, 1.0)
        return {"vocabulary": vocabulary, "idf": idf, "components": directions}

    def apply(self, fitted: Arrays, measured: Sequence[Any]) -> np.ndarray:
        """Computes features [N, K] float32; a transcript without a known word gets zeros."""
        weights = _tfidf(fitted["vocabulary"], fitted["idf"], [str(text) for text in measured])
        return (weights @ fitted["components"]).astype(np.float32)

    def word_vectors(self, fitted: Arrays, texts: Sequence[Sequence[str]]) -> list[np.ndarray]:
        """Returns the features of a transcript of one word, for each word."""
        return _by_text(self.apply(fitted, [word for words in texts for word in words]), texts)


@dataclasses.dataclass(frozen=True)
class CnnText(_Text):
    """A convolutional network on word vectors, trained on labels."""

    kind: str = dataclasses.field(default="cnn", init=False)

    def needs_labels(self, pretrained: bool) -> bool:
        """Returns True, since the network is trained."""
        return True

    def fit(self, measured: Sequence[np.ndarray], data: TrainingData) -> Arrays:
        """Reads the vectors of the vocabulary and trains the network.

        Returns:
            `vocabulary` [V] str, sorted; `vectors` [V, E] float32; the network's variables.
        """
        if data.vectors is None:
            raise InputError("text", "no word vectors", "a word2vec file, or the kind tfidf")
        transcripts = [str(transcript) for transcript in measured]
        known = {word for transcript in transcripts for word in tokens(transcript)}
        words, vectors = readers.read_vectors(data.vectors, known, self.frequent)
        if not known & set(words):
            raise InputError(data.vectors, "no word of the training transcripts", "some of them")
        vocabulary = {"vocabulary": np.array(words), "vectors": vectors}
        labelled, classes = classifier.classes(data.labels)
        packed, mask = pack(vocabulary, [transcripts[i] for i in labelled], self.words)
        network = TextCNN(self.features, int(classes.max()) + 1)
        recipe = classifier.Recipe(self.epochs, 32, 1e-3, data.seed)

        def inputs(chosen: np.ndarray, random: np.random.Generator) -> tuple[np.ndarray, ...]:
            return packed[chosen], mask[chosen]

        variables = classifier.fit(network, inputs, classes, recipe, data.progress)
        return vocabulary | traverse_util.flatten_dict(variables, sep="/")

    def apply(self, fitted: Arrays, measured: Sequence[Any]) -> np.ndarray:
        """Computes features [N, K] float32; a transcript without a known word gets zeros."""
        network = TextCNN(self.features, fitted["params/classes/bias"].shape[0])
        weights = {path: x for path, x in fitted.items() if path not in ("vocabulary", "vectors")}
        variables = traverse_util.unflatten_dict(weights, sep="/")

        @jax.jit
        def describe(variables, vectors, mask):
            return network.apply(variables, (vectors, mask), train=False)[0]

        features = np.zeros((len(measured), network.features), np.float32)
        block = 64  # a fixed shape, so that one transcript and many run the same program
        for start in range(0, len(measured), block):
            some = [str(text) for text in measured[start : start + block]]
            vectors, mask = pack(fitted, some + [""] * (block - len(some)), self.words)
            features[start : start + len(some)] = describe(variables, vectors, mask)[: len(some)]
        return features

    def word_vectors(self, fitted: Arrays, texts: Sequence[Sequence[str]]) -> list[np.ndarray]:
        """Returns the word vectors of the file."""
        vectors, _ = pack(fitted, [word for words in texts for word in words], 1)
        return _by_text(vectors[:, 0], texts)

    def licence(self, fitted: Arrays) -> str:
        """Returns a reference to the licence of the word vectors."""
        return "Text features come from word vectors, which have their own licence."


def of_kind(kind: str, **settings: int) -> TextExtractor:
    """Returns the extractor of a kind, `tfidf` or `cnn`, with these settings."""
    return {"tfidf": TfIdfText, "cnn": CnnText}[kind](**settings)


def _by_text(vectors: np.ndarray, texts: Sequence[Sequence[str]]) -> list[np.ndarray]:
    """Splits the vectors of the words of all texts by text."""
    return np.split(vectors, np.cumsum([len(words) for words in texts])[:-1])


class TextCNN(nn.Module):
    """Convolutions over words, a maximum over the transcript, and a dense layer."""

    features: int  # K
    classes: int  # C
    widths: Sequence[int] = (2, 3, 4)  # kernel widths in words
    maps: int = 50  # channels of each kernel width
    dropout: float = 0.5  # rate before each dense layer

    @nn.compact
    def __call__(self, inputs: tuple[Array, Array], train: bool) -> tuple[Array, Array]:
        """Computes features [B, K] and logits [B, C] of transcripts.

        Args:
            inputs: vectors [B, W, E] float32 and a mask [B, W] bool, False on padding.
            train: whether dropout is active.
        """
        vectors, mask = inputs
        vectors = jnp.where(mask[..., None], vectors, 0.0)
        known = mask.any(-1, keepdims=True)
        pooled = []
        for width in self.widths:
            name = f"words_{width}"
            maps = nn.relu(nn.Conv(self.maps, (width,), padding="SAME", name=name)(vectors))
            pooled.append(jnp.where(mask[..., None], maps, 0.0).max(-2))
        joined = nn.Dropout(self.dropout, deterministic=not train)(jnp.concatenate(pooled, -1))
        features = nn.relu(nn.Dense(self.features, name="features")(joined))
        # Transcripts without a known word get zeros, as with TF-IDF.
        features = jnp.where(known, features, 0.0)
        dropped = nn.Dropout(self.dropout, deterministic=not train)(features)
        return features, nn.Dense(self.classes, name="classes")(dropped)


def pack(fitted: Arrays, transcripts: Sequence[str], length: int) -> tuple[np.ndarray, np.ndarray]:
    """Looks up the vectors of the known words of N transcripts, padded or cut to a length W.

    Returns:
        [N, W, E] float32, and a mask [N, W] bool, False on padding.
    """
    index = {word: i for i, word in enumerate(fitted["vocabulary"].tolist())}
    packed = np.zeros((len(transcripts), length, fitted["vectors"].shape[1]), np.float32)
    mask = np.zeros(packed.shape[:2], bool)
    for row, transcript in enumerate(transcripts):
        known = [index[word] for word in tokens(transcript) if word in index][:length]
        packed[row, : len(known)] = fitted["vectors"][known]
        mask[row, : len(known)] = True
    return packed, mask


def _tfidf(
    vocabulary: np.ndarray, idf: np.ndarray, transcripts: Sequence[str]
) -> Any:  # scipy.sparse.csr_array
    """Computes TF-IDF [N, V], in rows of unit length (or zeros)."""
    from scipy.sparse import csr_array

    index = {word: i for i, word in enumerate(vocabulary.tolist())}
    rows: list[int] = []
    columns: list[int] = []
    values: list[float] = []
    for row, transcript in enumerate(transcripts):
        known = Counter(index[word] for word in tokens(transcript) if word in index)
        weights = np.array([count * idf[i] for i, count in known.items()])
        rows += [row] * len(known)
        columns += known
        values += (weights / (np.linalg.norm(weights) if len(weights) else 1.0)).tolist()
    shape = (len(transcripts), len(vocabulary))
    return csr_array((values, (rows, columns)), shape=shape)
