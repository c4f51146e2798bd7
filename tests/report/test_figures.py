"""The pictures, read before they become dots: what they say, and that nothing overlaps."""

import itertools

import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.text import Text

from mman_jax.report import attention, figures
from tests.report import fake

LONG = ("frustrated and tired", "surprised", "neutral", "a" * 60, "excited", "fearful", "$x_1$")


@pytest.fixture(autouse=True)
def drawn(monkeypatch):
    """The functions give the figure itself, drawn, in place of its bytes."""

    def keep(figure):
        FigureCanvasAgg(figure).draw()
        return figure

    for module in (attention, figures):
        monkeypatch.setattr(module, "png", keep)


def written(figure):
    """All texts outside the panels: titles, names of axes, names of ticks."""
    for axes in figure.axes:
        titles = (each for each in axes.get_children() if isinstance(each, Text))
        yield from (each for each in titles if each not in axes.texts)
        for axis in (axes.xaxis, axes.yaxis):
            yield axis.label
            low, high = sorted(axis.get_view_interval())
            for tick in axis.get_major_ticks():
                # matplotlib keeps ticks that it does not draw: those beyond the ends.
                if low <= tick.get_loc() <= high:
                    yield from (tick.label1, tick.label2)
    yield from figure.texts


def assert_readable(figure):
    page = figure.bbox.padded(1)
    texts = [text for text in written(figure) if text.get_text() and text.get_visible()]
    boxes = [(text, text.get_window_extent()) for text in texts]
    for text, box in boxes:
        inside = page.x0 <= box.x0 and page.y0 <= box.y0 and box.x1 <= page.x1 and box.y1 <= page.y1
        assert inside, text
    # Leaning names are compared by no box; all others must not touch.
    upright = [(text, box) for text, box in boxes if not text.get_rotation() % 90]
    for (one, first), (other, second) in itertools.combinations(upright, 2):
        assert not first.padded(-1).overlaps(second.padded(-1)), (one, other)


def cells(axes):
    return [text.get_text() for text in axes.texts]


def test_the_paper_s_figure_3():
    counts = {"cLSTM-Speech": fake.FIGURE_3["clstm_speech"]}
    shares = figures.recalls(counts["cLSTM-Speech"])
    np.testing.assert_allclose(100 * shares[0], [60.05, 36.79, 3.16, 0], atol=0.005)
    np.testing.assert_allclose(100 * np.diag(shares), [60.05, 93.45, 2.86, 38.24], atol=0.005)
    panel = figures.confusions(counts, fake.EMOTIONS[:4]).axes[0]
    assert cells(panel)[:8] == ["60.0", "36.8", "3.2", "0.0", "2.7", "93.5", "0.8", "3.0"]
    assert panel.get_title() == "cLSTM-Speech"


def test_a_class_that_never_occurs_is_drawn():
    assert figures.recalls([[0, 0], [1, 3]]).tolist() == [[0, 0], [0.25, 0.75]]


@pytest.mark.parametrize("classes", [("no", "yes"), fake.EMOTIONS[:4], LONG])
@pytest.mark.parametrize("count", [1, 6, 8])
def test_confusions_are_readable(classes, count):
    matrix = np.eye(len(classes), dtype=int) * 7 + 1
    names = {f"cLSTM-Physiology{index}": matrix.tolist() for index in range(count)}
    figure = figures.confusions(names, classes, "SYNTHETIC corpus")
    assert len(figure.axes) == count + 1  # and the bar of colours
    assert_readable(figure)


@pytest.mark.parametrize("classes", [("no", "yes"), fake.EMOTIONS[:4], LONG])
def test_a_run_s_matrix_shows_counts_and_its_whole_title(classes):
    matrix = np.eye(len(classes), dtype=int) * 1000 + 250
    title = "clstm_speech, iemocap6: test, 10 seed(s) summed"
    figure = figures.confusions({title: matrix.tolist()}, classes, counted=True)
    share = 100 * 1250 / matrix[0].sum()
    assert cells(figure.axes[0])[0] == f"{share:.1f}\n1250"
    assert figure.axes[0].get_title() == title
    assert_readable(figure)


# Every two of the three sizes meet.
@pytest.mark.parametrize(
    ("modalities", "classes", "utterances"),
    [
        (modalities, classes, (1, 110)[(i + j) % 2])
        for i, modalities in enumerate((2, 3, 4))
        for j, classes in enumerate((("no", "yes"), fake.EMOTIONS[:4], LONG))
    ],
)
def test_attention_is_readable(modalities, classes, utterances):
    names = ("speech", "visual", "text", "physiology of the heart")[:modalities]
    kept = fake.attention(names, classes, utterances)
    maps = {"all utterances": kept["mean"], **kept["by_class"]}
    figure = attention.by_class(names, maps, "SYNTHETIC corpus")
    assert_readable(figure)
    assert cells(figure.axes[0]) == [f"{weight:.2f}" for line in kept["mean"] for weight in line]
    talk = kept["conversation"]
    figure = attention.through_time(
        names, talk["weights"], talk["labels"], talk["answers"], classes, "SYNTHETIC corpus"
    )
    assert_readable(figure)


def test_one_conversation_shows_weights_labels_answers_and_mistakes():
    weights = [[[0.1, 0.9], [0.3, 0.7]], [[0.2, 0.8], [0.4, 0.6]], [[0.5, 0.5], [0.6, 0.4]]]
    labels, answers = ["yes", "no", "unknown"], ["yes", "yes", "no"]
    figure = attention.through_time(["speech", "text"], weights, labels, answers, ["no", "yes"])
    first, second, strip = figure.axes[:3]
    np.testing.assert_allclose(first.images[0].get_array(), [[0.1, 0.2, 0.5], [0.9, 0.8, 0.5]])
    np.testing.assert_allclose(second.images[0].get_array(), [[0.3, 0.4, 0.6], [0.7, 0.6, 0.4]])
    # Row 0 the labels, row 1 the answers; 2 is no class at all.
    assert np.asarray(strip.images[0].get_array()).tolist() == [[1, 0, 2], [1, 1, 0]]
    # Utterance 2 is wrong; utterance 3 has no label to be wrong about.
    assert strip.lines[0].get_xdata().tolist() == [2]
    (legend,) = figure.legends
    assert [text.get_text() for text in legend.get_texts()] == ["no", "yes", "no label"]


def test_every_seed_is_a_dot_and_the_mean_a_bar():
    figure = figures.seeds({"one": [0.5, 0.6, 0.7], "two": [0.4]}, {"majority answer": 0.38})
    (axes,) = figure.axes
    dots, mean, single, line = axes.lines
    np.testing.assert_allclose(dots.get_xdata(), [50, 60, 70])
    np.testing.assert_allclose(mean.get_xdata(), [60, 60])
    np.testing.assert_allclose(single.get_xdata(), [40])
    np.testing.assert_allclose(line.get_xdata(), [38, 38])
    assert_readable(figure)


def test_positions_leave_gaps_where_a_bin_is_empty():
    figure = figures.positions(["1", "2 to 5"], {"MMAN": [0.5, None], "EF": [0.4, 0.6]})
    first, second = figure.axes[0].lines
    np.testing.assert_allclose(first.get_ydata(), [50, np.nan])
    np.testing.assert_allclose(second.get_ydata(), [40, 60])
    assert_readable(figure)


@pytest.mark.parametrize("count", [1, 4, 17])
def test_curves(count):
    panel = figures.Panel("MMAN: physiology", fake.curve(0.3), [9, 11])
    figure = figures.curves([panel] * count, "SYNTHETIC corpus")
    assert len(figure.axes) == count
    training, validation, kept = figure.axes[-1].lines
    assert training.get_xdata().tolist() == list(range(1, 25))
    np.testing.assert_allclose(training.get_ydata(), panel.curve["train_loss"])
    np.testing.assert_allclose(validation.get_ydata(), panel.curve["valid_loss"])
    assert list(kept.get_xdata()) == [9, 11]
    assert_readable(figure)


def test_names_are_no_formulas():
    assert figures.name("$x$") == r"\$x\$"
    assert figures.name("a" * 20, 5) == "aaaa…"
    assert figures.name("two\nlines") == "two lines"
