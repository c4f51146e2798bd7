"""Made clips to try everything on: `python -m experiments.demo --output=DIR`.

Actors talk in turns, cheerful or gloomy: in voice (espeak-ng's pitch, rate and loudness), in face
(drawn) and in words. The emotion is not in every modality of every utterance: each of them is plain
at times, all vary, and speakers differ among themselves as much as their moods do. A conversation
is one recording, `DIR/talk_00.mp4`, whose words are in `talk_00.csv` as `experiments.listen` takes
them; `DIR/clips.csv` is the manifest, and nobody is heard in two parts of its split.

All of it is made up: it shows that the way works, and says nothing about people.
"""

import csv
import dataclasses
import fractions
import io
import pathlib

import numpy as np
from absl import flags

from experiments.synthetic_clips import actors
from experiments.synthetic_clips.actors import RATE, SAMPLES, Actor
from experiments.terminal import command
from experiments.terminal.lock import alone
from mman_jax.errors import InputError
from mman_jax.features import media
from mman_jax.files.whole import check_new, write_whole

_OUTPUT = command.path_flag("output", "The folder to write.")
_CONVERSATIONS = flags.DEFINE_integer("conversations", 18, "How many.", 6)
_UTTERANCES = flags.DEFINE_integer("utterances", 8, "Of each conversation.", 2)
_SEED = command.seed_flag("Of everything.")

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
) -> tuple[np.ndarray, np.ndarray, list[tuple[float, float]]]:
    """Sound [samples] float32, frames [T, H, W, 3] uint8, and start and end of each turn, seconds.

    Raises:
        InputError: espeak-ng is missing, or refuses.
    """
    sounds, frames, times, at = [], [], [], 0
    pause = np.zeros(round(_PAUSE * RATE) * SAMPLES, np.float32)
    for turn in turns:
        said = actors.speak(turn.actor, turn.words, turn.voice)
        sound = np.concatenate([pause, np.pad(said, (0, -len(said) % SAMPLES))])
        opened = actors.loudness(sound)
        frames.append(actors.draw(turn.actor, turn.face, opened, random))
        sounds.append(sound)
        times.append(((at + len(pause)) / media.SAMPLE_RATE, (at + len(sound)) / media.SAMPLE_RATE))
        at += len(sound)
    room, hiss = random.uniform(0.5, 0.9), 10 ** random.uniform(-3.5, -2.7)
    sound = room * np.concatenate(sounds) + hiss * random.standard_normal(at)
    return np.clip(sound, -1, 1).astype(np.float32), np.concatenate(frames), times


def write_clip(path: pathlib.Path, sound: np.ndarray, frames: np.ndarray) -> None:
    """Muxes `SAMPLES` of sound and a picture a frame.

    Raises:
        InputError: a place that cannot be written.
    """
    av = media.pyav()
    try:
        with av.open(str(path), "w") as container:
            video = container.add_stream("mpeg4", rate=RATE)
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


def parts_of(conversations: int) -> list[str]:
    """The part of each conversation: a third is test, a sixth validation."""
    test, valid = conversations // 3, conversations // 6
    return ["train"] * (conversations - test - valid) + ["valid"] * valid + ["test"] * test


def main() -> None:
    """Casts, writes scripts, plays, records."""
    actors.find_espeak()
    media.pyav()
    folder = pathlib.Path(_OUTPUT.value)
    with alone(folder, inside=False):
        _play(folder)


def _play(folder: pathlib.Path) -> None:
    random = np.random.default_rng(_SEED.value)
    check_new(folder)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(folder, f"cannot be written ({error.strerror})", "a folder") from error
    people = actors.cast(len(actors.TIMBRES), random)
    troupes = {"train": people[:6], "valid": people[6:8], "test": people[8:]}
    rows = []
    for number, part in enumerate(parts_of(_CONVERSATIONS.value)):
        first, second = random.choice(len(troupes[part]), 2, replace=False)
        pair = troupes[part][first], troupes[part][second]
        turns = write_script(pair, _UTTERANCES.value, random)
        sound, frames, times = play(turns, random)
        name = f"talk_{number:02}"
        write_clip(folder / f"{name}.mp4", sound, frames)
        talk = [
            {
                "conversation_id": name,
                "utterance_id": f"u{n}",
                "path": f"{name}.mp4",
                "start": f"{start:.2f}",
                "end": f"{end:.2f}",
                "transcript": turn.words,
                "label": turn.label,
                "speaker": turn.actor.name,
                "split": part,
            }
            for n, (turn, (start, end)) in enumerate(zip(turns, times, strict=True))
        ]
        write_table(folder / f"{name}.csv", talk, ["start", "end", "transcript"])
        rows += talk
    write_table(folder / "clips.csv", rows, list(rows[0]))
    voices = len({row["speaker"] for row in rows})
    counts = f"{_CONVERSATIONS.value} conversations, {len(rows)} utterances, {voices} voices"
    print(f"{folder / 'clips.csv'}: {counts}; nobody is heard in two parts of the split")


def write_table(path: pathlib.Path, rows: list[dict[str, str]], columns: list[str]) -> None:
    """A CSV file of some columns.

    Raises:
        InputError: a place that cannot be written.
    """
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, extrasaction="ignore", lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    write_whole(path, text.getvalue().encode())


if __name__ == "__main__":
    command.run(main)
