"""What the actors play: who says what in which mood, as sound, pictures and a clip."""

import dataclasses
import fractions
import pathlib

import numpy as np

from mman_jax.demo import actors
from mman_jax.demo.actors import RATE, SAMPLES, Actor
from mman_jax.demo.espeak import Words
from mman_jax.errors import InputError
from mman_jax.features import media

MOODS = {"cheerful": 1.0, "gloomy": -1.0}
PLAIN = 0.1
"""How often a modality does not show the emotion of its utterance."""

_STAYS = 0.65  # how often the next utterance has the emotion of the last
_SPREAD = 0.2  # of moods, as they show
_PAUSE = 0.9  # seconds between turns

TOPICS = (
    *("about the new job", "about the house", "about my brother", "about the garden"),
    *("about dinner tonight", "about the football game", "about the long trip", "about the car"),
    *("about our neighbours", "about the exam", "about the old dog", "about the letter"),
)
PHRASES = {
    "cheerful": (
        *("that is wonderful news", "I am so happy", "what a lovely surprise", "it went great"),
        *("we laughed all day", "I love it so much", "we won in the end", "it is just perfect"),
        *("I feel great", "such a lovely day"),
    ),
    "gloomy": (
        *("that is terrible news", "I am so tired", "what an awful mess", "it went wrong"),
        *("we cried all day", "I miss it so much", "we lost in the end", "it is just hopeless"),
        *("I feel awful", "such a terrible day"),
    ),
    "plain": (
        *("I heard the news", "let us talk now", "what did they say", "it went on and on"),
        *("we waited all day", "I think of it so much", "we left in the end", "it is just there"),
        *("I will call you", "such a usual day"),
    ),
}


@dataclasses.dataclass(frozen=True, eq=False)
class Turn:
    """What is to be played: who, what, and the mood of the voice and of the face."""

    actor: Actor
    label: str
    words: str
    voice: float
    face: float


def write_script(
    pair: tuple[Actor, Actor], utterances: int, random: np.random.Generator
) -> list[Turn]:
    """The turns of two actors."""
    turns = []
    for number, label in enumerate(_labels(utterances, random)):
        shows = random.uniform(size=3) > PLAIN
        voice, face = MOODS[label] * shows[:2] + random.normal(0, _SPREAD, 2)
        parts = [random.choice(TOPICS), random.choice(PHRASES[label if shows[2] else "plain"])]
        words = " ".join(parts[:: random.choice([1, -1])])
        turns.append(Turn(pair[number % 2], label, words, voice, face))
    return turns


def _labels(count: int, random: np.random.Generator) -> list[str]:
    """A chain of emotions of which each comes in a third of the utterances at least."""
    while True:
        turns = np.cumsum(random.uniform(size=count) > _STAYS) + random.integers(2)
        labels = [list(MOODS)[turn % 2] for turn in turns]
        if min(labels.count(label) for label in MOODS) >= count // 3:
            return labels


def play(
    turns: list[Turn], random: np.random.Generator
) -> tuple[np.ndarray, np.ndarray, list[tuple[float, float]], list[Words]]:
    """Sound, frames, and when each turn and each of its words is said.

    Returns:
        Sound [samples] float32, frames [T, H, W, 3] uint8, start and end of each turn, and the
        words of each turn, all in seconds from the beginning.

    Raises:
        InputError: espeak-ng is missing, or refuses.
    """
    sounds, frames, times, words, at = [], [], [], [], 0
    pause = np.zeros(round(_PAUSE * RATE) * SAMPLES, np.float32)
    for turn in turns:
        said, own = actors.speak(turn.actor, turn.words, turn.voice)
        sound = np.concatenate([pause, np.pad(said, (0, -len(said) % SAMPLES))])
        opened = actors.loudness(sound)
        frames.append(actors.draw(turn.actor, turn.face, opened, random))
        sounds.append(sound)
        start = (at + len(pause)) / media.SAMPLE_RATE
        times.append((start, (at + len(sound)) / media.SAMPLE_RATE))
        words.append(tuple((word, start + a, start + b) for word, a, b in own))
        at += len(sound)
    room, hiss = random.uniform(0.5, 0.9), 10 ** random.uniform(-3.5, -2.7)
    sound = room * np.concatenate(sounds) + hiss * random.standard_normal(at)
    return np.clip(sound, -1, 1).astype(np.float32), np.concatenate(frames), times, words


def write_clip(path: pathlib.Path, sound: np.ndarray, frames: np.ndarray) -> None:
    """Muxes `SAMPLES` of sound and a picture a frame.

    Raises:
        InputError: a place that cannot be written.
    """
    av = media.pyav()
    try:
        with av.open(str(path), "w") as container:
            # What browsers show; more threads would give other bytes elsewhere.
            video = container.add_stream(
                "libx264", rate=RATE, options={"preset": "veryfast", "threads": "1"}
            )
            video.width, video.height, video.pix_fmt = actors.WIDTH, actors.HEIGHT, "yuv420p"
            video.bit_rate = 400_000
            audio = container.add_stream("aac", rate=media.SAMPLE_RATE, layout="mono")
            for number, picture in enumerate(frames):
                shown = av.VideoFrame.from_ndarray(picture, format="rgb24")
                shown.pts = number
                container.mux(video.encode(shown))
                part = sound[None, number * SAMPLES : (number + 1) * SAMPLES]
                heard = av.AudioFrame.from_ndarray(part, format="fltp", layout="mono")
                heard.sample_rate, heard.pts = media.SAMPLE_RATE, number * SAMPLES
                heard.time_base = fractions.Fraction(1, media.SAMPLE_RATE)
                container.mux(audio.encode(heard))
            container.mux(video.encode())
            container.mux(audio.encode())
    except OSError as error:
        raise InputError(path, f"cannot be written ({error.strerror})", "a folder") from error
