"""Clips as arrays: mono audio at 16 kHz, and frames at a constant rate."""

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from mman_jax.errors import InputError
from mman_jax.features import decoding, display
from mman_jax.features.decoding import SLACK, pyav

SAMPLE_RATE = 16_000
"""Samples per second of all audio."""

_GAP = 0.05  # seconds without audio that exceed the rounding of containers
_LONGEST_GAP = 600  # seconds; a limit, since a wrong time could require much memory

_MOST_BYTES = 1 << 30
"""Largest size of a returned array, since a small file can contain or claim hours of content."""

_SILENT = 1e-4  # of full scale
_CANCELLED = 1e-4  # share of a mix in the energy of channels that cancel each other
_SMOOTH = "BILINEAR"


def read_audio(
    path: str | Path,
    start: float | None = None,
    end: float | None = None,
    channel: int | None = None,
    track: int = 1,
) -> np.ndarray:
    """Reads the audio of a clip, [samples] float32 at `SAMPLE_RATE`; see also `read_channels`.

    Args:
        channel: number of the channel, from 1; None: a mix of all channels: their mean, or the
            centre and the mean of the others.
    """
    samples = read_channels(path, start, end, channel is None, track)
    if channel is not None and channel > len(samples):
        raise InputError(path, f"no channel {channel}", f"at most {len(samples)}, the last one")
    return samples[(channel or 1) - 1]


def read_channels(
    path: str | Path,
    start: float | None = None,
    end: float | None = None,
    mix: bool = False,
    track: int = 1,
) -> np.ndarray:
    """Reads the channels of a clip: [channels, samples] float32 at `SAMPLE_RATE`.

    Gaps in the audio (lost packets, or silence that was not sent) become silence, so that the times
    of later samples are correct.

    Args:
        start: seconds into the clip; None for its beginning.
        end: seconds into the clip; None for its end.
        mix: whether to mix the channels to one; see `read_audio`.
        track: number of the track of sound, from 1.

    Raises:
        InputError: the file is not a clip, is damaged, has no such track, is silent although there
            are other tracks, ends before `end`, has a gap of over ten minutes, or is too long for
            one array (over four hours).
    """
    resampler = _Resampler(mix)
    chunks: list[np.ndarray] = []
    first: float | None = None
    count, channels = 0.0, 1  # samples so far
    with decoding.open_clip(path) as container:
        stream = decoding.stream(container, "audio", path, track)
        tracks = len(container.streams.audio)
        for frame, time in decoding.decode(container, stream, path, start, end):
            if first is None:
                first, channels = time, 1 if mix else frame.layout.nb_channels
            missing = round((time - first) * SAMPLE_RATE - count)
            if missing > _LONGEST_GAP * SAMPLE_RATE:
                found = f"a gap of {missing / SAMPLE_RATE:.1f} s in its sound at {time:.1f} s"
                raise InputError(path, found, f"at most {_LONGEST_GAP} s")
            if missing > _GAP * SAMPLE_RATE:
                count += missing
                _check_sound(path, channels * count)
                chunks.append(np.zeros((missing, channels), np.float32))
            count += frame.samples / frame.sample_rate * SAMPLE_RATE
            _check_sound(path, channels * count)
            with decoding.naming(path):
                chunks += resampler.add(frame)
        if first is not None:
            with decoding.naming(path):
                chunks += resampler.end()
    if len({chunk.shape[1] for chunk in chunks}) > 1:
        raise InputError(path, "a number of channels that changes", "the same channels throughout")
    samples = np.concatenate([np.zeros((0, channels), np.float32), *chunks])
    # Positions are relative to the first sample, even if the stream starts late.
    skip, stop = (
        None if time is None or first is None else max(0, round((time - first) * SAMPLE_RATE))
        for time in (start, end)
    )
    samples = samples[skip:stop]
    if not len(samples):
        raise InputError(path, f"no sound{_between(start, end)}", "at least one sample")
    if not np.isfinite(samples).all():
        raise InputError(path, "sound that is not finite", "finite samples")
    if tracks > 1 and np.abs(samples).max() < _SILENT:
        raise InputError(path, f"track {track} of {tracks} is silent", "another track of sound")
    return np.ascontiguousarray(samples.T, np.float32)


def other_tracks(path: str | Path, track: int) -> str:
    """Returns a notice about the tracks of sound that are not read, or an empty text."""
    with decoding.open_clip(path) as container:
        tracks = len(container.streams.audio)
    return f"the sound is track {track} of {tracks}" if tracks > 1 else ""


def read_frames(
    path: str | Path,
    rate: float,
    side: int,
    start: float | None = None,
    end: float | None = None,
    chosen: np.ndarray | None = None,
) -> np.ndarray:
    """Reads the frames shown at times `start + k / rate`, [frames, height, width, 3] uint8 RGB.

    Args:
        rate: frames per second.
        side: pixels of the shorter side; the other one keeps the picture's proportions.
        start: seconds into the clip; None for its beginning.
        end: seconds into the clip; None for its end.
        chosen: the indices k, ascending and int64, of the frames to return and to store in memory,
            see `count_frames`; None for all frames.

    Raises:
        InputError: the file is not a clip, is damaged, has no picture, ends before `end`, or has
            too many pictures for one array.
    """
    frames: list[np.ndarray] = []
    first, size = 0, 0
    for frame, number, aspect in _timed_frames(path, rate, start, end):
        last = first + number
        if chosen is not None:
            number = int(np.searchsorted(chosen, last) - np.searchsorted(chosen, first))
        first = last
        if not number:
            continue
        height, width = display.size(frame, aspect, side)
        size += number * height * width * 3
        if size > _MOST_BYTES:
            number_known = f"{last} frames or more" if chosen is None else "too many frames"
            found = f"{number_known} of {width} x {height} pixels, {rate:g} per second"
            expected = f"at most {_MOST_BYTES >> 20} MiB of pictures in one piece of a clip"
            raise InputError(path, found, expected)
        with decoding.naming(path):
            size_of_frame = {"width": width, "height": height, "interpolation": _SMOOTH}
            small = frame.reformat(format="rgb24", **size_of_frame)
            # Phones store the orientation of pictures in the metadata.
            picture = display.oriented(small.to_ndarray(), frame)
        frames += [picture] * number
    if not frames:
        raise InputError(path, f"no picture{_between(start, end)}", "at least one frame")
    if len({frame.shape for frame in frames}) > 1:
        raise InputError(path, "frames of several sizes", "one size")
    return np.stack(frames)


def count_frames(
    path: str | Path, rate: float, start: float | None = None, end: float | None = None
) -> int:
    """Counts the frames that `read_frames` would return, with the same errors."""
    count = sum(number for _, number, _ in _timed_frames(path, rate, start, end))
    if not count:
        raise InputError(path, f"no picture{_between(start, end)}", "at least one frame")
    return count


def resize(frames: np.ndarray, height: int, width: int) -> np.ndarray:
    """Resizes frames [T, H, W, 3] uint8."""
    av = pyav()
    if frames.shape[1:3] == (height, width):
        return frames
    pictures = (av.VideoFrame.from_ndarray(np.ascontiguousarray(x), format="rgb24") for x in frames)
    size = {"width": width, "height": height, "interpolation": _SMOOTH}
    return np.stack([picture.reformat(**size).to_ndarray() for picture in pictures])


def claimed_seconds(path: str | Path) -> float:
    """Returns the claimed duration of a clip; infinite if there is none, or it cannot be opened."""
    try:
        with decoding.open_clip(path) as container:
            return container.duration / 1e6 if container.duration else math.inf
    except InputError:  # reported when the clip is measured
        return math.inf


def _timed_frames(
    path: str | Path, rate: float, start: float | None, end: float | None
) -> Iterator[tuple[Any, int, Any]]:
    """Yields each frame, the number of times `start + k / rate` that it covers, and its aspect."""
    begin, count = start or 0.0, 0
    current, shown_until = None, 0.0

    def until(time: float) -> int:
        return max(count, math.ceil((time - 1e-6 - begin) * rate))

    with decoding.open_clip(path) as container:
        stream = decoding.stream(container, "video", path)
        aspect = stream.sample_aspect_ratio
        for frame, time in decoding.decode(container, stream, path, start, end):
            if current is not None:
                yield current, until(time) - count, aspect
                count = until(time)
            current, shown_until = frame, time + decoding.duration(frame, stream)
    if current is not None:
        time = shown_until if end is None else min(end, max(shown_until, end - SLACK))
        yield current, until(time) - count, aspect


class _Resampler:
    """Resampling of frames whose rate and channels may change."""

    def __init__(self, mix: bool):
        self._mix = mix
        self._form: tuple[Any, ...] = ()
        self._resampler: Any = None

    def add(self, frame: Any) -> list[np.ndarray]:
        """Returns samples [samples, channels] float32 that are ready after another frame."""
        form = (frame.format.name, frame.layout.name, frame.sample_rate)
        chunks = []
        if form != self._form:
            chunks = self.end()
            # Channels are mixed here, because ffmpeg's mono mix is louder by the square root of
            # two. They are interleaved ("flt"): PyAV misreads separate planes of eight or more
            # channels.
            self._form = form
            self._resampler = pyav().AudioResampler("flt", None, SAMPLE_RATE)
        return chunks + [self._samples(part) for part in self._resampler.resample(frame)]

    def end(self) -> list[np.ndarray]:
        """Returns the last samples."""
        ended = self._resampler.resample(None) if self._resampler else []
        return [self._samples(part) for part in ended]

    def _samples(self, frame: Any) -> np.ndarray:
        samples = frame.to_ndarray().reshape(-1, frame.layout.nb_channels)
        return _mixed(samples, frame.layout) if self._mix else samples


def _mixed(samples: np.ndarray, layout: Any) -> np.ndarray:
    """Mixes channels [samples, channels] to [samples, 1].

    In films, voices are only in the centre. If channels cancel each other, the first is used.
    """
    names = [channel.name for channel in layout.channels]
    mixed = samples.mean(1, keepdims=True)
    if "FC" in names and len(names) > 1:
        centre = names.index("FC")
        others = [n for n, name in enumerate(names) if name not in ("FC", "LFE")]
        mixed = samples[:, centre : centre + 1]
        if others:
            mixed = mixed + samples[:, others].mean(1, keepdims=True)
    if np.square(mixed).mean() < _CANCELLED * np.square(samples).mean():
        return samples[:, :1]
    return mixed


def _check_sound(path: str | Path, samples: float) -> None:
    if samples * 4 > _MOST_BYTES:
        found = f"more than {samples / SAMPLE_RATE:.0f} s of sound"
        longest = _MOST_BYTES // 4 // SAMPLE_RATE
        raise InputError(path, found, f"at most {longest} s in one piece of a clip")


def _between(start: float | None, end: float | None) -> str:
    if start is None and end is None:
        return ""
    until = "its end" if end is None else f"{end:g} s"
    return f" between {start or 0:g} s and {until}"
