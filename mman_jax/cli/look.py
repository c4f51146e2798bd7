"""Show a recording as a page: `mman look --input=talk.mp4 [--output=talk.html]`.

The sound is cut into turns by pauses. The page has the player, a timeline, and for each turn how it
sounded next to the recording's own median turn (louder, higher, faster, more varied) and, with the
extra `visual`, how the face moved, with the words where subtitles (talk.srt, talk.vtt) or a table
of them (talk.csv, as `listen` takes it) lie beside the recording. With `--checkpoint`, the folder
of a finished run on a corpus that `mman extract` made, it has the model's answers, too. Keys
1 to 9 label turns, and the page saves them as a clips.csv that `mman extract` takes;
`--labels=clips.csv` teaches a small classifier by them, which answers all turns, and says how right
it is. A folder as `--input` gives a page for each recording in it, and one that leads to them.
Pages load nothing from anywhere. Needs the extra `look`.
"""

import pathlib

from mman_jax.cli.terminal import command
from mman_jax.errors import InputError
from mman_jax.features.extraction import Extraction
from mman_jax.files.whole import regular_file, write_whole
from mman_jax.inference import listening
from mman_jax.inference.answerer import Answerer
from mman_jax.recording import index, learnt, page, turns
from mman_jax.recording.turns import Turn
from mman_jax.trial import clips
from mman_jax.trial.stored import load_models

_INPUT = command.path_flag("input", "A recording, in any format that ffmpeg reads; or a folder.")
_OUTPUT = command.path_flag(
    "output", "The page to write; by default beside the recording, of a folder index.html.", False
)
_CHECKPOINT = command.checkpoint_flag(must=False)
_LABELS = command.path_flag("labels", "Labels to learn from: the clips.csv of a page.", False)
_TRANSCRIPT = command.path_flag(
    "transcript", "The words: .srt, .vtt or .csv; by default what lies beside the recording.", False
)


def main() -> None:
    """Cuts, measures, answers, writes."""
    source = pathlib.Path(_INPUT.value)
    if _LABELS.value and _CHECKPOINT.value:
        raise InputError("--labels", "given beside --checkpoint", "one of the two")
    asked = _model(pathlib.Path(_CHECKPOINT.value)) if _CHECKPOINT.value else None
    if not source.is_dir():
        _look(source, pathlib.Path(_OUTPUT.value or source.with_suffix(".html")), asked)
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
            pages[place] = _look(path, place, asked)
        except InputError as error:  # one of them never ends the others
            failed[path.name] = str(error)
            print(f"left out: {error}")
    write_whole(target, index.render(target, pages, failed).encode(errors="replace"))
    print(f"{len(pages)} recordings: {target}")


def _look(
    source: pathlib.Path, target: pathlib.Path, asked: tuple[Answerer, Extraction, bool] | None
) -> list[Turn]:
    """Writes the page of one recording; its turns."""
    if target.resolve() == source.resolve():
        raise InputError(f"--output={target}", "the recording itself", "the path of a page")
    regular_file(target)
    page.check_size(source)
    labelled = learnt.read(pathlib.Path(_LABELS.value), source) if _LABELS.value else []
    transcript = _TRANSCRIPT.value or listening.words_beside(source)
    words = listening.read_words(pathlib.Path(transcript)) if transcript else []
    answerer, made, calibrated = asked or (None, None, False)
    found, classes, taught = turns.find(source, words, answerer, made), [], None
    if answerer:
        classes = answerer.classes
    if _LABELS.value:
        labels = learnt.given(pathlib.Path(_LABELS.value), labelled, found.turns)
        found, taught = learnt.learn(found, labels)
        classes = list(found.turns[0].answer["probabilities"])
    text = page.render(source, found, classes, calibrated, taught)
    write_whole(target, text.encode(errors="replace"))  # names of files may be no Unicode
    print(f"{len(found.turns)} turns: {target}")
    if taught:
        shown = f"{taught.right} of {taught.labelled} labelled turns right, each left out"
        print(f"{shown}; always {taught.most_frequent!r}: {taught.most}")
    return found.turns


def _model(workdir: pathlib.Path) -> tuple[Answerer, Extraction, bool]:
    """What answers, the extraction of its corpus, and whether its probabilities are calibrated."""
    models = load_models(workdir)
    if models[0].units is not None:
        raise InputError(workdir, "a run that learnt targets", "one that learnt classes")
    attends = all(getattr(model.build(), "attends", ()) for model in models)
    answerer = Answerer(models, attends)
    made = clips.load(workdir, list(answerer.dims))
    made.settings.check_libraries()
    return answerer, made, any(model.temperature != 1 for model in models)
