"""Generate synthetic clips for trying the commands: `mman demo --output=DIR`.

Actors talk in turns and are cheerful or gloomy in voice (pitch, rate and loudness of espeak-ng), in
face (drawn) and in words. Some utterances do not show the emotion in all modalities, and speakers
differ as much as moods. Each conversation is a recording, `DIR/talk_00.mp4`, with its words in
`talk_00.csv` for `mman listen`. `DIR/clips.csv` is the manifest; no speaker is in two parts of its
split. `DIR/words.csv` has the times of all words, for `mman extract`.

The clips only show that the commands work; scores on them say nothing about real recordings.
"""

import pathlib

import numpy as np
from absl import flags

from mman_jax.cli.terminal import command
from mman_jax.data.readers import csv_tables
from mman_jax.demo import clips, espeak
from mman_jax.errors import InputError
from mman_jax.features import media
from mman_jax.features.text import readers
from mman_jax.files.lock import alone
from mman_jax.files.whole import check_new

_OUTPUT = command.path_flag("output", "The folder to write.")
_CONVERSATIONS = flags.DEFINE_integer("conversations", 18, "Number of conversations.", 6)
_UTTERANCES = flags.DEFINE_integer("utterances", 8, "Number of utterances per conversation.", 2)
_SEED = command.seed_flag("Random seed of actors, scripts and noise.")
_COLUMNS = ("conversation_id", "utterance_id", "path", "start", "end", "transcript", "label",
            "speaker", "split")  # fmt: skip


def parts_of(conversations: int) -> list[str]:
    """Returns the part of each conversation: a third is test, a sixth validation."""
    test, valid = conversations // 3, conversations // 6
    return ["train"] * (conversations - test - valid) + ["valid"] * valid + ["test"] * test


def main() -> None:
    """Writes the clips and their tables."""
    espeak.loaded()
    media.pyav()
    folder = pathlib.Path(_OUTPUT.value)
    with alone(folder, inside=False):
        _write(folder)


def _write(folder: pathlib.Path) -> None:
    random = np.random.default_rng(_SEED.value)
    check_new(folder)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(folder, f"cannot be written ({error.strerror})", "a folder") from error
    people = clips.cast(len(clips.TIMBRES), random)
    actors = {"train": people[:6], "valid": people[6:8], "test": people[8:]}
    rows, words = [], []
    for number, part in enumerate(parts_of(_CONVERSATIONS.value)):
        first, second = random.choice(len(actors[part]), 2, replace=False)
        pair = actors[part][first], actors[part][second]
        turns = clips.write_script(pair, _UTTERANCES.value, random)
        sound, frames, times, spoken = clips.play(turns, random)
        name = f"talk_{number:02}"
        clips.write_clip(folder / f"{name}.mp4", sound, frames)
        talk = [
            (name, f"u{n}", f"{name}.mp4", f"{start:.2f}", f"{end:.2f}", turn.words, turn.label,
             turn.actor.name, part)
            for n, (turn, (start, end)) in enumerate(zip(turns, times, strict=True))
        ]  # fmt: skip
        csv_tables.write(
            folder / f"{name}.csv", ["start", "end", "transcript"], [x[3:6] for x in talk]
        )
        rows += talk
        words += [
            (*row[:2], f"{start:.3f}", f"{end:.3f}", word)
            for row, timed in zip(talk, spoken, strict=True)
            for word, start, end in timed
        ]
    csv_tables.write(folder / "words.csv", readers.COLUMNS, words)
    csv_tables.write(folder / "clips.csv", _COLUMNS, rows)
    voices = len({row[_COLUMNS.index("speaker")] for row in rows})
    counts = f"{_CONVERSATIONS.value} conversations, {len(rows)} utterances, {voices} voices"
    print(f"{folder / 'clips.csv'}: {counts}; no speaker is in two parts of the split")
