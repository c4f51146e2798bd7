"""Clips as arrays: mono sound at 16 kHz, and frames at a set rate, from whatever ffmpeg reads."""

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from mman_jax.errors import InputError

SAMPLE_RATE = 16_000
"""Samples a second of all sound."""

SLACK = 0.3
"""Seconds by which a clip may end before it says so: containers round, codecs pad."""

_GAP = 0.05  # seconds without sound that are no rounding of a container
_LONGEST_GAP = 600  # a wrong time must not be able to ask for much memory
_PRE_ROLL = 0.5  # decoded before `start` and thrown away: codecs need a run-up
_CLIP = "a clip with sound or picture that ffmpeg reads"

# ffmpeg would play any text as ANSI art, and playlists name files and hosts of their own.
_NO_CLIPS = {"tty", "hls", "dash", "concat", "bin", "xbin", "adf", "idf"}


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
        InputError: no clip, no sound in it, damaged, a gap of over ten minutes, or it ends before
            `end`.
    """
    av = pyav()
    # Mixed here: ffmpeg's own mix to mono is louder by a square root of two.
    resampler = av.AudioResampler("fltp", None, SAMPLE_RATE)
    chunks, first, made = [], None, 0.0
    with _open(path) as container:
        for frame, time in _decode(container, "audio", path, start, end):
            first = time if first is None else first
            missing = round((time - first) * SAMPLE_RATE - made)
            if missing > _LONGEST_GAP * SAMPLE_RATE:
                found = f"a gap of {missing / SAMPLE_RATE:.1f} s in its sound at {time:.1f} s"
                raise InputError(path, found, f"at most {_LONGEST_GAP} s")
            if missing > _GAP * SAMPLE_RATE:
                chunks.append(np.zeros(missing, np.float32))
                made += missing
            with _named(path):
                chunks += [part.to_ndarray().mean(0) for part in resampler.resample(frame)]
            made += frame.samples / frame.sample_rate * SAMPLE_RATE
        if first is not None:
            with _named(path):
                chunks += [part.to_ndarray().mean(0) for part in resampler.resample(None)]
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
) -> np.ndarray:
    """The frames shown at times `start + k / rate`, [frames, height, width, 3] uint8 RGB.

    Args:
        path: the clip.
        rate: frames a second.
        side: pixels of the shorter side; the other keeps the picture's proportions.
        start: seconds into the clip, or None: from its beginning.
        end: seconds into the clip, or None: to its end.

    Raises:
        InputError: no clip, no picture in it, damaged, or it ends before `end`.
    """
    begin = start or 0.0
    taken: list[np.ndarray] = []
    shown, shown_until = None, 0.0

    def take(until: float) -> None:
        while begin + len(taken) / rate < until - 1e-6:
            taken.append(shown)

    with _open(path) as container:
        for frame, time in _decode(container, "video", path, start, end):
            if shown is not None:
                take(time)
            with _named(path):
                shown = _picture(frame, side)
            shown_until = time + _duration(frame, container)
    if shown is not None:
        take(shown_until if end is None else min(end, max(shown_until, end - SLACK)))
    if not taken:
        raise InputError(path, f"no picture{_between(start, end)}", "at least one frame")
    if len({frame.shape for frame in taken}) > 1:
        raise InputError(path, "frames of several sizes", "one size")
    return np.stack(taken)


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


def pyav() -> Any:
    """PyAV.

    Raises:
        InputError: it is not installed.
    """
    try:
        import av
    except ImportError as error:
        raise InputError("reading clips", "PyAV is missing", "pip install -e '.[media]'") from error
    return av


@contextlib.contextmanager
def _named(path: str | Path) -> Iterator[None]:
    """Turns what ffmpeg says of a file into an InputError that names the file."""
    try:
        yield
    except (pyav().FFmpegError, OSError, ValueError, LookupError, EOFError) as error:
        reason = getattr(error, "strerror", None) or error
        raise InputError(path, f"cannot be decoded ({reason})", _CLIP) from error


@contextlib.contextmanager
def _open(path: str | Path) -> Iterator[Any]:
    av = pyav()
    path = Path(path)
    if not path.is_file():
        raise InputError(path, "no such file", _CLIP)
    if not path.stat().st_size:
        raise InputError(path, "an empty file", _CLIP)
    with contextlib.ExitStack() as stack:
        with _named(path):
            # A file handed over, and no protocol allowed: a clip cannot make ffmpeg open another.
            file = stack.enter_context(path.open("rb"))
            options = {"protocol_whitelist": "none"}
            container = stack.enter_context(av.open(file, options=options))
        if container.format.name in _NO_CLIPS:
            raise InputError(path, f"no clip ({container.format.long_name})", _CLIP)
        yield container


def _decode(
    container: Any, kind: str, path: str | Path, start: float | None, end: float | None
) -> Iterator[tuple[Any, float]]:
    """The frames of the first stream of a kind, from just before `start` to `end`, with times."""
    streams = getattr(container.streams, kind)
    what = {"audio": "sound", "video": "picture"}[kind]
    if not streams:
        raise InputError(path, f"no {what}", f"a clip with {what}")
    stream = streams[0]
    origin = (container.start_time or 0) / 1e6
    if start is not None and start > _PRE_ROLL:
        with _named(path):
            position = int((start - _PRE_ROLL + origin) / stream.time_base)
            container.seek(position, stream=stream, backward=True)
    reached, decoded = 0.0, 0.0
    with _named(path):
        packets = container.demux()
    while True:
        with _named(path):
            packet = next(packets, None)
        if packet is None:
            break
        if packet.pts is not None:
            until = (packet.pts + (packet.duration or 0)) * packet.time_base
            reached = max(reached, float(until) - origin)
        if packet.stream is not stream:
            continue
        try:
            with _named(path):
                frames = packet.decode()
        except InputError:
            # The run-up may begin amid what only earlier packets explain.
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
    _check_end(container, path, what, reached, decoded, end)


def _check_end(
    container: Any, path: str | Path, what: str, reached: float, decoded: float, end: float | None
) -> None:
    if end is not None:
        if decoded < end - SLACK:
            raise InputError(path, f"its {what} ends at {decoded:.2f} s", f"{end:g} s, the end")
        return
    claimed = (container.duration or 0) / 1e6
    if reached < claimed - SLACK:
        found = f"truncated: it ends at {reached:.2f} of {claimed:.2f} s"
        raise InputError(path, found, "a whole clip")


def _duration(frame: Any, container: Any) -> float:
    if hasattr(frame, "samples"):
        return frame.samples / frame.sample_rate
    if frame.duration:
        return float(frame.duration * frame.time_base)
    rate = container.streams.video[0].average_rate
    return float(1 / rate) if rate else 0.04


def _picture(frame: Any, side: int) -> np.ndarray:
    scale = side / min(frame.width, frame.height)
    width, height = (max(side, round(scale * n)) for n in (frame.width, frame.height))
    small = frame.reformat(width=width, height=height, format="rgb24", interpolation="BILINEAR")
    # Telephones store upright pictures lying down, with a note beside them.
    return np.rot90(small.to_ndarray(), k=round(frame.rotation / 90))


def _between(start: float | None, end: float | None) -> str:
    if start is None and end is None:
        return ""
    until = "its end" if end is None else f"{end:g} s"
    return f" between {start or 0:g} s and {until}"
