"""Picture of the architecture, whose names and sizes are taken from the code."""

import io
from collections.abc import Callable

import jax
import matplotlib
from matplotlib.figure import Figure
from matplotlib.patches import FancyBboxPatch

import mman_jax
from configs import mman
from mman_jax.data import batching, scaling, splits
from mman_jax.data.readers import bc_lstm, dialogue_rnn, npz
from mman_jax.features.extraction import Extraction
from mman_jax.inference.answerer import Answerer
from mman_jax.tasks import losses
from mman_jax.training import optimizer
from mman_jax.training.stage import StageTraining
from mman_jax.training.state import Selection
from mman_jax.training.trainer import Trainer

TOWERS, FUSION = "towers", "fusion"
CLASSES = 4
DIMS = {"speech": 100, "visual": 512, "text": 100}
"""Feature sizes D of IEMOCAP's public features, on which the paper's parameter counts are based."""

DATA, MODELS, TRAINING, ANSWERS = "#0f766e", "#4338ca", "#b45309", "#15803d"
_WIDTH, _HEIGHT = 140, 92


def svg() -> str:
    """Returns the picture as SVG, with text as paths, so that it needs no font."""
    file = io.StringIO()
    with matplotlib.rc_context({"svg.fonttype": "path", "svg.hashsalt": "mman_jax"}):
        draw().savefig(file, format="svg", metadata={"Date": None})
    return file.getvalue()


def draw() -> Figure:
    """Draws the data flow: from files to a batch, through the network, to predictions."""
    network = mman_jax.build(mman.get_config().network, list(DIMS), CLASSES)
    figure = Figure(figsize=(_WIDTH / 10, _HEIGHT / 10))
    canvas = _Canvas(figure)
    _data(canvas)
    _network(canvas, network)
    _training(canvas)
    return figure


def _data(canvas: "_Canvas") -> None:
    canvas.band(68, 90, DATA, _package(mman_jax.Corpus), "NumPy alone")
    readers = [_named(module.read, module) for module in (npz, dialogue_rnn, bc_lstm)]
    readers.append(_named(Extraction.features))
    for row, reader in enumerate(readers):
        canvas.box(3, 82.2 - 4 * row, 24, 3.2, DATA, reader)
        canvas.arrow([(27, 83.8 - 4 * row), (32, 79 - row)])
    corpus = mman_jax.Corpus
    _fields(corpus, "features", "labels", "lengths", "present")
    lines = ["features[m]  [N, D]", "labels  [N]", "lengths, present[m]"]
    canvas.box(32, 70.5, 24, 14, DATA, corpus.__name__, lines)
    canvas.arrow([(56, 77.5), (62, 77.5)])
    parts = f"{_named(mman_jax.prepare)} \N{RIGHTWARDS ARROW} {mman_jax.Parts.__name__}"
    _fields(mman_jax.Parts, "split", "scaling", "layouts", "rows")
    lines = [
        f"{_named(splits.split)}: train, valid, test",
        f"{_named(scaling.fit, scaling)}: on train alone",
        f"{_named(batching.pack)}: conversations in rows",
        f"{_named(mman_jax.tasks)}: labels to C classes",
    ]
    canvas.box(62, 70.5, 34, 14, DATA, parts, lines)
    canvas.arrow([(96, 77.5), (102, 77.5)])
    batch = mman_jax.Batch
    shapes = {"features": "[B, U, D]", "labels": "[B, U]"}
    lines = [f"{field}[m]  {shape}" if field == "features" else f"{field}  {shape}"
             for field, shape in shapes.items()]  # fmt: skip
    lines.append(", ".join(field for field in batch._fields if field not in shapes))
    canvas.box(102, 70.5, 35, 14, DATA, batch.__name__, lines)


def _network(canvas: "_Canvas", network: mman_jax.MMAN) -> None:
    sizes = _sizes(network)
    title = f"{network.__class__.__name__}: {sum(sizes.values()):,} parameters".replace(",", " ")
    canvas.band(25, 65, MODELS, _package(network), title)
    step = 35 / len(network.towers)
    height = step - 1.8
    centre = 43.8
    middle = {name: 61 - step * (row + 0.5) for row, name in enumerate(network.towers)}
    for name, size in DIMS.items():
        y = middle[name]
        canvas.arrow([(119, 70.5), (119, 66.5), (1.9, 66.5), (1.9, y), (4, y)], MODELS)
        canvas.box(4, y - 2.6, 17, 5.2, DATA, name, [f"[B, U, {size}]"])
    for name, tower in network.towers.items():
        y, label = middle[name], f"towers_{name}"
        for source in network.inputs[name]:
            colour = MODELS if name == source else "#94a3b8"
            canvas.arrow([(21, middle[source]), (36, y)], colour)
        canvas.box(36, y - height / 2, 63, height, MODELS, "", fill=0.06)
        count = f"{sizes[label]:,}".replace(",", " ")
        canvas.text(37.5, y + 1.9, f'{tower.__class__.__name__} "{name}"', MODELS, True)
        canvas.text(97.5, y + 1.9, count, MODELS, right=True)
        canvas.chain(37.5, 97.5, y - 1.4, MODELS, _layers(tower))
        canvas.arrow([(99, y), (108, centre + (y - centre) / 8)], MODELS)
    canvas.text(103.5, 59, "logits [B, U, C]", "#1e293b", size=8.5)
    fusion, kind = network.fusion.__class__.__name__, network.fusion.kind
    lines = [f"kind {kind}", f"{sizes[network.head]} parameters"]
    canvas.box(108, centre - 6, 13.5, 12, TRAINING, fusion, lines)
    canvas.arrow([(121.5, centre), (125.5, centre)], TRAINING)
    canvas.box(125.5, centre - 4, 12, 8, TRAINING, network.head, [f"[B, U, {CLASSES}]"])


def _training(canvas: "_Canvas") -> None:
    note = f"{_named(Trainer.run)}, all S seeds at once"
    canvas.band(2, 22, TRAINING, _package(Trainer), note, right=104)
    canvas.band(2, 22, ANSWERS, _package(Answerer), "", left=106)
    canvas.arrow([(131.5, 39.8), (131.5, 23.5), (20, 23.5), (20, 17.5)], TRAINING)
    lines = [
        f"each tower by its own {_named(losses.cross_entropy)}",
        "clipping and AdamW per tower",
        f"{_named(Selection.keep_best)}: one epoch per tower",
    ]
    canvas.box(3, 5, 35, 12.5, TRAINING, f'stage "{TOWERS}"', lines)
    canvas.arrow([(38, 11.2), (43, 11.2)], TRAINING)
    lines = [
        f'{_named(optimizer.labels)}: every tower is "{optimizer.FROZEN}"',
        f"{_named(optimizer.freeze)}: no step, no moments",
        f"reads {_named(StageTraining.predictions)}, computed once",
    ]
    canvas.box(43, 5, 34, 12.5, TRAINING, f'stage "{FUSION}"', lines)
    canvas.arrow([(77, 11.2), (82, 11.2)], TRAINING)
    _fields(mman_jax.Outcome, "best_epoch", "valid", "test")
    lines = ["best_epoch  [S, T]", "valid, test", "[S, T, C, C]"]
    canvas.box(82, 5, 20.5, 12.5, TRAINING, mman_jax.Outcome.__name__, lines)
    model = mman_jax.Model
    _fields(model, "params", "scaling")
    canvas.arrow([(102.5, 11.2), (107.5, 11.2)], ANSWERS)
    canvas.box(107.5, 7.5, 9.5, 7.5, ANSWERS, model.__name__, ["params", "scaling"])
    canvas.arrow([(117, 11.8), (120, 14)], ANSWERS)
    canvas.arrow([(117, 10.7), (120, 8.5)], ANSWERS)
    probabilities = model.probabilities.__name__
    canvas.box(120, 11.7, 18, 5.8, ANSWERS, probabilities, ["a corpus: [N, C]"])
    canvas.box(120, 5, 18, 5.8, ANSWERS, _named(Answerer.step), ["turn by turn: [C]"])


def _layers(tower: mman_jax.Tower) -> list[tuple[str, str]]:
    """Returns the class and the size of each layer of a tower."""
    layers = []
    if tower.attention is not None:
        name = mman_jax.MultiModalAttention.__name__
        layers.append((name, f"{len(DIMS)} x {tower.attention['value']}"))
    lstm = mman_jax.LSTM.__name__
    layers += [(lstm, str(hidden)) for hidden in tower.block["hidden"]]
    return [*layers, ("Dense", str(tower.block["dense"])), ("Dense", str(CLASSES))]


def _sizes(network: mman_jax.MMAN) -> dict[str, int]:
    """Returns the number of parameters of each tower and of the fusion."""
    shapes = network.parameter_shapes(DIMS)
    return {name: sum(leaf.size for leaf in jax.tree.leaves(tree)) for name, tree in shapes.items()}


def _package(thing: object) -> str:
    """Returns the package of a class, or of the class of an object, as two names."""
    kind = thing if isinstance(thing, type) else type(thing)
    return ".".join(kind.__module__.split(".")[:2])


def _named(function: Callable, module=None) -> str:
    """Returns a function's name, prefixed by its class or the given module."""
    name = function.__qualname__
    return name if module is None else f"{module.__name__.rpartition('.')[2]}.{name}"


def _fields(kind: type, *names: str) -> None:
    """Raises a ValueError if the class lacks a field that the picture shows."""
    missing = set(names) - set(kind.__annotations__)
    if missing:
        raise ValueError(f"{kind.__name__} has no field {', '.join(sorted(missing))}")


class _Canvas:
    """Boxes, arrows and text on a plane of 140 by 92."""

    def __init__(self, figure: Figure):
        self._axes = figure.add_axes((0, 0, 1, 1), xlim=(0, _WIDTH), ylim=(0, _HEIGHT))
        self._axes.set_axis_off()

    def band(self, low, high, colour, title, note, left=0.6, right=_WIDTH - 0.6) -> None:
        """Draws a part of the package, behind its contents."""
        self.box(left, low, right - left, high - low, colour, "", fill=0.04, line=0.4)
        self.text(left + 2, high - 1.8, title, colour, bold=True, size=11)
        self.text(right - 2, high - 1.8, note, colour, right=True, size=9)

    def box(self, x, y, width, height, colour, title, lines=(), fill=0.12, line=1.1) -> None:
        """Draws a box with a title and lines below it, centred."""
        look = {"facecolor": (colour, fill), "edgecolor": colour, "linewidth": line}
        inner = (x + 0.5, y + 0.5), width - 1, height - 1
        shape = FancyBboxPatch(*inner, "round,pad=0.5", **look)
        self._axes.add_patch(shape)
        rows = [title, *lines] if title else []
        gap = 2.3
        for row, content in enumerate(rows):
            at = y + height / 2 + gap * ((len(rows) - 1) / 2 - row)
            self.text(x + width / 2, at, content, colour if row == 0 else "#1e293b",
                      bold=row == 0, middle=True, size=9.5 if row == 0 else 8.5)  # fmt: skip

    def chain(self, left, right, y, colour, layers) -> None:
        """Draws layers in a row, with widths in proportion to their names."""
        gap = 2.0
        letters = [max(len(name), len(size)) + 3 for name, size in layers]
        unit = (right - left - gap * (len(layers) - 1)) / sum(letters)
        x = left
        for number, ((name, size), count) in enumerate(zip(layers, letters, strict=True)):
            width = unit * count
            self.box(x, y - 1.6, width, 3.2, colour, "", fill=0.14, line=0.7)
            self.text(x + width / 2, y, f"{name} {size}", "#1e293b", middle=True, size=8)
            if number:
                self.arrow([(x - gap, y), (x, y)], colour)
            x += width + gap

    def arrow(self, points, colour="#475569") -> None:
        """Draws a line through the points, with a head at its end."""
        style = {"arrowstyle": "-|>", "color": colour, "linewidth": 1.0, "shrinkA": 0, "shrinkB": 0}
        if len(points) > 2:
            x, y = zip(*points[:-1], strict=True)
            self._axes.plot(x, y, color=colour, linewidth=1.0, solid_joinstyle="round")
        self._axes.annotate("", points[-1], points[-2], arrowprops=style)

    def text(self, x, y, content, colour, bold=False, middle=False, right=False, size=9) -> None:
        """Writes a line of text."""
        align = "center" if middle else "right" if right else "left"
        weight = "bold" if bold else "normal"
        self._axes.text(x, y, content, color=colour, fontsize=size, fontweight=weight,
                        horizontalalignment=align, verticalalignment="center")  # fmt: skip
