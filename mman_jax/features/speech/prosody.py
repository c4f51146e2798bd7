"""Speech features: prosody and spectrum, in NumPy and SciPy, free for any use.

Frames of a hundredth of a second are described by `DESCRIPTORS`, and an utterance by statistics of
these over its frames; see `NAMES`. Only frequencies below 4 kHz are used, so that calls at 8 kHz
can be compared with other recordings.
"""

import dataclasses
from typing import Any

import numpy as np
import scipy.fft
import scipy.ndimage
import scipy.signal

from mman_jax.errors import InputError
from mman_jax.features.extractor import Arrays, SpeechExtractor
from mman_jax.features.manifest import Utterance
from mman_jax.features.media import SAMPLE_RATE

_CEPSTRUM = 13
_EVERYWHERE = ("loudness", "energy", "flux", "centroid")
_VOICED = ("pitch", "harmonicity", "slope_low", "slope_high", "alpha_ratio", "hammarberg")
_TIMBRE = tuple(f"mfcc_{n}" for n in range(1, _CEPSTRUM + 1))

DESCRIPTORS = (*_EVERYWHERE, *_VOICED, *_TIMBRE)
"""Loudness (a sum over bands of power to the 0.3), energy (dB), change and centre (kHz) of the
spectrum; where the voice is heard, pitch (semitones above 27.5 Hz), harmonicity (dB), slopes of the
spectrum below and above 500 Hz (dB per kHz), and two ratios of its lower to its upper part (dB);
and Mel cepstrum, where there is sound. Unknown values are 0.
"""

_STATISTICS = ("mean", "deviation", "p5", "p20", "p50", "p80", "p95", "change")
_TIMING = (
    *("voiced_per_second", "voiced_length_mean", "voiced_length_deviation", "voiced_share"),
    *("pause_length_mean", "pause_length_deviation", "pause_share", "peaks_per_second"),
    *("pitch_rise", "pitch_fall", "pitch_end"),
)
NAMES = (*(f"{name}_{of}" for name in DESCRIPTORS for of in _STATISTICS), *_TIMING)
"""The names of the features: mean, standard deviation, percentiles and mean absolute change per
second of each descriptor; rate (voiced stretches and peaks of loudness per second), lengths of
voiced stretches and of pauses in seconds, mean slopes of rising and falling pitch, and the slope of
the pitch at the end, in semitones per second."""

_HOP, _WINDOW, _PITCH_WINDOW = 160, 400, 640  # samples
_SIZE = 1024  # of Fourier transforms
_BLOCK = 3000  # frames that are transformed at once
_RATE = SAMPLE_RATE / _HOP
_SHORTEST = 960  # samples, as with openSMILE
_HIGHEST = 4000.0  # Hz
_BANDS = 26
_LOWEST_PITCH, _HIGHEST_PITCH = 60.0, 500.0
_OCTAVE = 0.05  # reduction of a period's strength for each octave above the shortest period
_STRENGTH = 0.5  # autocorrelation of a voiced frame
_QUIET = 35.0  # dB below the loud frames; quieter frames are silent
_FLOOR = 1e-10  # power


@dataclasses.dataclass(frozen=True)
class Prosody(SpeechExtractor):
    """Statistics of prosody and spectrum over an utterance; its cells are descriptors."""

    feature_set: str = dataclasses.field(default="prosody", init=False)

    @property
    def measured_by(self) -> dict[str, Any]:
        """Returns the settings on which a measurement depends."""
        return {"feature_set": self.feature_set}

    def of_sound(self, samples: np.ndarray) -> np.ndarray:
        """Measures `NAMES` for the audio of one utterance, [D] float32."""
        return statistics(samples)

    def measure_cells(self, utterance: Utterance) -> np.ndarray:
        """Measures `DESCRIPTORS` of an utterance, [T, D] float32."""
        return descriptors(utterance.read_audio()).astype(np.float32)

    def cells(
        self, fitted: Arrays, measured: np.ndarray, cells: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Returns descriptors and times of one utterance's frames."""
        return cells, (np.arange(len(cells))[:, None] + [0.0, 1.0]) / _RATE


def statistics(samples: np.ndarray) -> np.ndarray:
    """Computes the features `NAMES` of one utterance, [D] float32.

    Raises:
        InputError: the audio is too short.
    """
    if len(samples) < _SHORTEST:
        found = f"{len(samples) / SAMPLE_RATE:.3f} s of sound"
        raise InputError("speech", found, f"at least {_SHORTEST / SAMPLE_RATE} s")
    frames = dict(zip(DESCRIPTORS, descriptors(samples).T, strict=True))
    voiced, sounding = frames["pitch"] > 0, _sounding(frames["energy"])
    masks = dict.fromkeys(_EVERYWHERE, np.ones_like(voiced))
    masks |= dict.fromkeys(_VOICED, voiced) | dict.fromkeys(_TIMBRE, sounding)
    values = [_statistics(frames[name], masks[name]) for name in DESCRIPTORS]
    timing = _timing(frames["loudness"], frames["pitch"], voiced, sounding)
    return np.concatenate([*values, timing]).astype(np.float32)


def descriptors(samples: np.ndarray) -> np.ndarray:
    """Computes `DESCRIPTORS` of samples, [T, D] float64, 100 frames per second."""
    count = max(1, len(samples) // _HOP)
    padded = np.pad(np.asarray(samples, float), (_PITCH_WINDOW, _PITCH_WINDOW))
    blocks = []
    for first in range(0, count, _BLOCK):
        centres = np.arange(first - 1, min(first + _BLOCK, count)) * _HOP + _HOP // 2
        blocks.append(_describe(padded, centres + _PITCH_WINDOW))
    return np.concatenate(blocks)


def _describe(padded: np.ndarray, centres: np.ndarray) -> np.ndarray:
    """Computes descriptors of the frames around all centres except the first, [T, D]."""

    def cut(length: int) -> np.ndarray:
        return padded[centres[:, None] + np.arange(length) - length // 2]

    window = scipy.signal.windows.hann(_WINDOW, sym=False)
    frames = cut(_WINDOW) * window
    power = np.abs(np.fft.rfft(frames, _SIZE)) ** 2 / np.sum(window**2)
    frequencies = np.fft.rfftfreq(_SIZE, 1 / SAMPLE_RATE)
    power = power[:, frequencies <= _HIGHEST] + _FLOOR
    frequencies = frequencies[frequencies <= _HIGHEST]
    bands = power @ mel_filters(_BANDS, _SIZE, _HIGHEST)[:, : len(frequencies)].T
    levels = 10 * np.log10(power)
    shape = np.sqrt(power / power.sum(1, keepdims=True))
    pitch, harmonicity = _pitch(cut(_PITCH_WINDOW)[1:])
    columns = {
        "loudness": (bands**0.3).mean(1),
        "energy": 10 * np.log10(power.mean(1)),
        "flux": np.r_[0.0, np.linalg.norm(np.diff(shape, axis=0), axis=1)],
        "centroid": power @ frequencies / power.sum(1) / 1000,
        "slope_low": _slope(levels, frequencies, 0, 500),
        "slope_high": _slope(levels, frequencies, 500, 1500),
        "alpha_ratio": 10 * np.log10(_between(power, frequencies, 50, 1000).sum(1))
        - 10 * np.log10(_between(power, frequencies, 1000, _HIGHEST).sum(1)),
        "hammarberg": _between(levels, frequencies, 0, 2000).max(1)
        - _between(levels, frequencies, 2000, _HIGHEST).max(1),
    }
    cepstrum = scipy.fft.dct(np.log(bands), norm="ortho")[:, 1 : _CEPSTRUM + 1]
    columns |= dict(zip(_TIMBRE, cepstrum.T, strict=True))
    described = {name: column[1:] for name, column in columns.items()}
    described |= {"pitch": pitch, "harmonicity": harmonicity}
    for name in _VOICED:
        described[name] = np.where(pitch > 0, described[name], 0.0)
    return np.stack([described[name] for name in DESCRIPTORS], axis=1)


def _pitch(frames: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Finds pitch (semitones above 27.5 Hz) and harmonicity (dB) of frames; 0 where unvoiced.

    The period is the lag of the largest autocorrelation, divided by that of the window (Boersma
    1993); a median over five frames removes single jumps by an octave.
    """
    window = scipy.signal.windows.hann(_PITCH_WINDOW, sym=False)

    def correlate(rows: np.ndarray) -> np.ndarray:
        return np.fft.irfft(np.abs(np.fft.rfft(rows, _SIZE)) ** 2)

    centred = (frames - frames.mean(1, keepdims=True)) * window
    correlation = correlate(centred)
    energy = np.maximum(correlation[:, :1], _FLOOR)
    reference = correlate(window)
    shortest, longest = (int(SAMPLE_RATE / pitch) for pitch in (_HIGHEST_PITCH, _LOWEST_PITCH))
    lags = np.arange(shortest - 1, longest + 2)
    strength = correlation[:, lags] / energy * (reference[0] / reference[lags])
    inner = strength[:, 1:-1] - _OCTAVE * np.log2(lags[1:-1] / shortest)
    best = inner.argmax(1) + 1
    rows = np.arange(len(frames))
    before, at, after = (strength[rows, best + step] for step in (-1, 0, 1))
    curvature = before - 2 * at + after
    shift = np.where(curvature < 0, 0.5 * (before - after) / np.minimum(curvature, -1e-9), 0.0)
    period = lags[best] + np.clip(shift, -0.5, 0.5)
    level = 10 * np.log10(energy[:, 0] / len(window) + _FLOOR)
    voiced = (at > _STRENGTH) & _sounding(level)
    voiced = scipy.signal.medfilt(voiced.astype(float), 3) > 0
    semitones = 12 * np.log2(SAMPLE_RATE / period / 27.5)
    harmonicity = 10 * np.log10(np.clip(at, 0.01, 0.999) / (1 - np.clip(at, 0.01, 0.999)))
    pitch = np.zeros(len(frames))
    pitch[voiced] = scipy.ndimage.median_filter(semitones[voiced], 5, mode="nearest")
    return pitch, np.where(voiced, harmonicity, 0.0)


def _sounding(level: np.ndarray) -> np.ndarray:
    """Returns which frames [T] bool are not much quieter than the loud ones, by levels in dB."""
    return level > max(np.percentile(level, 95) - _QUIET, 10 * np.log10(_FLOOR) + 10)


def _statistics(values: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """Returns `_STATISTICS` of the masked frames of a descriptor; zeros if there are none."""
    known = values[mask]
    if not len(known):
        return np.zeros(len(_STATISTICS))
    adjacent = mask[1:] & mask[:-1]
    changes = np.abs(np.diff(values))[adjacent]
    change = _RATE * changes.mean() if len(changes) else 0.0
    percentiles = np.percentile(known, [5, 20, 50, 80, 95])
    return np.array([known.mean(), known.std(), *percentiles, change])


def _timing(
    loudness: np.ndarray, pitch: np.ndarray, voiced: np.ndarray, sounding: np.ndarray
) -> np.ndarray:
    """Returns the features `_TIMING`."""
    seconds = len(pitch) / _RATE
    stretches, pauses = _lengths(voiced), _lengths(~sounding)
    smooth = scipy.signal.savgol_filter(loudness, 7, 2) if len(loudness) > 7 else loudness
    smooth = np.pad(smooth, 1, constant_values=smooth.min())  # for peaks at the edges
    peaks, _ = scipy.signal.find_peaks(smooth, prominence=0.1 * np.ptp(smooth), distance=8)
    slopes = _RATE * np.diff(pitch)[voiced[1:] & voiced[:-1]]
    rising, falling = slopes[slopes > 0], slopes[slopes < 0]
    last = np.flatnonzero(voiced)[-30:]
    end = np.polyfit(last / _RATE, pitch[last], 1)[0] if len(last) > 5 else 0.0

    def mean(values: np.ndarray) -> float:
        return float(values.mean()) if len(values) else 0.0

    def deviation(values: np.ndarray) -> float:
        return float(values.std()) if len(values) else 0.0

    return np.array(
        [
            *(len(stretches) / seconds, mean(stretches), deviation(stretches), voiced.mean()),
            *(mean(pauses), deviation(pauses), 1 - sounding.mean(), len(peaks) / seconds),
            *(mean(rising), mean(falling), end),
        ]
    )


def _lengths(mask: np.ndarray) -> np.ndarray:
    """Returns the lengths of the stretches where a mask is True, in seconds."""
    edges = np.diff(np.r_[0, mask.astype(int), 0])
    return (np.flatnonzero(edges < 0) - np.flatnonzero(edges > 0)) / _RATE


def _between(values: np.ndarray, frequencies: np.ndarray, low: float, high: float) -> np.ndarray:
    return values[:, (frequencies >= low) & (frequencies <= high)]


def _slope(levels: np.ndarray, frequencies: np.ndarray, low: float, high: float) -> np.ndarray:
    """Returns the slopes of levels between two frequencies, in dB per kHz."""
    some = (frequencies >= low) & (frequencies <= high)
    return np.polyfit(frequencies[some] / 1000, levels[:, some].T, 1)[0]


def mel_filters(bands: int, size: int, highest: float = SAMPLE_RATE / 2) -> np.ndarray:
    """Returns triangular filters [bands, size // 2 + 1], evenly spaced on Slaney's Mel scale.

    Args:
        bands: number of filters.
        size: length of the Fourier transform.
        highest: upper end of the last filter, in Hz.
    """
    # Linear below 1 kHz (15 Mel), logarithmic above.
    step = np.log(6.4) / 27
    top = 15 + np.log(highest / 1000) / step if highest > 1000 else highest * 0.015
    mel = np.linspace(0, top, bands + 2)
    edges = np.where(mel < 15, mel / 0.015, 1000 * np.exp(step * (mel - 15)))
    frequencies = np.fft.rfftfreq(size, 1 / SAMPLE_RATE)
    low, middle, high = (edges[i : i + bands, None] for i in range(3))
    rising, falling = (frequencies - low) / (middle - low), (high - frequencies) / (high - middle)
    # Each filter has the area 1.
    return np.maximum(0, np.minimum(rising, falling)) * 2 / (high - low)
