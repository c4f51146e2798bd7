"""The command, with audio, from the perspective of a user."""

import io
import json
import signal
import subprocess
import sys

import numpy as np
import pytest

from mman_jax.features import media
from mman_jax.inference import listening
from mman_jax.inference.answerer import Answerer
from mman_jax.trial import clips as commands
from mman_jax.trial import stored
from tests.children import environment, run
from tests.cli.test_listen import check_times, recording, sound  # noqa: F401
from tests.service.test_web import ask

pytest.importorskip("websockets", reason="the service needs it: pip install 'mman_jax[serve]'")


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (["--host=0.0.0.0"], "--host=0.0.0.0: given without a token"),
        ([], "no trained model"),
    ],
    ids=str,
)
def test_what_cannot_be_served_is_told_in_a_line(more, said, tmp_path):
    ended = run("experiments.serve", f"--checkpoint={tmp_path}", *more)
    assert ended.returncode == 2
    assert said in ended.stderr


@pytest.mark.e2e
def test_recordings_and_a_microphone_are_answered_and_sigterm_saves(trained, recording, tmp_path):  # noqa: F811
    from websockets.sync.client import connect

    workdir, kept = trained[2], tmp_path / "states"
    command = [sys.executable, "-m", "experiments.serve", f"--checkpoint={workdir}", "--port=0"]
    with subprocess.Popen(
        [*command, f"--state={kept}"], stdout=subprocess.PIPE, text=True, env=environment()
    ) as process:
        try:
            port = int(process.stdout.readline().split(":")[2].split(",")[0])
            wav = {"content-type": "audio/wav"}
            where = "/conversations/a/utterances?transcript=a%20sunny%20day"
            status, answer = ask(port, recording.read_bytes(), where, wav)
            said = json.loads(answer)
            assert status == 200, said
            answerer = Answerer(stored.load_models(workdir))
            made = commands.load(workdir, ["speech", "text"])
            features = listening.features(made, media.read_audio(recording), "a sunny day")
            _, expected = answerer.step(answerer.begin(), features)
            assert said["probabilities"] == pytest.approx(expected.probabilities, abs=2e-6)
            for body, reason in ((b"no sound", "body: cannot be decoded"), (b"", "an empty file")):
                status, answer = ask(port, body, where, wav)
                assert (status, reason in answer.decode()) == (400, True)

            pcm = (sound() * 32767).astype("<i2")
            with connect(f"ws://127.0.0.1:{port}/conversations/b/sound") as socket:
                for piece in np.array_split(pcm, 100):
                    socket.send(piece.tobytes())
                socket.send("end")
                found = [json.loads(line) for line in socket]
            check_times(found)
            assert [line["utterance"] for line in found] == [1, 2, 3]
            sink = io.StringIO()
            chunks = [pcm.astype(np.float32) / 32768]
            listening.answer(answerer, made, listening.stream(chunks), sink)
            for line, other in zip(found, sink.getvalue().splitlines(), strict=True):
                expected = json.loads(other)
                assert line["probabilities"] == pytest.approx(expected["probabilities"], abs=3e-6)
        finally:
            process.send_signal(signal.SIGTERM)
            assert process.wait(30) == 0
    card = json.loads(str(np.load(kept)["card"]))
    assert card["conversations"] == ["a", "b"]
