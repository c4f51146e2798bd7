"""One recording as a page: `python -m experiments.look --input=talk.mp4 [--output=talk.html]`.

The sound is cut into turns by pauses. The page has the player, a timeline, and for each turn how it
sounded next to the recording's own median turn (louder, higher, faster, more varied), with the
words where subtitles (talk.srt, talk.vtt) or a table of them (talk.csv, as `listen` takes it) lie
beside the recording. With `--checkpoint`, the folder of a finished run on a corpus that
`experiments.extract` made, it has the model's answers, too. Keys 1 to 9 label turns, and the page
saves them as a clips.csv that `experiments.extract` takes. It is one file, and loads nothing from
anywhere. Needs the extra `look`.
"""

import pathlib

from experiments.looking import page, turns
from experiments.terminal import command
from experiments.trial import clips
from experiments.trial.stored import load_models
from mman_jax.errors import InputError
from mman_jax.features.extraction import Extraction
from mman_jax.files.whole import write_whole
from mman_jax.inference import listening
from mman_jax.inference.answerer import Answerer

_INPUT = command.path_flag("input", "A recording, in any format that ffmpeg reads.")
_OUTPUT = command.path_flag("output", "The page to write; by default beside the recording.", False)
_CHECKPOINT = command.path_flag("checkpoint", "The folder of a finished run.", False)
_TRANSCRIPT = command.path_flag(
    "transcript", "The words: .srt, .vtt or .csv; by default what lies beside the recording.", False
)


def main() -> None:
    """Cuts, measures, answers, writes."""
    source = pathlib.Path(_INPUT.value)
    target = pathlib.Path(_OUTPUT.value) if _OUTPUT.value else source.with_suffix(".html")
    if target.resolve() == source.resolve():
        raise InputError(f"--output={target}", "the recording itself", "the path of a page")
    transcript = _TRANSCRIPT.value or turns.words_beside(source)
    words = listening.read_words(pathlib.Path(transcript)) if transcript else []
    answerer, made = _model(pathlib.Path(_CHECKPOINT.value)) if _CHECKPOINT.value else (None, None)
    found = turns.find(source, words, answerer, made)
    write_whole(target, page.render(source, found, answerer.classes if answerer else []).encode())
    print(f"{len(found)} turns: {target}")


def _model(workdir: pathlib.Path) -> tuple[Answerer, Extraction]:
    models = load_models(workdir)
    if models[0].units is not None:
        raise InputError(workdir, "a run that learnt targets", "one that learnt classes")
    attends = all(getattr(model.build(), "attends", ()) for model in models)
    answerer = Answerer(models, attends)
    made = clips.load(workdir, list(answerer.dims))
    made.settings.check_libraries()
    return answerer, made


if __name__ == "__main__":
    command.run(main)
