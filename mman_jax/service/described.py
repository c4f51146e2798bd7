"""What the OpenAPI pages say of the route that FastAPI does not know."""

from collections.abc import Mapping, Sequence
from typing import Any

_REASONS = {
    "400": "a body that cannot be used",
    "401": "no token, or a wrong one",
    "408": "a body that does not come to its end",
    "409": "another utterance is expected: `utterances` are known; `forgotten`: some no longer are",
    "413": "a body that is too long",
    "415": "a body of another type",
    "429": "too much to do, or too many conversations: come again later",
    "503": "known here, and not saved (`error`); not to be sent again",
}


def describe(
    app: Any, path: str, dims: Mapping[str, int], classes: Sequence[str], sound: bool
) -> None:
    """Adds the route of utterances to the OpenAPI description of a FastAPI application."""
    features = {
        modality: {
            "description": "numbers, or base64 of their float32 bytes, little-endian",
            "anyOf": [
                {"type": "array", "items": {"type": "number"}, "minItems": d, "maxItems": d},
                {"type": "string", "format": "byte"},
            ],
        }
        for modality, d in dims.items()
    }
    number = {"type": "integer", "minimum": 1, "description": "its number, where you count"}
    body = _object(features=_object(**features), utterance=number) | {"required": ["features"]}
    content: dict[str, Any] = {"application/json": {"schema": body}}
    parameters = [
        _parameter("conversation", "path", {"type": "string"}),
        _parameter("utterance", "query", number),
    ]
    if sound:
        content["audio/wav"] = {"schema": {"type": "string", "format": "binary"}}
        parameters.append(_parameter("transcript", "query", {"type": "string"}))
    answer = _object(
        conversation={"type": "string"},
        utterance={"type": "integer"},
        label={"type": "string"},
        probabilities=_object(**{name: {"type": "number"} for name in classes}),
        attention={"type": "object"},
        forgotten={"type": "boolean", "description": "what was before had to make room"},
    )
    answered = {"description": "answered", "content": {"application/json": {"schema": answer}}}
    post = {
        "summary": "Answer the next utterance of a conversation",
        "parameters": parameters,
        "requestBody": {"required": True, "content": content},
        "responses": {"200": answered}
        | {status: {"description": reason} for status, reason in _REASONS.items()},
    }
    generated = app.openapi

    def described() -> dict[str, Any]:
        schema = generated()
        schema["paths"].setdefault(path, {})["post"] = post
        return schema

    app.openapi = described


def _object(**properties: Any) -> dict[str, Any]:
    return {"type": "object", "properties": properties}


def _parameter(name: str, place: str, schema: Mapping[str, Any]) -> dict[str, Any]:
    return {"name": name, "in": place, "required": place == "path", "schema": schema}
