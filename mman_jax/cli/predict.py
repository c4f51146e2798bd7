"""Predict a file: `mman predict --checkpoint=DIR --input=PATH --output=FILE.csv`.

DIR is the folder of a finished run (its `--workdir`). PATH is a corpus in any layout that a run can
train on. If the run's corpus was made by `mman extract`, PATH may also be a manifest of raw clips
(`.csv`), or a recording, which is cut into turns at pauses; `--words=whisper:FOLDER` recognises
their words (of a recording, if it has no subtitles), and `--speakers` finds who speaks.

The probabilities are the mean over the run's seeds. A run that was trained on single utterances
predicts each utterance by itself, unless `--context=conversation` changes this. If the run learnt
targets, the columns are `<target>`, without a `label`. `familiarity` is the share of training
utterances that are at least as unusual. With a one-vs-rest protocol, `p_<class>` is the probability
of that class against all others, and `label` names every class above one half.

With `--stream`, utterances of any number of conversations are JSON lines on stdin (see
`mman_jax.inference.lines`), and each is answered by a line on stdout before the next one is read.
`--state=FILE` stores the conversations, so that a later call can resume them. It is saved after an
answer every `--state_seconds`, and when the command exits: at the end of the input, at an invalid
line, or at SIGTERM (status 75) after the answer to the current line. If the process is killed, the
last save remains. The first answer after a save has the field `"saved": N`, which means that FILE
holds the conversations after the first N lines of stdout. `--attention` adds the attention weights
between modalities. `--weights=FILE` predicts with the edited weights of an export of the run.
"""

import csv
import dataclasses
import io
import pathlib
import sys
from collections.abc import Mapping, Sequence

import numpy as np
from absl import flags

from mman_jax.cli.terminal import command, hearing
from mman_jax.cli.terminal.screen import Screen
from mman_jax.data.corpus import Corpus
from mman_jax.data.readers import csv_tables
from mman_jax.data.readers.read import read_corpus
from mman_jax.errors import InputError
from mman_jax.features import manifest, recognition
from mman_jax.features.manifest import Utterance
from mman_jax.files.whole import regular_file, write_whole
from mman_jax.inference import listening
from mman_jax.inference.answerer import Answerer, Answers, check_attends, check_vectors, combine
from mman_jax.inference.lines import answer_lines
from mman_jax.inference.model import Model
from mman_jax.training.mesh import use_cache
from mman_jax.trial import clips
from mman_jax.trial.progress import Preemption
from mman_jax.trial.stored import load_models

_CHECKPOINT = command.checkpoint_flag()
_INPUT = command.path_flag("input", "Corpus, clips.csv or recording to predict.", False)
_OUTPUT = command.path_flag("output", "The CSV file to write.", False)
_STREAM = flags.DEFINE_bool("stream", False, "Answer JSON lines from stdin as they arrive.")
_STATE, _STATE_SECONDS = command.state_flags()
_CONTEXT = command.context_flag()
_WEIGHTS = command.path_flag("weights", "Edited weights.safetensors of this run.", False)
_SCALING = flags.DEFINE_enum(
    "scaling",
    None,
    ["causal", "whole"],
    "Utterances over which a run with scaling by speaker computes each speaker's statistics: past "
    "turns in the conversation, or all in the file (the default, if the file names speakers).",
)
_CACHE = command.cache_flag()
_ATTENTION = command.attention_flag()
hearing.words_flags()
hearing.speakers_flags()
hearing.track_flag()


def answer(models: list[Model], corpus: Corpus) -> Answers:
    """Returns a run's predictions for each utterance; see `combine`."""
    return combine(models, [model.probabilities(corpus) for model in models])


def attention(models: list[Model], corpus: Corpus) -> dict[str, np.ndarray]:
    """Returns the attention weights [N], means over all networks, by column.

    The columns are `attention_<query>_<key>`.
    """
    names = check_attends(models)
    pairs = [model.attention(corpus) for model in models]
    mean = np.mean([pair[1] for pair in pairs if pair], axis=0)
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
    more: Mapping[str, np.ndarray],
) -> str:
    """Returns a table with one line per utterance, in the order of the corpus.

    `classes`, `probabilities` and `labels` are those of `combine`; `more` has further columns [N]
    of numbers, whose NaN are empty cells, or texts.
    """
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    columns = classes if labels is None else ["label", *(f"p_{c}" for c in classes)]
    writer.writerow(["conversation_id", "utterance_id", *columns, *more])
    columns_of_all = [*probabilities.T, *more.values()]
    conversations = np.repeat(np.arange(len(corpus.lengths)), corpus.lengths)
    for i, conversation in enumerate(conversations):
        ids = [corpus.conversation_ids[conversation], corpus.utterance_ids[i]]
        ids += [] if labels is None else [labels[i]]
        writer.writerow([*ids, *(_cell(column[i]) for column in columns_of_all)])
    return text.getvalue()


def _cell(value: float | str) -> str:
    if isinstance(value, str):
        return value
    return "" if np.isnan(value) else f"{value:.6f}"


def main() -> None:
    """Reads the input and writes its predictions."""
    _check_flags()
    use_cache(_CACHE.value)
    models = load_models(pathlib.Path(_CHECKPOINT.value), _WEIGHTS.value, _CONTEXT.value)
    if _STREAM.value:
        _stream(models)
        return
    corpus, more = _read(models)
    models = _scale(models, corpus)
    known, unfamiliar = models[0].compare(corpus), ""
    if known is not None:
        more |= {"familiarity": known[0]}
        unfamiliar = f" ({known[1].sum()} unlike the training data)"
    more |= attention(models, corpus) if _ATTENTION.value else {}
    content = to_csv(corpus, *answer(models, corpus), more)
    write_whole(pathlib.Path(_OUTPUT.value), content.encode())
    how = " in their conversations" if models[0].in_context else ", each by itself"
    print(f"{len(corpus.labels)} utterances predicted{how}{unfamiliar}: {_OUTPUT.value}")


def _stream(models: list[Model]) -> None:
    source, path = sys.stdin.buffer, None
    if _STATE.value:
        path = pathlib.Path(_STATE.value)
        Preemption.listen()
        source = command.Interruptible(source)
    answerer = Answerer(models, _ATTENTION.value)
    if not models[0].context:
        print("note: each utterance is predicted by itself", file=sys.stderr)
    answer_lines(answerer, source, sys.stdout, path, _STATE_SECONDS.value)


def _scale(models: list[Model], corpus: Corpus) -> list[Model]:
    """Returns the models with the scaling by speaker that `--scaling` selects, and prints it."""
    if models[0].scaling.turns is None:
        found = "given for a run that does not scale by speaker"
        command.refuse(_SCALING, found, "a run with --config.data.scale_by=speaker")
        return models
    causal = (_SCALING.value or ("causal" if corpus.speakers is None else "whole")) == "causal"
    over = "past turns in the conversation" if causal else "utterances in this file"
    print(f"scaled by speaker, over their {over} (--scaling={'causal' if causal else 'whole'})")
    replace = dataclasses.replace
    return [replace(model, scaling=replace(model.scaling, causal=causal)) for model in models]


def _read(models: list[Model]) -> tuple[Corpus, dict[str, np.ndarray]]:
    """Returns the corpus to predict, and further columns: start and end of a recording's turns."""
    path = pathlib.Path(_INPUT.value)
    if path.suffix.lower() == ".csv":
        regular_file(path)
    recogniser, speakers = hearing.recogniser(), hearing.found_speakers()
    if path.suffix.lower() == ".csv" and "path" in csv_tables.header(path):
        utterances: Sequence[Utterance] = manifest.read(path)
        if speakers:
            utterances = recognition.speakers(utterances, speakers)
        if recogniser:
            utterances, _, notice = recognition.words(utterances, recogniser)
            print(f"note: {notice}")
        return _of_clips(models, utterances), {}
    if clips.is_media(path):
        transcript = listening.words_beside(path) if "text" in models[0].dims else None
        words = listening.read_words(transcript) if transcript else []
        recogniser = None if words else recogniser
        track = hearing.value("track")
        turns, notices = listening.turns(path, words, recogniser, speakers, track=track)
        for notice in notices:
            print(f"note: {notice}")
        found = {name: np.array([getattr(t, name) for t in turns]) for name in ("start", "end")}
        found |= {"speaker": np.array([t.speaker for t in turns])} if speakers else {}
        found |= {"transcript": np.array([t.words for t in turns])} if recogniser else {}
        return _of_clips(models, clips.of_turns(path, turns, track)), found
    if recogniser or speakers:
        flag = "--words" if recogniser else "--speakers"
        raise InputError(flag, "given for a corpus, not for sound", "clips or a recording")
    return read_corpus(_INPUT.value, pool=models[0].cells.pool), {}


def _of_clips(models: list[Model], utterances: Sequence[Utterance]) -> Corpus:
    check_vectors(models)  # before the clips are measured
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
    if _STREAM.value:
        command.refuse(_SCALING, "given with --stream, which scales turn by turn", "one of the two")
    if _STREAM.value and (hearing.value("words") or hearing.value("speakers")):
        raise InputError("--words and --speakers", "given with --stream", "clips or a recording")
    if _STATE.value and not _STREAM.value:
        raise InputError("--state", "given without --stream", "both")
    if not _STATE.value:
        command.refuse(_STATE_SECONDS, "given without --state", "--state=FILE in addition")
    if _STATE.value:
        regular_file(pathlib.Path(_STATE.value))
    for name, stream in (("stdin", sys.stdin), ("stdout", sys.stdout)):
        if _STREAM.value and stream is None:
            raise InputError(name, "closed", "utterances as JSON lines on stdin, answers on stdout")
