"""Pictures of attention: the weight of each modality for each modality's query."""

from collections.abc import Mapping, Sequence

import matplotlib
import numpy as np
from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator

from mman_jax.report import figures
from mman_jax.report.figures import COLOURS, NORMAL, SMALL, WIDTH, png

_OTHER = "#dddddd"


def by_class(
    modalities: Sequence[str], maps: Mapping[str, Sequence[Sequence[float]]], source: str = ""
) -> bytes:
    """Draws heat maps [M, M] side by side on one colour scale; rows are queries, columns keys."""
    side = WIDTH / (5 if len(maps) == 5 else 4)
    most = round(WIDTH / side)
    labels = [figures.name(name, 10) for name in modalities]
    height = side + (0.65 if figures.lean(labels) else 0.15)
    figure, grid, columns = figures.panels(len(maps), most, (side, height), "compressed")
    largest = max(np.max(weights) for weights in maps.values())
    for index, (axes, (title, weights)) in enumerate(zip(grid, maps.items(), strict=True)):
        image = axes.imshow(weights, cmap="Blues", vmin=0, vmax=largest)
        for (row, column), weight in np.ndenumerate(np.asarray(weights)):
            colour = "white" if weight > 0.6 * largest else "black"
            axes.text(column, row, f"{weight:.2f}", ha="center", va="center", color=colour,
                      fontsize=NORMAL)  # fmt: skip
        first = index % columns == 0
        figures.name_cells(axes, labels, labels, first)
        axes.set_title(figures.name(title, 24), fontsize=10)
        axes.set_xlabel("key", fontsize=NORMAL)
        if first:
            axes.set_ylabel("query", fontsize=NORMAL)
    _bar(figure, image, grid)
    figures.sign(figure, source)
    return png(figure)


def through_time(
    modalities: Sequence[str],
    weights: Sequence[Sequence[Sequence[float]]],
    labels: Sequence[str | float | None],
    answers: Sequence[str | float | None],
    classes: Sequence[str],
    source: str = "",
) -> bytes:
    """Draws one conversation from left to right: weights of each query, labels and answers.

    Args:
        weights: [U, M, M], rows queries and columns keys.
        labels: [U] class names or numbers; None or a name that is not a class means no label.
        classes: C class names, each drawn in a different colour; empty if labels are numbers.
    """
    maps_of_all = np.asarray(weights)
    count = len(modalities)
    figure = Figure(figsize=(WIDTH, count * (0.4 + 0.24 * count) + 1.9), layout="constrained")
    *maps, strip = figure.subplots(
        count + 1, sharex=True, height_ratios=[0.24 * count + 0.2] * count + [0.55]
    )
    utterances = len(maps_of_all)
    # Utterances are counted from 1, and each is as wide as a cell of the strip.
    edges = (0.5, utterances + 0.5)
    names = [figures.name(name, 12) for name in modalities]
    for query, axes in enumerate(maps):
        image = axes.imshow(
            maps_of_all[:, query].T, cmap="Blues", vmin=0, vmax=maps_of_all.max(), aspect="auto",
            interpolation="nearest", extent=(*edges, count - 0.5, -0.5),
        )  # fmt: skip
        axes.set_yticks(range(count), names)
        axes.tick_params(labelsize=SMALL)
        axes.set_title(f"query: {names[query]}", fontsize=NORMAL, loc="left", pad=3)
    _bar(figure, image, maps)
    strip.set_yticks([0, 1], ["label", "answer"])
    strip.tick_params(labelsize=SMALL)
    strip.xaxis.set_major_locator(MaxNLocator(12, integer=True))
    if classes:
        _classes(figure, strip, labels, answers, classes, edges)
    else:
        _numbers(figure, strip, labels, answers, edges)
    strip.axhline(0.5, color="white", linewidth=1.5)
    figures.sign(figure, source)
    return png(figure)


def _bar(figure, image, axes):
    bar = figure.colorbar(image, ax=axes, shrink=0.8, aspect=25, pad=0.01)
    bar.set_label("weight", fontsize=SMALL)
    bar.ax.tick_params(labelsize=SMALL)


def _classes(figure, strip, labels, answers, classes, edges):
    """Draws labels and answers by colour, with wrong answers crossed."""
    places = {name: index for index, name in enumerate(classes)}
    rows = [[places.get(name, len(classes)) for name in side] for side in (labels, answers)]
    colours = [COLOURS[index % len(COLOURS)] for index in range(len(classes))] + [_OTHER]
    strip.imshow(
        rows, cmap=ListedColormap(colours), vmin=0, vmax=len(colours) - 1, aspect="auto",
        interpolation="nearest", extent=(*edges, 1.5, -0.5),
    )  # fmt: skip
    wrong = [
        place + 1
        for place, (label, answer) in enumerate(zip(labels, answers, strict=True))
        if label in places and label != answer
    ]
    strip.plot(wrong, [1] * len(wrong), "x", color="black", markersize=5)
    strip.set_xlabel("utterance (crossed: a wrong answer)", fontsize=NORMAL)
    patches = [Patch(color=colours[i], label=figures.name(c, 12)) for i, c in enumerate(classes)]
    if any(name not in places for name in labels):
        patches.append(Patch(color=_OTHER, label="no label"))
    figure.legend(
        handles=patches,
        loc="outside upper right",
        ncols=len(patches),
        fontsize=SMALL,
        frameon=False,
    )


def _numbers(figure, strip, labels, answers, edges):
    """Draws labels and answers on one colour scale, with missing ones in grey."""
    rows = np.array([labels, answers], float)
    colours = matplotlib.colormaps["coolwarm"].with_extremes(bad=_OTHER)
    image = strip.imshow(
        np.ma.masked_invalid(rows), cmap=colours, aspect="auto", interpolation="nearest",
        extent=(*edges, 1.5, -0.5),
    )  # fmt: skip
    strip.set_xlabel("utterance (grey: not rated)", fontsize=NORMAL)
    bar = figure.colorbar(image, ax=strip, aspect=6, pad=0.01)
    bar.ax.tick_params(labelsize=SMALL)
