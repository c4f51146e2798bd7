"""Routes and server of the service."""

import asyncio
import contextlib
import functools
import math
import pathlib
import re
import socket as sockets
import sys
import urllib.parse
from collections.abc import Awaitable, Callable, Mapping, MutableMapping, Sequence
from typing import Any, NamedTuple

from mman_jax.errors import InputError
from mman_jax.features.speech import pauses
from mman_jax.inference import answerer
from mman_jax.service import requests
from mman_jax.service.access import Access
from mman_jax.service.audio import LONGEST_MESSAGE, AudioInput
from mman_jax.service.batcher import Batcher, Reply
from mman_jax.service.requests import Refused
from mman_jax.version import __version__

_REASON = 120  # bytes of the reason for which a WebSocket is closed; 123 are possible
_SOUND = (b"audio/", b"video/", b"application/octet-stream", requests.FORM)
_NO_SITE = "this service has no page for recordings; /docs describes it"
_CONVERSATION = "/conversations/{conversation:path}"
_UTTERANCES = re.compile("/conversations/(.*)/utterances", re.DOTALL)

_DRAIN = 10  # seconds for requests under way at the end
_IDLE = 75  # seconds for which an idle connection is kept
_SWITCH = 5e-4  # seconds between switches of threads

Scope = MutableMapping[str, Any]
Asgi = Callable[[Scope, Any, Any], Awaitable[None]]
Stop = Callable[[], None]


class Site(NamedTuple):
    """Pages for people: the start, and the page of a recording at a path."""

    start: str
    look: Callable[[pathlib.Path], str]


def make(
    batcher: Batcher,
    audio: AudioInput | None,
    token: str,
    origins: Sequence[str] = (),
    site: Site | None = None,
) -> Asgi:
    """Returns the service as an ASGI application.

    Args:
        batcher: answers the utterances; it must be started first.
        audio: measures audio; None if the model has no feature extraction.
        token: token of all requests except those for `/health` and the start page; empty if there
            is none.
        origins: origins of further pages that may use the service, see `access.check_origin`.
        site: the pages at `/` and `/look`, which need `audio`; None: there are none.
    """
    others, access = _others(batcher, audio, site), Access(token, origins)

    async def app(scope: Scope, receive: Any, send: Any) -> None:
        headers = dict(scope["headers"]) if "headers" in scope else {}
        path = scope.get("path", "")
        if answer := access.preflight(scope, headers):
            await send({"type": "http.response.start", "status": 204, "headers": answer})
            await send({"type": "http.response.body"})
            return
        if shared := access.shared(headers):
            send = _adding(shared, send)
        if refusal := access.refusal(scope, headers):
            await _refuse(scope, send, *refusal)
        elif scope.get("method") == "POST" and (match := _UTTERANCES.fullmatch(path)):
            # This route must be fast, so no framework is between it and the server.
            await _send(send, *await _utterance(match[1], batcher, audio, scope, headers, receive))
        else:
            await others(scope, receive, send)

    return app


async def _utterance(
    name: str,
    batcher: Batcher,
    audio: AudioInput | None,
    scope: Scope,
    headers: Mapping[bytes, bytes],
    receive: Any,
) -> Reply:
    """Answers an utterance of the conversation `name`."""
    kind = headers.get(b"content-type", b"")
    query = dict(urllib.parse.parse_qsl(scope["query_string"].decode("latin-1")))
    try:
        if refusal := batcher.refusal():  # before its body is read
            batcher.metrics.statuses[refusal[0]] += 1
            return refusal
        requests.check_name(name)
        number = requests.read_number(query.get("utterance"))
        if kind.lower().startswith(b"application/json"):
            dims = batcher.answerer.dims
            body = await requests.read(receive, headers, requests.longest(dims))
            features, stated, named = requests.parse(body, dims)
            number, speaker = number if stated is None else stated, named or query.get("speaker")
            status, reply = await batcher.ask(name, features, number, speaker or "")
        elif kind.lower().startswith(_SOUND) and audio:
            read = functools.partial(requests.read_recording, receive, headers)
            status, reply = await audio.answer(read, batcher, name, query)
        else:
            found = f"a body of type {kind.decode('latin-1')!r:.60}; expected application/json"
            raise Refused(415, found + (" or audio/wav" if audio else ""))
    except InputError as error:
        status, reply = 400, {"error": str(error)}
    except Refused as error:
        status, reply = error.status, {"error": error.reason}
    batcher.metrics.statuses[status] += 1
    return status, reply


def _others(batcher: Batcher, audio: AudioInput | None, site: Site | None) -> Asgi:
    try:
        import fastapi
        import orjson  # noqa: F401
        from fastapi.responses import HTMLResponse, JSONResponse, PlainTextResponse
        from starlette.exceptions import HTTPException
    except ImportError as error:
        expected = "pip install 'mman_jax[serve]'"
        raise InputError("serving", f"{error.name} is missing", expected) from error
    app = fastapi.FastAPI(title="mman_jax", version=__version__, description=answerer.USE)

    @app.delete(_CONVERSATION, summary="Forget a conversation")
    async def forget(conversation: str):
        status, body = await batcher.ask(conversation, None)
        return JSONResponse(body, status)

    @app.exception_handler(HTTPException)
    async def refused(_, error):
        return JSONResponse({"error": error.detail}, error.status_code, error.headers)

    @app.exception_handler(InputError)
    async def unusable(_, error):
        return JSONResponse({"error": str(error)}, 400)

    @app.exception_handler(Refused)
    async def turned_away(_, error):
        later = {"retry-after": "1"} if error.status == 429 else None
        return JSONResponse({"error": error.reason}, error.status, later)

    @app.head("/health", include_in_schema=False)
    @app.get("/health", summary="Health, modalities and classes")
    async def health():
        sizes, classes = batcher.answerer.dims, batcher.answerer.classes
        about = {"modalities": sizes, "classes": classes, "sound": audio is not None}
        return {"status": "ok"} | about

    @app.get("/metrics", summary="Metrics for Prometheus", response_class=PlainTextResponse)
    async def metrics():
        gauges = {"conversations": len(batcher.table), "waiting": batcher.waiting}
        text = batcher.metrics.text(gauges)
        return PlainTextResponse(text, media_type="text/plain; version=0.0.4")

    @app.websocket(_CONVERSATION + "/sound")
    async def microphone(socket: fastapi.WebSocket, conversation: str, interim: float = math.inf):
        await socket.accept()
        try:
            if not audio:
                raise Refused(400, "this model has no extraction, and cannot measure sound")
            pauses.check_interim(interim)
            await audio.listen(socket, batcher, requests.check_name(conversation), interim)
            await socket.close()
        except (InputError, Refused) as error:
            reason = str(error).encode()[:_REASON].decode(errors="ignore")
            await socket.close(1008, reason)
        except fastapi.WebSocketDisconnect:
            return

    @app.get("/", summary="The page that takes a recording", response_class=HTMLResponse)
    async def start():
        return site.start if site else _NO_SITE

    @app.post("/look", summary="The page of a recording", response_class=HTMLResponse)
    async def look(request: fastapi.Request):
        if not audio or not site:
            raise Refused(400, _NO_SITE)
        headers = dict(request.scope["headers"])
        read = functools.partial(requests.read_recording, request.receive, headers)
        return HTMLResponse(await audio.run(read, lambda path, _: site.look(path)))

    path = _CONVERSATION.replace(":path", "") + "/utterances"
    requests.describe(app, path, batcher.answerer, audio is not None)
    return app


def bind(host: str, port: int) -> sockets.socket:
    """Returns a socket at the port, which does not accept connections yet.

    Raises:
        InputError: the address cannot be used.
    """
    family = sockets.AF_INET6 if ":" in host else sockets.AF_INET
    bound = sockets.socket(family, sockets.SOCK_STREAM)
    bound.setsockopt(sockets.SOL_SOCKET, sockets.SO_REUSEADDR, 1)
    try:
        bound.bind((host, port))
    except (OSError, OverflowError, UnicodeError) as error:  # the last: not a host name
        bound.close()
        reason = getattr(error, "strerror", None) or error
        expected = "an address of this machine, and a free port of it"
        raise InputError(f"{host}:{port}", f"cannot be served ({reason})", expected) from error
    return bound


def address(bound: sockets.socket) -> str:
    """Returns the URL of a socket."""
    host, port, *_ = bound.getsockname()
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def serve(
    app: Asgi, batcher: Batcher, bound: sockets.socket, began: Callable[[Stop], None]
) -> None:
    """Serves until it is stopped; then answers pending requests and saves the conversations.

    `began` is called once the port is open, with a function that stops the service.
    """
    import uvicorn

    config = uvicorn.Config(
        app,
        lifespan="off",
        log_level="warning",
        access_log=False,
        server_header=False,
        proxy_headers=False,  # the address of a client is never used
        timeout_keep_alive=_IDLE,
        ws_max_size=LONGEST_MESSAGE,
        timeout_graceful_shutdown=_DRAIN,
    )

    class Server(uvicorn.Server):
        def capture_signals(self):
            return contextlib.nullcontext()  # the inherited one raises the signal again

        async def startup(self, sockets=None):
            batcher.start(asyncio.get_running_loop())
            await super().startup(sockets)
            began(end)

    server = Server(config)

    def end():
        server.should_exit = True

    # The batcher's thread must not wait long while this one reads requests.
    sys.setswitchinterval(_SWITCH)
    try:
        server.run(sockets=[bound])
    finally:
        batcher.stop()


async def _send(send: Any, status: int, body: Mapping[str, Any]) -> None:
    import orjson

    content = orjson.dumps(body)
    headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(content))]
    if status == 429 or "retry_after" in body:
        headers.append((b"retry-after", b"%d" % body.get("retry_after", 1)))
    if status in (408, 413):  # the rest of the body is not read
        headers.append((b"connection", b"close"))
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": content})


async def _refuse(scope: Scope, send: Any, status: int, reason: str) -> None:
    if scope["type"] == "websocket":
        await send({"type": "websocket.close", "code": 1008, "reason": reason})
    else:
        await _send(send, status, {"error": reason})


def _adding(headers: Sequence[tuple[bytes, bytes]], send: Any) -> Any:
    """Returns `send` with further headers of HTTP responses."""

    async def adding(message: MutableMapping[str, Any]) -> None:
        if message["type"] == "http.response.start":
            message["headers"] = [*message.get("headers", ()), *headers]
        await send(message)

    return adding
