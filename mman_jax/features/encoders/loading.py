"""Pretrained encoders in memory. Needs PyTorch and transformers (extra: `encoders`)."""

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


@dataclasses.dataclass(frozen=True)
class Encoder:
    """A network, and what makes its input.

    Attributes:
        network: of transformers, in PyTorch.
        prepare: its feature extractor, tokenizer or image processor.
    """

    network: Any
    prepare: Any

    def states(self, layer: int, **inputs: Any) -> np.ndarray:
        """The states [B, T, D] float32 of a layer, of one batch."""
        import torch

        with torch.inference_mode():
            found = self.network(**inputs, output_hidden_states=layer != -1)
        chosen = found.last_hidden_state if layer == -1 else found.hidden_states[layer]
        return chosen.float().numpy()

    def states_of(self, length: int) -> int:
        """T of an input of so many samples or tokens."""
        if self.network.main_input_name != _INPUTS["speech"]:
            return length
        return int(self.network._get_feat_extract_output_lengths(length))

    def sound(self, samples: np.ndarray) -> Any:
        """What the network reads of samples, as many."""
        given = self.prepare(samples, sampling_rate=SAMPLE_RATE, return_tensors="pt")
        return given["input_values"]

    def pictures(self, frames: Sequence[np.ndarray]) -> Any:
        """What the network reads of pictures [H, W, 3] uint8."""
        how = {"return_tensors": "pt", "input_data_format": "channels_last"}
        return self.prepare(list(frames), **how)["pixel_values"]

    def tokens(self, text: str) -> dict[str, Any]:
        """What the network reads of a text, and where in it each token is (`offset_mapping`)."""
        room = getattr(self.network.config, "max_position_embeddings", None) or 2**20
        embeddings = getattr(self.network, "embeddings", None)
        # RoBERTa and its kin count positions from the one after that of padding.
        padding = getattr(getattr(embeddings, "position_embeddings", None), "padding_idx", None)
        room -= 0 if padding is None else padding + 1
        most = min(self.prepare.model_max_length, room)
        how = {"return_tensors": "pt", "return_offsets_mapping": True}
        return dict(self.prepare(text, truncation=True, max_length=most, **how))


def check(settings: EncoderSettings, modality: str) -> None:
    """Raises InputError where an encoder cannot describe the modality, or lacks the layer."""
    layers = _layers(settings.folder, modality)
    if not -layers - 1 <= settings.layer <= layers:
        expected = f"from {-layers - 1} to {layers}, whose network has {layers} layers"
        raise InputError(settings.name, f"layer {settings.layer}", expected)


@functools.lru_cache(maxsize=3)
def load(folder: str, modality: str) -> Encoder:
    """The encoder of a folder; the last ones are kept.

    Raises:
        InputError: a library is missing, or the folder holds no such encoder.
    """
    try:
        import torch
        import transformers
    except ImportError as error:
        expected = "pip install 'mman_jax[encoders]'"
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
    return Encoder(network.eval(), prepare)


@functools.lru_cache(maxsize=3)
def _layers(folder: str, modality: str) -> int:
    """The layers of an encoder, by one small input.

    Raises:
        InputError: it does not read its input whole, or has states of other axes than [pieces,
            positions, features].
    """
    import torch

    encoder, expected = load(folder, modality), f"an encoder of {_SAYS[modality]}"
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
            given = encoder.tokens("a")
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
