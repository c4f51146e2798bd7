"""Figures before they become pixels: what they show, and that no texts overlap."""

import itertools

import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.text import Text

from mman_jax.report import attention, figures
from tests.report import fake

LONG = ("frustrated and tired", "surprised", "neutral", "a" * 60, "excited", "fearful", "$x_1$")
FOUR = fake.EMOTIONS[:4]


@pytest.fixture(autouse=True)
def drawn(monkeypatch):
    """Makes the functions return the drawn figure instead of its bytes."""

    def draw(figure):
        FigureCanvasAgg(figure).draw()
        return figure

    for module in (attention, figures):
        monkeypatch.setattr(module, "png", draw)


def texts(figure):
    """All texts outside the panels: titles, names of axes and of ticks."""
    for axes in figure.axes:
        titles = (each for each in axes.get_children() if isinstance(each, Text))
        yield from (each for each in titles if each not in axes.texts)
        for axis in (axes.xaxis, axes.yaxis):
            yield axis.label
            low, high = sorted(axis.get_view_interval())
            for tick in axis.get_major_ticks():
                # matplotlib also has ticks beyond the ends, which it does not draw.
                if low <= tick.get_loc() <= high:
                    yield from (tick.label1, tick.label2)
    yield from figure.texts


def assert_readable(figure):
    page = figure.bbox.padded(1)
    shown = [text for text in texts(figure) if text.get_text() and text.get_visible()]
    boxes = [(text, text.get_window_extent()) for text in shown]
    for text, box in boxes:
        assert page.x0 <= box.x0, text
        assert page.y0 <= box.y0, text
        assert box.x1 <= page.x1, text
        assert box.y1 <= page.y1, text
    # Boxes of leaning names say nothing about overlaps.
    upright = [(text, box) for text, box in boxes if not text.get_rotation() % 90]
    for (one, first), (other, second) in itertools.combinations(upright, 2):
        assert not first.padded(-1).overlaps(second.padded(-1)), (one, other)


def cells(axes):
    return [text.get_text() for text in axes.texts]


def test_confusions_of_the_paper_s_figure_3():
    counts = fake.FIGURE_3["clstm_speech"]
    shares = 100 * figures.recalls(counts)
    np.testing.assert_allclose(shares[0], [60.05, 36.79, 3.16, 0], atol=0.005)
    np.testing.assert_allclose(np.diag(shares), [60.05, 93.45, 2.86, 38.24], atol=0.005)
    panel = figures.confusions({"cLSTM-Speech": counts}, FOUR).axes[0]
    assert cells(panel)[:8] == ["60.0", "36.8", "3.2", "0.0", "2.7", "93.5", "0.8", "3.0"]
    assert panel.get_title() == "cLSTM-Speech"
    # A class may never occur.
    assert figures.recalls([[0, 0], [1, 3]]).tolist() == [[0, 0], [0.25, 0.75]]


@pytest.mark.parametrize(
    ("classes", "count"), [(("no", "yes"), 1), (FOUR, 6), (LONG, 1), (LONG, 8)]
)
def test_confusions_are_readable(classes, count):
    matrix = np.eye(len(classes), dtype=int) * 7 + 1
    names = {f"cLSTM-Physiology{index}": matrix.tolist() for index in range(count)}
    figure = figures.confusions(names, classes, "SYNTHETIC corpus")
    assert len(figure.axes) == count + 1  # with the bar of colours
    assert_readable(figure)


@pytest.mark.parametrize("classes", [("no", "yes"), FOUR, LONG])
def test_confusion_of_a_run_has_counts_and_a_long_title(classes):
    matrix = np.eye(len(classes), dtype=int) * 1000 + 250
    title = "clstm_speech, iemocap6: test, 10 seed(s) summed"
    figure = figures.confusions({title: matrix.tolist()}, classes, counted=True)
    assert cells(figure.axes[0])[0] == f"{100 * 1250 / matrix[0].sum():.1f}\n1250"
    assert figure.axes[0].get_title() == title
    assert_readable(figure)


@pytest.mark.parametrize(
    ("modalities", "classes", "utterances"),
    [(2, ("no", "yes"), 1), (3, FOUR, 110), (4, LONG, 1), (4, ("no", "yes"), 110), (2, LONG, 110)],
)
def test_attention_is_readable(modalities, classes, utterances):
    names = ("speech", "visual", "text", "physiology of the heart")[:modalities]
    weights = fake.attention(names, classes, utterances)
    maps = {"all utterances": weights["mean"], **weights["by_class"]}
    figure = attention.by_class(names, maps, "SYNTHETIC corpus")
    assert_readable(figure)
    assert cells(figure.axes[0]) == [f"{weight:.2f}" for row in weights["mean"] for weight in row]
    talk = weights["conversation"]
    assert_readable(
        attention.through_time(
            names, talk["weights"], talk["labels"], talk["answers"], classes, "SYNTHETIC corpus"
        )
    )


def test_attention_through_a_conversation():
    weights = [[[0.1, 0.9], [0.3, 0.7]], [[0.2, 0.8], [0.4, 0.6]], [[0.5, 0.5], [0.6, 0.4]]]
    labels, answers = ["yes", "no", "unknown"], ["yes", "yes", "no"]
    figure = attention.through_time(["speech", "text"], weights, labels, answers, ["no", "yes"])
    first, second, strip = figure.axes[:3]
    np.testing.assert_allclose(first.images[0].get_array(), [[0.1, 0.2, 0.5], [0.9, 0.8, 0.5]])
    np.testing.assert_allclose(second.images[0].get_array(), [[0.3, 0.4, 0.6], [0.7, 0.6, 0.4]])
    # Labels, then answers; 2 is no class.
    assert np.asarray(strip.images[0].get_array()).tolist() == [[1, 0, 2], [1, 1, 0]]
    # Utterance 2 is wrong; utterance 3 has no label.
    assert strip.lines[0].get_xdata().tolist() == [2]
    (legend,) = figure.legends
    assert [text.get_text() for text in legend.get_texts()] == ["no", "yes", "no label"]


def test_seeds_are_dots_and_their_mean_a_bar():
    figure = figures.seeds({"one": [0.5, 0.6, 0.7], "two": [0.4]}, {"majority answer": 0.38})
    found = [line.get_xdata() for line in figure.axes[0].lines]
    for values, expected in zip(found, ([50, 60, 70], [60, 60], [40], [38, 38]), strict=True):
        np.testing.assert_allclose(values, expected)
    assert_readable(figure)


def test_positions_have_gaps_at_empty_bins():
    figure = figures.positions(["1", "2 to 5"], {"MMAN": [0.5, None], "EF": [0.4, 0.6]})
    first, second = (line.get_ydata() for line in figure.axes[0].lines)
    np.testing.assert_allclose(first, [50, np.nan])
    np.testing.assert_allclose(second, [40, 60])
    assert_readable(figure)


@pytest.mark.parametrize("count", [1, 4, 17])
def test_curves(count):
    panel = figures.Panel("MMAN: physiology", fake.curve(0.3), [9, 11])
    figure = figures.curves([panel] * count, "SYNTHETIC corpus")
    assert len(figure.axes) == count
    training, validation, best = figure.axes[-1].lines
    assert training.get_xdata().tolist() == list(range(1, 25))
    np.testing.assert_allclose(training.get_ydata(), panel.curve["train_loss"])
    np.testing.assert_allclose(validation.get_ydata(), panel.curve["valid_loss"])
    assert list(best.get_xdata()) == [9, 11]
    assert_readable(figure)


def test_names_are_escaped_and_shortened():
    assert figures.name("$x$") == r"\$x\$"
    assert figures.name("a" * 20, 5) == "aaaa…"
    assert figures.name("two\nlines") == "two lines"
