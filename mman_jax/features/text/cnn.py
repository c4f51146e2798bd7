"""Text: word vectors through a convolutional network, or TF-IDF where there are no vectors."""

import dataclasses
from collections.abc import Sequence

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from mman_jax.errors import InputError
from mman_jax.features.text.words import tokens
from mman_jax.types import Array


@dataclasses.dataclass(frozen=True)
class TextSettings:
    """How transcripts become features.

    Attributes:
        kind: `cnn` (word vectors, trained on labels) or `tfidf`.
        features: K.
        words: of a transcript that the network sees, the first so many; the rest is padding.
        frequent: words of the vector file known beside those of training, the most frequent.
        epochs: of the network's training.
    """

    kind: str = "tfidf"
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


class TextCNN(nn.Module):
    """Convolutions over words, the largest value of each in the transcript, a dense layer.

    Attributes:
        features: K.
        classes: C.
        widths: words that each kind of convolution spans.
        maps: of each kind.
        dropout: share of values dropped before each dense layer in training.
    """

    features: int
    classes: int
    widths: Sequence[int] = (2, 3, 4)
    maps: int = 50
    dropout: float = 0.5

    @nn.compact
    def __call__(self, inputs: tuple[Array, Array], train: bool) -> tuple[Array, Array]:
        """Features [B, K] and logits [B, C] of transcripts.

        Args:
            inputs: vectors [B, W, E] float32 and a mask [B, W] bool, False on padding.
            train: whether to drop values.
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
        # Without a known word there is nothing to describe: zeros, as with TF-IDF.
        features = jnp.where(known, features, 0.0)
        dropped = nn.Dropout(self.dropout, deterministic=not train)(features)
        return features, nn.Dense(self.classes, name="classes")(dropped)


@dataclasses.dataclass(frozen=True, eq=False)
class Embedding:
    """Word vectors as a table.

    Attributes:
        vocabulary: [V] str, sorted.
        vectors: [V, E] float32.
        words: W, the length to which transcripts are padded or cut.
    """

    vocabulary: np.ndarray
    vectors: np.ndarray
    words: int

    def apply(self, transcripts: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
        """Vectors [N, W, E] float32 of the known words, in order, and the mask [N, W] bool."""
        index = {word: i for i, word in enumerate(self.vocabulary.tolist())}
        laid = np.zeros((len(transcripts), self.words, self.vectors.shape[1]), np.float32)
        mask = np.zeros(laid.shape[:2], bool)
        for row, transcript in enumerate(transcripts):
            known = [index[word] for word in tokens(transcript) if word in index][: self.words]
            laid[row, : len(known)] = self.vectors[known]
            mask[row, : len(known)] = True
        return laid, mask


def describe(
    network: TextCNN, variables: dict, embedding: Embedding, transcripts: Sequence[str]
) -> np.ndarray:
    """Features [N, K] float32 of transcripts, by a trained network."""

    @jax.jit
    def features(variables, vectors, mask):
        return network.apply(variables, (vectors, mask), train=False)[0]

    found = np.zeros((len(transcripts), network.features), np.float32)
    block = 64  # of one shape, so that one transcript and many run the same program
    for start in range(0, len(transcripts), block):
        some = list(transcripts[start : start + block])
        vectors, mask = embedding.apply(some + [""] * (block - len(some)))
        found[start : start + len(some)] = features(variables, vectors, mask)[: len(some)]
    return found
