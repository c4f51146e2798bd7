"""What ffmpeg makes of a clip: frames of sound or picture, one after another, with their times."""

import contextlib
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from mman_jax.errors import InputError
from mman_jax.files.regular import check_regular

SLACK = 0.3
"""Seconds by which a clip may end before it says so: containers round, codecs pad."""

MOST_PIXELS = 8192 * 4320
"""Of one picture: what 8K needs. A small file can claim any size, and decoders believe it."""

_PRE_ROLL = 0.5  # decoded before `start` and thrown away: codecs need a run-up
_CLIP = "a clip with sound or picture that ffmpeg reads"
_PICTURES = f"a clip that ffmpeg reads, of pictures of at most {MOST_PIXELS} pixels each"

# ffmpeg would play any text as ANSI art, and playlists name files and hosts of their own.
_NO_CLIPS = {"tty", "hls", "dash", "concat", "bin", "xbin", "adf", "idf"}


def pyav() -> Any:
    """PyAV.

    Raises:
        InputError: it is not installed.
    """
    try:
        import av
    except ImportError as error:
        raise InputError(
            "reading clips", "PyAV is missing", "pip install 'mman_jax[media]'"
        ) from error
    return av


@contextlib.contextmanager
def named(path: str | Path, expected: str = _CLIP) -> Iterator[None]:
    """Turns what ffmpeg says of a file into an InputError that names the file."""
    try:
        yield
    except (pyav().FFmpegError, OSError, ValueError, LookupError, EOFError) as error:
        reason = getattr(error, "strerror", None) or error
        raise InputError(path, f"cannot be decoded ({reason})", expected) from error


@contextlib.contextmanager
def open_clip(path: str | Path) -> Iterator[Any]:
    """A clip, opened by PyAV.

    Raises:
        InputError: no regular file, an empty one, or none that ffmpeg takes for a clip.
    """
    av = pyav()
    path = Path(path)
    check_regular(path, _CLIP)
    if not path.stat().st_size:
        raise InputError(path, "an empty file", _CLIP)
    with contextlib.ExitStack() as stack:
        with named(path):
            # A file handed over, and no protocol allowed: a clip cannot make ffmpeg open another.
            file = stack.enter_context(path.open("rb"))
            options = {"protocol_whitelist": "none", "max_pixels": str(MOST_PIXELS)}
            container = stack.enter_context(av.open(file, options=options))
        if container.format.name in _NO_CLIPS:
            raise InputError(path, f"no clip ({container.format.long_name})", _CLIP)
        yield container


def claimed_seconds(path: str | Path) -> float:
    """How long a clip says that it is; infinite where it says nothing, or cannot be opened."""
    try:
        with open_clip(path) as container:
            return container.duration / 1e6 if container.duration else math.inf
    except InputError:  # whoever measures it says so
        return math.inf


def decode(
    container: Any, kind: str, path: str | Path, start: float | None, end: float | None
) -> Iterator[tuple[Any, float]]:
    """The frames of the first stream of a kind, from just before `start` to `end`, with times.

    Args:
        container: of `open_clip`.
        kind: `audio` or `video`.
        path: the clip, for messages.
        start: seconds into the clip, or None: from its beginning.
        end: seconds into the clip, or None: to its end.

    Raises:
        InputError: no such stream, pictures of too many pixels, damaged, or it ends before `end`.
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
        # A later picture may be larger than what the container says of all.
        coder.options = {**coder.options, "max_pixels": str(MOST_PIXELS)}
    expected = _PICTURES if kind == "video" else _CLIP
    origin = (container.start_time or 0) / 1e6
    if start is not None and start > _PRE_ROLL:
        with named(path):
            position = int((start - _PRE_ROLL + origin) / stream.time_base)
            container.seek(position, stream=stream, backward=True)
    reached, decoded = 0.0, 0.0
    with named(path):
        packets = container.demux()
    while True:
        with named(path):
            packet = next(packets, None)
        if packet is None:
            break
        if packet.pts is not None:
            until = (packet.pts + (packet.duration or 0)) * packet.time_base
            reached = max(reached, float(until) - origin)
        if packet.stream is not stream:
            continue
        try:
            with named(path, expected):
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
            decoded = time + duration(frame, container)
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


def duration(frame: Any, container: Any) -> float:
    """Seconds that a frame lasts."""
    if hasattr(frame, "samples"):
        return frame.samples / frame.sample_rate
    if frame.duration:
        return float(frame.duration * frame.time_base)
    rate = container.streams.video[0].average_rate
    return float(1 / rate) if rate else 0.04
