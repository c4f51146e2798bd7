"""A Pipecat pipeline whose user is heard by a service on this machine."""

import asyncio
import json

import numpy as np
import pytest

from mman_jax.features import media
from mman_jax.service.audio import AudioInput
from tests.service.test_audio import EXTRACTION, recording  # noqa: F401
from tests.service.test_web import serving

pytest.importorskip("pipecat", reason="the example needs it: pip install pipecat-ai")
connect = pytest.importorskip("websockets.sync.client").connect

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.filterwarnings("ignore"),  # of Pipecat and what it brings
]


def run(url, frames, rate=16000):
    """The frames that come out of a pipeline, and the errors that go back."""
    from pipecat.frames.frames import InputAudioRawFrame
    from pipecat.tests.utils import SleepFrame, run_test

    from experiments.examples.pipecat_emotion import EmotionProcessor

    given = []
    for pcm in frames:
        given += [InputAudioRawFrame(pcm, rate, 1), SleepFrame(0.01)]
    return asyncio.run(run_test(EmotionProcessor(url), frames_to_send=given, start_timeout=20))


def test_answers_are_frames_among_those_of_the_user(recording):  # noqa: F811
    from pipecat.frames.frames import ErrorFrame, InputAudioRawFrame

    from experiments.examples.pipecat_emotion import EmotionFrame

    samples = (media.read_audio(recording)[: 8 * 16000] * 32767).astype("<i2")
    frames = [part.tobytes() for part in np.array_split(samples, 160)]
    with serving(audio=AudioInput(EXTRACTION)) as port:
        url = f"ws://127.0.0.1:{port}/conversations"
        with connect(f"{url}/plain/sound") as socket:
            for frame in np.array_split(samples, 40):
                socket.send(frame.tobytes())
            socket.send("end")
            expected = [json.loads(line) for line in socket]
        down, up = run(f"{url}/agent/sound?interim=0.5", frames)
        emotions = [frame for frame in down if isinstance(frame, EmotionFrame)]
        final = [frame for frame in emotions if "interim" not in frame.line]
        assert len(final) == len(expected) == 3
        assert len(emotions) > 3
        for frame, line in zip(final, expected, strict=True):
            assert frame.line == line | {"conversation": "agent"}
            assert (frame.label, frame.probabilities) == (line["label"], line["probabilities"])
        heard = [frame.audio for frame in down if isinstance(frame, InputAudioRawFrame)]
        assert (heard, up) == (frames, [])
        # Another rate, or no service: the pipeline says so, and goes on.
        for where, rate, reason in ((url, 8000, "8000 Hz"), ("ws://127.0.0.1:1", 16000, ":1/b")):
            down, up = run(f"{where}/b/sound", frames[:3], rate)
            assert len([x for x in down if isinstance(x, InputAudioRawFrame)]) == 3
            (error,) = [x for x in up if isinstance(x, ErrorFrame)]
            assert reason in error.error
