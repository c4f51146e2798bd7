"""The page of a recording: one file that holds all that it shows."""

import base64
import dataclasses
import html
import json
import mimetypes
import pathlib
from collections.abc import Sequence

from mman_jax.errors import InputError
from mman_jax.files.regular import check_regular
from mman_jax.recording import frame
from mman_jax.recording.learnt import Learnt
from mman_jax.recording.turns import Found

_LARGEST = 200 << 20  # bytes of a recording that is put into a page
_BODY = """<p id="about">{about}</p>
{player}
<div id="line" aria-label="Timeline"></div>
<p><label>Labels, keys 1 to 9: <input id="labels" value="{labels}"></label>
<button id="save">Save clips.csv</button></p>
<ol id="turns"></ol>
<script type="application/json" id="data">{data}</script>
<script>{script}</script>"""
_WITHOUT = (
    "No model was asked, so nothing is said here about emotions. Each turn shows how it sounded, "
    "and looked if there are pictures, next to this recording's own median turn."
)
_WITH = (
    "Each turn shows the model's answer with the probability that it gives it, and how the turn "
    "sounded, and looked if there are pictures, next to this recording's own median turn."
)
_CALIBRATED = (
    "Probabilities are calibrated on the model's own validation data; in recordings of another "
    "kind it may be too sure."
)
_UNCALIBRATED = "Probabilities are as the model gives them: they may be too sure."
_LEARNT = (
    "Learnt from the sound of {labelled} turns that you labelled, for this recording alone. "
    "Answered by what the others teach, {right} of these {labelled} are right ({share:.0%}; 95 % "
    "interval {low:.0%} to {high:.0%}). Of shuffled labels {chance:.1f} are, on average; saying "
    "“{most_frequent}” always is right for {most}. A turn with a label shows the answer that was "
    "given without it."
)


def check_size(path: pathlib.Path) -> None:
    """Looks at a recording before it is measured.

    Raises:
        InputError: there is none, or it is too large for a page.
    """
    check_regular(path, "a recording, sound or video")
    size = path.stat().st_size
    if size > _LARGEST:
        found = f"{size >> 20} MiB, which a page would have to hold"
        raise InputError(path, found, f"at most {_LARGEST >> 20} MiB: a shorter or smaller copy")


def render(
    path: pathlib.Path,
    found: Found,
    classes: Sequence[str],
    calibrated: bool = False,
    learnt: Learnt | None = None,
) -> str:
    """The page of a recording.

    Args:
        path: the recording.
        found: its turns.
        classes: of the answers; empty where nothing answers.
        calibrated: whether the model's probabilities are.
        learnt: what labels have taught, where it was that and no model.

    Raises:
        InputError: the recording cannot be read, or is too large for a page.
    """
    check_size(path)
    try:
        content = base64.b64encode(path.read_bytes()).decode()
    except OSError as error:
        raise InputError(path, f"cannot be read ({error.strerror})", "a recording") from error
    kind = mimetypes.guess_type(path.name)[0] or "video/mp4"
    tag = "audio" if kind.startswith("audio/") else "video"
    data = {
        "name": path.stem,
        "path": path.name,
        "classes": list(classes),
        "turns": [dataclasses.asdict(turn) for turn in found.turns],
    }
    # Nothing that somebody said may end the script.
    held = json.dumps(data).replace("<", "\\u003c")
    body = _BODY.format(
        about=html.escape(" ".join([_about(classes, calibrated, learnt), *found.notes])),
        script=frame.beside("page.js"),
        player=f'<{tag} id="player" controls src="data:{kind};base64,{content}"></{tag}>',
        labels=html.escape(", ".join(classes) or "happy, sad, angry, neutral"),
        data=held,
    )
    return frame.render(path.name, body)


def _about(classes: Sequence[str], calibrated: bool, learnt: Learnt | None) -> str:
    if learnt:
        (low, high), share = learnt.interval, learnt.right / learnt.labelled
        return _LEARNT.format(**learnt._asdict(), share=share, low=low, high=high)
    if not classes:
        return _WITHOUT
    return f"{_WITH} {_CALIBRATED if calibrated else _UNCALIBRATED}"
