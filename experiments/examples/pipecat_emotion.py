"""Predictions of the service for a microphone, as frames of a Pipecat pipeline.

Put it after the transport's input: `Pipeline([transport.input(), EmotionProcessor(url), ...])`,
where the service runs by `mman serve` and `url` is `ws://localhost:8000/conversations/ID/sound`,
with `?interim=1` for answers inside a turn. All frames are passed on; each prediction is an
additional frame.
"""

import asyncio
import json
from dataclasses import dataclass, field
from typing import Any

from pipecat.frames.frames import (
    CancelFrame,
    DataFrame,
    EndFrame,
    Frame,
    InputAudioRawFrame,
    StartFrame,
)
from pipecat.processors.frame_processor import FrameDirection, FrameProcessor
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed

_RATE = 16000  # samples per second of the service


@dataclass
class EmotionFrame(DataFrame):
    """An answer; `line` also has `start` and `end` in seconds, and `interim` inside a turn."""

    label: str = ""
    probabilities: dict[str, float] = field(default_factory=dict)
    line: dict[str, Any] = field(default_factory=dict)


class EmotionProcessor(FrameProcessor):
    """Sends the user's audio to the service, and pushes an `EmotionFrame` for each prediction."""

    def __init__(self, url: str, token: str = "", **more: Any):
        """Connects when the pipeline starts; `token` is that of the service, if it has one."""
        super().__init__(**more)
        self._url, self._headers = url, {"Authorization": f"Bearer {token}"} if token else {}
        self._socket: Any = None
        self._answers: asyncio.Task | None = None

    async def process_frame(self, frame: Frame, direction: FrameDirection) -> None:
        """Passes a frame on; the end of the pipeline waits for the answer to the last turn."""
        await super().process_frame(frame, direction)
        if isinstance(frame, StartFrame):
            await self._start()
        elif isinstance(frame, InputAudioRawFrame) and self._socket:
            await self._send(frame)
        elif isinstance(frame, EndFrame | CancelFrame) and self._socket:
            await self._stop(finish=isinstance(frame, EndFrame))
        await self.push_frame(frame, direction)

    async def _start(self) -> None:
        try:
            self._socket = await connect(self._url, additional_headers=self._headers)
        except (OSError, TimeoutError) as error:  # the conversation continues without emotions
            await self.push_error(f"no emotions: {self._url}: {error}")
            return
        self._answers = self.create_task(self._receive(self._socket))

    async def _send(self, frame: InputAudioRawFrame) -> None:
        if (frame.sample_rate, frame.num_channels) != (_RATE, 1):
            found = f"{frame.sample_rate} Hz, {frame.num_channels} channels"
            await self._fail(f"{found}; expected audio_in_sample_rate=16000 and one channel")
            return
        try:
            await self._socket.send(frame.audio)
        except ConnectionClosed as error:
            await self._fail(str(error))

    async def _receive(self, socket: Any) -> None:
        async for message in socket:
            line = json.loads(message)
            if "label" in line:
                await self.push_frame(EmotionFrame(line["label"], line["probabilities"], line))
            else:
                await self.push_error(f"no emotion of a turn: {line.get('error')}")

    async def _stop(self, finish: bool) -> None:
        socket, self._socket = self._socket, None
        if finish:
            await socket.send("end")
            await asyncio.wait([self._answers], timeout=10)
        await socket.close()

    async def _fail(self, reason: str) -> None:
        await self._stop(finish=False)
        await self.push_error(f"no emotions: {reason}")
