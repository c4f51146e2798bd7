"""Utterances of several lengths through an encoder at once, each answered as if it were alone."""

import functools
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from mman_jax.features.encoders import loading
from mman_jax.features.encoders.loading import Encoder
from mman_jax.features.encoders.settings import EncoderSettings
from mman_jax.features.media import SAMPLE_RATE

_MOST = 32  # utterances of a batch
_NEAR = 1e-5
"""How far a state may move by what is beside it, as a share of the largest: what rounding does."""

Inputs = Mapping[str, Any]
"""What an encoder reads of one utterance: tensors [1, length] by name."""


def states(
    settings: EncoderSettings, modality: str, given: Sequence[Inputs], room: int
) -> list[np.ndarray]:
    """The states [T, D] float32 of each of several inputs.

    Args:
        settings: of the encoder.
        modality: `speech` or `text`.
        given: of each utterance.
        room: what a batch holds at most, padding counted: samples or tokens.
    """
    encoder = loading.load(settings.folder, modality)
    lengths = [_length(one) for one in given]
    if len(given) < 2 or not _may_be_padded(settings.folder, modality, settings.layer):
        return [encoder.states(settings.layer, **one)[0] for one in given]
    found: list[Any] = [None] * len(given)
    for chosen in split(lengths, room):
        together = _together(encoder, settings.layer, [given[i] for i in chosen])
        for i, own in zip(chosen, together, strict=True):
            found[i] = own
    return found


def split(lengths: Sequence[int], room: int) -> Iterator[list[int]]:
    """Which inputs go together: of like lengths, and at most `room` where all are as the longest.

    >>> list(split([3, 100, 2, 4], room=12))
    [[2, 0, 3], [1]]
    """
    batch: list[int] = []
    for i in sorted(range(len(lengths)), key=lambda i: lengths[i]):
        if batch and (len(batch) == _MOST or lengths[i] * (len(batch) + 1) > room):
            yield batch
            batch = []
        batch.append(i)
    if batch:
        yield batch


def _together(encoder: Encoder, layer: int, given: Sequence[Inputs]) -> list[np.ndarray]:
    """The states of one batch, padded at the end to the longest."""
    import torch

    if len(given) == 1:
        return [encoder.states(layer, **given[0])[0]]
    lengths = [_length(one) for one in given]
    longest = max(lengths)
    padded = {
        name: torch.cat(
            [torch.nn.functional.pad(one[name], (0, longest - _length(one))) for one in given]
        )
        for name in given[0]
    }
    real = torch.arange(longest) < torch.tensor(lengths)[:, None]
    found = encoder.states(layer, **padded | {"attention_mask": real.long()})
    kept = [encoder.states_of(length) for length in lengths]
    return [own[:count] for own, count in zip(found, kept, strict=True)]


@functools.lru_cache(maxsize=8)
def _may_be_padded(folder: str, modality: str, layer: int) -> bool:
    """Whether padding leaves the states of an encoder as they are, by trying it.

    It does not where a layer takes its statistics over all of a sound, padding included (the group
    norm of wav2vec 2.0's and HuBERT's base models, which for that reason take no attention mask),
    nor where several convolutions follow each other after the mask. Such encoders are given one
    utterance at a time: what an utterance is must not depend on what is measured beside it.
    """
    encoder = loading.load(folder, modality)
    if modality == "speech":
        draws = np.random.default_rng(0)
        sounds = [0.1 * draws.standard_normal(SAMPLE_RATE // n) for n in (1, 2)]
        given = [{"input_values": encoder.sound(sound.astype(np.float32))} for sound in sounds]
    else:
        given = [encoder.tokens(text) for text in ("a, and another one: b", "a")]
        for one in given:
            del one["offset_mapping"]
    alone = [encoder.states(layer, **one)[0] for one in given]
    try:
        together = _together(encoder, layer, given)
    except Exception:  # whatever a network that knows no padding makes of it
        return False
    return all(
        a.shape == b.shape and np.abs(a - b).max() <= _NEAR * max(1.0, np.abs(a).max())
        for a, b in zip(alone, together, strict=True)
    )


def _length(one: Inputs) -> int:
    return next(iter(one.values())).shape[1]
