"""Extract features from clips: `mman extract --manifest=CSV --output=FILE.npz`.

Utterances are measured independently, by a pool of processes or by Apache Beam. Measurements are
cached, so that an interrupted command can resume. Vocabularies and networks are then fitted to the
training conversations and stored in `FILE.extraction.npz`, with which
`--fitted=FILE.extraction.npz` extracts the same features from other clips. `--sequences` adds the
cells of utterances with their times: words, frames of speech, windows of pictures.
`--words=whisper:FOLDER` recognises the words, instead of the manifest's transcripts, and
`--speakers` finds who speaks; `FILE.clips.csv` and `FILE.words.csv` then list them.
"""

import dataclasses
import os
import pathlib
from collections.abc import Sequence

from absl import flags

from mman_jax.cli.terminal import command, feature_flags, hearing
from mman_jax.cli.terminal.screen import Screen
from mman_jax.data import warnings
from mman_jax.data.corpus import Corpus
from mman_jax.data.readers import csv_tables, npz
from mman_jax.errors import InputError
from mman_jax.features import extraction, manifest, measuring, recognition
from mman_jax.features.extraction import Extraction
from mman_jax.features.manifest import Utterance
from mman_jax.features.measuring import Measuring, digest
from mman_jax.features.settings import Settings
from mman_jax.features.text import readers
from mman_jax.features.text.readers import TimedWords
from mman_jax.features.words import whisper
from mman_jax.files import pool
from mman_jax.files.lock import alone

flags.adopt_module_key_flags(feature_flags)  # for --help

_MANIFEST = command.path_flag(
    "manifest", "The CSV file that names the clips: conversation_id, utterance_id, path, ..."
)
_OUTPUT = command.path_flag("output", "The .npz corpus to write.")
_FITTED = command.path_flag(
    "fitted", "A fitted .extraction.npz; its features are extracted, and nothing is fitted.", False
)
_CACHE = command.path_flag(
    "cache", "The folder in which measurements are stored; by default OUTPUT.cache.", False
)
_ON_ERROR = flags.DEFINE_enum(
    "on_error",
    "stop",
    ["stop", "skip"],
    "Whether an unusable clip stops the command or is left out.",
)
_RUNNER = flags.DEFINE_enum(
    "runner", "local", ["local", "beam"], "Measurement by local processes, or by Apache Beam."
)
_PROCESSES = flags.DEFINE_integer(
    "processes", os.cpu_count() or 1, "Number of processes of the local runner.", 1
)
_BEAM = flags.DEFINE_multi_string(
    "beam_option", [], "An option for Apache Beam, such as --streaming; may be given repeatedly."
)
_SEQUENCES = flags.DEFINE_list(
    "sequences", [], "Modalities whose cells (words, frames, windows) are also written, with times."
)
hearing.words_flags(
    "; or, for --sequences=text, a CSV of conversation_id, utterance_id, start, end, word"
)
hearing.speakers_flags()


def main() -> None:
    """Reads the manifest, measures its utterances, fits the extraction and writes the corpus."""
    if _RUNNER.value == "local":
        command.refuse(_BEAM, "given without --runner=beam", "both, or neither")
        runner = measuring.locally(_PROCESSES.value)
    else:
        found = "given with --runner=beam, which has its own options"
        command.refuse(_PROCESSES, found, "--beam_option=--direct_num_workers=N")
        runner = measuring.with_beam(_BEAM.value)
    output = pathlib.Path(_OUTPUT.value)
    if output.suffix != ".npz":
        raise InputError(f"--output={output}", f"ends in {output.suffix!r}", ".npz")
    utterances: Sequence[Utterance] = manifest.read(_MANIFEST.value)
    earlier = _earlier()
    settings = earlier.settings if earlier else feature_flags.settings()
    weights = feature_flags.WEIGHTS.value
    if earlier:
        weights = _FITTED.value if earlier.pretrained else None
    check_early(settings, utterances, weights)
    sequences = feature_flags.modalities(_SEQUENCES, settings.modalities)
    utterances, words = _hear(output, utterances, "text" in sequences)
    work = Measuring(
        settings,
        folder=str(_CACHE.value or f"{output}.cache"),
        weights=weights or "",
        digest=digest(pathlib.Path(weights)) if weights else "",
        sequences=tuple(sequences),
    )
    with alone(output, inside=False):
        _extract(output, utterances, earlier, work, runner, words)


def _extract(
    output: pathlib.Path,
    utterances: Sequence[Utterance],
    earlier: Extraction | None,
    work: Measuring,
    runner: measuring.Runner,
    words: dict[Utterance, TimedWords],
) -> None:
    """Measures the utterances, fits the extraction and writes the corpus."""
    with Screen() as screen:
        screen.items(len(utterances), "utterances")
        if pool.shortage() and _RUNNER.value == "local":
            screen.notice(pool.shortage())

        def ended(utterance: Utterance, failure: str | None) -> None:
            screen.advance()
            if failure is not None and _ON_ERROR.value == "stop":
                raise InputError(utterance.name, f"{failure}; --on_error=skip leaves it out")
            if failure is not None:
                screen.line(f"left out: {utterance.name}: {failure}")

        used = measuring.measure(work, utterances, runner, ended)
        measured = {m: [work.result(u, m) for u in used] for m in work.settings.modalities}
        cells = {m: [work.cells(u, m) for u in used] for m in work.sequences if m != "text"}
        fitted, split, vectors = earlier, None, feature_flags.VECTORS.value
        if fitted is None:
            fitted, split = extraction.fit_corpus(
                *(work.settings, used, measured, _MANIFEST.value),
                weights=extraction.read_weights(work.weights) if work.weights else None,
                vectors=pathlib.Path(vectors) if vectors else None,
                progress=screen.network,
                notice=screen.line,
            )
        features = {name: fitted.apply(name, values) for name, values in measured.items()}
        sequences = fitted.sequences(used, measured, cells, words)
    corpus = manifest.to_corpus(used, features, str(output), split)
    corpus = dataclasses.replace(corpus, sequences=sequences)
    fitted.save(output.with_suffix(".extraction.npz"))
    npz.write(corpus, output)
    _report(corpus, len(utterances) - len(used), screen)


def _hear(
    output: pathlib.Path, utterances: Sequence[Utterance], wanted: bool
) -> tuple[Sequence[Utterance], dict[Utterance, TimedWords]]:
    """Finds speakers and words in the clips, writes their tables, and reads the words' times."""
    method, path = hearing.found_speakers(), hearing.value("words")
    if method:
        utterances = recognition.speakers(utterances, method)
        print(method.notice or f"speakers are found by {hearing.value('speakers')}")
    if recognises := path.startswith(whisper.PREFIX):
        recogniser = hearing.recogniser()
        assert recogniser
        utterances, texts, notice = recognition.words(utterances, recogniser)
        print(notice)
        rows = [
            (u.conversation_id, u.utterance_id, str(word.start), str(word.end), word.words)
            for u, text in zip(utterances, texts, strict=True)
            for word in text
        ]
        path = str(output.with_suffix(".words.csv"))
        csv_tables.write(pathlib.Path(path), readers.COLUMNS, rows)
    if method or recognises:
        manifest.write(output.with_suffix(".clips.csv"), utterances)
    return utterances, {} if recognises and not wanted else _words(path, utterances, wanted)


def _words(path: str, utterances: Sequence[Utterance], wanted: bool) -> dict[Utterance, TimedWords]:
    """Reads the words of a table, by utterance."""
    if wanted and not path:
        raise InputError("--sequences=text", "no --words", "a CSV file of words with their times")
    if path and not wanted:
        expected = "--sequences=text as well"
        raise InputError(f"--words={path}", "no text among --sequences", expected)
    return readers.read_timed_words(os.path.expanduser(path), utterances) if path else {}


def check_early(settings: Settings, utterances: Sequence[Utterance], weights: str | None) -> None:
    """Checks for errors that would otherwise end the run after hours of measuring."""
    settings.check(extraction.read_weights(weights) if weights else None, weights)
    if feature_flags.VECTORS.value:
        readers.check_vectors(feature_flags.VECTORS.value)
    unlabelled = not any(utterance.label for utterance in utterances)
    if not _FITTED.value and unlabelled and settings.needs_labels(bool(weights)):
        found = "no label in any row, and networks to train on them"
        expected = "labels, or --visual_weights and no --word_vectors"
        raise InputError(_MANIFEST.value, found, expected)


def _earlier() -> Extraction | None:
    """Loads the extraction that --fitted names, which determines all settings."""
    if not _FITTED.value:
        return None
    for flag in feature_flags.ALL:
        found = f"given with --fitted={_FITTED.value}, which determines it"
        command.refuse(flag, found, "one of the two", default_too=True)
    return Extraction.load(_FITTED.value)


def _report(corpus: Corpus, left_out: int, screen: Screen) -> None:
    """Prints the sizes of the corpus."""
    sizes = ", ".join(f"{name} {size}" for name, size in corpus.dims.items())
    missing = f", {left_out} left out" if left_out else ""
    counts = f"{len(corpus.lengths)} conversations, {len(corpus.labels)} utterances{missing}"
    screen.line(f"{corpus.source}: {counts}, {sizes}")
    for warning in warnings.of_conversations(corpus, range(len(corpus.lengths))):
        screen.line(f"{corpus.source}: {warning}")
    for name, sequence in corpus.sequences.items():
        size = sequence.values.shape[1]
        screen.line(f"{corpus.source}: sequence {name}: {len(sequence.values)} cells of {size}")
