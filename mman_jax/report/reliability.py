"""The picture of calibration: how often answers are right, by how sure they are."""

from collections.abc import Mapping, Sequence

import numpy as np

from mman_jax.report import drawing
from mman_jax.report.drawing import COLOURS, NORMAL, SMALL, WIDTH, png

_WHEN = {"before": ("as they are", COLOURS[1], "s"), "after": ("tempered", COLOURS[0], "o")}


def diagrams(
    systems: Mapping[str, Mapping[str, Sequence[Sequence[float]]]], source: str = ""
) -> bytes:
    """Reliability diagrams, a panel a system; the area of a mark grows with its utterances.

    Args:
        systems: by title, bins [K, 3] `before` and `after`: utterances, the sum of their
            confidences, how many are right.
        source: see `drawing.sign`.
    """
    figure, grid, columns = drawing.panels(len(systems), 4, (WIDTH / 4, 2.6))
    for index, (axes, (title, bins)) in enumerate(zip(grid, systems.items(), strict=True)):
        axes.plot([0, 100], [0, 100], color="#777777", linewidth=0.8, linestyle="--")
        for when, (label, colour, marker) in _WHEN.items():
            held = np.asarray(bins[when], np.float64)
            utterances, confidence, right = held[held[:, 0] > 0].T
            x, y = 100 * confidence / utterances, 100 * right / utterances
            axes.plot(x, y, color=colour, linewidth=1.2, alpha=0.7)
            areas = 8 + 90 * utterances / max(utterances.sum(), 1)
            axes.scatter(
                x, y, s=areas, color=colour, marker=marker, alpha=0.8, linewidths=0,
                label=label if index == 0 else None,
            )  # fmt: skip
        axes.set_xlim(0, 103)
        axes.set_ylim(0, 103)
        axes.set_title(drawing.name(title, 30), fontsize=NORMAL)
        drawing.open_frame(axes)
        if index % columns:
            axes.set_yticklabels([])
    figure.supylabel("right, per cent", fontsize=NORMAL)
    figure.supxlabel("mean confidence of a bin, per cent", fontsize=NORMAL)
    figure.legend(loc="outside upper right", ncols=2, fontsize=SMALL, frameon=False)
    if source:
        figure.suptitle(source, x=0.01, ha="left", fontsize=SMALL, color="#b00020", weight="bold")
    return png(figure)
