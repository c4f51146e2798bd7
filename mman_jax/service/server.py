"""A server that begins when all is ready, and ends when all is answered."""

import asyncio
import contextlib
import socket
import sys
from collections.abc import Callable
from typing import Any

from mman_jax.errors import InputError
from mman_jax.service.desk import Desk
from mman_jax.service.sound import LONGEST_MESSAGE

_DRAIN = 10  # seconds for what is under way at the end
_IDLE = 75  # seconds for which a connection that asks nothing is kept
_SWITCH = 5e-4  # seconds


def bind(host: str, port: int) -> socket.socket:
    """A socket at the port, which nobody can connect to yet.

    Raises:
        InputError: the address cannot be had.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    bound = socket.socket(family, socket.SOCK_STREAM)
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        bound.bind((host, port))
    except (OSError, OverflowError, UnicodeError) as error:  # the last: no name of a host
        bound.close()
        reason = getattr(error, "strerror", None) or error
        expected = "an address of this machine, and a free port of it"
        raise InputError(f"{host}:{port}", f"cannot be served ({reason})", expected) from error
    return bound


def address(bound: socket.socket) -> str:
    """The URL of a socket."""
    host, port, *_ = bound.getsockname()
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def serve(app: Any, desk: Desk, bound: socket.socket, began: Callable[[Callable], None]) -> None:
    """Serves until it is told to end; then what is under way is answered, and states are saved.

    Args:
        app: the ASGI application.
        desk: that it asks.
        bound: a socket at its port.
        began: called once the port is open, with the function that tells it to end.
    """
    import uvicorn

    config = uvicorn.Config(
        app,
        lifespan="off",
        log_level="warning",
        access_log=False,
        server_header=False,
        proxy_headers=False,  # nothing here asks where a request came from
        timeout_keep_alive=_IDLE,
        ws_max_size=LONGEST_MESSAGE,
        timeout_graceful_shutdown=_DRAIN,
    )

    class Server(uvicorn.Server):
        def capture_signals(self):
            return contextlib.nullcontext()  # after its own handling it ends by the same signal

        async def startup(self, sockets=None):
            desk.start(asyncio.get_running_loop())
            await super().startup(sockets)
            began(end)

    server = Server(config)

    def end():
        server.should_exit = True

    # The thread that answers must not wait long while this one reads requests.
    sys.setswitchinterval(_SWITCH)
    try:
        server.run(sockets=[bound])
    finally:
        desk.stop()
