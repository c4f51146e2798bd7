"""A trained model: its parameters on disk, and its predictions for conversations."""

import dataclasses
import json
import pathlib
from collections.abc import Iterator, Mapping
from typing import Any

import jax
import numpy as np
from flax import traverse_util

from mman_jax.data import batching
from mman_jax.data.batching import Layout
from mman_jax.data.cells import Cells, Utterances
from mman_jax.data.corpus import Corpus
from mman_jax.data.scaling import Scaling
from mman_jax.errors import InputError
from mman_jax.evaluation.calibration import temper
from mman_jax.evaluation.modalities import attention_weights
from mman_jax.files import hub, tensors
from mman_jax.files.arrays import read_carded, write_carded
from mman_jax.files.whole import read_json, write_whole
from mman_jax.inference import stored
from mman_jax.inference.familiarity import Familiarity
from mman_jax.layers.precision import in_standard_numbers
from mman_jax.systems import SYSTEMS, Systems, build
from mman_jax.systems.base import BaseSystem
from mman_jax.systems.estimator import check_network
from mman_jax.systems.settings import SUBWORD
from mman_jax.tasks import Task, of_model
from mman_jax.types import Batch

_FILE = "model.npz"

TENSORS, CONFIG = "model.safetensors", "config.json"
"""Files of a model on the hub."""

_LIBRARY, _FORMAT = "mman_jax", 1

_CELLS = 1 << 16  # number of cells that are predicted at once


@dataclasses.dataclass(frozen=True)
class Model:
    """Trained parameters, and everything that is needed to use them.

    Attributes:
        params: parameters with leading axis S, one trained network per seed.
        scaling: scaling of the features, as in training.
        network: settings of the system, see `mman_jax.build`.
        dims: D of each modality before scaling, in the order of training.
        classes: names of the classes in order; for a model of numbers, names of its targets.
        card: further facts (system, protocol, task, corpus, seeds).
        systems: the systems that `network` may name, by name.
        temperature: temperature of the seeds' mean probabilities, see
            `mman_jax.evaluation.calibration.temper`; 1 leaves them unchanged.
        units: statistics of the training labels, by which the task scales outputs (see
            `Task.reference`): [2, C] float32 for numbers, None for classes.
        cells: kind of the cells in a row.
        cell_options: arguments of `cells.make`.
        context: whether a prediction may depend on other utterances of the conversation, as in
            training (`Parts.context`); if not, the state is reset at every utterance.
        familiarity: the distribution of the training data; None if it is not stored.
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
    cells: type[Cells] = Utterances
    cell_options: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    context: bool = True
    familiarity: Familiarity | None = None

    def save(self, directory: str | pathlib.Path) -> None:
        """Writes `model.npz` into a folder: numbered arrays, and a card with their tree paths."""
        flat, card = self._stored()
        arrays = {f"{i:04d}": x for i, x in enumerate(flat.values())}
        card = {"paths": [list(path) for path in flat], **card}
        write_carded(pathlib.Path(directory) / _FILE, arrays, card)

    def save_pretrained(self, directory: str | pathlib.Path) -> None:
        """Writes a folder in the form of the hub: `model.safetensors` and `config.json`."""
        for name, content in self.pretrained_files().items():
            write_whole(pathlib.Path(directory) / name, content)

    def pretrained_files(self) -> dict[str, bytes]:
        """Returns the files of `save_pretrained` by name."""
        flat, card = self._stored()
        config = {"library_name": _LIBRARY, "format": _FORMAT, **card}
        return {
            TENSORS: tensors.to_bytes({"/".join(path): x for path, x in flat.items()}),
            CONFIG: (json.dumps(config, indent=1, allow_nan=False) + "\n").encode(),
        }

    @classmethod
    def from_pretrained(
        cls,
        name: str | pathlib.Path,
        revision: str | None = None,
        download: bool = False,
        systems: Systems = SYSTEMS,
    ) -> "Model":
        """Reads a model that `save_pretrained` wrote, from a folder or from the hub.

        Args:
            name: the folder, or the repository as `USER/NAME`.
            revision: branch, tag or commit of the repository.
            download: whether files that are not in the cache are downloaded.
            systems: the systems that the model may name, by name.

        Raises:
            InputError: if the model is missing or damaged, is one of another library, or comes
                with a pickle.
        """
        folder = pathlib.Path(name)
        if not folder.is_dir():
            folder = hub.snapshot(f"{name}@{revision}" if revision else str(name), download)
        tensors.check_no_pickle(folder)
        place = folder / CONFIG
        card = read_json(place)
        if (card.get("library_name"), card.get("format")) != (_LIBRARY, _FORMAT):
            found = f"a model of {card.get('library_name') or card.get('model_type')!r:.60}"
            raise InputError(place, found, f"one of {_LIBRARY}, in format {_FORMAT}")
        flat = tensors.read(folder / TENSORS)
        numbered = {f"{i:04d}": x for i, x in enumerate(flat.values())}
        card["paths"] = [path.split("/") for path in flat]
        return cls._checked(folder, numbered, card, systems)

    def _stored(self) -> tuple[dict[tuple[str, ...], np.ndarray], dict[str, Any]]:
        """Returns the arrays by path, and the description of the model."""
        tree = {"params": dict(self.params), **self.scaling.arrays()}
        if self.units is not None:
            tree["units"] = {"of_targets": self.units}
        if self.familiarity is not None:
            tree["familiarity"] = dict(self.familiarity.quantiles)
        flat = {path: np.asarray(x) for path, x in traverse_util.flatten_dict(tree).items()}
        return flat, {
            "network": dict(self.network),
            "modalities": list(self.dims),
            "classes": list(self.classes),
            "about": dict(self.card),
            "temperature": self.temperature,
            "context": self.context,
            **({self.cells.kind: dict(self.cell_options)} if self.cell_options else {}),
            "turns": self.scaling.turns,
        }

    @classmethod
    def load(cls, directory: str | pathlib.Path, systems: Systems = SYSTEMS) -> "Model":
        """Reads a model that `save` wrote, and checks its parameters against its network.

        Raises:
            InputError: if the model is missing, damaged, or a checkpoint of another kind.
        """
        directory = pathlib.Path(directory)
        if not (directory / _FILE).exists():
            raise InputError(directory, "no trained model", "the model folder of a finished run")
        numbered, card = read_carded(directory / _FILE, "a trained model")
        return cls._checked(directory, numbered, card, systems)

    @classmethod
    @in_standard_numbers
    def _checked(
        cls,
        directory: pathlib.Path,
        numbered: Mapping[str, np.ndarray],
        card: dict[str, Any],
        systems: Systems,
    ) -> "Model":
        """Builds a model from numbered arrays and the card that describes them."""
        arrays = stored.nested(directory, numbered, card)
        stored.check_kind(directory, arrays, card)
        scaling = stored.scaling(directory, arrays, card)
        dims = {m: len(arrays["mean"][m]) for m in card["modalities"]}
        sizes = {m: scaling.sizes[m] for m in dims}
        classes, network = tuple(card["classes"]), card["network"]
        stored.check_params(directory, arrays["params"], network, sizes, len(classes), systems)
        cells, cell_options = stored.cells(directory, card)
        return cls(
            params=arrays["params"],
            scaling=scaling,
            network=network,
            dims=dims,
            classes=classes,
            card=card["about"],
            systems=systems,
            temperature=stored.temperature(directory, card),
            units=stored.units(directory, arrays, len(classes)),
            cells=cells,
            cell_options=cell_options,
            context=card.get("context") is not False,  # earlier models have no such entry
            familiarity=stored.familiarity(directory, arrays, dims),
        )

    @property
    def task(self) -> Task:
        """The task that turns outputs into predictions."""
        return of_model(self.classes, self.units)

    @property
    def seeds(self) -> int:
        """S, the number of trained networks."""
        return len(jax.tree.leaves(self.params)[0])

    @property
    def in_context(self) -> bool:
        """Whether a prediction depends on other utterances of the conversation."""
        return self.context and self.cells.vectors and self.build().in_context

    def seed_params(self, seed: int) -> Any:
        """Returns the parameters of one of the S networks."""
        return jax.tree.map(lambda x: x[seed], self.params)

    def build(self) -> BaseSystem:
        """Builds the system of the parameters."""
        return build(self.network, list(self.dims), len(self.classes), self.systems)

    @in_standard_numbers
    def probabilities(self, corpus: Corpus) -> np.ndarray:
        """Returns the probabilities [N, C] float32 of all utterances: the tempered mean over seeds.

        A model of numbers returns its predicted numbers. Missing modalities are masked, as in
        training.

        Raises:
            InputError: if the corpus lacks a modality or its words, or a modality has another size.
        """
        return temper(self._predictions(corpus), self.temperature)

    @in_standard_numbers
    def of_each_seed(self, corpus: Corpus) -> np.ndarray:
        """Returns the untempered predictions [S, N, C] float32 of each of the S networks."""
        return self._predictions(corpus, axis=1)

    def compare(self, corpus: Corpus) -> tuple[np.ndarray, np.ndarray] | None:
        """Compares all utterances with the training data, see `Familiarity.compare`.

        Returns:
            The shares [N] and the marks [N]; None if the model stores no distances.
        """
        if self.familiarity is None:
            return None
        cells, layout, rows = self._pack(corpus)
        found = [self.familiarity.compare(x.features, x.present) for x in pieces(rows)]
        shares, unfamiliar = (np.concatenate(values) for values in zip(*found, strict=True))
        return cells.of_utterances(shares, layout), cells.of_utterances(unfamiliar, layout)

    @in_standard_numbers
    def attention(self, corpus: Corpus) -> tuple[tuple[str, ...], np.ndarray] | None:
        """Returns the attention weights of all utterances, averaged over the S seeds.

        Returns:
            The modalities in order, and the weights [N, M (query), M (key)] float32; None if the
            system has no attention.

        Raises:
            InputError: as for `probabilities`, or if the system is not a network.
        """
        cells, layout, rows = self._pack(corpus)
        system = check_network("attention", self.build())
        attention = attention_weights(system, self.params, rows.inputs)
        if attention is None:
            return None
        names, weights = attention
        return names, cells.of_utterances(weights.mean(0), layout)

    def _predictions(self, corpus: Corpus, axis: int = 0) -> np.ndarray:
        """Returns predictions [N, C], averaged over the seeds, or [S, N, C] if `axis` is 1."""
        cells, layout, rows = self._pack(corpus)
        system, task, found = self.build(), self.task, []
        for piece in pieces(rows):
            values = task.predict(system.predict_seeds(self.params, piece.inputs), self.units)
            found.append(np.asarray(values if axis else values.mean(0)))
        return cells.of_utterances(np.concatenate(found, axis), layout, axis)

    def _pack(self, corpus: Corpus) -> tuple[Cells, Layout, Batch]:
        system = self.build()
        reads = {"subword": SUBWORD in system.reads, "frame_view": system.frame_view}
        options = {**reads, "places": system.places, **self.cell_options}
        cells = self.cells.make(corpus, list(self.dims), **options)
        for modality, size in self.dims.items():
            if cells.dims[modality] != size:
                place, found = f"{corpus.source}, modality {modality}", cells.dims[modality]
                expected = f"the {size} that the model was trained on"
                raise InputError(place, f"{found} features", expected)
        lengths = cells.corpus.lengths
        layout = batching.pack(lengths, range(len(lengths)))
        return cells, layout, cells.rows(layout, self.scaling, self.context)


def pieces(rows: Batch) -> Iterator[Batch]:
    """Yields rows [R + 1, U, ...] in batches of equal shape, padded with the empty row."""
    count, length = rows.mask.shape
    size = min(count, max(1, _CELLS // length))
    for start in range(0, count, size):
        index = np.minimum(np.arange(start, start + size), count - 1)
        yield jax.tree.map(lambda x, index=index: x[index], rows)
