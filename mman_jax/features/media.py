"""Clips as arrays: mono sound at 16 kHz, and frames at a set rate, from whatever ffmpeg reads."""

import math
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from mman_jax.errors import InputError
from mman_jax.features import decoding
from mman_jax.features.decoding import SLACK, pyav

SAMPLE_RATE = 16_000
"""Samples a second of all sound."""

_GAP = 0.05  # seconds without sound that are no rounding of a container
_LONGEST_GAP = 600  # a wrong time must not be able to ask for much memory

_MOST_BYTES = 1 << 30
"""Of what one call returns: a small file can hold, or claim, hours of silence or of one picture."""


def read_audio(
    path: str | Path, start: float | None = None, end: float | None = None
) -> np.ndarray:
    """The sound of a clip, the mean of its channels, [samples] float32 at `SAMPLE_RATE`.

    Where the clip has a gap (packets lost, or silence that was not sent) there is silence: what
    comes after stays in its place.

    Args:
        path: the clip.
        start: seconds into the clip, or None: from its beginning.
        end: seconds into the clip, or None: to its end.

    Raises:
        InputError: no clip, no sound in it, damaged, a gap of over ten minutes, it ends before
            `end`, or more sound than one array should hold (over four hours).
    """
    av = pyav()
    # Mixed here: ffmpeg's own mix to mono is louder by a square root of two.
    # Channels side by side, not in planes: PyAV reads beyond the planes of eight channels or more.
    resampler = av.AudioResampler("flt", None, SAMPLE_RATE)
    chunks, first, made = [], None, 0.0
    with decoding.open_clip(path) as container:
        for frame, time in decoding.decode(container, "audio", path, start, end):
            first = time if first is None else first
            missing = round((time - first) * SAMPLE_RATE - made)
            if missing > _LONGEST_GAP * SAMPLE_RATE:
                found = f"a gap of {missing / SAMPLE_RATE:.1f} s in its sound at {time:.1f} s"
                raise InputError(path, found, f"at most {_LONGEST_GAP} s")
            if missing > _GAP * SAMPLE_RATE:
                _check_sound(path, made + missing)
                chunks.append(np.zeros(missing, np.float32))
                made += missing
            _check_sound(path, made + frame.samples / frame.sample_rate * SAMPLE_RATE)
            with decoding.named(path):
                chunks += [_mixed(part) for part in resampler.resample(frame)]
            made += frame.samples / frame.sample_rate * SAMPLE_RATE
        if first is not None:
            with decoding.named(path):
                chunks += [_mixed(part) for part in resampler.resample(None)]
    samples = np.concatenate([np.zeros(0, np.float32), *chunks])
    # Positions count from the first sample: a stream that starts late starts with it.
    skip = 0 if start is None or first is None else round((start - first) * SAMPLE_RATE)
    stop = None if end is None or first is None else round((end - first) * SAMPLE_RATE)
    samples = samples[max(skip, 0) : stop]
    if not len(samples):
        raise InputError(path, f"no sound{_between(start, end)}", "at least one sample")
    if not np.isfinite(samples).all():
        raise InputError(path, "sound that is not finite", "finite samples")
    return np.ascontiguousarray(samples, np.float32)


def read_frames(
    path: str | Path,
    rate: float,
    side: int,
    start: float | None = None,
    end: float | None = None,
    wanted: Callable[[int], np.ndarray] | None = None,
) -> np.ndarray:
    """The frames shown at times `start + k / rate`, [frames, height, width, 3] uint8 RGB.

    Args:
        path: the clip.
        rate: frames a second.
        side: pixels of the shorter side; the other keeps the picture's proportions.
        start: seconds into the clip, or None: from its beginning.
        end: seconds into the clip, or None: to its end.
        wanted: from the number of all frames to the indices k, ascending and int64, of those to
            return; the clip is then decoded twice, and no other frame is kept. None: all frames.

    Raises:
        InputError: no clip, no picture in it, damaged, it ends before `end`, or more pictures than
            one array should hold.
    """
    chosen = None
    if wanted is not None:
        count = _count(path, rate, start, end)
        if count:
            chosen = wanted(count)
    taken: list[np.ndarray] = []
    first, size, made = 0, 0, None
    for frame, number in _shown(path, rate, start, end):
        last = first + number
        if chosen is not None:
            number = int(np.searchsorted(chosen, last) - np.searchsorted(chosen, first))
        first = last
        if not number:
            continue
        height, width = _scaled(frame, side)
        size += number * height * width * 3
        if size > _MOST_BYTES:
            found = f"more than {len(taken)} frames of {width} x {height} pixels, {rate:g} a second"
            if chosen is None:
                found = f"{last} frames or more of {width} x {height} pixels, {rate:g} a second"
            expected = f"at most {_MOST_BYTES >> 20} MiB of pictures in one piece of a clip"
            raise InputError(path, found, expected)
        with decoding.named(path):
            made = _picture(frame, height, width)
        taken += [made] * number
    if not taken:
        raise InputError(path, f"no picture{_between(start, end)}", "at least one frame")
    if len({frame.shape for frame in taken}) > 1:
        raise InputError(path, "frames of several sizes", "one size")
    return np.stack(taken)


def count_frames(
    path: str | Path, rate: float, start: float | None = None, end: float | None = None
) -> int:
    """How many frames `read_frames` would find.

    Raises:
        InputError: no clip, no picture in it, damaged, or it ends before `end`.
    """
    count = _count(path, rate, start, end)
    if not count:
        raise InputError(path, f"no picture{_between(start, end)}", "at least one frame")
    return count


def _count(path: str | Path, rate: float, start: float | None, end: float | None) -> int:
    return sum(number for _, number in _shown(path, rate, start, end))


def _shown(
    path: str | Path, rate: float, start: float | None, end: float | None
) -> Iterator[tuple[Any, int]]:
    """Each frame of a clip, and at how many of the times `start + k / rate` it is shown."""
    begin, count = start or 0.0, 0
    shown, shown_until = None, 0.0

    def until(time: float) -> int:
        return max(count, math.ceil((time - 1e-6 - begin) * rate))

    with decoding.open_clip(path) as container:
        for frame, time in decoding.decode(container, "video", path, start, end):
            if shown is not None:
                yield shown, until(time) - count
                count = until(time)
            shown, shown_until = frame, time + decoding.duration(frame, container)
    if shown is not None:
        time = shown_until if end is None else min(end, max(shown_until, end - SLACK))
        yield shown, until(time) - count


def resize(frames: np.ndarray, height: int, width: int) -> np.ndarray:
    """Frames [T, H, W, 3] uint8 at another size."""
    av = pyav()
    if frames.shape[1:3] == (height, width):
        return frames
    made = [
        av.VideoFrame.from_ndarray(np.ascontiguousarray(frame), format="rgb24")
        .reformat(width=width, height=height, interpolation="BILINEAR")
        .to_ndarray()
        for frame in frames
    ]
    return np.stack(made)


def _mixed(frame: Any) -> np.ndarray:
    """The mean of a frame's channels, [samples] float32."""
    return frame.to_ndarray().reshape(-1, frame.layout.nb_channels).mean(1)


def _check_sound(path: str | Path, samples: float) -> None:
    if samples * 4 > _MOST_BYTES:
        found = f"more than {samples / SAMPLE_RATE:.0f} s of sound"
        longest = _MOST_BYTES // 4 // SAMPLE_RATE
        raise InputError(path, found, f"at most {longest} s in one piece of a clip")


def _scaled(frame: Any, side: int) -> tuple[int, int]:
    """Height and width of a frame whose shorter side gets so many pixels."""
    scale = side / min(frame.width, frame.height)
    return tuple(max(side, round(scale * n)) for n in (frame.height, frame.width))


def _picture(frame: Any, height: int, width: int) -> np.ndarray:
    small = frame.reformat(width=width, height=height, format="rgb24", interpolation="BILINEAR")
    # Telephones store upright pictures lying down, with a note beside them.
    return np.rot90(small.to_ndarray(), k=round(frame.rotation / 90))


def _between(start: float | None, end: float | None) -> str:
    if start is None and end is None:
        return ""
    until = "its end" if end is None else f"{end:g} s"
    return f" between {start or 0:g} s and {until}"
