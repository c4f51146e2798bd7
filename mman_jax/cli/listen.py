"""Predict emotions from a recording's sound: `mman listen --checkpoint=DIR --input=FILE`.

The sound is cut at pauses into the utterances of one conversation. As soon as an utterance ends,
its prediction is printed as a JSON line. The extraction that is stored with the model measures
speech in the same way as in the training corpus.
`--transcript=FILE` has the words of a recording: subtitles (.srt, .vtt), or a CSV file with the
columns start, end (seconds) and transcript. Other modalities are missing. `--microphone` listens
until Ctrl-C. `--words=whisper:FOLDER` recognises the words of each utterance, if there are no
subtitles; `--speakers` finds the speakers of a recording before the first utterance is predicted.
`--interim=1` also predicts an utterance every second before it ends, in lines marked `interim`.
Needs the extra `listen`, the extra of the model's features, and `words` to recognise words.
"""

import math
import pathlib
import sys
from collections.abc import Iterable

from absl import flags

from mman_jax.cli.terminal import command, hearing
from mman_jax.errors import InputError
from mman_jax.features.speech import pauses
from mman_jax.features.speech.pauses import Spoken
from mman_jax.inference import listening
from mman_jax.inference.answerer import Answerer
from mman_jax.trial import clips
from mman_jax.trial.stored import load_models

_CHECKPOINT = command.checkpoint_flag()
_INPUT = command.path_flag("input", "A recording, in any format that ffmpeg reads.", False)
_MICROPHONE = flags.DEFINE_bool("microphone", False, "Listen to the default microphone instead.")
_TRANSCRIPT = command.path_flag(
    "transcript", "Words of the recording: .srt, .vtt, or .csv of start, end, transcript.", False
)
_ATTENTION = command.attention_flag()
_INTERIM = flags.DEFINE_float(
    "interim", None, "Seconds of an utterance between interim predictions; by default none."
)
_CONTEXT = command.context_flag()
hearing.turns_flags()
hearing.words_flags()
hearing.speakers_flags()


def main() -> None:
    """Predicts each utterance of a recording or a microphone."""
    if bool(_INPUT.value) == _MICROPHONE.value:
        found = "given with --microphone" if _INPUT.value else "not given"
        raise InputError("--input", found, "a recording, or --microphone")
    if _TRANSCRIPT.value and _MICROPHONE.value:
        raise InputError("--transcript", "given with --microphone", "a recording's words")
    workdir = pathlib.Path(_CHECKPOINT.value)
    answerer = Answerer(load_models(workdir, context=_CONTEXT.value), _ATTENTION.value)
    extraction = clips.load(workdir, [m for m in answerer.dims if m in ("speech", "text")])
    recogniser, speakers = hearing.recogniser(), hearing.found_speakers()
    if speakers and _MICROPHONE.value:
        raise InputError("--speakers", "given with --microphone", "a recording")
    if speakers:
        command.refuse(_INTERIM, "given with --speakers", "one of the two")
    transcript = _TRANSCRIPT.value
    if recogniser and _INPUT.value and not transcript:
        transcript = listening.words_beside(pathlib.Path(_INPUT.value))
    words = listening.read_words(pathlib.Path(transcript)) if transcript else []
    recogniser = None if words else recogniser
    if not extraction.settings.text:
        expected = "a run that also learnt text, or no --transcript"
        command.refuse(_TRANSCRIPT, f"given for {workdir}, whose model uses no text", expected)
    if not extraction.settings.speech and not words and not recogniser:
        raise InputError(
            workdir,
            "a model without speech features",
            "--transcript, --words, or a model of speech",
        )
    extraction.settings.check()
    pauses.detector()
    lengths, track = (hearing.value("pause"), hearing.value("longest")), hearing.value("track")
    notices: list[str] = []
    spoken: Iterable[Spoken]
    if speakers:
        path = pathlib.Path(_INPUT.value)
        spoken, notices = listening.turns(path, words, recogniser, speakers, *lengths, track)
    else:
        if _MICROPHONE.value:
            chunks = listening.microphone()
        else:
            chunks = listening.recording(_INPUT.value, track)
        interim = math.inf if _INTERIM.value is None else _INTERIM.value
        spoken = listening.stream(chunks, words, recogniser, *lengths, interim)
    try:
        with command.named_flags("interim"):
            times = listening.answer(answerer, extraction, spoken, sys.stdout)
    except KeyboardInterrupt:
        if _MICROPHONE.value:  # Ctrl-C may come between two reads
            return
        raise
    if not times and _INPUT.value:
        raise InputError(_INPUT.value, "no speech found", "a recording with speech")
    for notice in notices or filter(None, [listening.unheard(words, times)]):
        print(f"note: {notice}", file=sys.stderr)  # stdout has only predictions
