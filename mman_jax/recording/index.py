"""The page that leads to the pages of several recordings."""

import html
import os
import pathlib
import urllib.parse
from collections import Counter
from collections.abc import Mapping, Sequence

from mman_jax.recording import frame
from mman_jax.recording.turns import Turn

_TABLE = """<table>
<tr><th>recording</th><th>turns</th><th>seconds of speech</th><th>answers</th></tr>
{rows}
</table>"""


def render(
    index: pathlib.Path, pages: Mapping[pathlib.Path, Sequence[Turn]], failed: Mapping[str, str]
) -> str:
    """The page of recordings.

    Args:
        index: where it will lie.
        pages: the turns of each recording, by the place of its page.
        failed: by the name of each recording without a page why there is none.
    """
    rows = "\n".join(
        [_row(index, page, turns) for page, turns in pages.items()]
        + [_without(name, reason) for name, reason in failed.items()]
    )
    return frame.render(f"{len(pages)} recordings", _TABLE.format(rows=rows))


def _row(index: pathlib.Path, page: pathlib.Path, turns: Sequence[Turn]) -> str:
    to = os.path.relpath(page.resolve(), index.resolve().parent)
    href = html.escape(urllib.parse.quote(to, errors="surrogateescape"))
    link = f'<a href="{href}">{html.escape(page.stem)}</a>'
    seconds = sum(turn.end - turn.start for turn in turns)
    answers = Counter(turn.answer["label"] for turn in turns if turn.answer)
    said = ", ".join(f"{name} {count}" for name, count in answers.most_common()) or "none asked"
    cells = (link, str(len(turns)), f"{seconds:.0f}", html.escape(said))
    return "<tr>" + "".join(f"<td>{cell}</td>" for cell in cells) + "</tr>"


def _without(name: str, reason: str) -> str:
    return f'<tr><td>{html.escape(name)}</td><td colspan="3">{html.escape(reason)}</td></tr>'
