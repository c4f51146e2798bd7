"""A trained system: what a checkpoint holds, and its answers to conversations."""

import dataclasses
import pathlib
from collections.abc import Iterator, Mapping
from typing import Any

import jax
import numpy as np
from flax import traverse_util

from mman_jax.data import batching
from mman_jax.data.cells.frames import Frames
from mman_jax.data.cells.frames import frames as cells_of_frames
from mman_jax.data.cells.words import Words, words
from mman_jax.data.corpus import Corpus
from mman_jax.data.scaling import Scaling
from mman_jax.errors import InputError
from mman_jax.evaluation.attention import attention_weights
from mman_jax.evaluation.calibration import temper
from mman_jax.files import carded
from mman_jax.inference import stored
from mman_jax.layers.precision import in_standard_numbers
from mman_jax.systems import SYSTEMS, Systems, build
from mman_jax.systems.base import BaseSystem
from mman_jax.systems.estimator import check_network
from mman_jax.systems.settings import SUBWORD
from mman_jax.types import Array, Batch

_FILE = "model.npz"

_CELLS = 1 << 16  # answered at once


@dataclasses.dataclass(frozen=True)
class Model:
    """Parameters, and all that is needed to use them.

    Attributes:
        params: leading axis S, a trained network a seed.
        scaling: of the features, as in training.
        network: settings of the system, see `mman_jax.build`.
        dims: D of each modality, in the order of training.
        classes: their names, in order; of a model that answers numbers, those of its targets.
        card: what else is worth knowing (system, protocol, task, corpus, seeds).
        systems: by name: those that the settings may name.
        temperature: by which the mean of the seeds' probabilities is tempered, see
            `mman_jax.evaluation.calibration.temper`; 1: not at all.
        units: [2, C] float32, of numbers the mean and the deviation of each target in training, in
            which the network answers; None: it answers classes.
        words: where it answers an utterance by its words, `pivot` and `most` of
            `data.cells.words.words`; None: an utterance is one cell, also where its frames are
            read (`network["cells"]`).
    """

    params: Any
    scaling: Scaling
    network: Mapping[str, Any]
    dims: Mapping[str, int]
    classes: tuple[str, ...]
    card: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    systems: Systems = dataclasses.field(default_factory=lambda: SYSTEMS)
    temperature: float = 1.0
    units: np.ndarray | None = None
    words: Mapping[str, Any] | None = None

    def save(self, directory: str | pathlib.Path) -> None:
        """Writes `model.npz` into a folder: every array by a number, and where each belongs.

        Raises:
            InputError: if the folder cannot be written.
        """
        tree = {
            "params": dict(self.params),
            "mean": dict(self.scaling.mean),
            "scale": dict(self.scaling.scale),
        }
        if self.units is not None:
            tree["units"] = {"of_targets": self.units}
        flat = traverse_util.flatten_dict(tree)
        several = {f"{i:04d}": np.asarray(x) for i, x in enumerate(flat.values())}
        card = {
            "paths": [list(path) for path in flat],
            "network": dict(self.network),
            "modalities": list(self.dims),
            "classes": list(self.classes),
            "about": dict(self.card),
            "temperature": self.temperature,
            **({"words": dict(self.words)} if self.words else {}),
        }
        carded.write(pathlib.Path(directory) / _FILE, several, card)

    @classmethod
    @in_standard_numbers
    def load(
        cls,
        directory: str | pathlib.Path,
        systems: Systems = SYSTEMS,
    ) -> "Model":
        """Reads what `save` wrote, and checks that the network can use all of it.

        The models of earlier versions have no temperature: theirs is 1.

        Args:
            directory: the model's folder.
            systems: by name; your own may be among them.

        Raises:
            InputError: if there is no model, a damaged one, or a checkpoint of another kind.
        """
        directory = pathlib.Path(directory)
        stored.check_there(directory, _FILE)
        found, card = carded.read(directory / _FILE, "a trained model")
        arrays = stored.nested(directory, found, card)
        stored.check_kind(directory, arrays, card)
        scaling = Scaling(arrays["mean"], arrays["scale"])
        stored.check_scaling(directory, scaling, card["modalities"])
        dims = {m: len(arrays["mean"][m]) for m in card["modalities"]}
        classes = tuple(card["classes"])
        stored.check_params(
            directory, arrays["params"], card["network"], dims, len(classes), systems
        )
        given = (arrays["params"], scaling, card["network"], dims, classes, card["about"], systems)
        return cls(
            *given,
            temperature=stored.temperature(directory, card),
            units=stored.units(directory, arrays, len(classes)),
            words=stored.words(directory, card),
        )

    @property
    def whole(self) -> bool:
        """Whether an utterance is one vector a modality to it, and nothing inside it is read."""
        return self.words is None and self.network.get("cells") != "frames"

    def build(self) -> BaseSystem:
        """The system that the parameters are of."""
        return build(self.network, list(self.dims), len(self.classes), self.systems)

    @in_standard_numbers
    def probabilities(self, corpus: Corpus) -> np.ndarray:
        """Of each class for each utterance, [N, C] float32: the mean over the S seeds, tempered; of
        a model that answers numbers these.

        A modality that the corpus says is missing is masked out, as in training.

        Raises:
            InputError: if the corpus lacks a modality or its words, or has another size of one.
        """
        found = self._answers(corpus)
        return found if self.units is not None else temper(found, self.temperature)

    @in_standard_numbers
    def of_each_seed(self, corpus: Corpus) -> np.ndarray:
        """The same of each of the S networks by itself, not tempered, [S, N, C] float32.

        Raises:
            InputError: as `probabilities`.
        """
        return self._answers(corpus, axis=1)

    @in_standard_numbers
    def attention(self, corpus: Corpus) -> tuple[tuple[str, ...], np.ndarray] | None:
        """What each utterance's attention looked at, the mean over the S seeds.

        Returns:
            The modalities in order, and the weights [N, M (query), M (key)] float32; None where the
            system does not attend.

        Raises:
            InputError: as `probabilities`; and if the system is no network.
        """
        layout, rows = self._lay(corpus)
        system = self.build()
        check_network("attention", system)
        found = attention_weights(system, self.params, rows.features, rows.present)
        return found and (found[0], self._of_utterances(layout, found[1].mean(0)))

    def _answers(self, corpus: Corpus, axis: int = 0) -> np.ndarray:
        layout, rows = self._lay(corpus)
        system = self.build()
        several = []
        for part in _pieces(rows):
            logits = system.predict_seeds(self.params, part.inputs)
            found = answers(logits, self.units)
            several.append(np.asarray(found if axis else found.mean(0)))
        laid = np.concatenate(several, axis)
        return self._of_utterances(layout, laid, axis)

    def _lay(self, corpus: Corpus) -> tuple[batching.Layout, Batch]:
        names, frames = list(self.dims), {}
        if self.whole:
            cells = corpus.select_modalities(names)
        else:
            laid = self._inside(corpus, names)
            cells, frames = laid.corpus, laid.frames
        for modality, size in self.dims.items():
            if cells.dims[modality] != size:
                raise InputError(
                    f"{corpus.source}, modality {modality}",
                    f"{cells.dims[modality]} features",
                    f"the {size} that the model was trained on",
                )
        layout = batching.pack(cells.lengths, range(len(cells.lengths)))
        return layout, batching.rows(cells, layout, None, self.scaling, frames)

    def _inside(self, corpus: Corpus, names: list[str]) -> Words | Frames:
        system = self.build()
        if self.words is None:
            return cells_of_frames(corpus, {name: system.frame_view(name) for name in names})
        return words(corpus, **self.words, frames=SUBWORD in system.reads, modalities=names)

    def _of_utterances(self, layout: batching.Layout, laid: np.ndarray, axis: int = 0):
        """[N, ...] of [R, U, ...]; where cells are words, what stands at an utterance's last."""
        found = batching.gather(layout, laid, axis)
        if self.words is None:
            return found
        return found.take(np.cumsum(layout.lengths) - 1, axis)


def answers(outputs: Array, units: Array | None) -> Array:
    """What a head says [..., C]: probabilities, or numbers in the units of their targets.

    Args:
        outputs: of the head, [..., C].
        units: of a model.
    """
    return jax.nn.softmax(outputs) if units is None else units[0] + units[1] * outputs


def _pieces(rows: Batch) -> Iterator[Batch]:
    """Rows [R + 1, U, ...] in batches of one shape and bounded size, filled up by the empty row."""
    count, length = rows.mask.shape
    size = min(count, max(1, _CELLS // length))
    for start in range(0, count, size):
        index = np.minimum(np.arange(start, start + size), count - 1)
        yield jax.tree.map(lambda x, index=index: x[index], rows)
