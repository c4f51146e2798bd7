"""Audio over HTTP: recordings of single utterances, and microphone streams."""

import asyncio
import concurrent.futures
import pathlib
import queue
import tempfile
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import numpy as np

from mman_jax.errors import InputError
from mman_jax.features import media
from mman_jax.features.extraction import Extraction
from mman_jax.features.speech import pauses
from mman_jax.features.speech.pauses import Spoken
from mman_jax.features.words.whisper import Recogniser
from mman_jax.inference import listening
from mman_jax.service.batcher import Batcher
from mman_jax.service.requests import Refused

LONGEST_MESSAGE = 1 << 16
"""Bytes of a WebSocket message: two seconds of sound."""

_RECORDINGS = 8  # that are being measured or wait for it
_MICROPHONES = 16
_BEHIND = 100  # messages of one microphone that wait to be cut


class AudioInput:
    """Measures sound as training did, one utterance after another in a separate thread."""

    def __init__(self, extraction: Extraction, recogniser: Recogniser | None = None):
        """Creates the input, which uses only speech and text of the model's feature extraction.

        The recogniser, if there is one, finds words that come without a transcript.
        """
        self._extraction, self._recogniser = extraction, recogniser
        self._pool = concurrent.futures.ThreadPoolExecutor(1, "audio")
        self._microphones = self._recordings = 0

    async def measure(
        self, recording: Callable[[], Awaitable[bytes]], transcript: str
    ) -> dict[str, np.ndarray]:
        """Returns the features of one utterance.

        `recording` returns the content of a file that ffmpeg reads; it is not called if the request
        is refused, because too many recordings wait.
        """
        if self._recordings >= _RECORDINGS:
            raise Refused(429, f"{_RECORDINGS} recordings wait to be measured; try again later")
        self._recordings += 1
        try:
            measured = self._pool.submit(self._of_file, await recording(), transcript)
            return await asyncio.wrap_future(measured)
        finally:
            self._recordings -= 1

    def _of_file(self, recording: bytes, transcript: str) -> dict[str, np.ndarray]:
        with tempfile.TemporaryDirectory(prefix="mman_jax_") as folder:
            path = pathlib.Path(folder) / "recording"
            path.write_bytes(recording)
            try:
                samples = media.read_audio(path)
            except InputError as error:
                raise InputError("body", str(error).replace(f"{path}: ", "")) from error
        return self._features(samples, transcript)

    def _features(self, samples: np.ndarray, transcript: str = "") -> dict[str, np.ndarray]:
        if self._recogniser and self._extraction.settings.text and not transcript:
            transcript = self._recogniser.transcribe(samples)
        return listening.features(self._extraction, samples, transcript)

    async def listen(self, socket: Any, batcher: Batcher, conversation: str) -> None:
        """Answers each utterance of a microphone as it ends.

        The open WebSocket receives binary messages of 16-bit samples, little-endian, at 16 kHz,
        one channel; a text message ends them. Too many microphones, and sound that arrives faster
        than it can be processed, are refused.
        """
        if self._microphones >= _MICROPHONES:
            raise Refused(429, f"{_MICROPHONES} microphones are open; try again later")
        self._microphones += 1
        chunks: queue.SimpleQueue[np.ndarray | None] = queue.SimpleQueue()
        utterances: asyncio.Queue[tuple[Spoken, Any] | None] = asyncio.Queue()
        loop = asyncio.get_running_loop()
        cutting = asyncio.create_task(asyncio.to_thread(self._cut, chunks, utterances, loop))
        receiving = asyncio.create_task(_receive(socket, chunks))
        try:
            while (utterance := await utterances.get()) is not None:
                spoken, features = utterance
                status, body = await batcher.ask(conversation, features)
                times = {"start": round(spoken.start, 2), "end": round(spoken.end, 2)}
                await socket.send_json(times | body | ({"status": status} if status != 200 else {}))
            await receiving  # raises what it refused
        finally:
            receiving.cancel()
            chunks.put(None)
            await cutting
            self._microphones -= 1

    def _cut(self, chunks: Any, utterances: asyncio.Queue, loop: asyncio.AbstractEventLoop) -> None:
        try:
            for spoken in pauses.cut(_until_none(chunks), pauses.detector()):
                measured = self._pool.submit(self._features, spoken.samples)
                loop.call_soon_threadsafe(utterances.put_nowait, (spoken, measured.result()))
        finally:
            loop.call_soon_threadsafe(utterances.put_nowait, None)


def _until_none(chunks: queue.SimpleQueue) -> Iterator[np.ndarray]:
    while (chunk := chunks.get()) is not None:
        yield chunk


async def _receive(socket: Any, chunks: queue.SimpleQueue) -> None:
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
            chunks.put(np.frombuffer(sound, "<i2").astype(np.float32) / 32768)
    finally:
        chunks.put(None)
