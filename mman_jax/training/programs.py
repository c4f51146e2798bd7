"""The programs of a system's stages on one corpus: made once, compiled when first called."""

import dataclasses
import functools
import math
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh

from mman_jax.errors import InputError
from mman_jax.evaluation.ratings import Target
from mman_jax.layers.precision import in_standard_numbers
from mman_jax.systems.base import System
from mman_jax.systems.key import Key
from mman_jax.training import freezing, plateau, processes
from mman_jax.training import mesh as distribution
from mman_jax.training.feeding import Epochs, Predictions, Resident, Streamed
from mman_jax.training.frozen import inputs_are_frozen
from mman_jax.training.mesh import ROWS
from mman_jax.training.objectives import objective
from mman_jax.training.optimizer import plain
from mman_jax.training.parameters import drawn, shapes
from mman_jax.training.rows import batch_rows, featureless
from mman_jax.training.selection import Selection
from mman_jax.training.stage import StageTraining
from mman_jax.types import Batch

_EPOCHS_A_CALL = 10


class Programs:
    """What a system's training computes, as settings say, on one corpus."""

    @in_standard_numbers
    def __init__(
        self,
        system: System,
        settings: Mapping[str, Any],
        rows: Mapping[str, Batch],
        classes: int,
        mesh: Mesh,
        parallel: str = "jit",
        stream: bool | None = None,
        conversations: int | None = None,
        targets: Sequence[Target] = (),
    ):
        """Places the corpus on the devices, if it is not to be streamed; compiles nothing yet.

        Args:
            system: what is trained; it says by which stages.
            settings: `batch`, `max_epochs`, `select`, `class_weights`; by choice `smoothing` (both
                see `Selection`), `label_smoothing`, `average` (`averaging`) and `loss` of numbers
                (`objectives.objective`); and a mapping for each stage by its name: `rules`
                (`freezing.labels`), `optimizer` (adamw, adam or adadelta), `learning_rate`
                (`default`, and any head's own by its name), `weight_decay`, `clip`, `epochs`,
                `patience`, and by choice `answers`, `plateau` (`plateau.Plateau`), and of Adam `b2`
                and `eps`. `mman_jax.systems.mman.training()` is such a mapping.
            rows: of `train`, `valid` and `test`, each with one empty row at its end.
            classes: C: of the classes, or of the targets.
            mesh: devices as [seed shards, row shards].
            parallel: `jit` or `pmap`.
            stream: whether the devices get a batch at a time, and each process reads the rows of
                its own devices alone; None: where all rows would take over half of a device.
            conversations: of an epoch, where several splits of a corpus, with rows of equal shapes,
                are to share compiled programs: the most that any trains on. None: those in `rows`.
            targets: the C that are answered, where these are numbers; none: classes are.

        Raises:
            InputError: if rows are to be streamed by `pmap`, or a stage has no settings; a loss of
                numbers that there is not, or one of them for classes.
        """
        self.system = system
        self.settings = settings
        self.classes = classes
        self.mesh = mesh
        self.parallel = parallel
        self.objective = objective(settings, classes, targets)
        self._conversations = conversations
        self._host_rows = dict(rows)
        if stream is None:
            features = [x for part in rows.values() for x in part.features.values()]
            stream = not distribution.fits(sum(x.nbytes for x in features), mesh)
        if stream and parallel == "pmap":
            raise InputError("parallel", "'pmap' with rows streamed", "'jit'")
        self._feed = Streamed(rows, mesh) if stream else Resident(rows, mesh, parallel)
        self._plain: Resident | None = None
        self._answer: Predictions | None = None
        self._compiled: dict[str, Any] = {}
        self._stages = {stage.name: stage for stage in system.stages()}
        for name in self._stages:
            if name not in settings:
                raise InputError(f"train.{name}", "no settings", "some for each stage")
        if len(set(map(_key, self._stages))) < len(self._stages):
            raise ValueError(f"stages of equal letters, {', '.join(self._stages)}: name one anew")

    @in_standard_numbers
    def put(self, rows: Mapping[str, Batch]) -> None:
        """Goes over to other rows, such as another fold's; what was compiled stays.

        Args:
            rows: of shapes equal to those before (see `parts.common_shapes`).

        Raises:
            ValueError: if a shape differs.
        """
        before, now = (
            jax.tree.map(lambda x: x.shape, several) for several in (self._host_rows, dict(rows))
        )
        if before != now:
            raise ValueError("rows of other shapes than those that programs were made for")
        self._host_rows = dict(rows)
        self._feed.put(rows)
        if self._plain is not None:
            self._plain.put(featureless(rows))

    def release(self) -> None:
        """Frees what the rows take on the devices, until others are put."""
        self._feed.release()

    @property
    def streamed(self) -> bool:
        """Whether rows are streamed: all seeds then see them in one order, else each in its own."""
        return isinstance(self._feed, Streamed)

    @property
    def stages(self) -> tuple[str, ...]:
        """Names of the stages, in order."""
        return tuple(self._stages)

    def heads(self, stage: str) -> tuple[str, ...]:
        """The heads that a stage trains."""
        return self._stages[stage].heads

    def epochs(self, stage: str) -> int:
        """The most epochs that a stage may take."""
        return min(self.settings["max_epochs"], self.settings[stage]["epochs"])

    def steps(self, stage: str) -> int:
        """The optimizer's steps of an epoch."""
        rows = int(self._host_rows["train"].mask.any(1).sum())
        return math.ceil(rows / self.stage(stage).batch_rows)

    def init(self, seed: jax.Array) -> Any:
        """One seed's parameters before training.

        Args:
            seed: a scalar, uint32.
        """
        return drawn(self.system, self.sizes, seed)

    @property
    def sizes(self) -> tuple[tuple[str, int], ...]:
        """Each modality's name and D, in order."""
        train = self._host_rows["train"].features
        return tuple((m, x.shape[-1]) for m, x in train.items())

    @functools.cached_property
    def shapes(self) -> Any:
        """Shapes and dtypes of one seed's parameters."""
        return shapes(Key(self.system), self.sizes)

    @property
    def parameters(self) -> int:
        """How many parameters one seed has."""
        return sum(math.prod(x.shape) for x in jax.tree.leaves(self.shapes))

    def stage(self, name: str) -> StageTraining:
        """How a stage is trained, from the settings."""
        stage, settings = self._stages[name], self.settings[name]
        groups = freezing.labels(self.shapes, settings["rules"])
        train, conversations = self._host_rows["train"], self._conversations
        frozen = inputs_are_frozen(self.system, self.sizes, stage, groups)
        if conversations is None:
            conversations = int((train.reset & train.mask).sum())
        made = StageTraining(
            name=name,
            key=_key(name),
            system=self.system,
            method=stage.method if frozen or not stage.reads else "__call__",
            heads=stage.heads,
            groups=groups,
            settings=plain(settings),
            objective=self.objective,
            batch_rows=batch_rows(len(train.mask) - 1, conversations, self.settings["batch"]),
            decay=self.settings.get("average", 0.0),
            selection=Selection(
                self.settings["select"], settings["patience"], self.settings.get("smoothing", 0.0)
            ),
            valid_rows=len(self._host_rows["valid"].mask) - 1,
            padded=self._conversations is not None,
            row_shards=self.mesh.shape[ROWS],
            plateau=plateau.of_settings(settings, stage.heads),
        )
        _ = made.optimizer  # an unknown one is said now
        return made

    def trainable(self, params: Any) -> int:
        """How many parameters of one seed the last stage trains.

        Args:
            params: leading axis S.
        """
        groups = jax.tree.leaves(self.stage(self.stages[-1]).groups)
        sizes = [math.prod(x.shape[1:]) for x in jax.tree.leaves(params)]
        pairs = zip(groups, sizes, strict=True)
        return sum(size for group, size in pairs if group != freezing.FROZEN)

    @property
    def answered(self) -> int:
        """How many utterances `answers` answers: where it reads what is frozen, training's, too."""
        _, _, predict = self.compile(self.stages[-1])
        parts = self._host_rows if predict else ("valid", "test")
        return sum(int(self._host_rows[part].mask.sum()) for part in parts)

    def answers(self, params: Any) -> dict[str, np.ndarray]:
        """The system's logits [S, R + 1, U, C] on the rows of `valid` and `test`; of numbers what
        its head gives, in deviations of training.

        Args:
            params: trained, leading axis S.
        """
        stage, _, predict = self.compile(self.stages[-1])
        own = predict(params, {}) if predict else {}
        if self._answer is None:
            feed = self._plain_feed() if predict else self._feed
            self._answer = feed.predictions(stage, held_alone=True)
        logits = self._answer(params, own)["held"][self.system.head]
        logits = processes.whole(logits)
        lengths = {part: self._host_rows[part].mask.shape[1] for part in ("valid", "test")}
        valid, test = logits[:, : stage.valid_rows], logits[:, stage.valid_rows :]
        empty = np.zeros_like(valid[:, :1])
        valid = np.concatenate([valid, empty], axis=1)
        return {"valid": valid[:, :, : lengths["valid"]], "test": test[:, :, : lengths["test"]]}

    def compile(self, name: str) -> tuple[StageTraining, Epochs, Predictions | None]:
        """A stage, its epochs for all seeds, and what gives its inputs where they are frozen."""
        if name not in self._compiled:
            stage = self.stage(name)
            declared, predict, feed, calls = self._stages[name], None, self._feed, 1
            if inputs_are_frozen(self.system, self.sizes, declared, stage.groups):
                answering = dataclasses.replace(stage, method=declared.reads)
                predict, feed = self._feed.predictions(answering), self._plain_feed()
                # Such an epoch takes less time than the call: several at once.
                whole = self.epochs(name)
                calls = max(n for n in range(1, _EPOCHS_A_CALL + 1) if whole % n == 0)
            self._compiled[name] = (stage, feed.epochs(stage, calls), predict)
        return self._compiled[name]

    def _plain_feed(self) -> Resident:
        """Rows without features: those of a stage that reads what is frozen are each seed's own."""
        if self._plain is None:
            self._plain = Resident(featureless(self._host_rows), self.mesh, self.parallel)
        return self._plain


def _key(stage: str) -> int:
    """Sets a stage's random numbers apart from those of others; of its letters."""
    return sum(stage.encode())
