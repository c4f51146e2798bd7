"""Embeddings of voices: vectors that are close to each other for the same speaker."""

import functools
import importlib.util
import pathlib
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import scipy.signal

from mman_jax.errors import InputError, require
from mman_jax.features.encoders import folders
from mman_jax.features.media import SAMPLE_RATE
from mman_jax.features.speech import prosody

RESEMBLYZER = "resemblyzer"
STATISTICS = "mfcc"

_TARGET = -30.0  # dB, the level to which Resemblyzer raises quiet sounds
_FRAMES, _STEP = 160, 77  # frames of a piece and between pieces, as Resemblyzer cuts them
_COVERED = 0.75  # share of the last piece that must be within the turn
# Deviations between the turns of a speaker, measured on EMO-DB: of the cepstrum, and half that of
# the pitch.
_DEVIATIONS = np.array([2.1, 1.9, 1.5, 1.4, 1.1, 0.8, 0.7, 0.7, 0.6, 0.5, 0.5, 0.5, 0.4, 2.5])


class Embedding(NamedTuple):
    """A method of computing embeddings.

    Attributes:
        of_turns: maps the samples of N turns to vectors [N, D].
        apart: cosine distance above which two voices are of different people; None if unknown.
        name: name of the method, for notices.
    """

    of_turns: Callable[[list[np.ndarray]], np.ndarray]
    apart: float | None
    name: str


def find(name: str = "") -> Embedding:
    """Finds a method of computing embeddings.

    Args:
        name: `hf:FOLDER`, a speaker encoder of the library transformers; `resemblyzer`, the weights
            of that package, which must be installed; `mfcc`, statistics of cepstrum and pitch;
            empty: `resemblyzer` if it is installed, otherwise `mfcc`.

    Raises:
        InputError: a library or the encoder is missing.
    """
    weights = _weights()
    if name.startswith(folders.PREFIX):
        folder = folders.find(name)
        network = functools.cache(lambda: _load_encoder(folder))
        return Embedding(lambda turns: _encode(*network(), turns), 0.5, name)
    if name == RESEMBLYZER or (not name and weights and importlib.util.find_spec("torch")):
        if weights is None:
            expected = "the package Resemblyzer, installed without its dependencies, and torch"
            raise InputError(RESEMBLYZER, "its package is missing", expected)
        network = functools.cache(lambda: _load_resemblyzer(weights))
        return Embedding(lambda turns: _resemble(*network(), turns), 0.3, RESEMBLYZER)
    if name not in ("", STATISTICS):
        expected = f"{folders.PREFIX}FOLDER, {RESEMBLYZER} or {STATISTICS}"
        raise InputError("speaker_encoder", repr(name), expected)
    about = "statistics of cepstrum and pitch, which confuse more voices than an encoder does"
    return Embedding(_describe, None, about)


def _describe(turns: list[np.ndarray]) -> np.ndarray:
    """Computes mean cepstrum and median pitch where the voice is heard, [N, 14]."""
    columns = [prosody.DESCRIPTORS.index(f"mfcc_{n}") for n in range(1, 14)]
    pitch = prosody.DESCRIPTORS.index("pitch")
    vectors = np.zeros((len(turns), len(_DEVIATIONS)))
    for vector, samples in zip(vectors, turns, strict=True):
        frames = prosody.descriptors(samples)
        voiced = frames[frames[:, pitch] > 0]
        if len(voiced):
            vector[:] = [*voiced[:, columns].mean(0), np.median(voiced[:, pitch])]
    return vectors / _DEVIATIONS


def _weights() -> pathlib.Path | None:
    """Returns the path of Resemblyzer's weights, without importing the package."""
    spec = importlib.util.find_spec(RESEMBLYZER)
    if spec is None or not spec.submodule_search_locations:
        return None
    path = pathlib.Path(spec.submodule_search_locations[0]) / "pretrained.pt"
    return path if path.is_file() else None


def _load_resemblyzer(path: pathlib.Path) -> tuple[Any, Any]:
    """Loads the LSTM and the linear layer of Resemblyzer (Wan et al. 2018)."""
    torch = require("torch", "torch", RESEMBLYZER)
    expected = "the weights of the package Resemblyzer"
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)["model_state"]
        lstm, linear = torch.nn.LSTM(40, 256, 3, batch_first=True), torch.nn.Linear(256, 256)
        for module, prefix in ((lstm, "lstm."), (linear, "linear.")):
            part = {k.removeprefix(prefix): x for k, x in state.items() if k.startswith(prefix)}
            module.load_state_dict(part)
    except Exception as error:  # an invalid file may raise anything
        raise InputError(path, f"cannot be read ({error!s:.150})", expected) from error
    return lstm.eval(), linear.eval()


def _resemble(lstm: Any, linear: Any, turns: list[np.ndarray]) -> np.ndarray:
    """Computes the embeddings [N, 256] of Resemblyzer, the means over pieces of 1.6 s."""
    import torch

    vectors = []
    with torch.inference_mode():
        for samples in turns:
            pieces = torch.from_numpy(mel_pieces(samples))
            _, (hidden, _) = lstm(pieces)
            raw = torch.relu(linear(hidden[-1]))
            vectors.append((raw / raw.norm(dim=1, keepdim=True)).mean(0).numpy())
    return _normal(vectors)


def mel_pieces(samples: np.ndarray) -> np.ndarray:
    """Cuts the Mel spectrogram of a turn into overlapping pieces, [pieces, 160, 40] float32."""
    level = 10 * np.log10(np.mean(np.square(samples, dtype=float)) + 1e-12)
    samples = samples * 10 ** (max(0.0, _TARGET - level) / 20)
    count = 1 + len(samples) // 160
    starts = np.arange(0, max(1, count - _FRAMES + _STEP + 1), _STEP)
    covered = (len(samples) - starts[-1] * 160) / (_FRAMES * 160)
    if covered < _COVERED and len(starts) > 1:
        starts = starts[:-1]
    padded = np.pad(samples, (0, max(0, (starts[-1] + _FRAMES) * 160 - len(samples))))
    padded = np.pad(padded, 200)
    frames = np.lib.stride_tricks.sliding_window_view(padded, 400)[::160]
    power = np.abs(np.fft.rfft(frames * scipy.signal.windows.hann(400, sym=False))) ** 2
    mel = power @ prosody.mel_filters(40, 400).T
    return np.stack([mel[start : start + _FRAMES] for start in starts]).astype(np.float32)


def _load_encoder(folder: pathlib.Path) -> tuple[Any, Any]:
    """Loads a speaker encoder of transformers and its feature extractor."""
    transformers = require("transformers", "encoders", "encoders")
    require("torch", "encoders", "encoders")
    options = {"local_files_only": True, "trust_remote_code": False}
    try:
        network = transformers.AutoModelForAudioXVector.from_pretrained(folder, **options)
        prepare = transformers.AutoFeatureExtractor.from_pretrained(folder, **options)
    except Exception as error:  # an invalid folder may raise anything
        reason = str(error).strip().partition("\n")[0]
        expected = "a folder of a speaker encoder (of x-vectors), with its weights"
        raise InputError(folder, f"{reason:.200}", expected) from error
    return network.eval(), prepare


def _encode(network: Any, prepare: Any, turns: list[np.ndarray]) -> np.ndarray:
    """Computes the embeddings [N, D] of a speaker encoder, one turn after another."""
    import torch

    vectors = []
    with torch.inference_mode():
        for samples in turns:
            padded = np.pad(samples, (0, max(0, SAMPLE_RATE - len(samples))))
            inputs = prepare(padded, sampling_rate=SAMPLE_RATE, return_tensors="pt")
            vectors.append(network(**inputs).embeddings[0].numpy())
    return _normal(vectors)


def _normal(vectors: list[np.ndarray]) -> np.ndarray:
    """Stacks vectors, each scaled to the length 1."""
    stacked = np.stack(vectors)
    return stacked / np.maximum(np.linalg.norm(stacked, axis=1, keepdims=True), 1e-9)
