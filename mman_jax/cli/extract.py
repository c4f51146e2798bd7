"""Extract features from clips: `mman extract --manifest=CSV --output=FILE.npz`.

Every utterance is measured on its own, by a pool of processes or by Apache Beam, into a cache that
the same command goes on from. Then what has to be fitted (reductions, vocabularies, networks) is
fitted on the training conversations, and `FILE.extraction.npz` keeps it beside the corpus:
`--fitted=FILE.extraction.npz` gives other clips the same features. `--sequences` adds what lies
inside utterances: words, frames of speech, windows of pictures, each at a rate of its own.
"""

import dataclasses
import os
import pathlib
from collections.abc import Sequence

from absl import flags

from mman_jax.cli.terminal import command, feature_flags
from mman_jax.cli.terminal.screen import Screen
from mman_jax.data.corpus import Corpus
from mman_jax.data.readers import npz
from mman_jax.errors import InputError
from mman_jax.features import cells, extraction, fitting, manifest, timed_words
from mman_jax.features.extraction import Extraction
from mman_jax.features.manifest import Utterance
from mman_jax.features.measuring import beam, many
from mman_jax.features.measuring.measuring import Measuring, digest
from mman_jax.features.settings import Settings
from mman_jax.features.text.words import check_file
from mman_jax.features.timed_words import TimedWords
from mman_jax.files import pool
from mman_jax.files.lock import alone

_MANIFEST = command.path_flag(
    "manifest", "The CSV file that names the clips: conversation_id, utterance_id, path, ..."
)
_OUTPUT = command.path_flag("output", "The .npz corpus to write.")
_FITTED = command.path_flag(
    "fitted",
    "The .extraction.npz of another corpus: extract the same features, and fit nothing.",
    False,
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
_SEQUENCES = flags.DEFINE_list(
    "sequences",
    [],
    "Of these modalities also what lies inside utterances, with its times: text (words), speech "
    "(a hundred frames a second), visual (windows of frames).",
)
_WORDS = command.path_flag(
    "words",
    "The CSV file that says when which word is said: conversation_id, utterance_id, start, end, "
    "word; needed for --sequences=text.",
    False,
)


def _runner() -> many.Runner:
    if _RUNNER.value == "local":
        return many.locally(_PROCESSES.value)
    return lambda work, missing: beam.run(work, missing, _BEAM.value, pathlib.Path(work.folder))


def main() -> None:
    """Reads, measures, fits, writes."""
    if _RUNNER.value == "local":
        command.refuse(_BEAM, "given without --runner=beam", "both, or neither")
    else:
        found = "given beside --runner=beam, which has options of its own"
        command.refuse(_PROCESSES, found, "--beam_option=--direct_num_workers=N")
    output = pathlib.Path(_OUTPUT.value)
    if output.suffix != ".npz":
        raise InputError(f"--output={output}", f"ends in {output.suffix!r}", ".npz")
    utterances = manifest.read(_MANIFEST.value)
    earlier = _earlier()
    settings = earlier.settings if earlier else feature_flags.settings()
    weights = feature_flags.WEIGHTS.value
    if earlier:
        weights = _FITTED.value if earlier.pretrained else None
    check_early(settings, utterances, weights)
    wanted = feature_flags.modalities(_SEQUENCES, settings.modalities)
    said = _words(utterances, "text" in wanted)
    work = Measuring(
        settings,
        folder=str(_CACHE.value or f"{output}.cache"),
        weights=weights or "",
        digest=digest(pathlib.Path(weights)) if weights else "",
        sequences=tuple(wanted),
    )
    with alone(output, inside=False):
        _extract(output, utterances, earlier, work, said)


def _extract(
    output: pathlib.Path,
    utterances: Sequence[Utterance],
    earlier: Extraction | None,
    work: Measuring,
    said: dict[Utterance, TimedWords],
) -> None:
    """Measures, fits and writes the corpus."""
    with Screen() as screen:
        screen.items(len(utterances), "utterances")
        if pool.shortage() and _RUNNER.value == "local":
            screen.notice(pool.shortage())

        def ended(utterance: Utterance, failure: str | None) -> None:
            screen.advance()
            if failure is not None and _ON_ERROR.value == "stop":
                raise InputError(utterance.name, f"{failure}; --on_error=skip leaves such out")
            if failure is not None:
                screen.line(f"left out: {utterance.name}: {failure}")

        kept = many.measure(work, utterances, _runner(), ended)
        measured = many.results(work, kept)
        made, split, vectors = earlier, None, feature_flags.VECTORS.value
        if made is None:
            made, split = fitting.fit_corpus(
                work.settings,
                kept,
                measured,
                source=_MANIFEST.value,
                pretrained=extraction.read_weights(work.weights) if work.weights else None,
                vectors=pathlib.Path(vectors) if vectors else None,
                progress=screen.network,
                notice=screen.line,
            )
        features = {name: made.apply(name, values) for name, values in measured.items()}
        inside = cells.sequences(made, kept, measured, many.cells(work, kept), said)
    corpus = manifest.to_corpus(kept, features, str(output), split)
    corpus = dataclasses.replace(corpus, sequences=inside)
    try:
        output.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(output, f"cannot be written ({error.strerror})", "a path") from error
    made.save(output.with_suffix(".extraction.npz"))
    npz.write(corpus, output)
    tell(corpus, len(utterances) - len(kept), screen)


def _words(utterances: Sequence[Utterance], wanted: bool) -> dict[Utterance, TimedWords]:
    """The words of --words, by utterance."""
    path = _WORDS.value
    if wanted and not path:
        raise InputError("--sequences=text", "no --words", "a CSV file of words with their times")
    if path and not wanted:
        raise InputError(f"--words={path}", "no text among --sequences", "--sequences=text, too")
    return timed_words.read(path, utterances) if path else {}


def check_early(settings: Settings, utterances: Sequence[Utterance], weights: str | None) -> None:
    """Raises InputError for what would otherwise end the run only after hours of measuring."""
    settings.check_libraries()
    if weights:
        width = extraction.read_weights(weights)["params/stem_conv/kernel"].shape[-1]
        if settings.without_encoders.visual and settings.visual.width != width:
            raise InputError(weights, f"a network of width {width}", str(settings.visual.width))
    if feature_flags.VECTORS.value:
        check_file(feature_flags.VECTORS.value)
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
    for flag in feature_flags.ALL:
        found = f"given beside --fitted={_FITTED.value}, which settles it"
        command.refuse(flag, found, "one of the two", default_too=True)
    return Extraction.load(_FITTED.value)


def tell(corpus: Corpus, left_out: int, screen: Screen) -> None:
    """What was written."""
    sizes = ", ".join(f"{name} {size}" for name, size in corpus.dims.items())
    missing = f", {left_out} left out" if left_out else ""
    counts = f"{len(corpus.lengths)} conversations, {len(corpus.labels)} utterances{missing}"
    screen.line(f"{corpus.source}: {counts}, {sizes}")
    for name, sequence in corpus.sequences.items():
        size = sequence.values.shape[1]
        screen.line(f"{corpus.source}: sequence {name}: {len(sequence.values)} cells of {size}")
