"""Flags of the feature extractors, and the settings that they define."""

import pathlib
from collections.abc import Sequence
from typing import Any

from absl import flags

from mman_jax.cli.terminal import command, hearing
from mman_jax.errors import InputError, nearest
from mman_jax.features.encoders import folders
from mman_jax.features.encoders.states import Encoder
from mman_jax.features.extractor import TextExtractor
from mman_jax.features.settings import ENCODERS, MODALITIES, SPEECH_SETS, Settings, speech_set
from mman_jax.features.speech.functionals import OpenSmile
from mman_jax.features.text.transcripts import CnnText, TfIdfText
from mman_jax.features.visual.windows import ResNetWindows
from mman_jax.features.words import whisper

_MODALITIES = flags.DEFINE_list(
    "modalities", list(MODALITIES), "The modalities to extract, separated by commas."
)
_SEED = command.seed_flag("Seed of the networks that are trained here.")

_ENCODER = "hf:FOLDER (or hf:NAME, in your cache), for the states of a pretrained encoder"
_SPEECH = flags.DEFINE_string(
    "speech",
    OpenSmile.feature_set,
    f"{', '.join(SPEECH_SETS)} (the latter two of openSMILE); or {_ENCODER}.",
)
_VISUAL = flags.DEFINE_string("visual", "", f"{_ENCODER}; by default a 3D ResNet is used.")
_TEXT = flags.DEFINE_string(
    "text",
    "",
    f"{_ENCODER}; {folders.MINILM}: a small sentence encoder; by default TF-IDF, or a CNN with "
    "--word_vectors.",
)
_LAYER = flags.DEFINE_integer(
    "encoder_layer", -1, "Layer whose states are used: -1 the last, 0 the first layer's input."
)
_DOWNLOAD = hearing.download_flag()
WEIGHTS = command.path_flag(
    "visual_weights",
    "Pre-trained weights of the 3D ResNet (see mman convert); by default it is trained "
    "here, on the labels.",
    False,
)
_RATE = flags.DEFINE_float(
    "visual_rate", ResNetWindows.rate, "Frames per second that are taken from a clip."
)
_FRAMES = flags.DEFINE_integer(
    "visual_frames",
    ResNetWindows.frames,
    "Frames per window; for an encoder, largest number of pictures per utterance.",
)
_WINDOWS = flags.DEFINE_integer(
    "visual_windows", ResNetWindows.windows, "Largest number of windows per utterance."
)
_SIZE = flags.DEFINE_integer(
    "visual_size", ResNetWindows.size, "Height and width of a window, in pixels."
)
_WIDTH = flags.DEFINE_integer(
    "visual_width",
    ResNetWindows.width,
    "Channels of the network's first stage; an utterance gets eight times as many features.",
)
_CROP = flags.DEFINE_string(
    "visual_crop",
    ResNetWindows.crop,
    "The part of the picture to use: none (all of it), upper_body (found by the face), or "
    "left,top,right,bottom as shares from 0 to 1.",
)
_VISUAL_EPOCHS = flags.DEFINE_integer(
    "visual_epochs", ResNetWindows.epochs, "Epochs of training of the visual network."
)
VECTORS = command.path_flag(
    "word_vectors",
    "A word2vec file, or a GloVe text file, for a CNN that is trained here; by default TF-IDF.",
    False,
)
_TEXT_FEATURES = flags.DEFINE_integer(
    "text_features", CnnText.features, "Largest number of features per transcript."
)
_TEXT_EPOCHS = flags.DEFINE_integer(
    "text_epochs", CnnText.epochs, "Epochs of training of the text network."
)
_FREQUENT = flags.DEFINE_integer(
    "text_frequent",
    CnnText.frequent,
    "Number of most frequent words of --word_vectors to use in addition to the words of the "
    "training transcripts.",
)

_KINDS = {"speech": _SPEECH, "visual": _VISUAL, "text": _TEXT}
_SHARED_FLAGS = {"visual": (_RATE, _FRAMES)}
"""By modality, the flags that pretrained encoders also use."""

_EXTRACTOR_FLAGS = {
    "speech": (),
    "visual": (WEIGHTS, _WINDOWS, _SIZE, _WIDTH, _CROP, _VISUAL_EPOCHS),
    "text": (VECTORS, _TEXT_FEATURES, _TEXT_EPOCHS, _FREQUENT),
}
_ENCODER_FLAGS = (_LAYER, _DOWNLOAD)
ALL = (
    *(_MODALITIES, _SEED, *_KINDS.values(), *_ENCODER_FLAGS),
    *(flag for x in (_SHARED_FLAGS, _EXTRACTOR_FLAGS) for group in x.values() for flag in group),
)


def settings() -> Settings:
    """Makes settings from the flags.

    Raises:
        InputError: a value cannot be used, or a flag has no effect.
    """
    wanted = modalities(_MODALITIES, MODALITIES)
    if not wanted:
        raise InputError("--modalities", "none", ", ".join(MODALITIES))
    encoded = [modality for modality in wanted if _names_encoder(modality)]
    _refuse_unused(wanted, encoded)
    makers = {"speech": lambda: speech_set(_SPEECH.value), "visual": _visual, "text": _text}
    extractors: dict[str, Any] = {
        modality: _encoder(modality) if modality in encoded else makers[modality]()
        for modality in wanted
    }
    return Settings(**extractors, seed=_SEED.value)


def _visual() -> ResNetWindows:
    return ResNetWindows(
        rate=_RATE.value,
        frames=_FRAMES.value,
        windows=_WINDOWS.value,
        size=_SIZE.value,
        crop=_CROP.value,
        width=_WIDTH.value,
        epochs=_VISUAL_EPOCHS.value,
    )


def _text() -> TextExtractor:
    kind = CnnText if VECTORS.value else TfIdfText
    return kind(features=_TEXT_FEATURES.value, frequent=_FREQUENT.value, epochs=_TEXT_EPOCHS.value)


def _refuse_unused(wanted: Sequence[str], encoded: Sequence[str]) -> None:
    """Refuses flags that have no effect on the kinds of features that were chosen."""
    for modality, kind in _KINDS.items():
        for flag in (kind, *_SHARED_FLAGS.get(modality, ()), *_EXTRACTOR_FLAGS[modality]):
            if modality not in wanted:
                found = f"given without {modality} among --modalities"
                command.refuse(flag, found, f"{modality} among them, or no --{flag.name}")
        for flag in _EXTRACTOR_FLAGS[modality]:
            if modality in encoded:
                found = f"given with --{modality}={kind.value}, which does not use it"
                command.refuse(flag, found, "one of the two")
    if not encoded:
        command.refuse(_LAYER, "given without an encoder", _ENCODER)
    recognises = hearing.value("words").startswith(whisper.PREFIX)
    if not recognises and not any(
        _may_be_downloaded(_KINDS[modality].value) for modality in encoded
    ):
        found = "given without an encoder that is not a local folder"
        command.refuse(_DOWNLOAD, found, f"an encoder {folders.PREFIX}NAME, or no --download")
    if WEIGHTS.value:
        found = "given with --visual_weights, whose network is already trained"
        command.refuse(_VISUAL_EPOCHS, found, "one of the two")
    if not VECTORS.value:
        for flag in (_TEXT_EPOCHS, _FREQUENT):
            expected = f"--word_vectors=FILE, or no --{flag.name}"
            command.refuse(flag, "given without --word_vectors", expected)
    fitted = set(wanted) - set(encoded)
    if not ("visual" in fitted and not WEIGHTS.value) and not ("text" in fitted and VECTORS.value):
        expected = "no --seed; or visual without --visual_weights, or text with --word_vectors"
        command.refuse(_SEED, "given although no network is trained", expected)


def _names_encoder(modality: str) -> bool:
    """Returns whether a modality's flag names a pretrained encoder."""
    name = _KINDS[modality].value
    if name.startswith(folders.PREFIX) or (modality, name) == ("text", folders.MINILM):
        return True
    if modality != "speech" and name:
        raise InputError(f"--{modality}", repr(name), f"{folders.PREFIX}FOLDER")
    return False


def _may_be_downloaded(name: str) -> bool:
    return name != folders.MINILM and not pathlib.Path(name.removeprefix(folders.PREFIX)).is_dir()


def _encoder(modality: str) -> Encoder:
    """Returns the pretrained encoder that a modality's flag names."""
    name = _KINDS[modality].value
    folder = folders.find(name, _DOWNLOAD.value)
    if name != folders.MINILM and not _may_be_downloaded(name):
        name = f"{folders.PREFIX}{folder.resolve()}"
    pictures = {"rate": _RATE.value, "frames": _FRAMES.value} if modality == "visual" else {}
    return ENCODERS[modality](name, folders.digest(folder), _LAYER.value, **pictures)


def modalities(flag: flags.FlagHolder[list[str]], known: Sequence[str]) -> list[str]:
    """Returns the modalities that a flag lists.

    Raises:
        InputError: a modality is unknown.
    """
    wanted = [name.strip() for name in flag.value]
    for name in wanted:
        if name not in known:
            raise InputError(f"--{flag.name}", repr(name), nearest(name, known))
    return wanted
