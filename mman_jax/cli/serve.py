"""Serve a run over HTTP: `mman serve --checkpoint=DIR --port=8000`.

DIR is the folder of a finished run. `POST /conversations/ID/utterances` with
`{"features": {"speech": [...], "text": [...]}}` answers the next utterance of a conversation; where
the run's corpus came from `mman extract`, its body may be a recording instead (type
`audio/wav`; `?transcript=` has the words), and the WebSocket `/conversations/ID/sound` takes a
microphone's stream. `DELETE /conversations/ID` forgets one; `GET /health`, `/metrics` and `/docs`
say how it is, for people and for Prometheus. Utterances of different conversations that wait at one
moment are answered in one step. SIGTERM ends it once all that came is answered. Needs the extra
`serve`, for sound `listen` too.
"""

import contextlib
import os
import pathlib
import signal
import sys

from absl import flags

from mman_jax.cli.terminal import command
from mman_jax.errors import InputError
from mman_jax.features.speech import pauses
from mman_jax.files.lock import alone
from mman_jax.inference.answerer import Answerer
from mman_jax.inference.batched import Batched
from mman_jax.inference.places import Places
from mman_jax.service import server, web
from mman_jax.service.desk import Desk
from mman_jax.service.sound import Ears
from mman_jax.trial import clips
from mman_jax.trial.stored import load_models

_CHECKPOINT = command.checkpoint_flag()
_HOST = flags.DEFINE_string("host", "127.0.0.1", "The address to listen at; others need --token.")
_PORT = flags.DEFINE_integer("port", 8000, "The port to listen at; 0: any free one.", 0, 65535)
_TOKEN = flags.DEFINE_string(
    "token", None, "What requests must show (Authorization: Bearer TOKEN); by default $MMAN_TOKEN."
)
_STATE = command.path_flag("state", "Where conversations are kept between two calls.", False)
_STATE_SECONDS = flags.DEFINE_float(
    "state_seconds", 10.0, "Of --state: seconds after which it is saved; 0: before each answer.",
    0.0, allow_override=True,
)  # fmt: skip
_CONVERSATIONS = flags.DEFINE_integer("conversations", 1000, "Conversations kept at most.", 1)
_IDLE_SECONDS = flags.DEFINE_float(
    "idle_seconds",
    600.0,
    "How long a conversation is idle before it may make room for another.",
    0.0,
)
_WAITING = flags.DEFINE_integer("waiting", 1024, "Utterances that wait for answers at most.", 1)
_ATTENTION = flags.DEFINE_bool(
    "attention", False, "Tell what each answer's attention looked at.", allow_override=True
)
_LOOPBACK = ("127.0.0.1", "::1", "localhost")


def main() -> None:
    """Reads, compiles, serves."""
    token = _TOKEN.value or os.environ.get("MMAN_TOKEN", "")
    if _HOST.value not in _LOOPBACK and not token:
        expected = "--token=TOKEN, or the variable MMAN_TOKEN"
        raise InputError(f"--host={_HOST.value}", "given without a token", expected)
    if not _STATE.value:
        command.refuse(_STATE_SECONDS, "given without --state", "--state=FILE, too")
    workdir = pathlib.Path(_CHECKPOINT.value)
    answerer = Answerer(load_models(workdir), _ATTENTION.value)
    ears = _ears(workdir, answerer)
    kept = pathlib.Path(_STATE.value) if _STATE.value else None
    with alone(kept, inside=False) if kept else contextlib.nullcontext():
        _serve(answerer, ears, token, kept)


def _serve(answerer: Answerer, ears: Ears | None, token: str, kept: pathlib.Path | None) -> None:
    bound = server.bind(_HOST.value, _PORT.value)
    try:
        batched = Batched(answerer, _CONVERSATIONS.value)
    except (MemoryError, ValueError, OverflowError) as error:
        if isinstance(error, InputError):
            raise
        place = f"--conversations={_CONVERSATIONS.value}"
        raise InputError(place, "more than memory holds the states of", "fewer") from error
    places = Places(_CONVERSATIONS.value, _IDLE_SECONDS.value)
    desk = Desk(batched, places, _WAITING.value, kept, _STATE_SECONDS.value)
    where = server.address(bound)

    def began(end):
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: end())
        print(f"serving at {where}, described at {where}/docs", flush=True)

    server.serve(web.make(desk, ears, token), desk, bound, began)


def _ears(workdir: pathlib.Path, answerer: Answerer) -> Ears | None:
    """What measures sound; None where the run has no extraction of speech."""
    if "speech" not in answerer.dims or not clips.place(workdir).is_file():
        return None
    made = clips.load(workdir, [m for m in answerer.dims if m in ("speech", "text")])
    if not made.settings.speech:
        return None
    try:
        made.settings.check_libraries()
        pauses.detector()
    except InputError as error:
        print(f"features alone are answered, no sound: {error}", file=sys.stderr)
        return None
    return Ears(made)
