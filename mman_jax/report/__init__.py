"""The report of `mman paper`: a page, a Markdown file and pictures from `results.json`."""

import pathlib
from collections.abc import Mapping
from typing import Any

from mman_jax.errors import InputError
from mman_jax.files.whole import read_json, write_whole
from mman_jax.report import contents, html, markdown
from mman_jax.report.phrases import against_baseline

__all__ = ["against_baseline", "write", "write_again"]


def write(results: Mapping[str, Any], folder: pathlib.Path) -> None:
    """Writes `figures/*.png`, `report.md` and last `report.html`; the same bytes each time.

    Args:
        results: results of `mman paper`, which contain all numbers of the report.
        folder: output folder, created if missing.
    """
    document = contents.document(results)
    for figure in document.figures:
        write_whole(folder / markdown.FIGURES / f"{figure.name}.png", figure.png)
    write_whole(folder / "report.md", markdown.render(document).encode())
    write_whole(folder / "report.html", html.render(document).encode())


def write_again(path: pathlib.Path) -> None:
    """Writes the report of an existing `results.json` into its folder.

    Raises:
        InputError: if that file is damaged or of another kind, or if a file cannot be written.
    """
    results = read_json(path)
    try:
        write(results, path.parent)
    except InputError:
        raise
    except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
        # The file may have been edited: every field can be missing or of another kind.
        found = f"no report's results ({type(error).__name__}: {error!s:.80})"
        raise InputError(path, found, "the results of mman paper") from error
