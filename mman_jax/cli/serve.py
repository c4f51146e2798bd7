"""Serve a run over HTTP: `mman serve --checkpoint=DIR --port=8000`.

DIR is the folder of a finished run. `POST /conversations/ID/utterances` with `{"features":
{"speech": [...], "text": [...]}}` predicts the next utterance of a conversation. If the run's
corpus was made by `mman extract`, the body may be a recording instead (`curl -F file=@talk.mp3`),
the WebSocket `/conversations/ID/sound` takes a microphone's stream, and the start page shows a
recording as `mman look` does. `DELETE /conversations/ID` forgets a conversation; `GET /health`,
`/metrics` (for Prometheus) and `/docs` describe the service. Utterances of different conversations
that wait at the same time are predicted in one step. At SIGTERM the service answers the requests
that have arrived, and exits. `--words=whisper:FOLDER` recognises the words of recordings without a
transcript. Needs the extra `serve`, for audio also `listen`, and to recognise words `words`.
"""

import contextlib
import os
import pathlib
import signal
import sys

from absl import flags

from mman_jax.cli.terminal import command, hearing
from mman_jax.errors import InputError
from mman_jax.features.speech import pauses
from mman_jax.features.words.whisper import Recogniser
from mman_jax.files.lock import alone
from mman_jax.inference import listening
from mman_jax.inference.answerer import Answerer
from mman_jax.recording import page, turns
from mman_jax.service import access, web
from mman_jax.service.audio import AudioInput
from mman_jax.service.batcher import Batcher
from mman_jax.service.slots import SlotStates, SlotTable
from mman_jax.trial import clips
from mman_jax.trial.stored import load_models

_CHECKPOINT = command.checkpoint_flag()
_HOST = flags.DEFINE_string("host", "127.0.0.1", "Address to listen on; others need --token.")
_PORT = flags.DEFINE_integer("port", 8000, "Port to listen on; 0: any free port.", 0, 65535)
_TOKEN = flags.DEFINE_string(
    "token", None, "Token of requests (Authorization: Bearer TOKEN); by default $MMAN_TOKEN."
)
_ORIGIN = flags.DEFINE_multi_string(
    "origin", [], "Origin of web pages that may use the service, such as https://example.org."
)
_STATE, _STATE_SECONDS = command.state_flags()
_CONVERSATIONS = flags.DEFINE_integer("conversations", 1000, "Largest number of conversations.", 1)
_IDLE_SECONDS = flags.DEFINE_float(
    "idle_seconds", 600.0, "Idle seconds after which another conversation may replace one.", 0.0
)
_WAITING = flags.DEFINE_integer("waiting", 1024, "Largest number of waiting utterances.", 1)
_LONGEST_WAIT = flags.DEFINE_float(
    "longest_wait", 1.0, "Seconds; utterances that would wait for longer are refused.", 0.1
)
_ATTENTION = command.attention_flag()
_CONTEXT = command.context_flag()
hearing.words_flags()
_LOOPBACK = ("127.0.0.1", "::1", "localhost")


def main() -> None:
    """Loads the models and serves them."""
    token = _TOKEN.value or os.environ.get("MMAN_TOKEN", "")
    if _HOST.value not in _LOOPBACK and not token:
        expected = "--token=TOKEN, or the variable MMAN_TOKEN"
        raise InputError(f"--host={_HOST.value}", "given without a token", expected)
    if not _STATE.value:
        command.refuse(_STATE_SECONDS, "given without --state", "--state=FILE in addition")
    with command.named_flags("origin"):
        for origin in _ORIGIN.value:
            access.check_origin(origin)
    workdir = pathlib.Path(_CHECKPOINT.value)
    answerer = Answerer(load_models(workdir, context=_CONTEXT.value), _ATTENTION.value)
    recogniser = hearing.recogniser()
    audio = _audio_input(workdir, answerer, recogniser)
    if recogniser and not audio:
        raise InputError("--words", "given for a run that takes no sound", "no --words")
    site = _site(audio, answerer, bool(token))
    path = pathlib.Path(_STATE.value) if _STATE.value else None
    with alone(path, inside=False) if path else contextlib.nullcontext():
        bound = web.bind(_HOST.value, _PORT.value)
        try:
            states = SlotStates(answerer, _CONVERSATIONS.value)
        except (MemoryError, ValueError, OverflowError) as error:
            if isinstance(error, InputError):
                raise
            place = f"--conversations={_CONVERSATIONS.value}"
            raise InputError(place, "their states do not fit into memory", "fewer") from error
        table = SlotTable(_CONVERSATIONS.value, _IDLE_SECONDS.value)
        saved = path, _STATE_SECONDS.value
        batcher = Batcher(states, table, _WAITING.value, *saved, _LONGEST_WAIT.value)
        url = web.address(bound)

        def began(stop: web.Stop) -> None:
            for number in (signal.SIGTERM, signal.SIGINT):
                signal.signal(number, lambda *_: stop())
            print(f"serving at {url}, described at {url}/docs", flush=True)

        web.serve(web.make(batcher, audio, token, _ORIGIN.value, site), batcher, bound, began)


def _site(audio: AudioInput | None, answerer: Answerer, token: bool) -> web.Site | None:
    """Returns the pages of recordings; None if the run takes no sound, or learnt targets."""
    if not audio or not answerer.models[0].task.has_probabilities:
        return None
    calibrated = any(model.temperature != 1 for model in answerer.models)

    def look(path: pathlib.Path) -> str:
        spoken, notices = listening.turns(path, (), audio.recogniser)
        recording = turns.describe(path, spoken, notices, answerer, audio.extraction)
        return page.render(path, recording, answerer.classes, calibrated)

    return web.Site(page.render_start(token), look)


def _audio_input(
    workdir: pathlib.Path, answerer: Answerer, recogniser: Recogniser | None
) -> AudioInput | None:
    """Returns the input of sound; None if the run cannot extract speech."""
    if "speech" not in answerer.dims or not clips.place(workdir).is_file():
        return None
    extraction = clips.load(workdir, [m for m in answerer.dims if m in ("speech", "text")])
    if not extraction.settings.speech:
        return None
    try:
        extraction.settings.check()
        pauses.detector()
    except InputError as error:
        print(f"the service takes features but no sound: {error}", file=sys.stderr)
        return None
    return AudioInput(extraction, recogniser)
