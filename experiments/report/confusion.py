"""Pictures of results."""

import io
from collections.abc import Sequence

import matplotlib
import numpy as np
from matplotlib.figure import Figure


def confusion(counts: Sequence[Sequence[int]], classes: Sequence[str], title: str) -> bytes:
    """A PNG of a confusion matrix: recall in colour and per cent, counts beneath.

    Args:
        counts: [C, C], rows true, columns predicted.
        classes: their names.
        title: what it is the matrix of.
    """
    counts = np.asarray(counts)
    recall = counts / np.maximum(counts.sum(1, keepdims=True), 1)
    size = 1.6 + 0.95 * len(classes)
    figure = Figure(figsize=(size + 0.9, size), layout="constrained")
    axes = figure.add_subplot()
    image = axes.imshow(recall, cmap="Blues", vmin=0, vmax=1)
    for (row, column), share in np.ndenumerate(recall):
        colour = "white" if share > 0.55 else "black"
        axes.text(
            column, row, f"{100 * share:.1f}\n", ha="center", va="center", color=colour, fontsize=11
        )
        axes.text(
            column, row, f"\n{counts[row, column]}", ha="center", va="center", color=colour,
            fontsize=8,
        )  # fmt: skip
    axes.set_xticks(range(len(classes)), classes)
    axes.set_yticks(range(len(classes)), classes)
    axes.set(xlabel="predicted", ylabel="true")
    axes.set_title(title, fontsize=10)
    bar = figure.colorbar(image, ax=axes, shrink=0.85)
    bar.set_label("share of the true class")
    return png(figure)


def png(figure: Figure) -> bytes:
    """The picture as bytes, the same ones each time."""
    buffer = io.BytesIO()
    with matplotlib.rc_context({"savefig.dpi": 150}):
        figure.savefig(buffer, format="png", metadata={"Software": None})
    return buffer.getvalue()
