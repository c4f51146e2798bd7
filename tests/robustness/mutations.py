"""Seeded damage to bytes: bad disks, incomplete transfers and malicious changes."""

from collections.abc import Callable, Mapping, Sequence

import numpy as np

Files = dict[str, bytes]
"""The files of a case: contents by relative path."""

_LARGEST = 1 << 16
"""Damage makes no file grow by more than this many bytes."""

_NUMBERS = (0, 1, 127, 128, 255, 256, 32767, 65535, 2**31 - 1, 2**31, 2**32 - 1, 2**63 - 1, 2**64)
_DIGITS = (b"0", b"-1", b"9" * 30, b"9" * 5000, b"1e999", b"nan", b"1" + b"0" * 9, b"0.5", b"")


def damage(data: bytes, donors: Sequence[bytes], rng: np.random.Generator) -> bytes:
    """Applies one to four random changes; an empty file stays empty or takes bytes of a donor.

    Args:
        data: what to change.
        donors: other contents from which pieces are copied.
        rng: source of randomness.
    """
    for _ in range(rng.integers(1, 5)):
        change = CHANGES[rng.integers(len(CHANGES))]
        data = change(data, donors, rng)[: len(data) + _LARGEST]
    return data


def damage_files(
    files: Mapping[str, bytes], donors: Sequence[bytes], rng: np.random.Generator
) -> Files:
    """Damages one file of a folder; sometimes one is missing, empty, renamed, or two exchanged."""
    changed = dict(files)
    names = sorted(changed)
    name = names[rng.integers(len(names))]
    kind = rng.integers(12) if len(names) > 1 else 4
    if kind == 0:
        del changed[name]
    elif kind == 1:
        changed[name] = b""
    elif kind == 2:
        other = names[rng.integers(len(names))]
        changed[name], changed[other] = changed[other], changed[name]
    elif kind == 3:
        changed[name + "x"] = changed.pop(name)
    else:
        changed[name] = damage(changed[name], donors, rng)
    return changed


def _position(data: bytes, rng: np.random.Generator) -> int:
    return int(rng.integers(len(data) + 1))


def _flip(data: bytes, _: Sequence[bytes], rng: np.random.Generator) -> bytes:
    changed = bytearray(data)
    for position in rng.integers(len(data), size=rng.integers(1, 4)) if data else ():
        changed[position] ^= 1 << rng.integers(8)
    return bytes(changed)


def _truncate(data: bytes, _: Sequence[bytes], rng: np.random.Generator) -> bytes:
    return data[: _position(data, rng)]


def _replace(data: bytes, _: Sequence[bytes], rng: np.random.Generator) -> bytes:
    """Removes and inserts a few random bytes; either may be none."""
    at = _position(data, rng)
    removed, inserted = (int(rng.integers(size) * rng.integers(2)) for size in (64, 32))
    return data[:at] + rng.bytes(inserted) + data[at + removed :]


def _splice(data: bytes, donors: Sequence[bytes], rng: np.random.Generator) -> bytes:
    donor = donors[rng.integers(len(donors))] if len(donors) else data
    start, at = _position(donor, rng), _position(data, rng)
    piece = donor[start : start + int(rng.integers(1, 200))]
    return data[:at] + piece + data[at + len(piece) * int(rng.integers(2)) :]


def _repeat(data: bytes, _: Sequence[bytes], rng: np.random.Generator) -> bytes:
    at = _position(data, rng)
    piece = data[at : at + int(rng.integers(1, 16))]
    return data[:at] + piece * int(2 ** rng.integers(1, 13)) + data[at:]


def _length(data: bytes, _: Sequence[bytes], rng: np.random.Generator) -> bytes:
    """Writes a number, often near a bound, of any width and byte order, as lengths are stored."""
    width = int(2 ** rng.integers(4))
    number = _NUMBERS[rng.integers(len(_NUMBERS))] + int(rng.integers(-1, 2))
    field = (number % 256**width).to_bytes(width, ("little", "big")[rng.integers(2)])
    at = _position(data, rng)
    return data[:at] + field + data[at + width :]


def _digits(data: bytes, _: Sequence[bytes], rng: np.random.Generator) -> bytes:
    """Replaces a number that is written in digits."""
    at = _position(data, rng)
    start = next((i for i in range(at, min(at + 500, len(data))) if 48 <= data[i] < 58), None)
    if start is None:
        return data
    stop = start
    while stop < len(data) and 48 <= data[stop] < 58:
        stop += 1
    return data[:start] + _DIGITS[rng.integers(len(_DIGITS))] + data[stop:]


CHANGES: tuple[Callable[[bytes, Sequence[bytes], np.random.Generator], bytes], ...] = (
    *(_flip, _flip, _truncate, _replace, _replace, _replace, _splice, _splice),
    *(_repeat, _length, _length, _digits),
)
