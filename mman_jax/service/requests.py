"""Requests for predictions: parsing of bodies, and the OpenAPI description."""

import asyncio
import email
import mimetypes
import pathlib
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from mman_jax.errors import InputError
from mman_jax.inference import lines
from mman_jax.inference.answerer import Answerer

LONGEST_SOUND = 32 << 20
"""Largest number of bytes of a recording."""

FORM = b"multipart/form-data"

_LONGEST_NUMBER = 32  # characters, with separators
_REST = 1 << 16  # bytes of a body in addition to its numbers
_PATIENCE = 30.0  # seconds for a body to arrive
_EXPECTED = '{"features": {"<modality>": [numbers]}}, and "utterance": its number if you count'
_LONGEST_NAME = 200
_TEXT = {"type": "string"}
_REASONS = {
    "400": "a body that cannot be used",
    "401": "no token, or a wrong one",
    "408": "a body that does not end in time",
    "409": "another utterance is expected (`utterances` are known; `forgotten`: discarded)",
    "413": "a body that is too long",
    "415": "a body of another type",
    "429": "too many utterances or conversations: try again later",
    "503": "answered but not saved (see `error`): do not send it again; or, with `retry_after` "
    "seconds and the header Retry-After, not taken: try again later",
}


class Refused(Exception):
    """A request that is answered by an HTTP status and a reason."""

    def __init__(self, status: int, reason: str):
        super().__init__(reason)
        self.status, self.reason = status, reason


class Utterance(NamedTuple):
    """An utterance of a request."""

    features: dict[str, np.ndarray]  # [D] float32 of the modalities that are present
    number: int | None  # in its conversation; None if it is not counted
    speaker: str  # empty if the conversation has one speaker


class Recording(NamedTuple):
    """A recording of a request."""

    content: bytes
    name: str  # of its file
    fields: dict[str, str]  # the other fields of its form


def longest(dims: Mapping[str, int]) -> int:
    """Returns the largest number of bytes of a body of features."""
    return _LONGEST_NUMBER * sum(dims.values()) + _REST


async def read(receive: Any, headers: Mapping[bytes, bytes], most: int) -> bytes:
    """Reads the body of a request, with at most `most` bytes in memory.

    Raises:
        Refused: the body is too long or does not end in time, or the client has disconnected.
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
                    raise Refused(400, "the client has disconnected")
                parts.append(message.get("body", b""))
                size += len(parts[-1])
                more = message.get("more_body")
    except TimeoutError:
        raise Refused(408, f"a body that takes more than {_PATIENCE:g} s") from None
    if size > most:
        raise Refused(413, f"a body of more than {most} bytes")
    return b"".join(parts)


def parse(body: bytes, dims: Mapping[str, int]) -> Utterance:
    """Returns the utterance of a body, or raises an InputError."""
    import orjson

    try:
        value = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise InputError("body", f"no JSON ({error})", _EXPECTED) from error
    keys = {"features", "utterance", "speaker"}
    if not isinstance(value, dict) or not {"features"} <= value.keys() <= keys:
        found = ", ".join(list(value)[:4]) if isinstance(value, dict) else type(value).__name__
        raise InputError("body", f"{found:.200}" or "{}", _EXPECTED)
    number = check_number(value.get("utterance"))
    speaker = lines.check_name(value["speaker"], "speaker") if "speaker" in value else ""
    return Utterance(lines.vectors(value["features"], dims, "body"), number, speaker)


async def read_recording(receive: Any, headers: Mapping[bytes, bytes]) -> Recording:
    """Reads the recording of a request, which is its body or the only file of its form.

    Raises:
        InputError: the form is unreadable, or does not have exactly one file.
        Refused: see `read`.
    """
    body = await read(receive, headers, LONGEST_SOUND)
    return await asyncio.to_thread(_recording, body, headers.get(b"content-type", b""))


def _recording(body: bytes, kind: bytes) -> Recording:
    if not kind.lower().startswith(FORM):
        plain = kind.decode("latin-1").partition(";")[0].strip().lower()
        ending = plain.partition("/")[2].removeprefix("x-")
        ending = f".{ending}" if ending.isascii() and ending.isalnum() else ""
        suffix = mimetypes.guess_extension(plain) or ending
        return Recording(body, f"recording{suffix[:10]}", {})
    # As Latin-1, bytes and characters are the same.
    form = (b"Content-Type: " + kind + b"\n\n" + body).decode("latin-1")
    parts: Any = email.message_from_string(form).get_payload()
    files, fields = [], {}
    for part in parts if isinstance(parts, list) else ():
        content, file = part.get_payload(), part.get_filename()
        if isinstance(content, str) and file is not None:
            files.append((content.encode("latin-1"), _utf8(file)))
        elif isinstance(content, str):
            name = part.get_param("name", "", "content-disposition")
            fields[_utf8(str(name))] = _utf8(content)
    if len(files) != 1:
        raise InputError("body", f"a form with {len(files)} files", "one file")
    path = pathlib.PurePath(files[0][1].replace("\\", "/"))
    name = path.stem[:40] + path.suffix[:10]  # at most 200 bytes
    return Recording(files[0][0], name if name and name.isprintable() else "recording", fields)


def _utf8(text: str) -> str:
    return text.encode("latin-1", "replace").decode("utf-8", "replace")


def check_number(number: Any) -> int | None:
    """Returns the number of an utterance in its conversation, from 1; None if it is not counted."""
    if number is not None and (type(number) is not int or not 0 < number < 2**53):
        raise InputError("utterance", f"{number!r:.60}", "its number in the conversation, from 1")
    return number


def read_number(text: str | None) -> int | None:
    """Returns the number in a URL or a form, see `check_number`."""
    return check_number(int(text) if text and text.isdecimal() and len(text) < 16 else text)


def check_name(name: str) -> str:
    """Returns the name of a conversation, if it is printable and not too long."""
    # Other encodings than UTF-8 arrive as replacement characters: two names could become equal.
    if not name.isprintable() or "\ufffd" in name or not 0 < len(name) <= _LONGEST_NAME:
        expected = f"printable text in UTF-8 of at most {_LONGEST_NAME} characters"
        raise InputError("conversation", f"{name!r:.60}", expected)
    return name


def describe(app: Any, path: str, answerer: Answerer, sound: bool) -> None:
    """Adds the route of utterances at `path` to the OpenAPI description of a FastAPI application.

    `sound` says whether a body may be a recording.
    """
    features = {
        modality: {
            "description": "numbers, or base64 of their float32 bytes, little-endian",
            "anyOf": [
                {"type": "array", "items": {"type": "number"}, "minItems": d, "maxItems": d},
                {"type": "string", "format": "byte"},
            ],
        }
        for modality, d in answerer.dims.items()
    }
    number = {"type": "integer", "minimum": 1, "description": "its number, if you count"}
    speaker = _TEXT | {"description": "its speaker, if the conversation has several"}
    body = _object(features=_object(**features), utterance=number, speaker=speaker)
    body |= {"required": ["features"]}
    content: dict[str, Any] = {"application/json": {"schema": body}}
    parameters = [
        _parameter("conversation", "path", _TEXT),
        _parameter("utterance", "query", number),
        _parameter("speaker", "query", speaker),
    ]
    if sound:
        binary = {"type": "string", "format": "binary"}
        content["audio/wav"] = {"schema": binary}
        content["multipart/form-data"] = {"schema": _object(file=binary)}
        turns = {"type": "boolean", "description": "whether it has several turns, see `turns`"}
        parameters += [
            _parameter("transcript", "query", _TEXT),
            _parameter("turns", "query", turns),
        ]
    discarded = "the conversation was discarded to make room, and begins anew"
    answer = _object(
        conversation=_TEXT,
        utterance={"type": "integer"},
        label=_TEXT,
        probabilities=_object(**{name: {"type": "number"} for name in answerer.classes}),
        attention={"type": "object"},
        familiarity={"type": "number"},
        unfamiliar={"type": "boolean", "description": "unlike the training data"},
        forgotten={"type": "boolean", "description": discarded},
        turns={"type": "array", "items": {"type": "object"}, "description": "of a long recording"},
    )
    answered = {"description": "answered", "content": {"application/json": {"schema": answer}}}
    refused = {status: {"description": reason} for status, reason in _REASONS.items()}
    post = {
        "summary": "Answer the next utterance of a conversation",
        "parameters": parameters,
        "requestBody": {"required": True, "content": content},
        "responses": {"200": answered} | refused,
    }
    generated = app.openapi

    def extended() -> dict[str, Any]:
        schema = generated()
        schema["paths"].setdefault(path, {})["post"] = post
        return schema

    app.openapi = extended


def _object(**properties: Any) -> dict[str, Any]:
    return {"type": "object", "properties": properties}


def _parameter(name: str, place: str, schema: Mapping[str, Any]) -> dict[str, Any]:
    return {"name": name, "in": place, "required": place == "path", "schema": schema}
