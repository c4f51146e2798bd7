"""The report's pictures of scores: position, seeds, learning curves."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from matplotlib.ticker import MaxNLocator

from mman_jax.report import drawing
from mman_jax.report.drawing import COLOURS, MARKERS, NORMAL, SMALL, WIDTH, png


class Unit(NamedTuple):
    """What an axis shows: its name, and what values are multiplied by."""

    name: str
    factor: float


ACCURACY = Unit("test accuracy, per cent", 100.0)
ERROR = Unit("test MAE, in the targets' units", 1.0)


def positions(
    bins: Sequence[str],
    accuracy: Mapping[str, Sequence[float | None]],
    source: str = "",
    unit: Unit = ACCURACY,
) -> bytes:
    """Accuracy by the place of the utterance in its conversation, a line a system.

    Args:
        bins: what each bin is, in order.
        accuracy: shares a bin by the systems' titles; None for a bin without utterances.
        source: see `drawing.sign`.
        unit: of these values, where they are no accuracies.
    """
    figure, (axes,), _ = drawing.panels(1, 1, (WIDTH, 4.3))
    for index, (title, shares) in enumerate(accuracy.items()):
        heights = [np.nan if share is None else unit.factor * share for share in shares]
        axes.plot(
            heights,
            color=COLOURS[index % len(COLOURS)],
            marker=MARKERS[index % len(MARKERS)],
            markersize=5,
            linewidth=1.5,
            label=drawing.name(title, 30),
        )
    axes.set_xticks(range(len(bins)), bins)
    axes.set_xlabel("utterance of the conversation", fontsize=NORMAL)
    axes.set_ylabel(unit.name, fontsize=NORMAL)
    drawing.open_frame(axes)
    figure.legend(loc="outside right upper", fontsize=NORMAL, frameon=False)
    drawing.sign(figure, source)
    return png(figure)


def seeds(
    accuracy: Mapping[str, Sequence[float]],
    lines: Mapping[str, float],
    source: str = "",
    unit: Unit = ACCURACY,
) -> bytes:
    """Every seed's test accuracy as a dot, and the mean as a bar, a row a system.

    Args:
        accuracy: shares a seed by the systems' titles, in order from the top.
        lines: further accuracies, as vertical lines, by what they are.
        source: see `drawing.sign`.
        unit: of these values, where they are no accuracies.
    """
    figure, (axes,), _ = drawing.panels(1, 1, (WIDTH, 0.34 * len(accuracy) + 1.1))
    for row, shares in enumerate(accuracy.values()):
        heights = unit.factor * np.asarray(shares)
        # Equal seeds would hide one another: each has its own height within the row.
        offsets = np.linspace(-0.18, 0.18, len(heights)) if len(heights) > 1 else np.zeros(1)
        axes.plot(heights, row + offsets, "o", color=COLOURS[0], alpha=0.65, markersize=5)
        if len(heights) > 1:
            axes.plot([heights.mean()] * 2, [row - 0.34, row + 0.34], color="black", linewidth=2)
    for (label, share), style in zip(lines.items(), ("--", "-.", ":"), strict=False):
        axes.axvline(
            unit.factor * share, color="#b00020", linestyle=style, linewidth=1.2, label=label
        )
    axes.set_yticks(range(len(accuracy)), [drawing.name(title, 40) for title in accuracy])
    axes.set_ylim(len(accuracy) - 0.5, -0.5)
    axes.set_xlabel(unit.name, fontsize=NORMAL)
    drawing.open_frame(axes)
    axes.tick_params(axis="y", labelsize=NORMAL)
    if lines:
        figure.legend(loc="outside upper right", ncols=len(lines), fontsize=SMALL, frameon=False)
    drawing.sign(figure, source)
    return png(figure)


@dataclasses.dataclass(frozen=True)
class Panel:
    """The learning curves of one head.

    Attributes:
        title: whose they are.
        curve: `train_loss` and `valid_loss`, a value an epoch.
        best_epochs: the epoch that each seed kept, counted from 1.
    """

    title: str
    curve: Mapping[str, Any]
    best_epochs: Sequence[int]


def curves(heads: Sequence[Panel], source: str = "") -> bytes:
    """Loss by epoch, a small panel a system and tower; the epochs kept as ticks at the bottom."""
    figure, grid, _ = drawing.panels(len(heads), 4, (WIDTH / 4, 1.9))
    styles = {"train_loss": ("training", COLOURS[0]), "valid_loss": ("validation", COLOURS[1])}
    for axes, head in zip(grid, heads, strict=True):
        for key, (label, colour) in styles.items():
            losses = head.curve[key]
            # A line of one epoch would not be seen.
            axes.plot(
                range(1, len(losses) + 1),
                losses,
                color=colour,
                linewidth=1.4,
                marker="o" if len(losses) < 3 else None,
                markersize=4,
                label=label if axes is grid[0] else None,
            )
        kept = list(head.best_epochs)
        axes.plot(kept, [0.03] * len(kept), "|", color="black", markersize=8, alpha=0.7,
                  transform=axes.get_xaxis_transform(), label="epoch kept" if axes is grid[0]
                  else None)  # fmt: skip
        axes.xaxis.set_major_locator(MaxNLocator(4, integer=True))
        axes.yaxis.set_major_locator(MaxNLocator(4))
        axes.set_title(drawing.name(head.title, 30), fontsize=NORMAL)
        drawing.open_frame(axes)
    figure.supylabel("loss", fontsize=NORMAL)
    figure.legend(loc="outside upper right", ncols=3, fontsize=SMALL, frameon=False)
    figure.supxlabel("epoch", fontsize=NORMAL)
    if source:
        figure.suptitle(source, x=0.01, ha="left", fontsize=SMALL, color="#b00020", weight="bold")
    return png(figure)
