"""Pages of recordings, each a self-contained file, and their index."""

import base64
import dataclasses
import html
import json
import mimetypes
import os
import pathlib
import urllib.parse
from collections import Counter
from collections.abc import Mapping, Sequence

from mman_jax.errors import InputError
from mman_jax.files.whole import check_regular
from mman_jax.inference import answerer
from mman_jax.recording.labels import LeaveOneOut
from mman_jax.recording.turns import Turn, Turns

_LARGEST = 200 << 20  # bytes of a recording that is embedded in a page
_FRAME = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; media-src data:; \
style-src 'unsafe-inline'; script-src 'unsafe-inline'; img-src data:{connect}">
<title>{title}</title>
<style>{style}</style>
</head>
<body>
<main>
<h1>{title}</h1>
{body}
</main>
</body>
</html>
"""
_BODY = """<p id="about">{about}</p>
{player}
<p id="legend"></p>
<svg id="curves" viewBox="0 0 1000 100" preserveAspectRatio="none" aria-label="Probabilities"></svg>
<svg id="wave" viewBox="0 0 1000 100" preserveAspectRatio="none" aria-label="Waveform"></svg>
<div id="line" aria-label="Timeline"></div>
<p><label>Labels, keys 1 to 9: <input id="labels" value="{labels}"></label>
<label>Save as <select id="format"><option value="csv">clips.csv</option>
<option value="json">JSON</option><option value="srt">subtitles</option>
<option value="eaf">ELAN</option></select></label> <button id="save">Save</button><br>
<small>Click a turn, then press a key to label it; the same key removes the label. Key S splits the
turn at the player's time, J joins it with the next turn of its speaker, and [ and ] move its start
and its end to this time; a changed turn loses its prediction. Your browser keeps labels and turns.
<b id="unsaved" hidden>It does not: save them before you close the page.</b></small></p>
<ol id="turns"></ol>
<footer>{use}</footer>
<script type="application/json" id="data">{data}</script>
<script>{script}</script>"""
_START = """<p>Drop a recording here, choose one, or speak. It is sent to this service, which
returns a page and does not keep the recording.</p>
{token}<p class="drop">
<input type="file" id="file" accept="audio/*,video/*" aria-label="Recording">
<button id="speak">Speak</button></p>
<p id="about" role="status"></p>
<footer>{use} <a href="docs">The routes of this service</a></footer>
<script>{script}</script>"""
_TOKEN = '<p><label>Token: <input id="token" type="password"></label></p>\n'
_COMPARED = (
    "Each turn shows how it sounded and, if there are pictures, looked, compared with this "
    "recording's median turn."
)
_WITHOUT = f"No model was used, so the page says nothing about emotions. {_COMPARED}"
_WITH = (
    "Each turn shows the model's prediction with its probability; it is a guess where the turn is "
    f"unlike the training data. {_COMPARED}"
)
_CALIBRATED = (
    "Probabilities are calibrated on the model's validation data; they may be too high in "
    "recordings of another kind."
)
_UNCALIBRATED = "Probabilities are not calibrated: they may be too high."
_LABELLED = (
    "Trained on your {labelled} labels, for this recording only. Leave-one-out accuracy: {right} "
    "of {labelled} ({share:.0f} %, 95 % interval {low:.0f} to {high:.0f} %); on average "
    "{chance:.1f} with shuffled labels, and {most} if the answer is always “{most_frequent}”. A "
    "labelled turn shows the answer of the classifier that was trained without it."
)
_SINGLE = "{} of the labels occurs once, so its turn cannot be right."
_SINGLES = "{} of the labels occur once, so their turns cannot be right."
_TABLE = """<table>
<tr><th>recording</th><th>turns</th><th>seconds of speech</th><th>answers</th></tr>
{rows}
</table>"""


def counted(number: int, noun: str) -> str:
    """Returns a number with its noun.

    Examples:
        >>> counted(1, "turn"), counted(2, "turn")
        ('1 turn', '2 turns')
    """
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def check_size(path: pathlib.Path) -> None:
    """Checks that a recording exists and is small enough for a page."""
    check_regular(path, "a recording, sound or video")
    size = path.stat().st_size
    if size > _LARGEST:
        found = f"{size >> 20} MiB, which the page would contain"
        raise InputError(path, found, f"at most {_LARGEST >> 20} MiB: a shorter or smaller copy")


def render(
    path: pathlib.Path,
    turns: Turns,
    classes: Sequence[str],
    calibrated: bool = False,
    scores: LeaveOneOut | None = None,
) -> str:
    """Returns the page of a recording.

    Args:
        turns: turns of the recording.
        classes: names of the classes; empty if there are no predictions.
        calibrated: whether the model's probabilities are calibrated.
        scores: leave-one-out scores, if the classifier was trained on labels of the recording.
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
        "kind": kind,
        "classes": list(classes),
        "learnt": scores is not None,
        "peaks": turns.peaks,
        "turns": [dataclasses.asdict(turn) for turn in turns.turns],
    }
    # A transcript must not close the script element.
    embedded = json.dumps(data).replace("<", "\\u003c")
    body = _BODY.format(
        about=html.escape(" ".join([_about(classes, calibrated, scores), *turns.notes])),
        script=_asset("page.js"),
        player=f'<{tag} id="player" controls src="data:{kind};base64,{content}"></{tag}>',
        labels=html.escape(", ".join(classes) or "happy, sad, angry, neutral"),
        data=embedded,
        use=html.escape(answerer.USE),
    )
    return _framed(path.name, body)


def render_start(token: bool) -> str:
    """Returns the page from which a service gets recordings; `token`: whether it asks for one."""
    body = _START.format(
        token=_TOKEN if token else "", use=html.escape(answerer.USE), script=_asset("start.js")
    )
    return _framed("Look at a recording", body, "; connect-src 'self'")


def render_index(
    index: pathlib.Path, pages: Mapping[pathlib.Path, Sequence[Turn]], failed: Mapping[str, str]
) -> str:
    """Returns the page that links to the pages of several recordings.

    `pages` maps the path of each page to the turns of its recording, and `failed` maps the name of
    each recording without a page to the reason.
    """
    rows = [_row(index, page, turns) for page, turns in pages.items()]
    for name, reason in failed.items():
        cells = f'<td>{html.escape(name)}</td><td colspan="3">{html.escape(reason)}</td>'
        rows.append(f"<tr>{cells}</tr>")
    return _framed(counted(len(pages), "recording"), _TABLE.format(rows="\n".join(rows)))


def _row(index: pathlib.Path, page: pathlib.Path, turns: Sequence[Turn]) -> str:
    target = os.path.relpath(page.resolve(), index.resolve().parent)
    href = html.escape(urllib.parse.quote(target, errors="surrogateescape"))
    link = f'<a href="{href}">{html.escape(page.stem)}</a>'
    seconds = sum(turn.end - turn.start for turn in turns)
    counts = Counter(turn.answer["label"] for turn in turns if turn.answer).most_common()
    answers = ", ".join(f"{name} {count}" for name, count in counts) or "none"
    cells = (link, str(len(turns)), f"{seconds:.0f}", html.escape(answers))
    return "<tr>" + "".join(f"<td>{cell}</td>" for cell in cells) + "</tr>"


def _about(classes: Sequence[str], calibrated: bool, scores: LeaveOneOut | None) -> str:
    if scores:
        low, high = (100 * bound for bound in scores.interval)
        share = 100 * scores.right / scores.labelled
        text = _LABELLED.format(**scores._asdict(), share=share, low=low, high=high)
        if scores.single:
            text += " " + (_SINGLE if scores.single == 1 else _SINGLES).format(scores.single)
        return text
    if not classes:
        return _WITHOUT
    return f"{_WITH} {_CALIBRATED if calibrated else _UNCALIBRATED}"


def _framed(title: str, body: str, connect: str = "") -> str:
    """Returns a page with a title (text) and a body (HTML); `connect` extends its policy."""
    title = html.escape(title)
    return _FRAME.format(title=title, style=_asset("page.css"), body=body, connect=connect)


def _asset(name: str) -> str:
    return (pathlib.Path(__file__).parent / name).read_text(encoding="utf-8")
