"""Pictures of reports: scores by position and seed, learning curves, confusion, calibration."""

import io
import math
from collections.abc import Mapping, Sequence
from typing import Any, Literal, NamedTuple

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

WIDTH = 10.5
"""Width in inches that a page shows without shrinking."""

COLOURS = ("#4477aa", "#ee6677", "#228833", "#ccbb44", "#66ccee", "#aa3377", "#bb7733", "#777777")
MARKERS = "osD^vP*X"
SMALL, NORMAL = 8, 9

_WHEN = {"before": ("as they are", COLOURS[1], "s"), "after": ("tempered", COLOURS[0], "o")}


def name(text: str, most: int = 16) -> str:
    """Returns a name of at most `most` characters that matplotlib does not read as mathematics."""
    text = " ".join(str(text).split())
    text = text if len(text) <= most else text[: most - 1] + "…"
    return text.replace("$", r"\$")


def panels(
    count: int,
    most: int,
    size: tuple[float, float],
    layout: Literal["constrained", "compressed"] = "constrained",
) -> tuple[Figure, list[Axes], int]:
    """Returns a figure of panels of a size in inches, its panels, and its number of columns.

    Panels fill as few rows as possible, with at most `most` in a row.
    """
    rows = math.ceil(count / most)
    columns = math.ceil(count / rows)
    # Names at the left and a bar at the right take much of the width of few panels.
    few = columns < most
    width = min(columns * size[0] + 0.9 * few, most * size[0])
    figure = Figure(figsize=(width, rows * size[1] + 0.3 + 0.4 * few), layout=layout)
    grid = figure.subplots(rows, columns, squeeze=False)
    for axes in grid.flat[count:]:
        axes.remove()
    return figure, list(grid.flat[:count]), columns


def lean(names: Sequence[str]) -> bool:
    """Returns whether horizontal names below a panel would overlap."""
    return len(names) * max(map(len, names)) > 28


def name_cells(axes: Axes, rows: Sequence[str], columns: Sequence[str], first: bool) -> None:
    """Labels the columns of a matrix, and its rows if it is the first panel of a row."""
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


def sign(figure: Figure, source: str, above: bool = False) -> None:
    """Writes the source of the numbers below or above the picture; nothing if it is empty."""
    style: dict[str, Any] = {"fontsize": SMALL, "color": "#b00020", "weight": "bold"}
    if source and above:
        figure.suptitle(source, x=0.01, ha="left", **style)
    elif source:
        figure.supxlabel(source, x=0.995, ha="right", **style)


def open_frame(axes: Axes) -> None:
    """Hides the lines at the top and the right, and shows a light grid."""
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(color="#dddddd", linewidth=0.6)
    axes.set_axisbelow(True)
    axes.tick_params(labelsize=SMALL)


def png(figure: Figure) -> bytes:
    """Returns the picture as PNG, with the same bytes each time."""
    buffer = io.BytesIO()
    with matplotlib.rc_context({"savefig.dpi": 150}):
        figure.savefig(buffer, format="png", metadata={"Software": None})
    return buffer.getvalue()


def positions(
    bins: Sequence[str],
    accuracy: Mapping[str, Sequence[float | None]],
    source: str = "",
    axis: str = "test accuracy, per cent",
    factor: float = 100.0,
) -> bytes:
    """Draws accuracy by the utterance's position in its conversation, one line for each system.

    Args:
        accuracy: share of each bin, by the systems' titles; None for a bin without utterances.
    """
    figure, (axes,), _ = panels(1, 1, (WIDTH, 4.3))
    for index, (title, shares) in enumerate(accuracy.items()):
        heights = [np.nan if share is None else factor * share for share in shares]
        axes.plot(
            heights,
            color=COLOURS[index % len(COLOURS)],
            marker=MARKERS[index % len(MARKERS)],
            markersize=5,
            linewidth=1.5,
            label=name(title, 30),
        )
    axes.set_xticks(range(len(bins)), bins)
    axes.set_xlabel("utterance of the conversation", fontsize=NORMAL)
    axes.set_ylabel(axis, fontsize=NORMAL)
    open_frame(axes)
    figure.legend(loc="outside right upper", fontsize=NORMAL, frameon=False)
    sign(figure, source)
    return png(figure)


def seeds(
    accuracy: Mapping[str, Sequence[float]],
    lines: Mapping[str, float],
    source: str = "",
    axis: str = "test accuracy, per cent",
    factor: float = 100.0,
) -> bytes:
    """Draws every seed's test accuracy as a dot and the mean as a bar, one row for each system.

    Args:
        accuracy: share of each seed, by the systems' titles, in order from the top.
        lines: further accuracies by name, drawn as vertical lines.
    """
    figure, (axes,), _ = panels(1, 1, (WIDTH, 0.34 * len(accuracy) + 1.1))
    for row, shares in enumerate(accuracy.values()):
        heights = factor * np.asarray(shares)
        # Seeds have different heights within the row, because equal scores would overlap.
        offsets = np.linspace(-0.18, 0.18, len(heights)) if len(heights) > 1 else np.zeros(1)
        axes.plot(heights, row + offsets, "o", color=COLOURS[0], alpha=0.65, markersize=5)
        if len(heights) > 1:
            axes.plot([heights.mean()] * 2, [row - 0.34, row + 0.34], color="black", linewidth=2)
    for (label, share), style in zip(lines.items(), ("--", "-.", ":"), strict=False):
        axes.axvline(factor * share, color="#b00020", linestyle=style, linewidth=1.2, label=label)
    axes.set_yticks(range(len(accuracy)), [name(title, 40) for title in accuracy])
    axes.set_ylim(len(accuracy) - 0.5, -0.5)
    axes.set_xlabel(axis, fontsize=NORMAL)
    open_frame(axes)
    axes.tick_params(axis="y", labelsize=NORMAL)
    if lines:
        figure.legend(loc="outside upper right", ncols=len(lines), fontsize=SMALL, frameon=False)
    sign(figure, source)
    return png(figure)


class Panel(NamedTuple):
    """The learning curves of one head, and the selected epoch of each seed, counted from 1."""

    title: str
    curve: Mapping[str, Any]
    best_epochs: Sequence[int]


def curves(heads: Sequence[Panel], source: str = "") -> bytes:
    """Draws loss by epoch, one panel for each head; ticks at the bottom mark selected epochs."""
    figure, grid, _ = panels(len(heads), 4, (WIDTH / 4, 1.9))
    styles = {"train_loss": ("training", COLOURS[0]), "valid_loss": ("validation", COLOURS[1])}
    for axes, head in zip(grid, heads, strict=True):
        for key, (label, colour) in styles.items():
            losses = head.curve[key]
            # A line of a single epoch would be invisible.
            axes.plot(
                range(1, len(losses) + 1),
                losses,
                color=colour,
                linewidth=1.4,
                marker="o" if len(losses) < 3 else None,
                markersize=4,
                label=label if axes is grid[0] else None,
            )
        epochs = list(head.best_epochs)
        axes.plot(epochs, [0.03] * len(epochs), "|", color="black", markersize=8, alpha=0.7,
                  transform=axes.get_xaxis_transform(), label="selected epoch" if axes is grid[0]
                  else None)  # fmt: skip
        axes.xaxis.set_major_locator(MaxNLocator(4, integer=True))
        axes.yaxis.set_major_locator(MaxNLocator(4))
        axes.set_title(name(head.title, 30), fontsize=NORMAL)
        open_frame(axes)
    figure.supylabel("loss", fontsize=NORMAL)
    figure.legend(loc="outside upper right", ncols=3, fontsize=SMALL, frameon=False)
    figure.supxlabel("epoch", fontsize=NORMAL)
    sign(figure, source, above=True)
    return png(figure)


def recalls(counts: Sequence[Sequence[int]] | np.ndarray) -> np.ndarray:
    """Computes the share [C, C] float64 of each true class (row) by predicted class (column)."""
    matrix = np.asarray(counts)
    return matrix / np.maximum(matrix.sum(1, keepdims=True), 1)


def confusions(
    counts: Mapping[str, Sequence[Sequence[int]]],
    classes: Sequence[str],
    source: str = "",
    counted: bool = False,
) -> bytes:
    """Draws normalised confusion matrices [C, C] side by side, in per cent of the true class.

    Args:
        counted: whether each cell also shows its count, in larger panels.
    """
    small = len(classes) > 4 and not counted
    side = 1.6 + 0.95 * len(classes) if counted else WIDTH / 4
    labels = [name(label, 11) for label in classes]
    height = side + (0.75 if lean(labels) else 0.2)
    figure, grid, columns = panels(len(counts), 4, (side, height), "compressed")
    for index, (axes, (title, matrix)) in enumerate(zip(grid, counts.items(), strict=True)):
        shares = recalls(matrix)
        image = axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
        for (row, column), share in np.ndenumerate(shares):
            texts = [f"{100 * share:.0f}" if small else f"{100 * share:.1f}"]
            texts += [str(matrix[row][column])] if counted else []
            axes.text(
                column,
                row,
                "\n".join(texts),
                ha="center",
                va="center",
                color="white" if share > 0.55 else "black",
                fontsize=SMALL if small else NORMAL,
            )
        name_cells(axes, labels, labels, index % columns == 0)
        axes.set_title(name(title, 60 if counted else 30), fontsize=10)
        if index % columns == 0:
            axes.set_ylabel("true", fontsize=NORMAL)
        axes.set_xlabel("predicted", fontsize=NORMAL)
    bar = figure.colorbar(image, ax=grid, shrink=0.5, aspect=30, pad=0.01)
    bar.set_label("share of the true class", fontsize=SMALL)
    bar.ax.tick_params(labelsize=SMALL)
    sign(figure, source)
    return png(figure)


def reliability(
    systems: Mapping[str, Mapping[str, Sequence[Sequence[float]]]], source: str = ""
) -> bytes:
    """Draws reliability diagrams, one panel for each system; larger marks have more utterances.

    Args:
        systems: bins [K, 3] of `calibration.reliability`, `before` and `after` the temperature, by
            title.
    """
    figure, grid, columns = panels(len(systems), 4, (WIDTH / 4, 2.6))
    for index, (axes, (title, bins)) in enumerate(zip(grid, systems.items(), strict=True)):
        axes.plot([0, 100], [0, 100], color="#777777", linewidth=0.8, linestyle="--")
        for when, (label, colour, marker) in _WHEN.items():
            sums = np.asarray(bins[when], np.float64)
            utterances, confidence, right = sums[sums[:, 0] > 0].T
            x, y = 100 * confidence / utterances, 100 * right / utterances
            axes.plot(x, y, color=colour, linewidth=1.2, alpha=0.7)
            areas = 8 + 90 * utterances / max(utterances.sum(), 1)
            axes.scatter(
                x, y, s=areas, color=colour, marker=marker, alpha=0.8, linewidths=0,
                label=label if index == 0 else None,
            )  # fmt: skip
        axes.set_xlim(0, 103)
        axes.set_ylim(0, 103)
        axes.set_title(name(title, 30), fontsize=NORMAL)
        open_frame(axes)
        if index % columns:
            axes.set_yticklabels([])
    figure.supylabel("right, per cent", fontsize=NORMAL)
    figure.supxlabel("mean confidence of a bin, per cent", fontsize=NORMAL)
    figure.legend(loc="outside upper right", ncols=2, fontsize=SMALL, frameon=False)
    sign(figure, source, above=True)
    return png(figure)
