"""Confusion matrices as pictures: of a run, and of all systems of a report."""

from collections.abc import Mapping, Sequence

import numpy as np

from mman_jax.report import drawing
from mman_jax.report.drawing import NORMAL, SMALL, WIDTH, png


def recalls(counts: Sequence[Sequence[int]]) -> np.ndarray:
    """[C, C] float64: the share of each true class (row) that was given each answer (column)."""
    counts = np.asarray(counts)
    return counts / np.maximum(counts.sum(1, keepdims=True), 1)


def confusions(
    counts: Mapping[str, Sequence[Sequence[int]]],
    classes: Sequence[str],
    source: str = "",
    counted: bool = False,
) -> bytes:
    """A PNG of normalised confusion matrices [C, C] side by side: per cent of the true class.

    Args:
        counts: by what they are the matrix of; rows true, columns predicted.
        classes: C names.
        source: see `drawing.sign`.
        counted: whether each cell shows its count, too; panels are larger then.
    """
    small = len(classes) > 4 and not counted
    side = 1.6 + 0.95 * len(classes) if counted else WIDTH / 4
    labels = [drawing.name(label, 11) for label in classes]
    height = side + (0.75 if drawing.lean(labels) else 0.2)
    figure, grid, columns = drawing.panels(len(counts), 4, (side, height), "compressed")
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
        drawing.name_cells(axes, labels, labels, index % columns == 0)
        axes.set_title(drawing.name(title, 60 if counted else 30), fontsize=10)
        if index % columns == 0:
            axes.set_ylabel("true", fontsize=NORMAL)
        axes.set_xlabel("predicted", fontsize=NORMAL)
    bar = figure.colorbar(image, ax=grid, shrink=0.5, aspect=30, pad=0.01)
    bar.set_label("share of the true class", fontsize=SMALL)
    bar.ax.tick_params(labelsize=SMALL)
    drawing.sign(figure, source)
    return png(figure)
