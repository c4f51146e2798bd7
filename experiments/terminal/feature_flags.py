"""The flags that say how the modalities of clips are measured, and the settings that they make."""

from collections.abc import Sequence

from absl import flags

from experiments.terminal import command
from mman_jax.errors import InputError, nearest
from mman_jax.features.settings import MODALITIES, Settings
from mman_jax.features.speech import functionals
from mman_jax.features.speech.functionals import SpeechSettings
from mman_jax.features.text.cnn import TextSettings
from mman_jax.features.visual.windows import VisualSettings

_MODALITIES = flags.DEFINE_list(
    "modalities", list(MODALITIES), "The modalities to extract, separated by commas."
)
_SEED = command.seed_flag("Seed of the networks that are trained here.")

_SPEECH = flags.DEFINE_enum(
    "speech", "compare", list(functionals.FEATURE_SETS), "The openSMILE feature set."
)
_COMPONENTS = flags.DEFINE_integer(
    "speech_components",
    SpeechSettings.components,
    "Principal components to which speech features are reduced; 0: no reduction.",
)
WEIGHTS = command.path_flag(
    "visual_weights",
    "Pre-trained weights of the 3D ResNet (see experiments.convert); by default it is trained "
    "here, on the labels.",
    False,
)
_RATE = flags.DEFINE_float(
    "visual_rate", VisualSettings.rate, "Frames per second that are taken from a clip."
)
_FRAMES = flags.DEFINE_integer("visual_frames", VisualSettings.frames, "Frames per window.")
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
_TEXT = flags.DEFINE_integer(
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

ALL = (
    *(_MODALITIES, _SEED, _SPEECH, _COMPONENTS, WEIGHTS, _RATE, _FRAMES, _WINDOWS, _SIZE, _CROP),
    *(_WIDTH, _VISUAL_EPOCHS, VECTORS, _TEXT, _TEXT_EPOCHS, _FREQUENT),
)


def settings() -> Settings:
    """What the flags ask for.

    Raises:
        InputError: settings that nothing can be extracted by.
    """
    wanted = modalities(_MODALITIES, MODALITIES)
    if not wanted:
        raise InputError("--modalities", "none", ", ".join(MODALITIES))
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
            features=_TEXT.value,
            frequent=_FREQUENT.value,
            epochs=_TEXT_EPOCHS.value,
        ),
    }
    return Settings(**{name: made[name]() for name in wanted}, seed=_SEED.value)


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
