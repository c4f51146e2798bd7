"""Raw clips to a corpus: `python -m experiments.extract --manifest=CSV --output=FILE.npz`.

Every utterance is measured on its own, by a pool of processes or by Apache Beam, into a cache that
the same command goes on from. Then what has to be fitted (reductions, vocabularies, networks) is
fitted on the training conversations, and `FILE.extraction.npz` keeps it beside the corpus:
`--fitted=FILE.extraction.npz` gives other clips the same features.
"""

import os
import pathlib
from collections.abc import Sequence

from absl import flags

from experiments.terminal import command
from experiments.terminal.lock import alone
from experiments.terminal.screen import Screen
from mman_jax.data.corpus import Corpus
from mman_jax.data.readers import npz
from mman_jax.errors import InputError, nearest
from mman_jax.features import extraction, fitting, manifest
from mman_jax.features.extraction import MODALITIES, Extraction, Settings
from mman_jax.features.manifest import Utterance
from mman_jax.features.measuring import beam, many
from mman_jax.features.measuring.measuring import Measuring, digest
from mman_jax.features.speech import functionals
from mman_jax.features.speech.functionals import SpeechSettings
from mman_jax.features.text import words
from mman_jax.features.text.cnn import TextSettings
from mman_jax.features.visual.windows import VisualSettings

_MANIFEST = command.path_flag(
    "manifest", "The CSV file that names the clips: conversation_id, utterance_id, path, ..."
)
_OUTPUT = command.path_flag("output", "The .npz corpus to write.")
_FITTED = command.path_flag(
    "fitted",
    "The .extraction.npz of another corpus: extract the same features, and fit nothing.",
    False,
)
_MODALITIES = flags.DEFINE_list(
    "modalities", list(MODALITIES), "The modalities to extract, separated by commas."
)
_CACHE = command.path_flag(
    "cache", "The folder in which measurements are kept; by default OUTPUT.cache.", False
)
_ON_ERROR = flags.DEFINE_enum(
    "on_error",
    "stop",
    ["stop", "skip"],
    "Whether a clip that cannot be used stops the command or is left out.",
)
_RUNNER = flags.DEFINE_enum(
    "runner",
    "local",
    ["local", "beam"],
    "What measures the utterances: processes on this machine, or Apache Beam.",
)
_PROCESSES = flags.DEFINE_integer(
    "processes", os.cpu_count() or 1, "Processes of the local runner.", 1
)
_BEAM = flags.DEFINE_multi_string(
    "beam_option", [], "An option for Apache Beam, such as --streaming; may be given repeatedly."
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
_WEIGHTS = command.path_flag(
    "visual_weights",
    "Pre-trained weights of the 3D ResNet (see experiments.weights); by default it is trained "
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
_VECTORS = command.path_flag(
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

_SETTINGS = (
    *(_MODALITIES, _SEED, _SPEECH, _COMPONENTS, _WEIGHTS, _RATE, _FRAMES, _WINDOWS, _SIZE, _CROP),
    *(_WIDTH, _VISUAL_EPOCHS, _VECTORS, _TEXT, _TEXT_EPOCHS, _FREQUENT),
)


def settings_of_flags() -> Settings:
    """What the flags ask for.

    Raises:
        InputError: settings that nothing can be extracted by.
    """
    wanted = [name.strip() for name in _MODALITIES.value]
    for name in wanted:
        if name not in MODALITIES:
            raise InputError("--modalities", repr(name), nearest(name, MODALITIES))
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
            kind="cnn" if _VECTORS.value else "tfidf",
            features=_TEXT.value,
            frequent=_FREQUENT.value,
            epochs=_TEXT_EPOCHS.value,
        ),
    }
    return Settings(**{name: made[name]() for name in wanted}, seed=_SEED.value)


def _runner() -> many.Runner:
    if _RUNNER.value == "local":
        return many.locally(_PROCESSES.value)
    return lambda work, missing: beam.run(work, missing, _BEAM.value, pathlib.Path(work.folder))


def main() -> None:
    """Reads, measures, fits, writes."""
    output = pathlib.Path(_OUTPUT.value)
    if output.suffix != ".npz":
        raise InputError(f"--output={output}", f"ends in {output.suffix!r}", ".npz")
    utterances = manifest.read(_MANIFEST.value)
    earlier = _earlier()
    settings = earlier.settings if earlier else settings_of_flags()
    weights = _WEIGHTS.value
    if earlier:
        weights = _FITTED.value if earlier.pretrained else None
    check_early(settings, utterances, weights)
    work = Measuring(
        settings,
        folder=str(_CACHE.value or f"{output}.cache"),
        weights=weights or "",
        digest=digest(pathlib.Path(weights)) if weights else "",
    )
    with alone(output, inside=False):
        _extract(output, utterances, earlier, work)


def _extract(
    output: pathlib.Path,
    utterances: Sequence[Utterance],
    earlier: Extraction | None,
    work: Measuring,
) -> None:
    """Measures, fits and writes the corpus."""
    with Screen() as screen:
        screen.items(len(utterances), "utterances")

        def ended(utterance: Utterance, failure: str | None) -> None:
            screen.advance()
            if failure is not None and _ON_ERROR.value == "stop":
                raise InputError(utterance.name, f"{failure}; --on_error=skip leaves such out")
            if failure is not None:
                screen.line(f"left out: {utterance.name}: {failure}")

        kept = many.measure(work, utterances, _runner(), ended)
        measured = many.results(work, kept)
        made, split = earlier, None
        if made is None:
            made, split = fitting.fit_corpus(
                work.settings,
                kept,
                measured,
                source=_MANIFEST.value,
                pretrained=extraction.read_weights(work.weights) if work.weights else None,
                vectors=pathlib.Path(_VECTORS.value) if _VECTORS.value else None,
                progress=screen.network,
                notice=screen.line,
            )
        features = {name: made.apply(name, values) for name, values in measured.items()}
    corpus = manifest.to_corpus(kept, features, str(output), split)
    try:
        output.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(output, f"cannot be written ({error.strerror})", "a path") from error
    made.save(output.with_suffix(".extraction.npz"))
    npz.write(corpus, output)
    tell(corpus, len(utterances) - len(kept), screen)


def check_early(settings: Settings, utterances: Sequence[Utterance], weights: str | None) -> None:
    """Raises InputError for what would otherwise end the run only after hours of measuring."""
    settings.check_libraries()
    if weights:
        width = extraction.read_weights(weights)["params/stem_conv/kernel"].shape[-1]
        if settings.visual and settings.visual.width != width:
            raise InputError(weights, f"a network of width {width}", str(settings.visual.width))
    if _VECTORS.value:
        words.check_file(_VECTORS.value)
    unlabelled = not any(utterance.label for utterance in utterances)
    if not _FITTED.value and unlabelled and settings.needs_labels(bool(weights)):
        found = "no label in any row, and networks to train on them"
        raise InputError(
            _MANIFEST.value, found, "labels, or --visual_weights and no --word_vectors"
        )


def _earlier() -> Extraction | None:
    """What --fitted names, which settles all settings."""
    if not _FITTED.value:
        return None
    for flag in _SETTINGS:
        if flags.FLAGS[flag.name].present:
            found = f"given beside --fitted={_FITTED.value}, which settles it"
            raise InputError(f"--{flag.name}", found, "one of the two")
    return Extraction.load(_FITTED.value)


def tell(corpus: Corpus, left_out: int, screen: Screen) -> None:
    """What was written."""
    sizes = ", ".join(f"{name} {size}" for name, size in corpus.dims.items())
    missing = f", {left_out} left out" if left_out else ""
    counts = f"{len(corpus.lengths)} conversations, {len(corpus.labels)} utterances{missing}"
    screen.line(f"{corpus.source}: {counts}, {sizes}")


if __name__ == "__main__":
    command.run(main)
