"""The hidden states of pretrained encoders. Needs PyTorch and transformers (extra: `encoders`)."""

import dataclasses
import functools
import multiprocessing
from collections.abc import Sequence
from typing import Any

import numpy as np

from mman_jax.errors import InputError
from mman_jax.features.encoders.settings import EncoderSettings
from mman_jax.features.media import SAMPLE_RATE

_INPUTS = {"speech": "input_values", "text": "input_ids", "visual": "pixel_values"}
_SAYS = {"speech": "speech (of waveforms)", "text": "text", "visual": "pictures"}
_UNUSED = ("pooler", "masked_spec_embed")
"""Weights of which it does not matter that a folder lacks them: no state depends on them."""

_PIECE = 30 * SAMPLE_RATE  # samples: memory grows with their square
_SHORTEST = SAMPLE_RATE // 10
_PICTURES = 16  # at a time


@dataclasses.dataclass(frozen=True)
class _Encoder:
    network: Any
    prepare: Any

    def states(self, layer: int, **inputs: Any) -> np.ndarray:
        import torch

        with torch.inference_mode():
            found = self.network(**inputs, output_hidden_states=layer != -1)
        chosen = found.last_hidden_state if layer == -1 else found.hidden_states[layer]
        return chosen.float().numpy()

    def sound(self, samples: np.ndarray) -> Any:
        """What the network reads of samples, as many."""
        given = self.prepare(samples, sampling_rate=SAMPLE_RATE, return_tensors="pt")
        return given["input_values"]

    def pictures(self, frames: Sequence[np.ndarray]) -> Any:
        how = {"return_tensors": "pt", "input_data_format": "channels_last"}
        return self.prepare(list(frames), **how)["pixel_values"]


def check(settings: EncoderSettings, modality: str) -> None:
    """Raises InputError where an encoder cannot describe the modality, or lacks the layer."""
    layers = _layers(settings.folder, modality)
    if not -layers - 1 <= settings.layer <= layers:
        expected = f"from {-layers - 1} to {layers}, whose network has {layers} layers"
        raise InputError(settings.name, f"layer {settings.layer}", expected)


def pooled(states: np.ndarray) -> np.ndarray:
    """The mean of states [T, D], and their deviation: [2 D] float32."""
    return np.concatenate([states.mean(0), states.std(0)]).astype(np.float32)


def of_speech(settings: EncoderSettings, samples: np.ndarray) -> np.ndarray:
    """States [T, D] float32 of sound, T of them evenly over it.

    Args:
        settings: of the encoder.
        samples: [samples] float32 at 16 kHz. What is longer than half a minute is described in
            pieces.
    """
    encoder = _loaded(settings.folder, "speech")
    pieces = [samples[i : i + _PIECE] for i in range(0, len(samples), _PIECE)]
    if len(pieces) > 1 and len(pieces[-1]) < _SHORTEST:
        pieces[-2:] = [np.concatenate(pieces[-2:])]
    found = []
    for piece in pieces:
        padded = np.pad(piece, (0, max(0, _SHORTEST - len(piece))))
        found.append(encoder.states(settings.layer, input_values=encoder.sound(padded))[0])
    return np.concatenate(found)


def of_text(settings: EncoderSettings, text: str) -> np.ndarray:
    """States [T, D] float32 of the tokens of a text, as many as the encoder takes."""
    encoder = _loaded(settings.folder, "text")
    given = _tokens(encoder, text)
    return encoder.states(settings.layer, **given)[0]


def of_words(settings: EncoderSettings, words: Sequence[str]) -> np.ndarray:
    """A state [n, D] float32 of each word of one text, the mean of its tokens'.

    A word that the encoder has no token for, or no room for, is zeros.
    """
    encoder = _loaded(settings.folder, "text")
    # As one text, in which the tokens of some encoders begin with the space before a word.
    given = _tokens(encoder, " ".join(words), return_offsets_mapping=True)
    ends = given.pop("offset_mapping")[0, :, 1].numpy()
    states = encoder.states(settings.layer, **given)[0]
    starts = np.cumsum([0, *(len(word) + 1 for word in words)])
    of = np.searchsorted(starts, ends - 1, side="right") - 1
    found = np.zeros((len(words), states.shape[1]), np.float32)
    for word in np.unique(of[ends > 0]):
        found[word] = states[(of == word) & (ends > 0)].mean(0)
    return found


def of_pictures(settings: EncoderSettings, frames: np.ndarray) -> np.ndarray:
    """A state [F, D] float32 of each picture [F, H, W, 3] uint8: the mean of its positions'."""
    encoder = _loaded(settings.folder, "visual")
    found = []
    for first in range(0, len(frames), _PICTURES):
        given = encoder.pictures(frames[first : first + _PICTURES])
        found.append(encoder.states(settings.layer, pixel_values=given).mean(1))
    return np.concatenate(found)


def _tokens(encoder: _Encoder, text: str, **how: Any) -> Any:
    room = getattr(encoder.network.config, "max_position_embeddings", None) or 2**20
    embeddings = getattr(encoder.network, "embeddings", None)
    # RoBERTa and its kin count positions from the one after that of padding.
    padding = getattr(getattr(embeddings, "position_embeddings", None), "padding_idx", None)
    room -= 0 if padding is None else padding + 1
    most = min(encoder.prepare.model_max_length, room)
    return encoder.prepare(text, truncation=True, max_length=most, return_tensors="pt", **how)


@functools.lru_cache(maxsize=3)
def _loaded(folder: str, modality: str) -> _Encoder:
    try:
        import torch
        import transformers
    except ImportError as error:
        expected = "pip install -e '.[encoders]'"
        raise InputError("encoders", f"{error.name} is missing", expected) from error
    if multiprocessing.parent_process() is not None:
        torch.set_num_threads(1)  # a pool has a process a core
    transformers.utils.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
    prepares = {
        "speech": transformers.AutoFeatureExtractor,
        "text": transformers.AutoTokenizer,
        "visual": transformers.AutoImageProcessor,
    }
    try:
        whole, told = transformers.AutoModel.from_pretrained(
            folder, local_files_only=True, output_loading_info=True, trust_remote_code=False
        )
        network = _part(whole, modality)
        _check_kind(folder, network, modality)
        prepare = prepares[modality].from_pretrained(
            folder, local_files_only=True, trust_remote_code=False
        )
    except InputError:
        raise
    except Exception as error:  # whatever a damaged or foreign folder makes of the library
        reason = str(error).strip().split("\n")[0]
        expected = f"a folder of an encoder of {_SAYS[modality]}, with its weights"
        raise InputError(folder, f"{reason:.300}", expected) from error
    lacks = [key for key in told["missing_keys"] if not any(name in key for name in _UNUSED)]
    if lacks:
        found = f"weights without {lacks[0]} and {len(lacks) - 1} others"
        raise InputError(folder, found, "the weights of the network that its config.json describes")
    return _Encoder(network.eval(), prepare)


@functools.lru_cache(maxsize=3)
def _layers(folder: str, modality: str) -> int:
    """The layers of an encoder, by one small input.

    Raises:
        InputError: it does not read its input whole, or has states of other axes than [pieces,
            positions, features].
    """
    import torch

    encoder, expected = _loaded(folder, modality), f"an encoder of {_SAYS[modality]}"
    try:
        if modality == "speech":
            given = {"input_values": encoder.sound(np.zeros(SAMPLE_RATE, np.float32))}
            shape = tuple(given["input_values"].shape)
            if shape != (1, SAMPLE_RATE):
                found = f"reads a second of sound as {shape}"
                raise InputError(folder, found, f"{expected}, {SAMPLE_RATE} numbers a second")
        elif modality == "visual":
            given = {"pixel_values": encoder.pictures([np.zeros((64, 64, 3), np.uint8)])}
        else:
            given = dict(_tokens(encoder, "a", return_offsets_mapping=True))
            given.pop("offset_mapping")
        with torch.inference_mode():
            states = encoder.network(**given, output_hidden_states=True).hidden_states
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


def _part(whole: Any, modality: str) -> Any:
    """The encoder alone: of one that joins words and pictures its own half."""
    half = {"text": "text_model", "visual": "vision_model"}.get(modality)
    if whole.config.is_encoder_decoder:
        return whole.get_encoder()
    return getattr(whole, half) if half and hasattr(whole, half) else whole


def _check_kind(folder: str, network: Any, modality: str) -> None:
    if network.main_input_name != _INPUTS[modality]:
        takes = {name: key for key, name in _INPUTS.items()}.get(network.main_input_name)
        kind = getattr(network.config, "model_type", "unknown")
        found = f"an encoder of {_SAYS[takes] if takes else network.main_input_name} ({kind})"
        raise InputError(folder, found, f"one of {_SAYS[modality]}")
