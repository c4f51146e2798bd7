"""Subtitles, SubRip (.srt) or WebVTT (.vtt): what is said, and when."""

import codecs
import html
import pathlib
import re
from typing import NamedTuple

from mman_jax.errors import InputError
from mman_jax.files.regular import check_regular

_EXPECTED = "subtitles (.srt or .vtt) in UTF-8 or UTF-16"
_MOST = 16 << 20  # bytes
_CLOCK = r"(?:(\d{1,4}):)?(\d{1,2}):(\d{1,2})[.,](\d{1,3})"
_TIMES = re.compile(rf"\s*{_CLOCK}\s*-->\s*{_CLOCK}(?:\s.*)?")
_TAG = re.compile(r"</?[\w:][^<>]*>|\{\\[^{}]*\}")
_ENTITY = re.compile(r"&#?\w+;")


class Words(NamedTuple):
    """Words of a recording, between two times in seconds."""

    start: float
    end: float
    words: str


def read(path: pathlib.Path) -> list[Words]:
    """The words of subtitles, by their beginnings; those without words are left out.

    Overlapping ones stay as they are, and so do those that run past the end of the recording: a
    word belongs to the utterance that its subtitle's middle lies in.

    Raises:
        InputError: the file, and the line that cannot be used.
    """
    check_regular(path, _EXPECTED)
    try:
        content = path.read_bytes()[: _MOST + 1]
        if len(content) > _MOST:
            raise InputError(path, f"more than {_MOST} bytes", _EXPECTED)
        utf16 = content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
        lines = content.decode("utf-16" if utf16 else "utf-8-sig").splitlines()
    except (OSError, ValueError) as error:
        if isinstance(error, InputError):
            raise
        found = f"cannot be read ({getattr(error, 'strerror', None) or error})"
        raise InputError(path, found, _EXPECTED) from error
    found, at = [], 0
    while at < len(lines):
        at += 1
        if "-->" not in lines[at - 1]:
            continue  # a number, a name, a note, or the head of the file
        number = lines[at - 2].strip() if at > 1 else ""
        times = _times(lines[at - 1], f"{path}: line {at}")
        said = []
        while at < len(lines) and lines[at].strip() and not _TIMES.fullmatch(lines[at]):
            said.append(_plain(lines[at]))
            at += 1
        # The number of the next one, where no empty line parts them.
        if at < len(lines) and lines[at].strip() and number.isdecimal() and said:
            said = said[:-1] if said[-1] == str(int(number) + 1) else said
        words = " ".join(" ".join(said).split())
        if words:
            found.append(Words(*times, words))
    if not found:
        raise InputError(path, "no subtitle with words", _EXPECTED)
    return sorted(found)


def _plain(line: str) -> str:
    """A line of words without marks, its entities as what they stand for."""
    return _ENTITY.sub(lambda found: html.unescape(found[0]), _TAG.sub("", line)).strip()


def _times(line: str, place: str) -> tuple[float, float]:
    match = _TIMES.fullmatch(line)
    if not match:
        expected = "times such as 00:00:01,500 --> 00:00:04,000"
        raise InputError(place, f"{line.strip()!r:.80}", expected)
    start, end = _seconds(*match.groups()[:4]), _seconds(*match.groups()[4:])
    if not start < end:
        raise InputError(place, f"from {start:g} s to {end:g} s", "an end after a start")
    return start, end


def _seconds(hours: str | None, minutes: str, seconds: str, rest: str) -> float:
    return int(hours or 0) * 3600 + int(minutes) * 60 + int(seconds) + int(rest.ljust(3, "0")) / 1e3
