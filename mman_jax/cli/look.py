"""Show a recording as a page: `mman look --input=talk.mp4 [--output=talk.html]`.

The sound is cut into turns at pauses. The page has a player and a timeline, and compares the sound
of each turn with the recording's median turn (louder, higher, faster, more varied); with the extra
`visual` it also describes the movement of the face. It shows the words if the recording's folder
has subtitles (talk.srt, talk.vtt) or a table for `mman listen` (talk.csv); with the extra `minilm`,
the package's small text model predicts from them, unless `--nomodel` is given. With `--checkpoint`,
the folder of a finished run on a corpus of `mman extract`, the page shows that model's predictions.
Keys 1 to 9 label turns, and the page saves them as a clips.csv for `mman extract`, JSON, subtitles
or ELAN. `--labels=FILE` takes the turns from such a file, trains a small classifier on their
labels, predicts all turns with it, and reports its accuracy. If `--input` is a folder, each
recording in it gets a page, and an index links to them. Pages need no network.
`--words=whisper:FOLDER` recognises the words where there are no subtitles, and `--speakers` finds
who speaks; each speaker is then compared with their own median turn. Needs the extra `look`, and
for words `words`.
"""

import pathlib

from absl import flags

from mman_jax.cli.terminal import command, hearing
from mman_jax.errors import InputError
from mman_jax.features.extraction import Extraction
from mman_jax.features.speakers.speakers import Speakers
from mman_jax.features.words.whisper import Recogniser
from mman_jax.files.whole import regular_file, write_whole
from mman_jax.inference import listening
from mman_jax.inference.answerer import Answerer
from mman_jax.recording import labels, page, turns
from mman_jax.recording.turns import Turn
from mman_jax.trial import clips
from mman_jax.trial.stored import load_models

_INPUT = command.path_flag("input", "A recording, in any format that ffmpeg reads; or a folder.")
_OUTPUT = command.path_flag(
    "output", "The page to write; by default next to the recording, or index.html.", False
)
_CHECKPOINT = command.checkpoint_flag(must=False)
_CONTEXT = command.context_flag()
_MODEL = flags.DEFINE_bool(
    "model", True, "Whether the package's text model predicts from words without --checkpoint."
)
_LABELS = command.path_flag(
    "labels", "Labelled turns that a page saved: .csv, .json, .srt, .vtt or .eaf.", False
)
_TRANSCRIPT = command.path_flag(
    "transcript", "Words: .srt, .vtt or .csv; by default a file in the recording's folder.", False
)
hearing.words_flags()
hearing.speakers_flags()
hearing.turns_flags()


_Run = tuple[Answerer, Extraction] | tuple[None, None]
_Found = tuple[Recogniser | None, Speakers | None]


def main() -> None:
    """Writes the page of a recording, or the pages of a folder."""
    source = pathlib.Path(_INPUT.value)
    for name in ("checkpoint", "transcript", "words", "speakers"):
        if _LABELS.value and hearing.value(name):
            raise InputError("--labels", f"given with --{name}", "one of the two")
    if not _CHECKPOINT.value:
        command.refuse(_CONTEXT, "given without --checkpoint", "both, or neither")
    run = _load(pathlib.Path(_CHECKPOINT.value)) if _CHECKPOINT.value else (None, None)
    found = hearing.recogniser(), hearing.found_speakers()
    if not source.is_dir():
        _look(source, pathlib.Path(_OUTPUT.value or source.with_suffix(".html")), run, found)
        return
    for flag in (_LABELS, _TRANSCRIPT):
        if flag.value:
            raise InputError(f"--{flag.name}", "given for a folder", "one recording")
    recordings = sorted(path for path in source.iterdir() if clips.is_media(path))
    if not recordings:
        raise InputError(source, "no recording in it", "files such as talk.mp4 or talk.wav")
    target = pathlib.Path(_OUTPUT.value or source / "index.html")
    regular_file(target)
    pages, failed = {}, {}
    for path in recordings:
        place = target.with_name(f"{path.name}.html")
        try:
            pages[place] = _look(path, place, run, found)
        except InputError as error:  # continues with the other recordings
            failed[path.name] = str(error)
            print(f"left out: {error}")
    write_whole(target, page.render_index(target, pages, failed).encode(errors="replace"))
    print(f"{page.counted(len(pages), 'recording')}: {target}")


def _look(source: pathlib.Path, target: pathlib.Path, run: _Run, found: _Found) -> list[Turn]:
    """Writes the page of one recording; returns its turns."""
    if target.resolve() == source.resolve():
        raise InputError(f"--output={target}", "the recording itself", "the path of a page")
    regular_file(target)
    page.check_size(source)
    recogniser, speakers = found
    pause, longest, track = (hearing.value(name) for name in ("pause", "longest", "track"))
    saved = labels.read(pathlib.Path(_LABELS.value), source) if _LABELS.value else []
    if saved:
        spoken, notices = labels.cut(source, saved, track), list[str]()
    else:
        transcript = _TRANSCRIPT.value or listening.words_beside(source)
        words = listening.read_words(pathlib.Path(transcript)) if transcript else []
        recogniser = None if transcript else recogniser
        spoken, notices = listening.turns(
            source, words, recogniser, speakers, pause, longest, track
        )
    shipped = _MODEL.value and not saved
    answerer, extraction = run
    recording = turns.describe(source, spoken, notices, answerer, extraction, shipped)
    answerer = recording.answerer
    classes = answerer.classes if answerer else []
    calibrated = answerer is not None and any(model.temperature != 1 for model in answerer.models)
    scores = None
    if saved:
        recording, scores = labels.learn(recording, [turn.label for turn in saved])
        classes = list(recording.turns[0].answer["probabilities"])
    text = page.render(source, recording, classes, calibrated, scores)
    write_whole(target, text.encode(errors="replace"))  # names of files may not be Unicode
    print(f"{page.counted(len(recording.turns), 'turn')}: {target}")
    if scores:
        right = f"leave-one-out: {scores.right} of {scores.labelled} labelled turns right"
        print(f"{right}; always {scores.most_frequent!r}: {scores.most}")
    return recording.turns


def _load(workdir: pathlib.Path) -> tuple[Answerer, Extraction]:
    models = load_models(workdir, context=_CONTEXT.value)
    if not models[0].task.has_probabilities:
        raise InputError(workdir, "a run that learnt targets", "one that learnt classes")
    attends = all(model.build().attends for model in models)
    answerer = Answerer(models, attends)
    extraction = clips.load(workdir, list(answerer.dims))
    extraction.settings.check()
    return answerer, extraction
