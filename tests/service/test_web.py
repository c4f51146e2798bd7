"""The service from the perspective of its clients."""

import asyncio
import base64
import concurrent.futures
import contextlib
import http.client
import json
import re
import threading

import numpy as np
import pytest

from mman_jax.errors import InputError
from mman_jax.inference import answerer
from mman_jax.service import access, requests, web
from mman_jax.service.audio import AudioInput
from mman_jax.service.batcher import Batcher
from mman_jax.service.slots import SlotStates, SlotTable
from tests.inference.trained import LENGTHS, corpus, there
from tests.service.test_batcher import ANSWERER

for library in ("fastapi", "orjson", "uvicorn"):
    pytest.importorskip(library, reason="the service needs it: pip install 'mman_jax[serve]'")

JSON = {"content-type": "application/json"}


def batcher(count=5):
    return Batcher(SlotStates(ANSWERER, count, sizes=(1, 2)), SlotTable(count, 100.0), 100)


@contextlib.contextmanager
def serving(**more):
    """The port of a service on this machine, with more arguments of `web.make`."""
    made, bound, ready = batcher(), web.bind("127.0.0.1", 0), threading.Event()
    number, ends = bound.getsockname()[1], []
    app = web.make(made, **{"audio": None, "token": "", **more})

    def began(end):
        ends.append(end)
        ready.set()

    thread = threading.Thread(target=web.serve, args=(app, made, bound, began))
    thread.start()
    assert ready.wait(60)
    yield number
    ends[0]()
    thread.join()


@pytest.fixture(scope="module")
def port():
    with serving() as number:
        yield number


@contextlib.contextmanager
def connected(port):
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    try:
        yield connection
    finally:
        connection.close()


def ask(port, body=b"", path="/conversations/a/utterances", headers=JSON, method="POST"):
    with connected(port) as connection:
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            connection.request(method, path, body, headers)
        response = connection.getresponse()
        return response.status, response.read()


def test_conversations_that_come_at_once_are_answered_as_in_a_file(port):
    given = corpus()

    def talk(c):
        with connected(port) as connection:
            for u in range(LENGTHS[c]):
                i = int(given.offsets[c]) + u
                features = there(given, i)
                held = {
                    # Numbers and base64 by turns.
                    m: x.tolist() if u % 2 else base64.b64encode(x.tobytes()).decode()
                    for m, x in features.items()
                }
                body = json.dumps({"features": held, "utterance": u + 1})
                connection.request("POST", f"/conversations/talk%20{c}/utterances", body, JSON)
                response = connection.getresponse()
                said = json.loads(response.read())
                assert response.status == 200, said
                assert (said["conversation"], said["utterance"]) == (f"talk {c}", u + 1)
                assert said["label"] == max(said["probabilities"], key=said["probabilities"].get)
                yield list(said["probabilities"].values())

    with concurrent.futures.ThreadPoolExecutor(3) as pool:
        found = [row for rows in pool.map(lambda c: list(talk(c)), range(3)) for row in rows]
    np.testing.assert_allclose(found, ANSWERER.models[0].probabilities(given), atol=3e-6)
    for c in range(3):
        status, said = ask(port, path=f"/conversations/talk%20{c}", method="DELETE")
        assert (status, json.loads(said)["end"]) == (200, True)
    assert ask(port, path="/conversations/talk%200", method="DELETE")[0] == 404


def features(**given):
    return json.dumps({"features": given}).encode()


@pytest.mark.parametrize(
    ("body", "more", "status", "said"),
    [
        (b"{", {}, 400, "body: no JSON"),
        (b"[" * 50_000, {}, 400, "body: no JSON"),
        (b"[1]", {}, 400, "body: list"),
        (b'{"features": {"text": [1, NaN, 2]}}', {}, 400, "no JSON"),
        (features(text=[1, 2]), {}, 400, "modality text: 2 features; expected the 3"),
        (b'{"features": {}, "utterance": 0}', {}, 400, "utterance: 0"),
        (b'{"features": {}, "utterance": 9}', {}, 409, "utterance 9 of a conversation of which 0"),
        (b" " * 200_000, {}, 413, "a body of 200000 bytes; at most"),
        (b"", {"headers": JSON | {"content-length": "100000000"}}, 413, "a body of 100000000"),
        (b"RIFF", {"headers": {"content-type": "audio/wav"}}, 415, "expected application/json"),
        (b"", {"headers": {}}, 415, "expected application/json"),
        (features(), {"path": "/conversations/a%00/utterances"}, 400, "conversation: 'a\\\\x00'"),
        (features(), {"path": "/conversations/%ff%fe/utterances"}, 400, "in UTF-8"),
        (features(), {"path": "/conversations/a/utterances?utterance=9"}, 409, "utterance 9 of a"),
        (b'{"' + b"x" * 50_000 + b'": 1}', {}, 400, "expected"),
        (b"", {"path": "/elsewhere"}, 404, '{"error":"Not Found"}'),
        (b"", {"method": "PUT"}, 405, '{"error":"Method Not Allowed"}'),
    ],
    ids=lambda value: str(value)[:30],
)
def test_what_cannot_be_used_is_told_and_the_service_goes_on(body, more, status, said, port):
    found, answer = ask(port, body, **more)
    assert found == status
    assert said in answer.decode()
    assert len(answer) < 500
    assert ask(port, features(text=[1, 2, 3]), "/conversations/good/utterances")[0] == 200


def test_a_client_that_vanishes_or_never_ends_its_body_harms_nobody(port, monkeypatch):
    whole = features(text=[1, 2, 3])
    for sent in (whole[:10], whole):
        with connected(port) as connection:
            connection.putrequest("POST", "/conversations/gone/utterances")
            for name, value in (JSON | {"content-length": str(len(whole))}).items():
                connection.putheader(name, value)
            connection.endheaders(sent)
    monkeypatch.setattr(requests, "_PATIENCE", 0.05)
    slow = JSON | {"content-length": str(len(whole) + 1)}
    for begun in (whole, b""):
        status, said = ask(port, begun, headers=slow)
        assert (status, b"takes more than 0.05 s" in said) == (408, True)
    assert ask(port, whole, "/conversations/good/utterances")[0] == 200


def test_too_many_conversations_are_told_to_come_again(port):
    statuses = [ask(port, features(), f"/conversations/n{n}/utterances")[0] for n in range(6)]
    assert statuses[-1] == 429
    for n in range(6):
        ask(port, path=f"/conversations/n{n}", method="DELETE")
    assert ask(port, features(), "/conversations/good/utterances")[0] == 200


def test_how_it_is_and_what_it_expects(port):
    health = json.loads(ask(port, path="/health", method="GET")[1])
    assert health == {
        "status": "ok", "modalities": {"speech": 5, "text": 3},
        "classes": ["happy", "sad", "angry"], "sound": False,
    }  # fmt: skip
    assert ask(port, path="/health", method="HEAD") == (200, b"")
    ask(port, features(), "/conversations/good/utterances")
    lines = ask(port, path="/metrics", method="GET")[1].decode().splitlines()
    counts = dict(line.rsplit(" ", 1) for line in lines if not line.startswith("#"))
    assert int(counts['mman_utterances_total{status="200"}']) >= 1
    assert int(counts["mman_conversations"]) >= 1
    assert counts['mman_answer_seconds_bucket{le="+Inf"}'] == counts["mman_answer_seconds_count"]
    described = json.loads(ask(port, path="/openapi.json", method="GET")[1])
    assert described["info"]["description"] == answerer.USE
    paths = described["paths"]
    post = paths["/conversations/{conversation}/utterances"]["post"]
    schema = post["requestBody"]["content"]["application/json"]["schema"]
    assert schema["properties"]["features"]["properties"]["text"]["anyOf"][0]["maxItems"] == 3
    assert {"/health", "/metrics", "/conversations/{conversation}"} <= paths.keys()


@pytest.mark.parametrize(
    ("path", "shown", "status"),
    [
        ("/health", None, 200),
        ("/metrics", None, 401),
        ("/metrics", b"Bearer secre\xe8", 401),
        ("/metrics", b"Bearer secre\xe9", 200),
        ("/conversations/a/utterances", b"Bearer \xff", 401),
        ("/docs", None, 401),
    ],
)
def test_who_has_no_token_gets_nothing(path, shown, status):
    token = b"secre\xe9".decode(errors="surrogateescape")  # as the system gives its variables
    headers = [] if shown is None else [(b"authorization", shown)]
    assert called(web.make(batcher(), None, token), path, headers)[0]["status"] == status


def test_why_a_microphone_is_closed_is_short_enough():
    app = web.make(batcher(), AudioInput(None), "")
    closed = called(app, "/conversations/" + "\u00e9\x01" * 60 + "/sound", [], "websocket")[-1]
    assert closed["code"] == 1008
    assert closed["reason"].startswith("conversation: ")
    assert len(closed["reason"].encode()) <= 123


def test_seconds_between_interim_answers_are_checked():
    app = web.make(batcher(), AudioInput(None), "")
    for query, reason in ((b"interim=0", "interim: 0 s; exp"), (b"interim=nan", "interim: nan s")):
        sent = called(app, "/conversations/a/sound", [], "websocket", query=query)
        assert sent[-1]["reason"].startswith(reason)


def test_a_late_service_refuses_before_it_reads_a_body():
    late = batcher()
    late.pace.delay, late._longest_wait = 1.5, 1.0
    app = web.make(late, None, "")
    json = [(b"content-type", b"application/json"), (b"content-length", b"999999999")]
    begin, body = called(app, "/conversations/a/utterances", json, method="POST")
    assert (begin["status"], dict(begin["headers"])[b"retry-after"]) == (503, b"2")
    assert b'"retry_after":2' in body["body"]
    assert late.metrics.statuses == {503: 1}
    late.pace.delay = 0.0
    assert called(app, "/conversations/a/utterances", json, method="POST")[0]["status"] == 413


PAGE = b"https://page.example"


@pytest.mark.parametrize(
    ("origin", "refused"),
    [(b"http://evil", True), (b"http://here:80", False), (None, False), (PAGE, False)],
)
def test_pages_of_other_sites_reach_nothing_unless_their_origin_is_allowed(origin, refused):
    app = web.make(batcher(), None, "", [PAGE.decode(), "null"])
    headers = [(b"host", b"here:80")] + [(b"origin", origin)] * (origin is not None)
    first = called(app, "/conversations/a/sound", headers, "websocket")[0]
    assert first["type"] == ("websocket.close" if refused else "websocket.accept")
    first = called(app, "/conversations/a/utterances", headers, method="POST")[0]
    assert first["status"] == (403 if refused else 415)  # without a body's type
    read = dict(first["headers"]).get(b"access-control-allow-origin")
    assert read == (origin if origin == PAGE else None)
    health = dict(called(app, "/health", headers)[0]["headers"])
    assert health.get(b"access-control-allow-origin") == read
    asked = [*headers, (b"access-control-request-method", b"POST")]
    first = called(app, "/conversations/a/utterances", asked, method="OPTIONS")[0]
    assert first["status"] == (204 if origin == PAGE else 405)
    if origin == PAGE:
        assert b"content-type" in dict(first["headers"])[b"access-control-allow-headers"]


def test_a_page_with_the_token_opens_a_microphone():
    app = web.make(batcher(), None, "a&b", [PAGE.decode()])
    for query, kind in ((b"token=a%26b", "accept"), (b"token=a", "close"), (b"", "close")):
        headers = [(b"origin", PAGE)]
        first = called(app, "/conversations/a/sound", headers, "websocket", query=query)[0]
        assert first["type"] == f"websocket.{kind}"
    # Only the microphone, whose address is in no log of the service.
    path = "/conversations/a/utterances"
    assert called(app, path, headers, method="POST", query=b"token=a%26b")[0]["status"] == 401
    asked = [*headers, (b"access-control-request-method", b"POST")]
    assert called(app, path, asked, method="OPTIONS")[0]["status"] == 204


@pytest.mark.parametrize(
    "origin", ["*", "example.org", "https://example.org/", "https://a.org:443", "HTTPS://A.org", ""]
)
def test_what_no_browser_sends_as_an_origin_is_refused(origin):
    with pytest.raises(InputError, match=r"origin: .* as browsers send it"):
        access.check_origin(origin)
    for good in ("null", "http://localhost:8080", "https://[::1]:80", "chrome-extension://abc"):
        assert access.check_origin(good) == good.encode()


def called(app, path, headers, kind="http", method="GET", query=b"", body=b""):
    """Returns the messages that an application sends."""
    return asyncio.run(calling(app, path, headers, kind, method, query, body))


async def calling(app, path, headers, kind="http", method="GET", query=b"", body=b""):
    sent = []
    scope = {
        "type": kind, "path": path, "raw_path": path.encode(), "scheme": "http",
        "query_string": query, "root_path": "", "headers": headers, "http_version": "1.1",
        "server": ("here", 80), "client": ("there", 1),
        **({"method": method} if kind == "http" else {"subprotocols": []}),
    }  # fmt: skip
    first = [{"type": "websocket.connect" if kind == "websocket" else "http.request"}]
    first[0] |= {"body": body} if kind == "http" else {}

    async def receive():
        if first:
            return first.pop()
        await asyncio.sleep(0)
        return {"type": f"{kind}.disconnect", "code": 1000}

    async def send(message):
        sent.append(message)

    await app(scope, receive, send)
    return sent


@pytest.mark.parametrize("host", ["a..b", "x" * 70, "no such host"])
def test_what_is_no_host_is_named(host):
    with pytest.raises(InputError, match=f"{re.escape(host)}:0: cannot be served"):
        web.bind(host, 0)


def test_an_address_that_is_taken_is_named(port):
    with pytest.raises(InputError, match=f"127.0.0.1:{port}: cannot be served"):
        web.bind("127.0.0.1", port)
