"""What a request for an answer holds, read with care."""

import asyncio
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from mman_jax.errors import InputError
from mman_jax.inference import lines

LONGEST_SOUND = 32 << 20
"""Bytes of a recording of one utterance at most."""

_LONGEST_NUMBER = 32  # characters, with what is around them
_REST = 1 << 16  # bytes of a body beside its numbers
_PATIENCE = 30.0  # seconds for a body to arrive
_EXPECTED = '{"features": {"<modality>": [numbers]}}, and "utterance": its number if you count'
_LONGEST_NAME = 200


class Refused(Exception):
    """A request that is answered by an HTTP status and a reason."""

    def __init__(self, status: int, reason: str):
        super().__init__(reason)
        self.status, self.reason = status, reason


class Utterance(NamedTuple):
    """Features [D] float32 of the modalities that are there, and its number where that is told."""

    features: dict[str, np.ndarray]
    number: int | None


def longest(dims: Mapping[str, int]) -> int:
    """Bytes of a body of features at most."""
    return _LONGEST_NUMBER * sum(dims.values()) + _REST


async def read(receive: Any, headers: Mapping[bytes, bytes], most: int) -> bytes:
    """The body of a request, in memory for no more than `most` bytes of it.

    Raises:
        Refused: it is longer, does not come to its end in time, or its client has gone.
    """
    declared = headers.get(b"content-length", b"0")
    if not declared.isdigit() or int(declared) > most:
        raise Refused(413, f"a body of {declared.decode('latin-1'):.30} bytes; at most {most}")
    parts, size, more = [], 0, True
    try:
        async with asyncio.timeout(_PATIENCE):
            while more and size <= most:
                message = await receive()
                if message["type"] != "http.request":
                    raise Refused(400, "the client has gone")
                parts.append(message.get("body", b""))
                size += len(parts[-1])
                more = message.get("more_body")
    except TimeoutError:
        raise Refused(408, f"a body that takes more than {_PATIENCE:g} s") from None
    if size > most:
        raise Refused(413, f"a body of more than {most} bytes")
    return b"".join(parts)


def parse(body: bytes, dims: Mapping[str, int]) -> Utterance:
    """One utterance's features.

    Raises:
        InputError: another form, modality or number of features, or one that is not finite.
    """
    import orjson

    try:
        found = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise InputError("body", f"no JSON ({error})", _EXPECTED) from error
    if not isinstance(found, dict) or not {"features"} <= found.keys() <= {"features", "utterance"}:
        keys = ", ".join(list(found)[:4]) if isinstance(found, dict) else type(found).__name__
        raise InputError("body", f"{keys:.200}" or "{}", _EXPECTED)
    number = found.get("utterance")
    return Utterance(lines.vectors(found["features"], dims, "body"), check_number(number))


def check_number(number: Any) -> int | None:
    """The number of an utterance in its conversation, or None.

    Raises:
        InputError: it is none.
    """
    if number is not None and (type(number) is not int or not 0 < number < 2**53):
        raise InputError("utterance", f"{number!r:.60}", "its number in the conversation, from 1")
    return number


def check_name(name: str) -> str:
    """The name of a conversation.

    Raises:
        InputError: it is none.
    """
    # What is no UTF-8 arrives as replacement characters: two names could arrive as one.
    if not name.isprintable() or "\ufffd" in name or not 0 < len(name) <= _LONGEST_NAME:
        expected = f"printable text in UTF-8 of at most {_LONGEST_NAME} characters"
        raise InputError("conversation", f"{name!r:.60}", expected)
    return name
