"""Pretrained networks in memory. Needs PyTorch and transformers (extra: `encoders`)."""

import dataclasses
import functools
import multiprocessing
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from mman_jax.errors import InputError, require
from mman_jax.features.media import SAMPLE_RATE

_INPUTS = {"speech": "input_values", "text": "input_ids", "visual": "pixel_values"}
_PREPARES = {
    "speech": "AutoFeatureExtractor", "text": "AutoTokenizer", "visual": "AutoImageProcessor",
}  # fmt: skip
_KINDS = {"speech": "speech (of waveforms)", "text": "text", "visual": "pictures"}
_UNUSED = ("pooler", "masked_spec_embed")
"""Weights that a folder may lack, since no state depends on them."""

_MOST = 32  # largest number of utterances of a batch
_TOLERANCE = 1e-5
"""Tolerance of states for the rounding errors of batches, relative to the largest state."""

Inputs = Mapping[str, Any]
"""Inputs of a network for one utterance: tensors [1, length] by name."""


@dataclasses.dataclass(frozen=True)
class Network:
    """A network of `transformers`, with its feature extractor, tokenizer or image processor."""

    network: Any
    prepare: Any

    def states(self, layer: int, **inputs: Any) -> np.ndarray:
        """Computes states [B, T, D] float32 of a layer for one batch."""
        import torch

        with torch.inference_mode():
            outputs = self.network(**inputs, output_hidden_states=layer != -1)
        states = outputs.last_hidden_state if layer == -1 else outputs.hidden_states[layer]
        return states.float().numpy()

    def count_states(self, length: int) -> int:
        """Returns T for an input of `length` samples or tokens."""
        if self.network.main_input_name != _INPUTS["speech"]:
            return length
        return int(self.network._get_feat_extract_output_lengths(length))

    def sound(self, samples: np.ndarray) -> Any:
        """Prepares samples, as a tensor of the same length."""
        prepared = self.prepare(samples, sampling_rate=SAMPLE_RATE, return_tensors="pt")
        return prepared["input_values"]

    def pictures(self, frames: np.ndarray) -> Any:
        """Prepares pictures [F, H, W, 3] uint8."""
        options = {"return_tensors": "pt", "input_data_format": "channels_last"}
        return self.prepare(list(frames), **options)["pixel_values"]

    def tokens(self, text: str) -> tuple[dict[str, Any], np.ndarray]:
        """Prepares a text; also returns the ends of its tokens in it, [T] int64."""
        room = getattr(self.network.config, "max_position_embeddings", None) or 2**20
        embeddings = getattr(self.network, "embeddings", None)
        # RoBERTa and similar networks count positions from the one after that of padding.
        padding = getattr(getattr(embeddings, "position_embeddings", None), "padding_idx", None)
        room -= 0 if padding is None else padding + 1
        most = min(self.prepare.model_max_length, room)
        options = {"return_tensors": "pt", "return_offsets_mapping": True}
        tensors = dict(self.prepare(text, truncation=True, max_length=most, **options))
        return tensors, tensors.pop("offset_mapping")[0, :, 1].numpy()


@functools.lru_cache(maxsize=3)
def load(folder: str, modality: str) -> Network:
    """Loads the network of a folder; the last ones are cached in memory."""
    torch = require("torch", "encoders", "encoders")
    transformers = require("transformers", "encoders", "encoders")
    if multiprocessing.parent_process() is not None:
        torch.set_num_threads(1)  # a pool has one process per core
    transformers.utils.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
    preparation = getattr(transformers, _PREPARES[modality]).from_pretrained
    local = {"local_files_only": True, "trust_remote_code": False}
    try:
        read = transformers.AutoModel.from_pretrained
        model, info = read(folder, output_loading_info=True, **local)
        network = _part(model, modality)
        if network.main_input_name != _INPUTS[modality]:
            kinds = {name: _KINDS[key] for key, name in _INPUTS.items()}
            kind = getattr(network.config, "model_type", "unknown")
            actual = kinds.get(network.main_input_name, network.main_input_name)
            found = f"an encoder of {actual} ({kind})"
            raise InputError(folder, found, f"one of {_KINDS[modality]}")
        prepare = preparation(folder, **local)
    except InputError:
        raise
    except Exception as error:  # an invalid folder may raise anything
        reason = str(error).strip().split("\n")[0]
        expected = f"a folder of an encoder of {_KINDS[modality]}, with its weights"
        raise InputError(folder, f"{reason:.300}", expected) from error
    missing = [key for key in info["missing_keys"] if not any(name in key for name in _UNUSED)]
    if missing:
        found = f"weights without {missing[0]} and {len(missing) - 1} others"
        raise InputError(folder, found, "the weights of the network that its config.json describes")
    return Network(network.eval(), prepare)


@functools.lru_cache(maxsize=3)
def count_layers(folder: str, modality: str) -> int:
    """Counts the layers of a network by running it on a small input.

    An InputError reports a network that reads only a part of its input, or whose states do not have
    the axes [pieces, positions, features].
    """
    import torch

    network, expected = load(folder, modality), f"an encoder of {_KINDS[modality]}"
    try:
        if modality == "speech":
            inputs = {"input_values": network.sound(np.zeros(SAMPLE_RATE, np.float32))}
            size = tuple(inputs["input_values"].shape)
            if size != (1, SAMPLE_RATE):
                found = f"reads a second of sound as {size}"
                raise InputError(folder, found, f"{expected}, {SAMPLE_RATE} samples per second")
        elif modality == "visual":
            inputs = {"pixel_values": network.pictures(np.zeros((1, 64, 64, 3), np.uint8))}
        else:
            inputs, _ = network.tokens("a")
        with torch.inference_mode():
            states = network.network(**inputs, output_hidden_states=True).hidden_states
    except InputError:
        raise
    except Exception as error:  # as above
        reason = str(error).strip().split("\n")[0]
        raise InputError(folder, f"{reason:.300}", expected) from error
    if states is None or any(state.ndim != 3 for state in states):
        shape = None if states is None else tuple(states[-1].shape)
        found = f"states of shape {shape}"
        raise InputError(folder, found, f"{expected}, with [pieces, positions, features]")
    return len(states) - 1


def _part(model: Any, modality: str) -> Any:
    """Returns the encoder of a model; for a model of text and pictures, that of the modality."""
    half = {"text": "text_model", "visual": "vision_model"}.get(modality)
    if model.config.is_encoder_decoder:
        return model.get_encoder()
    return getattr(model, half) if half and hasattr(model, half) else model


def states(
    folder: str, modality: str, layer: int, inputs: Sequence[Inputs], room: int
) -> list[np.ndarray]:
    """Computes states [T, D] float32 of several inputs, each independent of the others.

    `room` is the largest number of samples or tokens of a batch, including padding.
    """
    network = load(folder, modality)
    if len(inputs) < 2 or not may_be_padded(folder, modality, layer):
        return [network.states(layer, **tensors)[0] for tensors in inputs]
    results: dict[int, np.ndarray] = {}
    for batch in split([_length(tensors) for tensors in inputs], room):
        together = _together(network, layer, [inputs[i] for i in batch])
        results |= zip(batch, together, strict=True)
    return [results[i] for i in range(len(inputs))]


def split(lengths: Sequence[int], room: int) -> Iterator[list[int]]:
    """Yields batches of inputs of similar lengths, of at most `room` when padded to the longest.

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


def _together(network: Network, layer: int, inputs: Sequence[Inputs]) -> list[np.ndarray]:
    """Computes the states of one batch, padded at the end to the longest input."""
    import torch

    if len(inputs) == 1:
        return [network.states(layer, **inputs[0])[0]]
    lengths = [_length(tensors) for tensors in inputs]
    longest = max(lengths)
    pad = torch.nn.functional.pad
    padded = {
        name: torch.cat([pad(tensors[name], (0, longest - _length(tensors))) for tensors in inputs])
        for name in inputs[0]
    }
    mask = torch.arange(longest) < torch.tensor(lengths)[:, None]
    states = network.states(layer, **padded | {"attention_mask": mask.long()})
    counts = [network.count_states(length) for length in lengths]
    return [state[:count] for state, count in zip(states, counts, strict=True)]


@functools.lru_cache(maxsize=8)
def may_be_padded(folder: str, modality: str, layer: int) -> bool:
    """Tests whether padding leaves the states of an encoder unchanged.

    Padding changes states if a layer computes statistics over the full input (the group norm of
    wav2vec 2.0's and HuBERT's base models, which therefore take no attention mask), or if several
    convolutions follow the mask. Such encoders process one utterance at a time, since features must
    not depend on the other utterances of a batch.
    """
    network = load(folder, modality)
    inputs: list[dict[str, Any]]
    if modality == "speech":
        random = np.random.default_rng(0)
        sounds = [0.1 * random.standard_normal(SAMPLE_RATE // n) for n in (1, 2)]
        inputs = [{"input_values": network.sound(sound.astype(np.float32))} for sound in sounds]
    else:
        inputs = [network.tokens(text)[0] for text in ("a, and another one: b", "a")]
    alone = [network.states(layer, **tensors)[0] for tensors in inputs]
    try:
        together = _together(network, layer, inputs)
    except Exception:  # a network without support for padding may raise anything
        return False
    return all(
        a.shape == b.shape and np.abs(a - b).max() <= _TOLERANCE * max(1.0, np.abs(a).max())
        for a, b in zip(alone, together, strict=True)
    )


def _length(inputs: Inputs) -> int:
    return next(iter(inputs.values())).shape[1]
