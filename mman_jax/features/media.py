"""Clips as arrays: mono audio at 16 kHz, and frames at a set rate, in all formats of ffmpeg."""

import contextlib
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from mman_jax.errors import InputError, require
from mman_jax.features import display
from mman_jax.files.whole import check_regular

SAMPLE_RATE = 16_000
"""Samples per second of all audio."""

SLACK = 0.3
"""Seconds by which a clip may end before its stated end, because of rounding and padding."""

MOST_PIXELS = 8192 * 4320
"""Largest number of pixels of a picture (8K). Decoders trust the claimed size of a small file."""

_PRE_ROLL = 0.5  # seconds decoded before `start` and discarded, since codecs need earlier packets
_GAP = 0.05  # seconds without audio that exceed the rounding of containers
_LONGEST_GAP = 600  # seconds; a limit, since a wrong time could require much memory

_MOST_BYTES = 1 << 30
"""Largest size of a returned array, since a small file can contain or claim hours of content."""

_CLIP = "a clip with sound or picture that ffmpeg reads"
_PICTURES = f"a clip that ffmpeg reads, of pictures of at most {MOST_PIXELS} pixels each"

_SMOOTH = "BILINEAR"

# Ffmpeg would decode any text as ANSI art, and playlists can name other files and hosts.
_NO_CLIPS = {"tty", "hls", "dash", "concat", "bin", "xbin", "adf", "idf"}


def pyav() -> Any:
    """Imports PyAV, or raises an InputError."""
    return require("av", "media", "reading clips", "PyAV")


def read_audio(
    path: str | Path,
    start: float | None = None,
    end: float | None = None,
    channel: int | None = None,
) -> np.ndarray:
    """Reads the audio of a clip, [samples] float32 at `SAMPLE_RATE`.

    Args:
        path: see `read_channels`, also for gaps and errors.
        start: see `read_channels`.
        end: see `read_channels`.
        channel: number of the channel, from 1; None: the mean of all channels.
    """
    samples = read_channels(path, start, end, mix=channel is None)
    if channel is not None and channel > len(samples):
        raise InputError(path, f"no channel {channel}", f"at most {len(samples)}, the last one")
    return samples[(channel or 1) - 1]


def read_channels(
    path: str | Path, start: float | None = None, end: float | None = None, mix: bool = False
) -> np.ndarray:
    """Reads the channels of a clip: [channels, samples] float32 at `SAMPLE_RATE`.

    Gaps in the audio (lost packets, or silence that was not sent) become silence, so that the times
    of later samples are correct.

    Args:
        path: the clip.
        start: seconds into the clip; None for its beginning.
        end: seconds into the clip; None for its end.
        mix: whether to average over the channels, which are one then.

    Raises:
        InputError: the file is not a clip, is damaged, has no audio, ends before `end`, has a gap
            of over ten minutes, or is too long for one array (over four hours).
    """
    av = pyav()
    # Channels are mixed here: ffmpeg's own mix to mono is louder by the square root of two.
    # They are interleaved ("flt"): PyAV misreads separate planes of eight or more channels.
    resampler = av.AudioResampler("flt", None, SAMPLE_RATE)
    chunks: list[np.ndarray] = []
    first: float | None = None
    count, channels = 0.0, 1  # samples so far
    with _open_clip(path) as container:
        for frame, time in _decode(container, "audio", path, start, end):
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
            with _naming(path):
                chunks += [_samples(part, mix) for part in resampler.resample(frame)]
        if first is not None:
            with _naming(path):
                chunks += [_samples(part, mix) for part in resampler.resample(None)]
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
    return np.ascontiguousarray(samples.T, np.float32)


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
        path: the clip.
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
    for frame, number in _timed_frames(path, rate, start, end):
        last = first + number
        if chosen is not None:
            number = int(np.searchsorted(chosen, last) - np.searchsorted(chosen, first))
        first = last
        if not number:
            continue
        height, width = _scaled(frame, side)
        size += number * height * width * 3
        if size > _MOST_BYTES:
            number_known = f"{last} frames or more" if chosen is None else "too many frames"
            found = f"{number_known} of {width} x {height} pixels, {rate:g} a second"
            expected = f"at most {_MOST_BYTES >> 20} MiB of pictures in one piece of a clip"
            raise InputError(path, found, expected)
        with _naming(path):
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
    """Counts the frames that `read_frames` would find, with the same errors."""
    count = sum(number for _, number in _timed_frames(path, rate, start, end))
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
        with _open_clip(path) as container:
            return container.duration / 1e6 if container.duration else math.inf
    except InputError:  # reported when the clip is measured
        return math.inf


def _timed_frames(
    path: str | Path, rate: float, start: float | None, end: float | None
) -> Iterator[tuple[Any, int]]:
    """Yields each frame of a clip, and the number of times `start + k / rate` that it covers."""
    begin, count = start or 0.0, 0
    current, shown_until = None, 0.0

    def until(time: float) -> int:
        return max(count, math.ceil((time - 1e-6 - begin) * rate))

    with _open_clip(path) as container:
        for frame, time in _decode(container, "video", path, start, end):
            if current is not None:
                yield current, until(time) - count
                count = until(time)
            current, shown_until = frame, time + _duration(frame, container)
    if current is not None:
        time = shown_until if end is None else min(end, max(shown_until, end - SLACK))
        yield current, until(time) - count


@contextlib.contextmanager
def _naming(path: str | Path, expected: str = _CLIP) -> Iterator[None]:
    """Turns ffmpeg's errors into an InputError that names the file."""
    try:
        yield
    except (pyav().FFmpegError, OSError, ValueError, LookupError, EOFError) as error:
        reason = getattr(error, "strerror", None) or error
        raise InputError(path, f"cannot be decoded ({reason})", expected) from error


@contextlib.contextmanager
def _open_clip(path: str | Path) -> Iterator[Any]:
    """Opens a clip with PyAV, or raises an InputError."""
    av = pyav()
    path = Path(path)
    check_regular(path, _CLIP)
    if not path.stat().st_size:
        raise InputError(path, "an empty file", _CLIP)
    with contextlib.ExitStack() as stack:
        with _naming(path):
            # With an open file and no protocols, a clip cannot make ffmpeg open other files.
            file = stack.enter_context(path.open("rb"))
            options = {"protocol_whitelist": "none", "max_pixels": str(MOST_PIXELS)}
            container = stack.enter_context(av.open(file, options=options))
        if container.format.name in _NO_CLIPS:
            raise InputError(path, f"no clip ({container.format.long_name})", _CLIP)
        yield container


def _decode(
    container: Any, kind: str, path: str | Path, start: float | None, end: float | None
) -> Iterator[tuple[Any, float]]:
    """Yields frames and times of the first stream of a kind, from just before `start` to `end`.

    `kind` is `audio` or `video`. An InputError reports a stream that is missing or damaged, ends
    before `end`, or has too large pictures.
    """
    streams = getattr(container.streams, kind)
    what = {"audio": "sound", "video": "picture"}[kind]
    if not streams:
        raise InputError(path, f"no {what}", f"a clip with {what}")
    stream = streams[0]
    if kind == "video":
        coder = stream.codec_context
        if coder.width * coder.height > MOST_PIXELS:
            raise InputError(path, f"pictures of {coder.width} x {coder.height} pixels", _PICTURES)
        # Later pictures may be larger than the container claims.
        coder.options = {**coder.options, "max_pixels": str(MOST_PIXELS)}
    expected = _PICTURES if kind == "video" else _CLIP
    origin = (container.start_time or 0) / 1e6
    if start is not None and start > _PRE_ROLL:
        with _naming(path):
            position = int((start - _PRE_ROLL + origin) / stream.time_base)
            container.seek(position, stream=stream, backward=True)
    reached, decoded = 0.0, 0.0
    with _naming(path):
        packets = container.demux()
    while True:
        with _naming(path):
            packet = next(packets, None)
        if packet is None:
            break
        if packet.pts is not None:
            until = (packet.pts + (packet.duration or 0)) * packet.time_base
            reached = max(reached, float(until) - origin)
        if packet.stream is not stream:
            continue
        try:
            with _naming(path, expected):
                frames = packet.decode()
        except InputError:
            # Packets before `start` may depend on earlier ones.
            if start is None or reached > start:
                raise
            continue
        for frame in frames:
            if frame.time is None:
                raise InputError(path, f"{what} without times", _CLIP)
            time = float(frame.time) - origin
            if end is not None and time >= end:
                return
            decoded = time + _duration(frame, container)
            if start is None or kind == "video" or decoded > start:
                yield frame, time
    if end is not None:
        if decoded < end - SLACK:
            raise InputError(path, f"its {what} ends at {decoded:.2f} s", f"{end:g} s, the end")
        return
    claimed = (container.duration or 0) / 1e6
    if reached < claimed - SLACK:
        found = f"truncated: it ends at {reached:.2f} of {claimed:.2f} s"
        raise InputError(path, found, "a complete clip")


def _duration(frame: Any, container: Any) -> float:
    """Returns the duration of a frame in seconds."""
    if hasattr(frame, "samples"):
        return frame.samples / frame.sample_rate
    if frame.duration:
        return float(frame.duration * frame.time_base)
    rate = container.streams.video[0].average_rate
    return float(1 / rate) if rate else 0.04


def _samples(frame: Any, mix: bool) -> np.ndarray:
    """Returns a frame's channels, or their mean, [samples, channels] float32."""
    samples = frame.to_ndarray().reshape(-1, frame.layout.nb_channels)
    return samples.mean(1, keepdims=True) if mix else samples


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
