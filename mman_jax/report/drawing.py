"""What all pictures share: sizes, names that fit, grids of panels, a mark on synthetic numbers."""

import io
import math
from collections.abc import Sequence

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure

WIDTH = 10.5
"""Inches: what a page shows without shrinking."""

COLOURS = ("#4477aa", "#ee6677", "#228833", "#ccbb44", "#66ccee", "#aa3377", "#bb7733", "#777777")
MARKERS = "osD^vP*X"
SMALL, NORMAL = 8, 9


def name(text: str, most: int = 16) -> str:
    """A name that fits, and that matplotlib takes as it is: no mathematics between dollars."""
    text = " ".join(str(text).split())
    text = text if len(text) <= most else text[: most - 1] + "…"
    return text.replace("$", r"\$")


def panels(
    count: int, most: int, size: tuple[float, float], layout: str = "constrained"
) -> tuple[Figure, list[Axes], int]:
    """A figure of `count` panels of a width and height in inches, its panels, and its columns.

    Rows are as full as can be, with at most `most` panels each.
    """
    rows = math.ceil(count / most)
    columns = math.ceil(count / rows)
    # Names at the left and a bar at the right take much of a figure of few panels.
    few = columns < most
    width = min(columns * size[0] + 0.9 * few, most * size[0])
    figure = Figure(figsize=(width, rows * size[1] + 0.3 + 0.4 * few), layout=layout)
    grid = figure.subplots(rows, columns, squeeze=False)
    for axes in grid.flat[count:]:
        axes.remove()
    return figure, list(grid.flat[:count]), columns


def lean(names: Sequence[str]) -> bool:
    """Whether names beneath a panel would touch one another, upright."""
    return len(names) * max(map(len, names)) > 28


def name_cells(axes: Axes, rows: Sequence[str], columns: Sequence[str], first: bool) -> None:
    """Names the rows and columns of a matrix; the rows only at the first of its neighbours."""
    leans = lean(columns)
    axes.set_xticks(
        range(len(columns)),
        columns,
        rotation=40 if leans else 0,
        ha="right" if leans else "center",
        rotation_mode="anchor" if leans else "default",
    )
    axes.set_yticks(range(len(rows)), rows if first else [])
    axes.tick_params(labelsize=SMALL, left=first)


def sign(figure: Figure, source: str) -> None:
    """Writes beneath the picture what its numbers come from, where that must be said."""
    if source:
        figure.supxlabel(
            source, x=0.995, ha="right", fontsize=SMALL, color="#b00020", weight="bold"
        )


def open_frame(axes: Axes) -> None:
    """Leaves out the lines at the top and at the right, and shows a light grid."""
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(color="#dddddd", linewidth=0.6)
    axes.set_axisbelow(True)
    axes.tick_params(labelsize=SMALL)


def png(figure: Figure) -> bytes:
    """The picture as bytes, the same ones each time."""
    buffer = io.BytesIO()
    with matplotlib.rc_context({"savefig.dpi": 150}):
        figure.savefig(buffer, format="png", metadata={"Software": None})
    return buffer.getvalue()
