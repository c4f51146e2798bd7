"""Generated dialogues of known truth: errors of found speakers, accuracy of interim predictions."""

import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from scipy.io import wavfile
from scipy.optimize import linear_sum_assignment

from mman_jax.demo import clips
from mman_jax.features import manifest
from mman_jax.features.media import SAMPLE_RATE
from mman_jax.features.speakers import embedding, speakers
from mman_jax.features.speakers.speakers import Speakers
from mman_jax.inference import listening
from mman_jax.inference.answerer import Answerer
from mman_jax.trial import clips as stored_clips
from mman_jax.trial.stored import load_models

Turns = Sequence[tuple[float, float, str]]
"""Start, end and speaker of each turn."""

_TALKS, _TURNS, _PAUSE = 6, 8, 0.9
_DEMO, _SHARES = 24, (0.2, 0.4, 0.6, 0.8, 1.0)  # conversations; shares of a turn, ascending
_STEP = 0.01  # seconds of a frame that is scored


def error_rate(found: Turns, truth: Turns) -> float:
    """Computes the diarisation error rate: missed, false and confused over true speech.

    The speakers are matched so that they agree as long as possible; there is no collar.
    """
    length = round(max(end for _, end, _ in (*found, *truth)) / _STEP)
    ours, theirs = (_frames(turns, length) for turns in (found, truth))
    together = ours.astype(int) @ theirs.T
    agreed = together[linear_sum_assignment(-together)].sum()
    wrong = np.maximum(ours.sum(0), theirs.sum(0)).sum() - agreed
    return float(wrong / theirs.sum())


def _frames(turns: Turns, length: int) -> np.ndarray:
    """Returns where each speaker speaks, [speakers, length] bool."""
    names = sorted({name for _, _, name in turns})
    spoken = np.zeros((len(names), length), bool)
    for start, end, name in turns:
        spoken[names.index(name), round(start / _STEP) : round(end / _STEP)] = True
    return spoken


def talks() -> Iterator[tuple[np.ndarray, Turns]]:
    """Yields generated dialogues [2, samples], with one voice in each channel, and their turns."""
    random = np.random.default_rng(0)
    cast = clips.cast(2 * _TALKS, random)
    for first, second in zip(cast[::2], cast[1::2], strict=True):
        script = clips.write_script((first, second), _TURNS, random)
        sounds = [clips.speak(turn.actor, turn.words, turn.voice)[0] for turn in script]
        seconds = sum(len(sound) / SAMPLE_RATE + _PAUSE for sound in sounds)
        channels = 1e-3 * random.standard_normal((2, round(seconds * SAMPLE_RATE) + SAMPLE_RATE))
        turns, position = [], _PAUSE
        for turn, sound in zip(script, sounds, strict=True):
            end = position + len(sound) / SAMPLE_RATE
            place = round(position * SAMPLE_RATE)
            channels[int(turn.actor is second), place : place + len(sound)] += 0.7 * sound
            turns.append((position, end, turn.actor.name))
            position = end + _PAUSE
        yield channels, turns


def case_speakers(lengths: np.ndarray) -> Iterator[dict[str, Any]]:
    """Scores each method on six generated dialogues with known turns.

    `voices` mixes the two channels. The methods get the true turns, so all errors are confusions of
    speakers.
    """
    encoders = [embedding.STATISTICS]
    encoders += [embedding.RESEMBLYZER] if embedding.find().name == embedding.RESEMBLYZER else []
    ways: dict[str, Speakers] = {"channels": speakers.find("channels")}
    ways |= {f"voices:2, {name}": speakers.find("voices:2", name) for name in encoders}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "talk.wav"
        rates: dict[str, list[float]] = {name: [] for name in ways}
        for channels, turns in talks():
            pcm = np.clip(channels.T * 32767, -32768, 32767).astype(np.int16)
            wavfile.write(path, SAMPLE_RATE, pcm)
            times = [(start, end) for start, end, _ in turns]
            for name, way in ways.items():
                names = way.names(way.sounds(path), times)
                found = [(*time, who) for time, who in zip(times, names, strict=True)]
                rates[name].append(error_rate(found, turns))
    for name, values in rates.items():
        errors = {"error_rate": float(np.mean(values)), "per_talk": np.round(values, 3).tolist()}
        yield {"case": "speakers", "way": name} | errors


def case_interim(lengths: np.ndarray) -> Iterator[dict[str, Any]]:
    """Trains on the sound of demo talks, and scores answers by the share of the turn heard."""
    with tempfile.TemporaryDirectory() as folder:
        table, corpus, run = (Path(folder) / name for name in ("clips.csv", "c.npz", "run"))
        speech = ("--modalities=speech", "--speech=prosody")
        batch = ("--config.train.batch=2", "--config.train.max_epochs=15")
        for command in (
            ("demo", f"--output={folder}", f"--conversations={_DEMO}"),
            ("extract", f"--manifest={table}", f"--output={corpus}", *speech),
            (
                "run",
                "--config=clstm_speech",
                f"--workdir={run}",
                f"--config.data.path={corpus}",
                *batch,
            ),
        ):
            module = [sys.executable, "-m", f"experiments.{command[0]}"]
            subprocess.run([*module, *command[1:]], check=True, stdout=subprocess.DEVNULL)
        yield {"case": "interim", "accuracy": accuracy_by_share(run, table)}


def accuracy_by_share(workdir: Path, table: Path) -> dict[str, float]:
    """Returns the accuracy on the test part of a manifest by the share of each turn heard.

    Only sound is used. Earlier turns of the conversation are known in full.
    """
    answerer = Answerer(load_models(workdir))
    extraction = stored_clips.load(workdir, ["speech"])
    right: dict[str, list[bool]] = {f"{share:g}": [] for share in _SHARES}
    name, state = "", answerer.begin()
    for utterance in manifest.read(table):
        if utterance.split != "test":
            continue
        if utterance.conversation_id != name:
            name, state = utterance.conversation_id, answerer.begin()
        samples = utterance.read_audio()
        for share in _SHARES:
            heard = listening.features(extraction, samples[: round(share * len(samples))])
            after, answer = answerer.step(state, heard)
            right[f"{share:g}"].append(answer.label == utterance.label)
        state = after
    return {share: float(np.mean(values)) for share, values in right.items()}
