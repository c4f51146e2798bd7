"""Raw clips to a corpus: `python -m experiments.extract --manifest=CSV --output=FILE.npz`.

Every utterance is measured on its own, by a pool of processes or by Apache Beam, into a cache that
the same command goes on from. Then what has to be fitted (reductions, vocabularies, networks) is
fitted on the training conversations, and `FILE.extraction.npz` keeps it beside the corpus:
`--fitted=FILE.extraction.npz` gives other clips the same features.
"""

import os
import pathlib
from collections.abc import Iterable, Sequence

import numpy as np
from absl import flags

from experiments.terminal import command
from experiments.terminal.progress import Screen
from mman_jax.data import splits
from mman_jax.data.corpus import Corpus
from mman_jax.data.readers import npz
from mman_jax.errors import InputError, nearest
from mman_jax.features import extraction, fitting, manifest
from mman_jax.features.extraction import MODALITIES, Extraction, Settings
from mman_jax.features.manifest import Utterance
from mman_jax.features.measuring import beam, pool
from mman_jax.features.measuring.measuring import Measuring, digest
from mman_jax.features.speech import functionals
from mman_jax.features.speech.functionals import SpeechSettings
from mman_jax.features.text import words
from mman_jax.features.text.cnn import TextSettings
from mman_jax.features.visual.windows import VisualSettings

_MANIFEST = command.path_flag("manifest", "The CSV file that names the clips.")
_OUTPUT = command.path_flag("output", "The .npz corpus to write.")
_FITTED = command.path_flag("fitted", "Features as in another corpus: its .extraction.npz.", False)
_MODALITIES = flags.DEFINE_list("modalities", list(MODALITIES), "What to extract.")
_CACHE = command.path_flag("cache", "Where measurements are kept; OUTPUT.cache if absent.", False)
_ON_ERROR = flags.DEFINE_enum("on_error", "stop", ["stop", "skip"], "When a clip cannot be used.")
_RUNNER = flags.DEFINE_enum("runner", "local", ["local", "beam"], "Who measures the utterances.")
_PROCESSES = flags.DEFINE_integer("processes", os.cpu_count() or 1, "Of the local runner.", 1)
_BEAM = flags.DEFINE_multi_string("beam_option", [], "An option of Beam's, such as --streaming.")
_SEED = command.seed_flag("Of what is trained here.")

_SPEECH = flags.DEFINE_enum("speech", "compare", list(functionals.FEATURE_SETS), "openSMILE's set.")
_COMPONENTS = flags.DEFINE_integer(
    "speech_components", 100, "Principal components; 0: no reduction."
)
_WEIGHTS = command.path_flag("visual_weights", "Of the 3D ResNet; absent: it is trained.", False)
_RATE = flags.DEFINE_float("visual_rate", VisualSettings.rate, "Frames a second.")
_FRAMES = flags.DEFINE_integer("visual_frames", VisualSettings.frames, "Of a window.")
_WINDOWS = flags.DEFINE_integer("visual_windows", VisualSettings.windows, "Of an utterance.")
_SIZE = flags.DEFINE_integer("visual_size", VisualSettings.size, "Pixels of a side.")
_WIDTH = flags.DEFINE_integer(
    "visual_width", VisualSettings.width, "Channels; features are 8 times."
)
_CROP = flags.DEFINE_string("visual_crop", "none", "none, upper_body, or left,top,right,bottom.")
_VISUAL_EPOCHS = flags.DEFINE_integer("visual_epochs", VisualSettings.epochs, "Of training.")
_VECTORS = command.path_flag("word_vectors", "A word2vec file; absent: TF-IDF.", False)
_TEXT = flags.DEFINE_integer("text_features", TextSettings.features, "Of a transcript.")
_TEXT_EPOCHS = flags.DEFINE_integer("text_epochs", TextSettings.epochs, "Of training.")
_FREQUENT = flags.DEFINE_integer("text_frequent", TextSettings.frequent, "Words beside training's.")

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


def measure_all(
    work: Measuring, utterances: Sequence[Utterance], skip: bool, screen: Screen
) -> list[Utterance]:
    """Fills the cache; returns the utterances that could be measured, in their order.

    Raises:
        InputError: an utterance that could not, unless such are skipped; or none that could.
    """
    failed = set()
    for utterance, failure in _outcomes(work, utterances):
        screen.advance()
        if failure is not None:
            place = utterance.name
            if not skip:
                raise InputError(place, f"{failure}; --on_error=skip leaves such out")
            screen.line(f"left out: {place}: {failure}")
            failed.add(utterance)
    kept = [utterance for utterance in utterances if utterance not in failed]
    if not kept:
        raise InputError("clips", f"none of {len(utterances)} can be used", "at least one")
    return kept


def _outcomes(
    work: Measuring, utterances: Sequence[Utterance]
) -> Iterable[tuple[Utterance, str | None]]:
    """Each utterance as it ends, with its failure or None; what the cache has is not done again."""
    missing = []
    for utterance in utterances:
        if "text" in work.settings.modalities and not utterance.transcript:
            yield utterance, "no transcript"
        elif work.done(utterance):
            yield utterance, None
        else:
            missing.append(utterance)
    if _RUNNER.value == "beam":
        yield from beam.run(work, missing, _BEAM.value, pathlib.Path(work.folder))
    elif missing:
        yield from pool.run(work, missing, min(_PROCESSES.value, len(missing)))


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
    with Screen(len(utterances)) as screen:
        kept = measure_all(work, utterances, _ON_ERROR.value == "skip", screen)
        measured = {
            name: [work.result(utterance, name) for utterance in kept]
            for name in settings.modalities
        }
        made, split = (earlier, None) if earlier else fit(work, kept, measured, screen)
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


def fit(
    work: Measuring,
    utterances: Sequence[Utterance],
    measured: dict[str, list[np.ndarray]],
    screen: Screen,
) -> tuple[Extraction, list[str] | None]:
    """Fits on the training conversations' utterances; returns the part of each conversation too.

    The parts are None where nothing had to be fitted. Else they must go with the corpus: what was
    fitted is honest for this split alone.
    """
    nothing = np.zeros((len(utterances), 1), np.float32)
    bare = manifest.to_corpus(utterances, {"none": nothing}, _MANIFEST.value)
    rows, parts = np.arange(0), None
    if work.settings.needs_fitting(bool(work.weights)):
        split = splits.split(bare)
        everything = np.arange(len(utterances))
        rows = np.concatenate([everything[bare.utterances(i)] for i in split.train])
        parts = np.empty(len(bare.lengths), object)
        for name in ("train", "valid", "test"):
            parts[getattr(split, name)] = name
        screen.line(f"{split.how}; fitted on {len(rows)} utterances of training")
    if work.settings.visual and not work.weights:
        screen.line(
            "visual: no --visual_weights: the network is trained here, on the labels of the "
            "training conversations; expect less than from one pre-trained on human action"
        )
    made = fitting.fit(
        work.settings,
        {name: [values[i] for i in rows] for name, values in measured.items()},
        bare.labels[rows],
        extraction.read_weights(work.weights) if work.weights else None,
        pathlib.Path(_VECTORS.value) if _VECTORS.value else None,
        screen.epoch,
    )
    return made, None if parts is None else parts.tolist()


def tell(corpus: Corpus, left_out: int, screen: Screen) -> None:
    """What was written."""
    sizes = ", ".join(f"{name} {size}" for name, size in corpus.dims.items())
    missing = f", {left_out} left out" if left_out else ""
    counts = f"{len(corpus.lengths)} conversations, {len(corpus.labels)} utterances{missing}"
    screen.line(f"{corpus.source}: {counts}, {sizes}")


if __name__ == "__main__":
    command.run(main)
