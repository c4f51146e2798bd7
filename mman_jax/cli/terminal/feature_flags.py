"""The flags that say how the modalities of clips are measured, and the settings that they make."""

import pathlib
from collections.abc import Sequence

from absl import flags

from mman_jax.cli.terminal import command
from mman_jax.errors import InputError, nearest
from mman_jax.features.encoders import folders
from mman_jax.features.encoders.settings import EncoderSettings
from mman_jax.features.settings import MODALITIES, Settings
from mman_jax.features.speech import functionals
from mman_jax.features.speech.functionals import SpeechSettings
from mman_jax.features.text.cnn import TextSettings
from mman_jax.features.visual.windows import VisualSettings

_MODALITIES = flags.DEFINE_list(
    "modalities", list(MODALITIES), "The modalities to extract, separated by commas."
)
_SEED = command.seed_flag("Seed of the networks that are trained here.")

_ENCODER = "hf:FOLDER (or hf:NAME, of your own cache): the states of a pretrained encoder"
_SPEECH = flags.DEFINE_string(
    "speech",
    SpeechSettings.feature_set,
    f"The openSMILE feature set, {' or '.join(functionals.FEATURE_SETS)}; or {_ENCODER}.",
)
_VISUAL = flags.DEFINE_string("visual", "", f"{_ENCODER}; by default a 3D ResNet is used.")
_TEXT = flags.DEFINE_string(
    "text",
    "",
    f"{_ENCODER}; {folders.MINILM}: a small sentence encoder; by default TF-IDF, or what "
    "--word_vectors gives.",
)
_LAYER = flags.DEFINE_integer(
    "encoder_layer", -1, "Whose states: -1 the last layer's, 0 what the first layer is given."
)
_DOWNLOAD = flags.DEFINE_bool(
    "download", False, "Whether an encoder that is not in the cache may be downloaded."
)
_COMPONENTS = flags.DEFINE_integer(
    "speech_components",
    SpeechSettings.components,
    "Principal components to which speech features are reduced; 0: no reduction.",
)
WEIGHTS = command.path_flag(
    "visual_weights",
    "Pre-trained weights of the 3D ResNet (see mman convert); by default it is trained "
    "here, on the labels.",
    False,
)
_RATE = flags.DEFINE_float(
    "visual_rate", VisualSettings.rate, "Frames per second that are taken from a clip."
)
_FRAMES = flags.DEFINE_integer(
    "visual_frames",
    VisualSettings.frames,
    "Frames per window; of an encoder, pictures per utterance at most.",
)
_WINDOWS = flags.DEFINE_integer(
    "visual_windows", VisualSettings.windows, "Windows per utterance, at most."
)
_SIZE = flags.DEFINE_integer(
    "visual_size", VisualSettings.size, "Height and width of a window, in pixels."
)
_WIDTH = flags.DEFINE_integer(
    "visual_width",
    VisualSettings.width,
    "Channels of the network's first stage; an utterance gets eight times as many features.",
)
_CROP = flags.DEFINE_string(
    "visual_crop",
    VisualSettings.crop,
    "The part of the picture to use: none (all of it), upper_body (found by the face), or "
    "left,top,right,bottom as shares from 0 to 1.",
)
_VISUAL_EPOCHS = flags.DEFINE_integer(
    "visual_epochs", VisualSettings.epochs, "Epochs of training of the visual network."
)
VECTORS = command.path_flag(
    "word_vectors",
    "A word2vec file, or a GloVe text file, for a CNN that is trained here; by default TF-IDF.",
    False,
)
_TEXT_FEATURES = flags.DEFINE_integer(
    "text_features", TextSettings.features, "Features per transcript, at most."
)
_TEXT_EPOCHS = flags.DEFINE_integer(
    "text_epochs", TextSettings.epochs, "Epochs of training of the text network."
)
_FREQUENT = flags.DEFINE_integer(
    "text_frequent",
    TextSettings.frequent,
    "Most frequent words of --word_vectors to keep besides the words of the training transcripts.",
)

_KINDS = {"speech": _SPEECH, "visual": _VISUAL, "text": _TEXT}
_ANY_KIND = {"visual": (_RATE, _FRAMES)}
"""By modality, what is also read where a pretrained encoder describes it."""

_OWN_KIND = {
    "speech": (_COMPONENTS,),
    "visual": (WEIGHTS, _WINDOWS, _SIZE, _WIDTH, _CROP, _VISUAL_EPOCHS),
    "text": (VECTORS, _TEXT_FEATURES, _TEXT_EPOCHS, _FREQUENT),
}
_OF_ENCODERS = (_LAYER, _DOWNLOAD)
ALL = (
    *(_MODALITIES, _SEED, *_KINDS.values(), *_OF_ENCODERS),
    *(flag for several in (_ANY_KIND, _OWN_KIND) for own in several.values() for flag in own),
)


def settings() -> Settings:
    """What the flags ask for.

    Raises:
        InputError: settings that nothing can be extracted by.
    """
    wanted = modalities(_MODALITIES, MODALITIES)
    if not wanted:
        raise InputError("--modalities", "none", ", ".join(MODALITIES))
    named = [modality for modality in wanted if _names_encoder(modality)]
    _check_read(wanted, named)
    encoded = {modality: _encoder(modality) for modality in named}
    made = {
        "speech": lambda: SpeechSettings(_SPEECH.value, _COMPONENTS.value),
        "visual": lambda: VisualSettings(
            rate=_RATE.value,
            frames=_FRAMES.value,
            windows=_WINDOWS.value,
            size=_SIZE.value,
            crop=_CROP.value,
            width=_WIDTH.value,
            epochs=_VISUAL_EPOCHS.value,
        ),
        "text": lambda: TextSettings(
            kind="cnn" if VECTORS.value else "tfidf",
            features=_TEXT_FEATURES.value,
            frequent=_FREQUENT.value,
            epochs=_TEXT_EPOCHS.value,
        ),
    }
    own = {name: encoded.get(name) or made[name]() for name in wanted}
    return Settings(**own, seed=_SEED.value)


def _check_read(wanted: Sequence[str], encoded: Sequence[str]) -> None:
    """Refuses what was given and nothing would read, for the kinds of features that were chosen."""
    for modality, kind in _KINDS.items():
        for flag in (kind, *_ANY_KIND.get(modality, ()), *_OWN_KIND[modality]):
            if modality not in wanted:
                found = f"given without {modality} among --modalities"
                command.refuse(flag, found, f"{modality} among them, or no --{flag.name}")
        for flag in _OWN_KIND[modality]:
            if modality in encoded:
                found = f"given beside --{modality}={kind.value}, which has no use for it"
                command.refuse(flag, found, "one of the two")
    for flag in _OF_ENCODERS:
        if not encoded:
            command.refuse(flag, "given without an encoder", _ENCODER)
    if not any(_may_be_fetched(_KINDS[modality].value) for modality in encoded):
        found = "given for encoders that are here"
        command.refuse(_DOWNLOAD, found, f"an encoder {folders.PREFIX}NAME, or no --download")
    if WEIGHTS.value:
        found = "given beside --visual_weights, of a network that is trained"
        command.refuse(_VISUAL_EPOCHS, found, "one of the two")
    if not VECTORS.value:
        for flag in (_TEXT_EPOCHS, _FREQUENT):
            expected = f"--word_vectors=FILE, or no --{flag.name}"
            command.refuse(flag, "given without --word_vectors", expected)
    own = set(wanted) - set(encoded)
    if not ("visual" in own and not WEIGHTS.value) and not ("text" in own and VECTORS.value):
        expected = "no --seed; or visual without --visual_weights, or text with --word_vectors"
        command.refuse(_SEED, "given where no network is trained", expected)


def _names_encoder(modality: str) -> bool:
    """Whether a modality's flag names a pretrained encoder."""
    name = _KINDS[modality].value
    if name.startswith(folders.PREFIX) or (modality, name) == ("text", folders.MINILM):
        return True
    if modality != "speech" and name:
        raise InputError(f"--{modality}", repr(name), f"{folders.PREFIX}FOLDER")
    return False


def _may_be_fetched(name: str) -> bool:
    return name != folders.MINILM and not pathlib.Path(name.removeprefix(folders.PREFIX)).is_dir()


def _encoder(modality: str) -> EncoderSettings:
    """The pretrained encoder that a modality's flag names."""
    name = _KINDS[modality].value
    folder = folders.find(name, _DOWNLOAD.value)
    if name != folders.MINILM and not _may_be_fetched(name):
        name = f"{folders.PREFIX}{folder.resolve()}"
    pictures = (_RATE.value, _FRAMES.value) if modality == "visual" else ()
    return EncoderSettings(name, folders.digest(folder), _LAYER.value, *pictures)


def modalities(flag: flags.FlagHolder[list[str]], known: Sequence[str]) -> list[str]:
    """The modalities that a flag lists.

    Raises:
        InputError: one that is none of the known.
    """
    wanted = [name.strip() for name in flag.value]
    for name in wanted:
        if name not in known:
            raise InputError(f"--{flag.name}", repr(name), nearest(name, known))
    return wanted
