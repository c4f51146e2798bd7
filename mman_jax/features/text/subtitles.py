"""Readers of subtitles: SubRip (.srt) and WebVTT (.vtt)."""

import html
import re
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from mman_jax.errors import InputError, reading
from mman_jax.files.whole import check_regular, decode

_SUBTITLES = "subtitles (.srt or .vtt) in UTF-8 or UTF-16"
_MOST_BYTES = 16 << 20
_CLOCK = r"(?:(\d{1,4}):)?(\d{1,2}):(\d{1,2})[.,](\d{1,3})"
_TIMES = re.compile(rf"\s*{_CLOCK}\s*-->\s*{_CLOCK}(?:\s.*)?")
_TAG = re.compile(r"</?[\w:][^<>]*>|\{\\[^{}]*\}")
_ENTITY = re.compile(r"&#?\w+;")
_NOTES = re.compile(r"(NOTE|STYLE|REGION)(\s|$)")  # blocks of WebVTT without words
_CONTIGUOUS = 0.1  # seconds between rolling captions, and of ones too short to be spoken


class Words(NamedTuple):
    """Words of a recording, between two times in seconds."""

    start: float
    end: float
    words: str


def read(path: Path) -> list[Words]:
    """Reads subtitles that have words, sorted by start.

    Subtitles that overlap or extend past the end of the recording are unchanged: a word belongs to
    the utterance in which the midpoint of its subtitle lies. Lines that rolling captions repeat
    from the subtitle before are read once.
    """
    check_regular(path, _SUBTITLES)
    if path.stat().st_size > _MOST_BYTES:
        raise InputError(path, f"more than {_MOST_BYTES} bytes", _SUBTITLES)
    with reading(path, _SUBTITLES, (OSError, ValueError)):
        lines = decode(path.read_bytes()).splitlines()
    starts = [number for number in range(len(lines)) if _begins(lines, number)]
    subtitles: list[Words] = []
    before: list[str] = []
    last = 0.0
    for start, stop in zip(starts, [*starts, len(lines)][1:], strict=True):
        begin, end = _times(lines[start], f"{path}: line {start + 1}")
        number = lines[start - 1].strip() if start else ""
        spoken = _spoken(lines[start + 1 : stop], number, stop < len(lines))
        rolling = before if begin <= last + _CONTIGUOUS else []
        unspoken = spoken[_repeated(rolling, spoken, end - begin) :]
        words = " ".join(" ".join(unspoken).split())
        if words:
            subtitles.append(Words(begin, end, words))
        before, last = spoken, end
    if not subtitles:
        raise InputError(path, "no subtitle with words", _SUBTITLES)
    return sorted(subtitles)


def _begins(lines: Sequence[str], position: int) -> bool:
    """Returns whether a subtitle begins in a line, even if its times are invalid."""
    if _TIMES.fullmatch(lines[position]):
        return True
    before = lines[position - 1].strip() if position else ""
    return "-->" in lines[position] and (not before or before.isdecimal())


def _spoken(lines: Sequence[str], number: str, followed: bool) -> list[str]:
    """Returns the lines of words between two lines of times, without formatting.

    Args:
        lines: the lines, which may end with the number or the name of the next subtitle.
        number: the number or the name of this subtitle; empty: none.
        followed: whether there is a next subtitle.
    """
    tail = lines[-1].strip() if lines else ""
    alone = len(lines) > 1 and not lines[-2].strip()
    follows = number.isdecimal() and tail == str(int(number) + 1)
    named = bool(number) and not number.isdecimal()
    if followed and (follows or (alone and (named or tail.isdecimal()))):
        lines = lines[:-1]
    # Words may follow an empty line.
    blocks: list[list[str]] = [[]]
    for line in lines:
        if line.strip():
            blocks[-1].append(line.strip())
        elif blocks[-1]:
            blocks.append([])
    # Entities are decoded after formatting is removed.
    plain = [
        _ENTITY.sub(lambda match: html.unescape(match[0]), _TAG.sub("", line)).strip()
        for position, block in enumerate(blocks)
        if not (position and block and _NOTES.match(block[0]))
        for line in block
    ]
    return [line for line in plain if line]


def _repeated(before: Sequence[str], spoken: Sequence[str], seconds: float) -> int:
    """Counts the lines at the start of a subtitle that repeat the end of the previous one.

    If both subtitles consist of the same single line, it is a repetition only if the second one is
    too short to be spoken.
    """
    for count in range(min(len(before), len(spoken)), 0, -1):
        if before[-count:] == spoken[:count]:
            same = count == len(before) == len(spoken)
            return 0 if same and seconds > _CONTIGUOUS else count
    return 0


def _times(line: str, place: str) -> tuple[float, float]:
    """Returns start and end of a subtitle, in seconds."""
    match = _TIMES.fullmatch(line)
    if not match:
        expected = "times such as 00:00:01,500 --> 00:00:04,000"
        raise InputError(place, f"{line.strip()!r:.80}", expected)
    groups = match.groups()
    start, end = (
        int(hours or 0) * 3600 + int(minutes) * 60 + int(seconds) + int(rest.ljust(3, "0")) / 1e3
        for hours, minutes, seconds, rest in (groups[:4], groups[4:])
    )
    if not start < end:
        raise InputError(place, f"from {start:g} s to {end:g} s", "an end after the start")
    return start, end
