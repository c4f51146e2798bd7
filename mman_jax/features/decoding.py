"""Decoding of clips: streams, and frames with their times."""

import contextlib
import functools
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from mman_jax.errors import InputError, check_pointer, require
from mman_jax.files.whole import check_regular

SLACK = 0.3
"""Seconds by which a clip may end before its stated end, because of rounding and padding."""

MOST_PIXELS = 8192 * 4320
"""Largest number of pixels of a picture (8K). Decoders trust the claimed size of a small file."""

_OVERLAP = 0.05  # seconds that exceed the rounding of containers
_PRE_ROLL = 0.5  # seconds decoded before `start` and discarded, since codecs need earlier packets

_CLIP = "a clip with sound or picture that ffmpeg reads"
_PICTURES = f"a clip that ffmpeg reads, of pictures of at most {MOST_PIXELS} pixels each"

_NAMES = {"audio": "sound", "video": "picture"}
_DISCONTINUOUS = 0x200  # ffmpeg's flag of formats whose times may jump

_COUNTED = re.compile(rb"Xing|Info|VBRI")  # headers of MP3 with the number of frames
_HEAD = 1 << 18  # bytes in which they are

_FIRST_PAGE = b"OggS\0\2"  # of each stream of Ogg
_TAGS = (b"ID3", b"TAG", b"APETAGEX")  # of MP3; they contain no audio

# Ffmpeg would decode any text as ANSI art, and playlists can name other files and hosts.
_NO_CLIPS = {"tty", "hls", "dash", "concat", "bin", "xbin", "adf", "idf"}


def pyav() -> Any:
    """Imports PyAV, or raises an InputError."""
    return require("av", "media", "reading clips", "PyAV")


@contextlib.contextmanager
def naming(path: str | Path, expected: str = _CLIP, time: float | None = None) -> Iterator[None]:
    """Turns ffmpeg's errors into an InputError that names the file, and the second if known."""
    try:
        yield
    except (pyav().FFmpegError, OSError, ValueError, LookupError, EOFError) as error:
        reason = getattr(error, "strerror", None) or error
        where = "" if time is None else f" at {time:.2f} s"
        raise InputError(path, f"cannot be decoded{where} ({reason})", expected) from error


@contextlib.contextmanager
def open_clip(path: str | Path) -> Iterator[Any]:
    """Opens a clip with PyAV, or raises an InputError."""
    av = pyav()
    path = Path(path)
    check_regular(path, _CLIP)
    if not path.stat().st_size:
        raise InputError(path, "an empty file", _CLIP)
    check_pointer(path)
    with contextlib.ExitStack() as stack:
        with naming(path):
            # With an open file and no protocols, a clip cannot make ffmpeg open other files.
            file = stack.enter_context(path.open("rb"))
            options = {"protocol_whitelist": "none", "max_pixels": str(MOST_PIXELS)}
            container = stack.enter_context(av.open(file, options=options))
        if container.format.name in _NO_CLIPS:
            raise InputError(path, f"no clip ({container.format.long_name})", _CLIP)
        yield container


def stream(container: Any, kind: str, path: str | Path, track: int = 1) -> Any:
    """Returns a stream, `audio` or `video`, by its number among those of this kind, from 1.

    An InputError reports a stream that is missing, or too large pictures.
    """
    cover = pyav().stream.Disposition.attached_pic
    streams = [s for s in getattr(container.streams, kind) if not s.disposition & cover]
    what = _NAMES[kind]
    if not streams:
        raise InputError(path, f"no {what}", f"a clip with {what}")
    if track > len(streams):
        raise InputError(path, f"no track {track} of {what}", f"1 to {len(streams)}")
    chosen = streams[track - 1]
    if kind == "video":
        coder = chosen.codec_context
        if coder.width * coder.height > MOST_PIXELS:
            raise InputError(path, f"pictures of {coder.width} x {coder.height} pixels", _PICTURES)
        # Later pictures may be larger than the container states.
        coder.options = {**coder.options, "max_pixels": str(MOST_PIXELS)}
    return chosen


def decode(
    container: Any, stream: Any, path: str | Path, start: float | None, end: float | None
) -> Iterator[tuple[Any, float]]:
    """Yields frames and times of a stream, from just before `start` to `end`.

    An InputError reports a stream that is damaged, ends before `end`, or has too large pictures.
    """
    kind, what = stream.type, _NAMES[stream.type]
    expected = _PICTURES if kind == "video" else _CLIP
    clock = _Clock(container)
    if start is not None and start > _PRE_ROLL and not _restarts(path, container):
        with naming(path):
            position = int((start - _PRE_ROLL + clock.origin) / stream.time_base)
            container.seek(position, stream=stream, backward=True)
    decoded = 0.0
    with naming(path):
        packets = container.demux()
    while True:
        with naming(path, time=clock.reached):
            packet = next(packets, None)
        if packet is None:
            break
        clock.read(packet)
        if packet.stream is not stream:
            continue
        try:
            with naming(path, expected, clock.reached):
                frames = packet.decode()
        except InputError:
            # Joined files may have tags in the middle. Packets before `start` may depend on earlier
            # ones.
            is_tag = bytes(packet).startswith(_TAGS)
            if not is_tag and (start is None or clock.reached > start):
                raise
            continue
        for frame in frames:
            if frame.time is None:
                raise InputError(path, f"{what} without times", _CLIP)
            time = clock.time("frames", float(frame.time))
            if kind == "audio" and time < decoded - _OVERLAP:  # sound follows the sound before it
                time = decoded
            if end is not None and time >= end:
                return
            decoded = time + duration(frame, stream)
            if start is None or kind == "video" or decoded > start:
                yield frame, time
    claimed = _claimed(path, container)
    if end is not None:
        if decoded < end - SLACK:
            found = f"its {what} ends at {decoded or claimed:.2f} s"
            raise InputError(path, found, f"{end:g} s, the end")
        return
    if clock.reached < claimed - SLACK:
        found = f"truncated: it ends at {clock.reached:.2f} of {claimed:.2f} s"
        raise InputError(path, found, "a complete clip")


def _claimed(path: str | Path, container: Any) -> float:
    """Returns the claimed seconds of a clip; 0 if ffmpeg only guesses them from the bitrate."""
    if container.format.name in ("aac", "mp3"):
        with Path(path).open("rb") as file:
            if not _COUNTED.search(file.read(_HEAD)):
                return 0.0
    return (container.duration or 0) / 1e6


class _Clock:
    """Times of packets and frames, which continue where those of a clip restart at zero.

    Times restart in recordings that are concatenations of files.

    Attributes:
        origin: time of the container that is 0 here, in seconds.
        reached: largest time of the packets.
    """

    def __init__(self, container: Any):
        self.origin = (container.start_time or 0) / 1e6
        self.reached = 0.0
        self._shifts = [-self.origin]  # of each part of the clip
        self._last: dict[Any, tuple[int, float]] = {}  # part and time, by source

    @property
    def restarted(self) -> bool:
        """Returns whether the times of the packets have restarted."""
        return len(self._shifts) > 1

    def time(self, source: Any, time: float) -> float:
        """Returns the time of the next packet or frame of a source, which has ascending times."""
        part, last = self._last.get(source, (0, time))
        if time < last - SLACK:
            part += 1
            if part == len(self._shifts):
                self._shifts.append(self.reached - time)
        self._last[source] = part, time
        return time + self._shifts[part]

    def read(self, packet: Any) -> None:
        """Reads the times of a packet."""
        if packet.pts is not None:
            ordered = packet.pts if packet.dts is None else packet.dts
            time = self.time(packet.stream.index, float(ordered * packet.time_base))
            ahead = float((packet.pts - ordered + (packet.duration or 0)) * packet.time_base)
            self.reached = max(self.reached, time + ahead)


def _restarts(path: str | Path, container: Any) -> bool:
    """Returns whether the times of a clip restart, so that it cannot be searched by time."""
    if not container.format.flags & _DISCONTINUOUS:
        return False
    stat = Path(path).stat()
    return _packets_restart(str(path), stat.st_size, stat.st_mtime_ns)


@functools.lru_cache
def _packets_restart(path: str, size: int, changed: int) -> bool:
    with open_clip(path) as container, naming(path):
        # If Ogg files are concatenated, all times are in units of the first one.
        if container.format.name == "ogg":
            return Path(path).read_bytes().count(_FIRST_PAGE) > len(container.streams)
        clock = _Clock(container)
        for packet in container.demux():
            clock.read(packet)
    return clock.restarted


def duration(frame: Any, stream: Any) -> float:
    """Returns the duration of a frame in seconds."""
    if hasattr(frame, "samples"):
        return frame.samples / frame.sample_rate
    if frame.duration:
        return float(frame.duration * frame.time_base)
    rate = stream.average_rate
    return float(1 / rate) if rate else 0.04
