"""Access to the service: its token, and the pages of other origins in browsers."""

import hmac
import re
import urllib.parse
from collections.abc import Mapping, Sequence
from typing import Any

from mman_jax.errors import InputError

Headers = Mapping[bytes, bytes]

_OPEN = ("/", "/health")
_ORIGIN = re.compile(r"null|([a-z][a-z0-9+.-]*)://[a-z0-9.-]+(:\d+)?|\w+://\[[0-9a-f:]+\](:\d+)?")
_PORTS = {"http": ":80", "https": ":443"}
_PREFLIGHT = [
    (b"access-control-allow-methods", b"GET, POST, DELETE"),
    (b"access-control-allow-headers", b"authorization, content-type"),
    (b"access-control-max-age", b"600"),
]


def check_origin(origin: str) -> bytes:
    """Returns an origin, such as `https://example.org`, if browsers may send it.

    Browsers leave out default ports, and send `null` for a page that is opened from a file.
    """
    match = _ORIGIN.fullmatch(origin)
    if not match or (match[2] and match[2] == _PORTS.get(match[1])):
        expected = "SCHEME://HOST[:PORT] as browsers send it, such as https://example.org, or null"
        raise InputError("origin", repr(origin), expected)
    return origin.encode()


class Access:
    """The token of requests and the origins of pages that may send them."""

    def __init__(self, token: str, origins: Sequence[str]):
        """Checks the origins; an empty token means that none is required."""
        self._wanted = f"Bearer {token}".encode("utf-8", "surrogateescape") if token else b""
        self._origins = {check_origin(origin) for origin in origins}

    def refusal(self, scope: Mapping[str, Any], headers: Headers) -> tuple[int, str] | None:
        """Returns the HTTP status and the reason if a request is refused."""
        if self._wanted:
            given = headers.get(b"authorization") or _in_query(scope)
            if scope.get("path") in _OPEN or hmac.compare_digest(given, self._wanted):
                return None
            return 401, "no token, or a wrong one; expected Authorization: Bearer TOKEN"
        # In a browser on this machine, a page of another site must not reach the service.
        origin = headers.get(b"origin")
        local = origin is None or origin.partition(b"://")[2] == headers.get(b"host")
        if local or origin in self._origins or scope.get("method") not in (None, "POST"):
            return None
        return 403, "a page of another site, whose origin is not allowed here"

    def shared(self, headers: Headers) -> list[tuple[bytes, bytes]]:
        """Returns headers that let a page read the response; empty unless its origin is allowed."""
        origin = headers.get(b"origin", b"")
        if origin not in self._origins:
            return []
        return [
            (b"access-control-allow-origin", origin),
            (b"access-control-expose-headers", b"retry-after"),
            (b"vary", b"origin"),
        ]

    def preflight(
        self, scope: Mapping[str, Any], headers: Headers
    ) -> list[tuple[bytes, bytes]] | None:
        """Returns the headers that answer the preflight request of an allowed origin, or None."""
        shared = self.shared(headers)
        asked = b"access-control-request-method" in headers and scope.get("method") == "OPTIONS"
        return [*shared, *_PREFLIGHT] if shared and asked else None


def _in_query(scope: Mapping[str, Any]) -> bytes:
    """Returns the token in the URL of a WebSocket, to which browsers cannot add headers."""
    query = scope["query_string"] if scope["type"] == "websocket" else b""
    fields = urllib.parse.parse_qs(query.decode("latin-1"), errors="surrogateescape")
    return f"Bearer {fields.get('token', [''])[0]}".encode("utf-8", "surrogateescape")
