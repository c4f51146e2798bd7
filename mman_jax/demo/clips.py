"""Clips of the demo: actors with a voice and a drawn face, their scripts, and the recording.

A mood is a number: 1 is clearly cheerful, -1 clearly gloomy, 0 neutral. It affects the voice, which
espeak-ng synthesises, and the face, which NumPy draws.
"""

import dataclasses
import fractions
import pathlib

import numpy as np

from mman_jax.demo import espeak
from mman_jax.errors import InputError
from mman_jax.features import media

HEIGHT, WIDTH = 96, 128
"""Pixels of a picture."""

RATE = 20
"""Frames per second."""

SAMPLES = media.SAMPLE_RATE // RATE
"""Samples of audio per frame."""

ACCENTS = ("en-gb", "en-us", "en-gb-scotland", "en-029", "en-gb-x-rp")
TIMBRES = ("f1", "m1", "f2", "m2", "f3", "m3", "f4", "m4", "f5", "m5", "m6", "m7")

MOODS = {"cheerful": 1.0, "gloomy": -1.0}
PLAIN = 0.1
"""Probability that a modality does not show the emotion of its utterance."""

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

_STAYS = 0.65  # probability that the next utterance has the same emotion
_SPREAD = 0.2  # standard deviation of displayed moods
_PAUSE = 0.9  # seconds between turns

_LIGHTEST, _DARKEST = np.array([242, 205, 180]), np.array([110, 70, 48])  # skin
_MOUTH, _EYE = np.array([130, 30, 40]), np.array([25, 20, 20])


@dataclasses.dataclass(frozen=True, eq=False)
class Actor:
    """An actor, with voice and looks in a neutral mood.

    Attributes:
        name: Value of the manifest's column `speaker`.
        voice: Voice of espeak-ng, an accent and a timbre.
        pitch: Pitch of espeak-ng, 0 to 99.
        rate: Words per minute.
        loudness: Volume of espeak-ng, 0 to 200.
        skin: [3] RGB.
        wall: [3] RGB, background.
        face: Half the height of the face, as a share of the picture's height.
        left: Position of the face, as a share of the picture's width.
    """

    name: str
    voice: str
    pitch: float
    rate: float
    loudness: float
    skin: np.ndarray
    wall: np.ndarray
    face: float
    left: float


@dataclasses.dataclass(frozen=True, eq=False)
class Turn:
    """A turn of an actor: emotion, words, and the moods of voice and face."""

    actor: Actor
    label: str
    words: str
    voice: float
    face: float


def cast(count: int, random: np.random.Generator) -> list[Actor]:
    """Samples actors, with different timbres as long as there are enough."""
    timbres = random.permutation(TIMBRES)
    accents = random.permutation(ACCENTS)
    actors = []
    for n in range(count):
        accent = accents[(n + n // len(timbres)) % len(accents)]
        shade = random.uniform()
        actors.append(
            Actor(
                name=f"s{n:02}",
                voice=f"{accent}+{timbres[n % len(timbres)]}",
                pitch=random.uniform(35, 60),
                rate=random.uniform(150, 185),
                loudness=random.uniform(80, 120),
                skin=(1 - shade) * _LIGHTEST + shade * _DARKEST,
                wall=random.uniform(90, 150, 3),
                face=random.uniform(0.38, 0.44),
                left=random.uniform(0.42, 0.58),
            )
        )
    return actors


def write_script(
    pair: tuple[Actor, Actor], utterances: int, random: np.random.Generator
) -> list[Turn]:
    """Writes the turns of two actors."""
    turns = []
    for number, label in enumerate(_labels(utterances, random)):
        shows = random.uniform(size=3) > PLAIN
        voice, face = MOODS[label] * shows[:2] + random.normal(0, _SPREAD, 2)
        parts = [random.choice(TOPICS), random.choice(PHRASES[label if shows[2] else "plain"])]
        words = " ".join(parts[:: random.choice([1, -1])])
        turns.append(Turn(pair[number % 2], label, words, voice, face))
    return turns


def _labels(count: int, random: np.random.Generator) -> list[str]:
    """Samples a chain of emotions in which each emotion has at least a third of the utterances."""
    while True:
        turns = np.cumsum(random.uniform(size=count) > _STAYS) + random.integers(2)
        labels = [list(MOODS)[turn % 2] for turn in turns]
        if min(labels.count(label) for label in MOODS) >= count // 3:
            return labels


def play(
    turns: list[Turn], random: np.random.Generator
) -> tuple[np.ndarray, np.ndarray, list[tuple[float, float]], list[espeak.Words]]:
    """Renders the turns as audio and frames.

    Returns:
        Audio [samples] float32, frames [T, H, W, 3] uint8, start and end of each turn, and the
        words of each turn, with times in seconds from the beginning.
    """
    sounds, frames, times, words = [], [], [], []
    position = 0
    pause = np.zeros(round(_PAUSE * RATE) * SAMPLES, np.float32)
    for turn in turns:
        spoken, timed = speak(turn.actor, turn.words, turn.voice)
        sound = np.concatenate([pause, np.pad(spoken, (0, -len(spoken) % SAMPLES))])
        frames.append(draw(turn.actor, turn.face, loudness(sound), random))
        sounds.append(sound)
        start = (position + len(pause)) / media.SAMPLE_RATE
        times.append((start, (position + len(sound)) / media.SAMPLE_RATE))
        words.append(tuple((word, start + a, start + b) for word, a, b in timed))
        position += len(sound)
    room, hiss = random.uniform(0.5, 0.9), 10 ** random.uniform(-3.5, -2.7)
    mixed = room * np.concatenate(sounds) + hiss * random.standard_normal(position)
    return np.clip(mixed, -1, 1).astype(np.float32), np.concatenate(frames), times, words


def speak(actor: Actor, words: str, mood: float) -> tuple[np.ndarray, espeak.Words]:
    """Synthesises words by `espeak.speak`, higher, faster and louder in a cheerful mood."""
    return espeak.speak(
        actor.voice,
        words,
        pitch=round(max(actor.pitch + 25 * mood, 0)),
        rate=round(max(actor.rate + 40 * mood, 0)),
        loudness=round(max(actor.loudness * (1 + 0.3 * mood), 0)),
    )


def loudness(samples: np.ndarray) -> np.ndarray:
    """Computes the loudness of the audio of each frame, [T] from 0 to 1."""
    frames = np.pad(samples, (0, -len(samples) % SAMPLES)).reshape(-1, SAMPLES)
    level = np.sqrt((frames**2).mean(1))
    return level / max(level.max(), 1e-6)


def draw(actor: Actor, mood: float, opened: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """Draws the speaking face, [T, HEIGHT, WIDTH, 3] uint8.

    With the mood, the corners of the mouth and the brows rise, and the head nods faster; the mouth
    opens with the loudness of the audio.

    Args:
        mood: Mood of the face.
        opened: [T] from 0 to 1, how far the mouth is open.
        random: Random generator of the light, the phase of the nods and the noise of the camera.
    """
    rows, columns = np.mgrid[:HEIGHT, :WIDTH].astype(np.float32)
    light, phase, tilt = random.uniform(0.8, 1.15), random.uniform(0, 6.3), random.normal(0, 0.03)
    lively = max(0.2, 1 + 0.8 * mood)
    frames = []
    for n, gap in enumerate(opened):
        turn = 2 * np.pi * lively * n / RATE + phase
        x = (columns - WIDTH * actor.left) / (actor.face * HEIGHT) - 0.06 * np.sin(turn / 2)
        y = (rows - HEIGHT * 0.5) / (actor.face * HEIGHT) - 0.05 * lively * np.sin(turn)
        y = y + 0.06 * mood + tilt * x
        picture = np.empty((HEIGHT, WIDTH, 3), np.float32)
        picture[:] = actor.wall
        picture[(x / 0.75) ** 2 + y**2 < 1] = actor.skin
        side = np.abs(x) - 0.32
        picture[side**2 + ((y + 0.25) / 0.8) ** 2 < 0.008] = _EYE
        brow = y + 0.48 + 0.05 * mood + 0.3 * min(mood, 0) * side
        picture[(np.abs(side) < 0.16) & (np.abs(brow) < 0.04)] = _EYE
        # The lips are a parabola whose ends rise with the mood and whose thickness is the opening.
        lips = y - 0.45 - 0.16 * mood * (0.5 - (x / 0.35) ** 2)
        inside = np.abs(x) < 0.35
        thick = 0.04 + 0.14 * gap * np.sqrt(np.maximum(1 - (x / 0.35) ** 2, 0))
        picture[inside & (np.abs(lips) < thick)] = _MOUTH
        frames.append(picture * light + random.normal(0, 6, picture.shape))
    return np.clip(frames, 0, 255).astype(np.uint8)


def write_clip(path: pathlib.Path, sound: np.ndarray, frames: np.ndarray) -> None:
    """Writes a video of frames, with `SAMPLES` samples of audio each."""
    av = media.pyav()
    try:
        with av.open(str(path), "w") as container:
            # All browsers support this codec; with several threads, bytes would vary by machine.
            video = container.add_stream(
                "libx264", rate=RATE, options={"preset": "veryfast", "threads": "1"}
            )
            video.width, video.height, video.pix_fmt = WIDTH, HEIGHT, "yuv420p"
            video.bit_rate = 400_000
            audio = container.add_stream("aac", rate=media.SAMPLE_RATE, layout="mono")
            for number, picture in enumerate(frames):
                image = av.VideoFrame.from_ndarray(picture, format="rgb24")
                image.pts = number
                container.mux(video.encode(image))
                part = sound[None, number * SAMPLES : (number + 1) * SAMPLES]
                samples = av.AudioFrame.from_ndarray(part, format="fltp", layout="mono")
                samples.sample_rate, samples.pts = media.SAMPLE_RATE, number * SAMPLES
                samples.time_base = fractions.Fraction(1, media.SAMPLE_RATE)
                container.mux(audio.encode(samples))
            container.mux(video.encode())
            container.mux(audio.encode())
    except OSError as error:
        raise InputError(path, f"cannot be written ({error.strerror})", "a folder") from error
