"""Audio over HTTP: recordings and microphone streams."""

import asyncio
import concurrent.futures
import math
import pathlib
import queue
import tempfile
from collections.abc import Awaitable, Callable, Iterator, Mapping
from typing import Any, TypeVar

import numpy as np

from mman_jax.errors import InputError
from mman_jax.features import media
from mman_jax.features.extraction import Extraction
from mman_jax.features.speech import pauses
from mman_jax.features.speech.pauses import Spoken
from mman_jax.features.words.whisper import Recogniser
from mman_jax.inference import listening
from mman_jax.service.batcher import Batcher, Reply
from mman_jax.service.requests import Recording, Refused, read_number

Result = TypeVar("Result")

LONGEST_MESSAGE = 1 << 16
"""Maximum bytes of a WebSocket message: two seconds of audio."""

_RECORDINGS = 8  # that may be measured or waiting at the same time
_MICROPHONES = 16
_LATE = 10  # waiting messages of a microphone above which interim answers are left out
_BEHIND = 100  # messages of one microphone that may wait for segmentation
_UNREAD = 32  # utterances of one microphone that may wait for their answers to be read


class AudioInput:
    """Measures audio as in training, one utterance after another in a separate thread.

    Attributes:
        extraction: the model's feature extraction, of which speech and text are used.
        recogniser: recognises the words of audio without a transcript; None leaves them out.
    """

    def __init__(self, extraction: Extraction, recogniser: Recogniser | None = None):
        """Creates the input, which uses only speech and text of the model's feature extraction.

        The recogniser, if there is one, recognises the words of audio without a transcript.
        """
        self.extraction, self.recogniser = extraction, recogniser
        self._pool = concurrent.futures.ThreadPoolExecutor(1, "audio")
        self._microphones = self._recordings = 0

    async def run(
        self,
        recording: Callable[[], Awaitable[Recording]],
        work: Callable[[pathlib.Path, Mapping[str, str]], Result],
    ) -> Result:
        """Returns the result of work on the file of a recording and on the fields of its form.

        `recording` reads the request; it is not called if the request is refused because too many
        recordings wait.
        """
        if self._recordings >= _RECORDINGS:
            raise Refused(429, f"{_RECORDINGS} recordings wait to be measured; try again later")
        self._recordings += 1
        try:
            result = self._pool.submit(_in_file, await recording(), work)
            return await asyncio.wrap_future(result)
        finally:
            self._recordings -= 1

    async def answer(
        self,
        recording: Callable[[], Awaitable[Recording]],
        batcher: Batcher,
        conversation: str,
        given: Mapping[str, str],
    ) -> Reply:
        """Answers a recording, which is an utterance or several turns of a conversation.

        Args:
            recording: see `run`.
            batcher: answers the utterances.
            conversation: their conversation.
            given: `transcript`, `speaker`, `utterance` (the number of the first one) and `turns`
                (`true` or `false`), which the fields of a form replace. By default, a recording
                without transcript has several turns if it is longer than `pauses.LONGEST`.
        """
        fields: dict[str, str] = dict(given)

        def measure(path: pathlib.Path, of_form: Mapping[str, str]) -> Any:
            fields.update(of_form)
            return read_number(fields.get("utterance")), self._utterances(path, fields)

        number, utterances = await self.run(recording, measure)
        turns: list[dict[str, Any]] = []
        for n, (spoken, features) in enumerate(utterances):
            count = None if number is None else number + n
            reply = await batcher.ask(conversation, features, count, fields.get("speaker", ""))
            if not spoken.samples.size or (reply[0] != 200 and not turns):
                return reply
            turns.append(_line(spoken, reply))
            if reply[0] != 200:
                break  # later turns would be answered without this one
        return 200, {"conversation": conversation, "turns": turns}

    def _utterances(
        self, path: pathlib.Path, fields: Mapping[str, str]
    ) -> list[tuple[Spoken, dict[str, np.ndarray]]]:
        """Returns the utterances of a recording with their features.

        If a recording is not cut, its single utterance has no samples.
        """
        wanted, transcript = fields.get("turns"), fields.get("transcript", "")
        if wanted not in (None, "true", "false"):
            raise InputError("turns", repr(wanted), "true or false")
        samples = media.read_audio(path)
        long = not transcript and len(samples) > pauses.LONGEST * media.SAMPLE_RATE
        if not (long if wanted is None else wanted == "true"):
            return [(Spoken(0.0, 0.0, samples[:0]), self._features(samples, transcript))]
        spoken, _ = listening.turns(path, (), self.recogniser)
        return [
            (turn, listening.features(self.extraction, turn.samples, turn.words)) for turn in spoken
        ]

    def _features(self, samples: np.ndarray, transcript: str = "") -> dict[str, np.ndarray]:
        if self.recogniser and self.extraction.settings.text and not transcript:
            transcript = self.recogniser.transcribe(samples)
        return listening.features(self.extraction, samples, transcript)

    async def listen(
        self, socket: Any, batcher: Batcher, conversation: str, interim: float = math.inf
    ) -> None:
        """Answers each utterance of a microphone as it ends, and before that every `interim` s.

        The open WebSocket receives binary messages of 16-bit samples, little-endian, at 16 kHz, one
        channel; a text message ends them. Too many microphones, audio that arrives faster than it
        can be processed, and clients that do not read their answers are refused.
        """
        if self._microphones >= _MICROPHONES:
            raise Refused(429, f"{_MICROPHONES} microphones are open; try again later")
        self._microphones += 1
        chunks: queue.SimpleQueue[np.ndarray | None] = queue.SimpleQueue()
        utterances: asyncio.Queue[tuple[Spoken, Any] | None] = asyncio.Queue()
        loop = asyncio.get_running_loop()
        cutting = asyncio.create_task(
            asyncio.to_thread(self._cut, chunks, utterances, loop, interim)
        )
        receiving = asyncio.create_task(_receive(socket, chunks, utterances))
        try:
            while (utterance := await utterances.get()) is not None:
                spoken, features = utterance
                reply = await batcher.ask(conversation, features, interim=spoken.interim)
                await socket.send_json(_line(spoken, reply))
            await receiving  # raises its errors
        finally:
            receiving.cancel()
            chunks.put(None)
            await cutting
            self._microphones -= 1

    def _cut(
        self,
        chunks: queue.SimpleQueue[np.ndarray | None],
        utterances: asyncio.Queue,
        loop: asyncio.AbstractEventLoop,
        interim: float,
    ) -> None:
        try:
            sound = _until_none(chunks)
            for spoken in pauses.cut(sound, pauses.detector(), interim=interim):
                if spoken.interim and chunks.qsize() > _LATE:  # it would delay the next answers
                    continue
                measured = self._pool.submit(self._features, spoken.samples)
                loop.call_soon_threadsafe(utterances.put_nowait, (spoken, measured.result()))
        finally:
            loop.call_soon_threadsafe(utterances.put_nowait, None)


def _in_file(recording: Recording, work: Callable[..., Result]) -> Result:
    with tempfile.TemporaryDirectory(prefix="mman_jax_") as folder:
        path = pathlib.Path(folder) / recording.name
        path.write_bytes(recording.content)
        try:
            return work(path, recording.fields)
        except InputError as error:
            raise error.moved(error.place.replace(str(path), "body")) from error


def _line(spoken: Spoken, reply: Reply) -> dict[str, Any]:
    """Returns the reply to a turn with its times, its words, and its status unless it is 200."""
    status, body = reply
    return listening.about(spoken) | body | ({"status": status} if status != 200 else {})


def _until_none(chunks: queue.SimpleQueue) -> Iterator[np.ndarray]:
    while (chunk := chunks.get()) is not None:
        yield chunk


async def _receive(socket: Any, chunks: queue.SimpleQueue, utterances: asyncio.Queue) -> None:
    try:
        while True:
            message = await socket.receive()
            sound = message.get("bytes")
            if message["type"] != "websocket.receive" or sound is None:
                return
            if len(sound) % 2:
                raise Refused(400, f"{len(sound)} bytes of sound; expected samples of 16 bits")
            if chunks.qsize() >= _BEHIND:
                raise Refused(429, "sound that comes faster than it can be cut")
            if utterances.qsize() >= _UNREAD:
                raise Refused(429, f"{_UNREAD} answers that the client has not read")
            chunks.put(np.frombuffer(sound, "<i2").astype(np.float32) / 32768)
    finally:
        chunks.put(None)
