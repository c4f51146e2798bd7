"""The hidden states of pretrained encoders, of several utterances at once."""

from collections.abc import Sequence

import numpy as np

from mman_jax.features.encoders import batches, loading
from mman_jax.features.encoders.settings import EncoderSettings
from mman_jax.features.media import SAMPLE_RATE

_PIECE = 30 * SAMPLE_RATE  # samples: memory grows with their square
_SHORTEST = SAMPLE_RATE // 10
_SOUND = 8 * SAMPLE_RATE  # of a batch: on CPUs longer ones gain less than their padding costs
_TOKENS = 4096  # of a batch of texts
_PICTURES = 16  # at a time


def pooled(states: np.ndarray) -> np.ndarray:
    """The mean of states [T, D], and their deviation: [2 D] float32."""
    return np.concatenate([states.mean(0), states.std(0)]).astype(np.float32)


def of_speech(settings: EncoderSettings, sounds: Sequence[np.ndarray]) -> list[np.ndarray]:
    """States [T, D] float32 of each sound, T of them evenly over it.

    Args:
        settings: of the encoder.
        sounds: each [samples] float32 at 16 kHz. What is longer than half a minute is described in
            pieces.
    """
    encoder = loading.load(settings.folder, "speech")
    pieces, counts = [], []
    for samples in sounds:
        own = [samples[i : i + _PIECE] for i in range(0, len(samples), _PIECE)]
        if len(own) > 1 and len(own[-1]) < _SHORTEST:
            own[-2:] = [np.concatenate(own[-2:])]
        pieces += [np.pad(piece, (0, max(0, _SHORTEST - len(piece)))) for piece in own]
        counts.append(len(own))
    given = ({"input_values": encoder.sound(piece)} for piece in pieces)
    found = batches.states(settings, "speech", list(given), _SOUND)
    ends = np.cumsum(counts)
    return [np.concatenate(found[end - n : end]) for end, n in zip(ends, counts, strict=True)]


def of_text(settings: EncoderSettings, texts: Sequence[str]) -> list[np.ndarray]:
    """States [T, D] float32 of the tokens of each text, as many as the encoder takes."""
    return [found for found, _ in _of_tokens(settings, texts)]


def of_words(settings: EncoderSettings, texts: Sequence[Sequence[str]]) -> list[np.ndarray]:
    """Of each text of n words a state [n, D] float32 of each word, the mean of its tokens'.

    A word that the encoder has no token for, or no room for, is zeros.
    """
    # As one text, in which the tokens of some encoders begin with the space before a word.
    joined = _of_tokens(settings, [" ".join(words) for words in texts])
    return [_by_word(words, *found) for words, found in zip(texts, joined, strict=True)]


def of_pictures(settings: EncoderSettings, frames: np.ndarray) -> np.ndarray:
    """A state [F, D] float32 of each picture [F, H, W, 3] uint8: the mean of its positions'."""
    encoder = loading.load(settings.folder, "visual")
    found = []
    for first in range(0, len(frames), _PICTURES):
        given = encoder.pictures(frames[first : first + _PICTURES])
        found.append(encoder.states(settings.layer, pixel_values=given).mean(1))
    return np.concatenate(found)


def _of_tokens(
    settings: EncoderSettings, texts: Sequence[str]
) -> list[tuple[np.ndarray, np.ndarray]]:
    """Of each text the states [T, D] of its tokens, and where in it each ends, [T] int64."""
    encoder = loading.load(settings.folder, "text")
    given = [encoder.tokens(text) for text in texts]
    ends = [tokens.pop("offset_mapping")[0, :, 1].numpy() for tokens in given]
    return list(zip(batches.states(settings, "text", given, _TOKENS), ends, strict=True))


def _by_word(words: Sequence[str], states: np.ndarray, ends: np.ndarray) -> np.ndarray:
    starts = np.cumsum([0, *(len(word) + 1 for word in words)])
    of = np.searchsorted(starts, ends - 1, side="right") - 1
    found = np.zeros((len(words), states.shape[1]), np.float32)
    for word in np.unique(of[ends > 0]):
        found[word] = states[(of == word) & (ends > 0)].mean(0)
    return found
