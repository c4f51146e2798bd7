"""The report of `experiments.paper`: from results.json to a page, a Markdown file and pictures."""

import pathlib
from collections.abc import Mapping
from typing import Any

from experiments.command import write_whole
from experiments.report import contents, html, markdown


def write(results: Mapping[str, Any], folder: pathlib.Path) -> None:
    """Writes `figures/*.png`, `report.md` and last `report.html`; the same bytes each time.

    Args:
        results: what `experiments.paper` measured. All numbers shown are in there.
        folder: where to; made where it is missing.

    Raises:
        InputError: if a file cannot be written.
    """
    document = contents.document(results)
    for figure in document.figures:
        write_whole(folder / markdown.FIGURES / f"{figure.name}.png", figure.png)
    write_whole(folder / "report.md", markdown.render(document).encode())
    write_whole(folder / "report.html", html.render(document).encode())
