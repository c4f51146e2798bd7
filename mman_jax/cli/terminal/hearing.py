"""Flags for the words and the speakers of recordings."""

from typing import Any

from absl import flags

from mman_jax.cli.terminal import command
from mman_jax.errors import InputError
from mman_jax.features.speakers import speakers
from mman_jax.features.speakers.speakers import Speakers
from mman_jax.features.words import whisper
from mman_jax.features.words.whisper import Recogniser

flags.disclaim_key_flags()  # a flag defined here belongs to the command, whose --help lists it


def words_flags(also: str = "") -> None:
    """Defines the flags `--words`, `--language` and `--download`.

    Args:
        also: another value of `--words`, for its description.
    """
    about = "whisper:FOLDER (or whisper:NAME, in your cache), which recognises the words"
    flags.DEFINE_string("words", "", f"{about}{also}.", allow_override=True)
    flags.DEFINE_string(
        "language",
        "",
        "Language of the recognised words, such as en; by default it is detected.",
        allow_override=True,
    )
    download_flag()


def download_flag() -> flags.FlagHolder[bool]:
    """Defines the flag `--download`."""
    about = "Whether a network that is not in the cache may be downloaded."
    return flags.DEFINE_bool("download", False, about, allow_override=True)


def speakers_flags() -> None:
    """Defines the flags `--speakers` and `--speaker_encoder`."""
    about = f"How speakers are found: {speakers.KINDS}; by default they are unknown."
    flags.DEFINE_string("speakers", "", about, allow_override=True)
    flags.DEFINE_string(
        "speaker_encoder",
        "",
        "Encoder of voices: hf:FOLDER, resemblyzer (the default if it is installed) or mfcc.",
        allow_override=True,
    )


def track_flag() -> None:
    """Defines the flag `--track`."""
    about = "Audio track to use, counted from 1, if a recording has several."
    flags.DEFINE_integer("track", 1, about, lower_bound=1, allow_override=True)


def turns_flags() -> None:
    """Defines the flags `--track`, `--pause` and `--longest`."""
    track_flag()
    flags.DEFINE_float("pause", 0.5, "Seconds without speech that end a turn.", allow_override=True)
    flags.DEFINE_float(
        "longest",
        20.0,
        "Seconds after which a turn is cut, even in the middle of speech.",
        allow_override=True,
    )


def value(flag: str) -> Any:
    """Returns the value of one of these flags."""
    return flags.FLAGS[flag].value


def recogniser() -> Recogniser | None:
    """Loads the network that `--words` names, if any.

    Raises:
        InputError: the network cannot be used, or a flag has no effect.
    """
    name, language, download = (value(flag) for flag in ("words", "language", "download"))
    if name.startswith(whisper.PREFIX):
        with command.named_flags("words", "language"):
            return Recogniser(name, language, download)
    if name:
        raise InputError("--words", repr(name), f"{whisper.PREFIX}FOLDER")
    if language:
        found = "given without a network that recognises words"
        raise InputError("--language", found, f"--words={whisper.PREFIX}FOLDER")
    return None


def found_speakers() -> Speakers | None:
    """Returns the method that `--speakers` names, if any.

    Raises:
        InputError: it cannot be used, or a flag has no effect.
    """
    name, encoder = value("speakers"), value("speaker_encoder")
    if encoder and not name:
        raise InputError("--speaker_encoder", "given without --speakers", "--speakers=voices")
    with command.named_flags("speakers", "speaker_encoder"):
        return speakers.find(name, encoder) if name else None
