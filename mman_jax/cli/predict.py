"""Predict a file: `mman predict --checkpoint=DIR --input=PATH --output=FILE.csv`.

DIR is the folder of a finished run (its `--workdir`). PATH is anything that a run can train on, or
where the run's corpus came from `mman extract` a manifest of raw clips (`.csv`), or one
recording, which is cut into turns by pauses.
The probabilities are the mean over the run's seeds. Of a run that learnt targets the columns are
theirs, `<target>`, and there is no `label`. After a one-vs-rest protocol `p_<class>` is the
probability of that class against all others, and `label` names every class above one half.

With `--stream` utterances are JSON lines on stdin (see `mman_jax.inference.lines`), of any number
of conversations, and each is answered by a line on stdout before the next is read. `--state=FILE`
keeps the conversations, so that a later call goes on with them. It is saved every `--state_seconds`
after an answer, and whenever the command ends by itself: at the end of its input, at a bad line, or
at SIGTERM, with status 75, once the line at hand is answered. Of one that was killed the last save
is left: the first answer after a save has the further field `"saved": N`, and says that FILE holds
the conversations after the first N lines of stdout. `--attention` tells which modality
each answer listened to. `--weights=FILE` answers with the edited weights of an export of the run.
"""

import csv
import io
import pathlib
import sys
from collections.abc import Mapping, Sequence

import numpy as np
from absl import flags

from mman_jax.cli.terminal import command
from mman_jax.cli.terminal.screen import Screen
from mman_jax.data.corpus import Corpus
from mman_jax.data.readers import csv_tables
from mman_jax.data.readers.read import read_corpus
from mman_jax.errors import InputError
from mman_jax.features import manifest
from mman_jax.features.manifest import Utterance
from mman_jax.files.whole import regular_file, write_whole
from mman_jax.inference import listening
from mman_jax.inference.answerer import Answerer
from mman_jax.inference.answering import answer_lines
from mman_jax.inference.answers import Answers, check_attends, combine
from mman_jax.inference.model import Model
from mman_jax.inference.stream import check_whole
from mman_jax.training.mesh import use_cache
from mman_jax.trial import clips
from mman_jax.trial.progress import Preemption
from mman_jax.trial.stored import load_models

_CHECKPOINT = command.checkpoint_flag()
_INPUT = command.path_flag("input", "What to answer: a corpus, clips.csv or a recording.", False)
_OUTPUT = command.path_flag("output", "The CSV file to write.", False)
_STREAM = flags.DEFINE_bool("stream", False, "Answer JSON lines from stdin, each as it comes.")
_STATE = command.path_flag("state", "Of --stream: where conversations are kept.", False)
_STATE_SECONDS = flags.DEFINE_float(
    "state_seconds", 10.0, "Of --state: seconds after which it is saved; 0: with each answer.", 0.0
)
_WEIGHTS = command.path_flag("weights", "An edited weights.safetensors of this run.", False)
_CACHE = command.cache_flag()
_ATTENTION = flags.DEFINE_bool("attention", False, "Tell what each answer's attention looked at.")


def answer(models: list[Model], corpus: Corpus) -> Answers:
    """Class names, probabilities [N, C] and a label for each utterance, or numbers: `combine`."""
    return combine(models, [model.probabilities(corpus) for model in models])


def attention(models: list[Model], corpus: Corpus) -> dict[str, np.ndarray]:
    """The attention weights [N] by column, `attention_<query>_<key>`; the mean over all networks.

    Raises:
        InputError: if a model has no attention tower.
    """
    check_attends(models)
    found = [model.attention(corpus) for model in models]
    names, mean = found[0][0], np.mean([weights for _, weights in found], axis=0)
    return {
        f"attention_{query}_{key}": mean[:, q, k]
        for q, query in enumerate(names)
        for k, key in enumerate(names)
    }


def to_csv(
    corpus: Corpus,
    classes: list[str],
    probabilities: np.ndarray,
    labels: list[str] | None,
    more: Mapping[str, np.ndarray] | None = None,
) -> str:
    """One line an utterance, in the order of the corpus; `more` are columns [N] of numbers."""
    more = more or {}
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    said = classes if labels is None else ["label", *(f"p_{c}" for c in classes)]
    writer.writerow(["conversation_id", "utterance_id", *said, *more])
    numbers = np.column_stack([probabilities, *more.values()])
    conversations = np.repeat(np.arange(len(corpus.lengths)), corpus.lengths)
    for i, conversation in enumerate(conversations):
        ids = [corpus.conversation_ids[conversation], corpus.utterance_ids[i]]
        ids += [] if labels is None else [labels[i]]
        writer.writerow([*ids, *(f"{number:.6f}" for number in numbers[i])])
    return text.getvalue()


def main() -> None:
    """Reads, answers, writes."""
    _check_flags()
    use_cache(_CACHE.value)
    models = load_models(pathlib.Path(_CHECKPOINT.value), _WEIGHTS.value)
    if _STREAM.value:
        _stream(models)
        return
    corpus, more = _read(models)
    more |= attention(models, corpus) if _ATTENTION.value else {}
    content = to_csv(corpus, *answer(models, corpus), more)
    write_whole(pathlib.Path(_OUTPUT.value), content.encode())
    print(f"{len(corpus.labels)} utterances answered: {_OUTPUT.value}")


def _stream(models: list[Model]) -> None:
    source, kept = sys.stdin.buffer, None
    if _STATE.value:
        kept = pathlib.Path(_STATE.value)
        Preemption.listen()
        source = command.Interruptible(source)
    answerer = Answerer(models, _ATTENTION.value)
    answer_lines(answerer, source, sys.stdout, kept, _STATE_SECONDS.value)


def _read(models: list[Model]) -> tuple[Corpus, dict[str, np.ndarray]]:
    """What is to be answered; of a recording also when its turns start and end, in seconds."""
    path = pathlib.Path(_INPUT.value)
    if path.suffix.lower() == ".csv":
        regular_file(path)
    if path.suffix.lower() == ".csv" and "path" in csv_tables.header(path):
        return _of_clips(models, manifest.read(path)), {}
    if clips.is_media(path):
        beside = listening.words_beside(path) if "text" in models[0].dims else None
        words = listening.read_words(beside) if beside else []
        turns = clips.of_recording(path, words)
        if unheard := listening.unheard(words, [(turn.start, turn.end) for turn in turns]):
            print(f"note: {unheard}")
        times = {name: np.array([getattr(t, name) for t in turns]) for name in ("start", "end")}
        return _of_clips(models, turns), times
    return read_corpus(_INPUT.value, pool="mean" if models[0].whole else None), {}


def _of_clips(models: list[Model], utterances: Sequence[Utterance]) -> Corpus:
    check_whole(models)  # before much is measured
    workdir, dims = pathlib.Path(_CHECKPOINT.value), models[0].dims
    with Screen() as screen:
        return clips.read_corpus(_INPUT.value, utterances, workdir, dims, screen)


def _check_flags() -> None:
    for flag in (_INPUT, _OUTPUT):
        if _STREAM.value and flag.value is not None:
            found = "given with --stream, which reads stdin and writes stdout"
            raise InputError(f"--{flag.name}", found, "one of the two")
        if not _STREAM.value and flag.value is None:
            raise InputError(f"--{flag.name}", "not given", "a path, or --stream")
    if _STATE.value and not _STREAM.value:
        raise InputError("--state", "given without --stream", "both")
    if not _STATE.value:
        command.refuse(_STATE_SECONDS, "given without --state", "--state=FILE, too")
    if _STATE.value:
        regular_file(pathlib.Path(_STATE.value))
    for name, stream in (("stdin", sys.stdin), ("stdout", sys.stdout)):
        if _STREAM.value and stream is None:
            raise InputError(name, "closed", "JSON lines of utterances in, of answers out")
