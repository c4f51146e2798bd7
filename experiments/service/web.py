"""The service's routes."""

import hmac
import urllib.parse
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from experiments.service import bodies
from experiments.service.bodies import Refused
from experiments.service.described import describe
from experiments.service.desk import Desk
from experiments.service.sound import Ears
from mman_jax.errors import InputError
from mman_jax.version import __version__

_OPEN = ("/health",)
_SOUND = (b"audio/", b"application/octet-stream")
_PATH = "/conversations/{conversation}"


def make(desk: Desk, ears: Ears | None, token: str) -> Callable[..., Awaitable[None]]:
    """The service as an ASGI application.

    Args:
        desk: answers, once it was started.
        ears: measures sound; None where the model has no extraction.
        token: that requests must show, all but those of their health; empty: none.

    Raises:
        InputError: a library is missing.
    """
    try:
        import fastapi
        import orjson
        from fastapi.responses import PlainTextResponse, Response
        from starlette.routing import Route
    except ImportError as error:
        raise InputError(
            "serving", f"{error.name} is missing", "pip install -e '.[serve]'"
        ) from error
    dims = desk.dims

    def respond(status: int, said: Mapping[str, Any]) -> Response:
        more = {"retry-after": "1"} if status == 429 else {}
        more |= {"connection": "close"} if status in (408, 413) else {}
        return Response(orjson.dumps(said), status, more, "application/json")

    async def answered(scope, receive) -> tuple[int, Mapping[str, Any]]:
        headers = dict(scope["headers"])
        name = bodies.check_name(scope["path_params"]["conversation"])
        kind = headers.get(b"content-type", b"").lower()
        if kind.startswith(b"application/json"):
            body = await bodies.read(receive, headers, bodies.longest(dims))
            features, number = bodies.parse(body, dims)
        elif kind.startswith(_SOUND) and ears:
            query = dict(urllib.parse.parse_qsl(scope["query_string"].decode("latin-1")))
            number = query.get("utterance")
            number = bodies.check_number(int(number) if number and number.isdecimal() else number)
            body = await bodies.read(receive, headers, bodies.LONGEST_SOUND)
            features = await ears.measure(body, query.get("transcript", ""))
        else:
            found = f"a body of type {kind.decode('latin-1')!r:.60}; expected application/json"
            raise Refused(415, found + (" or audio/wav" if ears else ""))
        return await desk.ask(name, features, number)

    class Utterances:
        """The one route that has to be fast: no framework between it and the server."""

        async def __call__(self, scope, receive, send):
            try:
                status, said = await answered(scope, receive)
            except InputError as error:
                status, said = 400, {"error": str(error)}
            except Refused as error:
                status, said = error.status, {"error": error.reason}
            desk.metrics.statuses[status] += 1
            await respond(status, said)(scope, receive, send)

    app = fastapi.FastAPI(title="mman_jax", version=__version__)
    app.router.routes.insert(0, Route(_PATH + "/utterances", Utterances(), methods=["POST"]))

    @app.delete(_PATH, summary="Forget a conversation")
    async def forget(conversation: str):
        return respond(*await desk.ask(conversation, None))

    @app.get("/health", summary="Whether it answers, and what it expects")
    async def health():
        return {"status": "ok", "modalities": dims, "classes": desk.classes, "sound": bool(ears)}

    @app.get(
        "/metrics", summary="Counts, as Prometheus reads them", response_class=PlainTextResponse
    )
    async def metrics():
        now = {"conversations": len(desk.places), "waiting": desk.waiting}
        return PlainTextResponse(desk.metrics.text(now), media_type="text/plain; version=0.0.4")

    @app.websocket(_PATH + "/sound")
    async def microphone(socket: fastapi.WebSocket, conversation: str):
        await socket.accept()
        try:
            if not ears:
                raise Refused(400, "this model has no extraction, and cannot measure sound")
            await ears.listen(socket, desk, bodies.check_name(conversation))
            await socket.close()
        except (InputError, Refused) as error:
            await socket.close(1008, str(error)[:120])  # a reason has at most 123 bytes
        except fastapi.WebSocketDisconnect:
            return

    describe(app, _PATH + "/utterances", dims, desk.classes, bool(ears))
    return _guarded(app, token, respond)


def _guarded(app, token: str, respond) -> Callable[..., Awaitable[None]]:
    wanted = f"Bearer {token}".encode()

    async def guarded(scope, receive, send):
        if scope["type"] not in ("http", "websocket"):
            return await app(scope, receive, send)
        headers = dict(scope["headers"])
        shown = headers.get(b"authorization", b"")
        known = not token or hmac.compare_digest(shown, wanted)
        if not known and scope["path"] not in _OPEN:
            status, reason = 401, "no token, or a wrong one; expected Authorization: Bearer TOKEN"
        elif scope["type"] == "websocket" and not token and not _same_origin(headers):
            # A page of another site, in a browser on this machine, must not reach the service.
            status, reason = 403, "a WebSocket that a page of another site opens"
        else:
            return await app(scope, receive, send)
        if scope["type"] == "websocket":
            return await send({"type": "websocket.close", "code": 1008, "reason": reason})
        return await respond(status, {"error": reason})(scope, receive, send)

    return guarded


def _same_origin(headers: Mapping[bytes, bytes]) -> bool:
    origin = headers.get(b"origin")
    return origin is None or origin.partition(b"://")[2] == headers.get(b"host")
