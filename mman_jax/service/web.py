"""The service's routes."""

import hmac
import re
import urllib.parse
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from mman_jax.errors import InputError
from mman_jax.service import bodies
from mman_jax.service.bodies import Refused
from mman_jax.service.described import describe
from mman_jax.service.desk import Desk, Reply
from mman_jax.service.sound import Ears
from mman_jax.version import __version__

_OPEN = ("/health",)
_REASON = 120  # bytes of the reason for which a WebSocket is closed; 123 are possible
_SOUND = (b"audio/", b"application/octet-stream")
_CONVERSATION = "/conversations/{conversation:path}"
_UTTERANCES = re.compile("/conversations/(.*)/utterances", re.DOTALL)

Scope = Mapping[str, Any]
Asgi = Callable[[Scope, Any, Any], Awaitable[None]]


def make(desk: Desk, ears: Ears | None, token: str) -> Asgi:
    """The service as an ASGI application.

    Args:
        desk: answers, once it was started.
        ears: measures sound; None where the model has no extraction.
        token: that requests must show, all but those of their health; empty: none.

    Raises:
        InputError: a library is missing.
    """
    others, utterances = _others(desk, ears), _Utterances(desk, ears)
    wanted = f"Bearer {token}".encode("utf-8", "surrogateescape")

    async def app(scope: Scope, receive: Any, send: Any) -> None:
        headers = dict(scope["headers"]) if "headers" in scope else {}
        known = not token or hmac.compare_digest(headers.get(b"authorization", b""), wanted)
        path = scope.get("path")
        if not known and path not in _OPEN:
            reason = "no token, or a wrong one; expected Authorization: Bearer TOKEN"
            await _refuse(scope, send, 401, reason)
        elif scope["type"] == "websocket" and not token and not _same_origin(headers):
            # A page of another site, in a browser on this machine, must not reach the service.
            await _refuse(scope, send, 403, "a WebSocket that a page of another site opens")
        elif scope.get("method") == "POST" and (found := _UTTERANCES.fullmatch(path)):
            # The one route that has to be fast: no framework between it and the server.
            await utterances.answer(found[1], scope, headers, receive, send)
        else:
            await others(scope, receive, send)

    return app


class _Utterances:
    def __init__(self, desk: Desk, ears: Ears | None):
        self._desk, self._ears = desk, ears
        self._longest = bodies.longest(desk.dims)

    async def answer(
        self, name: str, scope: Scope, headers: Mapping[bytes, bytes], receive: Any, send: Any
    ) -> None:
        """Answers one request."""
        try:
            status, said = await self._answered(bodies.check_name(name), scope, headers, receive)
        except InputError as error:
            status, said = 400, {"error": str(error)}
        except Refused as error:
            status, said = error.status, {"error": error.reason}
        self._desk.metrics.statuses[status] += 1
        await _send(send, status, said)

    async def _answered(self, name, scope, headers, receive) -> Reply:
        kind = headers.get(b"content-type", b"").lower()
        query = dict(urllib.parse.parse_qsl(scope["query_string"].decode("latin-1")))
        counted = query.get("utterance")
        number = bodies.check_number(
            int(counted) if counted and counted.isdecimal() and len(counted) < 16 else counted
        )
        if kind.startswith(b"application/json"):
            body = await bodies.read(receive, headers, self._longest)
            features, own = bodies.parse(body, self._desk.dims)
            number = number if own is None else own
        elif kind.startswith(_SOUND) and self._ears:
            features = await self._ears.measure(
                lambda: bodies.read(receive, headers, bodies.LONGEST_SOUND),
                query.get("transcript", ""),
            )
        else:
            found = f"a body of type {kind.decode('latin-1')!r:.60}; expected application/json"
            raise Refused(415, found + (" or audio/wav" if self._ears else ""))
        return await self._desk.ask(name, features, number)


def _others(desk: Desk, ears: Ears | None) -> Asgi:
    try:
        import fastapi
        import orjson  # noqa: F401
        from fastapi.responses import JSONResponse, PlainTextResponse
        from starlette.exceptions import HTTPException
    except ImportError as error:
        expected = "pip install 'mman_jax[serve]'"
        raise InputError("serving", f"{error.name} is missing", expected) from error
    app = fastapi.FastAPI(title="mman_jax", version=__version__)

    @app.delete(_CONVERSATION, summary="Forget a conversation")
    async def forget(conversation: str):
        status, said = await desk.ask(conversation, None)
        return JSONResponse(said, status)

    @app.exception_handler(HTTPException)
    async def refused(_, error):
        return JSONResponse({"error": error.detail}, error.status_code, error.headers)

    @app.head("/health", include_in_schema=False)
    @app.get("/health", summary="Whether it answers, and what it expects")
    async def health():
        return {"status": "ok", "modalities": desk.dims, "classes": desk.classes,
                "sound": ears is not None}  # fmt: skip

    @app.get("/metrics", summary="Counts, as Prometheus reads", response_class=PlainTextResponse)
    async def metrics():
        now = {"conversations": len(desk.places), "waiting": desk.waiting}
        return PlainTextResponse(desk.metrics.text(now), media_type="text/plain; version=0.0.4")

    @app.websocket(_CONVERSATION + "/sound")
    async def microphone(socket: fastapi.WebSocket, conversation: str):
        await socket.accept()
        try:
            if not ears:
                raise Refused(400, "this model has no extraction, and cannot measure sound")
            await ears.listen(socket, desk, bodies.check_name(conversation))
            await socket.close()
        except (InputError, Refused) as error:
            reason = str(error).encode()[:_REASON].decode(errors="ignore")
            await socket.close(1008, reason)
        except fastapi.WebSocketDisconnect:
            return

    path = _CONVERSATION.replace(":path", "") + "/utterances"
    describe(app, path, desk.dims, desk.classes, ears is not None)
    return app


async def _send(send: Any, status: int, said: Mapping[str, Any]) -> None:
    import orjson

    body = orjson.dumps(said)
    headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(body))]
    if status == 429:
        headers.append((b"retry-after", b"1"))
    if status in (408, 413):  # the rest of the body is not read
        headers.append((b"connection", b"close"))
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


async def _refuse(scope: Scope, send: Any, status: int, reason: str) -> None:
    if scope["type"] == "websocket":
        await send({"type": "websocket.close", "code": 1008, "reason": reason})
    else:
        await _send(send, status, {"error": reason})


def _same_origin(headers: Mapping[bytes, bytes]) -> bool:
    origin = headers.get(b"origin")
    return origin is None or origin.partition(b"://")[2] == headers.get(b"host")
