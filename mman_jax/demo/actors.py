"""Actors of the demo: a voice by espeak-ng and a face drawn with NumPy, both moved by their mood.

A mood is a number: 1 is plainly cheerful, -1 plainly gloomy, 0 neither.
"""

import dataclasses

import numpy as np

from mman_jax.demo import espeak
from mman_jax.features import media

HEIGHT, WIDTH = 96, 128
"""Pixels of a picture."""

RATE = 20
"""Frames a second."""

SAMPLES = media.SAMPLE_RATE // RATE
"""Samples of sound a frame."""

ACCENTS = ("en-gb", "en-us", "en-gb-scotland", "en-029", "en-gb-x-rp")
TIMBRES = ("f1", "m1", "f2", "m2", "f3", "m3", "f4", "m4", "f5", "m5", "m6", "m7")

_LIGHTEST, _DARKEST = np.array([242, 205, 180]), np.array([110, 70, 48])  # skin
_MOUTH, _EYE = np.array([130, 30, 40]), np.array([25, 20, 20])


@dataclasses.dataclass(frozen=True, eq=False)
class Actor:
    """Somebody, and how they speak and look in no mood.

    Attributes:
        name: as the manifest's column `speaker` has it.
        voice: espeak-ng's, an accent and a timbre.
        pitch: espeak-ng's, 0 to 99.
        rate: words a minute.
        loudness: espeak-ng's, 0 to 200.
        skin: [3] RGB.
        wall: [3] RGB, of what is behind them.
        face: half the height of the face, as a share of the picture's.
        left: where the face is, as a share of the picture's width.
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


def cast(count: int, random: np.random.Generator) -> list[Actor]:
    """Actors of whom no two have the same timbre, as long as there are timbres."""
    timbres = random.permutation(TIMBRES)
    accents = random.permutation(ACCENTS)
    made = []
    for n in range(count):
        accent = accents[(n + n // len(timbres)) % len(accents)]
        shade = random.uniform()
        made.append(
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
    return made


def speak(actor: Actor, words: str, mood: float) -> tuple[np.ndarray, espeak.Words]:
    """The words as `espeak.speak` has them; cheerful is higher, faster, louder.

    Args:
        actor: who.
        words: what.
        mood: how.

    Raises:
        InputError: as `espeak.speak`.
    """
    numbers = {
        "pitch": actor.pitch + 25 * mood,
        "rate": actor.rate + 40 * mood,
        "loudness": actor.loudness * (1 + 0.3 * mood),
    }
    return espeak.speak(
        actor.voice, words, **{name: round(max(x, 0)) for name, x in numbers.items()}
    )


def loudness(samples: np.ndarray) -> np.ndarray:
    """How loud each frame's sound is, [T] from 0 to 1."""
    frames = np.pad(samples, (0, -len(samples) % SAMPLES)).reshape(-1, SAMPLES)
    level = np.sqrt((frames**2).mean(1))
    return level / max(level.max(), 1e-6)


def draw(actor: Actor, mood: float, opened: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """The face while it speaks, [T, HEIGHT, WIDTH, 3] uint8.

    With the mood the mouth's corners and the brows rise, and the head nods livelier; the mouth
    opens with the sound.

    Args:
        actor: who.
        mood: how.
        opened: [T] from 0 to 1, how far the mouth is open.
        random: of the light, the nods' phase and the camera's noise.
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
        # A parabola whose ends rise with the mood, thick as far as the mouth is open.
        lips = y - 0.45 - 0.16 * mood * (0.5 - (x / 0.35) ** 2)
        inside = np.abs(x) < 0.35
        thick = 0.04 + 0.14 * gap * np.sqrt(np.maximum(1 - (x / 0.35) ** 2, 0))
        picture[inside & (np.abs(lips) < thick)] = _MOUTH
        frames.append(picture * light + random.normal(0, 6, picture.shape))
    return np.clip(frames, 0, 255).astype(np.uint8)
