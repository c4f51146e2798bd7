"""Checks of systems: the properties that every system must have, each a function.

`check_system` runs all of them, as scikit-learn's `check_estimator` does for estimators. To run
one, give it a `Case`: `check_causality(Case(MySystem, settings={"units": 8}))`. A violation raises
an AssertionError that names the class and the property.
"""

import dataclasses
import functools
import importlib.util
import re
import tempfile
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from mman_jax.data.batching import gather
from mman_jax.data.corpus import Corpus
from mman_jax.data.parts import Parts, prepare
from mman_jax.data.protocols import tasks
from mman_jax.inference import exported
from mman_jax.inference.model import Model
from mman_jax.layers.precision import in_standard_numbers
from mman_jax.systems.base import System, owner
from mman_jax.systems.estimator import Estimator
from mman_jax.training import checkpoints, optimizer
from mman_jax.training.estimator import Fitting
from mman_jax.training.mesh import compiling, make_mesh
from mman_jax.training.optimizer import plain
from mman_jax.training.programs import initial
from mman_jax.training.trainer import Trainer
from mman_jax.types import UNSCORED, Array, Inputs

DIMS = {"text": 5, "speech": 4, "visual": 3}
"""Default number of features of each modality."""

# Numbers of the conversations in two rows; -1 is padding.
_CONVERSATIONS = np.array([[0, 0, 0, 1, 2, 2, -1], [3, 3, 3, 3, 3, 3, 3]])
_REAL = _CONVERSATIONS >= 0
_RESET = np.diff(_CONVERSATIONS, axis=1, prepend=-2) != 0
_ROWS, _CELLS = _CONVERSATIONS.shape
_LABELS = np.where(_REAL, np.arange(_CELLS) % 2, UNSCORED).astype(np.int32)
_DRAWS = 20  # a unit that rests at zero for some features is active for others
_EPOCHS = 2  # of each stage, so that it can be interrupted after the first
_LENGTHS = {"train": (4, 3, 5, 2), "valid": (3, 2), "test": (4, 3)}  # of the random corpus
_CYCLE = "life cycle"


@dataclasses.dataclass(frozen=True)
class Case:
    """A system at the sizes of a check, with random parameters and features.

    Attributes:
        system_class: Subclass of `System` or `Estimator`.
        dims: Number of features of each modality, by name and in order.
        outputs: C, the number of classes.
        settings: Settings for `from_settings`; None: the defaults.
        seed: Seed of everything that is random.
        training: Settings of a `Trainer`; None: Adam at a rate of 1e-3, where each stage trains the
            parameters that belong to its heads (see `mman_jax.systems.base.owner`).
        idle: Patterns of the paths of parameters that no gradient reaches by design, such as
            `decoder/kernel_hidden` in a recurrence that takes a single step.
    """

    system_class: type[System | Estimator]
    dims: Mapping[str, int] = dataclasses.field(default_factory=lambda: DIMS)
    outputs: int = 3
    settings: Mapping[str, Any] | None = None
    seed: int = 0
    training: Mapping[str, Any] | None = None
    idle: Sequence[str] = ()

    @functools.cached_property
    def system(self) -> Any:
        """The system with these settings."""
        settings = dict(self.settings or {})
        return self.system_class.from_settings(settings, list(self.dims), self.outputs)

    @property
    def heads(self) -> list[str]:
        """The heads of all stages."""
        return [head for stage in self.system.stages() for head in stage.heads]

    @functools.cached_property
    @in_standard_numbers
    def params(self) -> Any:
        """Parameters of one seed, moved a little so that no bias is zero."""
        random = np.random.default_rng(self.seed)
        start = jax.jit(lambda seed: initial(self.system, tuple(self.dims.items()), seed))(
            self.seed
        )
        return jax.tree.map(lambda x: x + np.float32(0.2 * random.normal(size=x.shape)), start)

    def draw(self, number: int = 0, cells: int = _CELLS) -> dict[str, np.ndarray]:
        """Draws features [B, cells, D] of each modality; others for each number."""
        random = np.random.default_rng([self.seed, number])
        return {m: np.float32(random.normal(size=(_ROWS, cells, d))) for m, d in self.dims.items()}

    def present(self, everywhere: bool = False) -> dict[str, np.ndarray]:
        """Returns where each modality is present, [B, U] bool: not everywhere, unless asked for."""
        cells, several = np.arange(_CELLS) + np.arange(_ROWS)[:, None], len(self.dims) + 1
        present = {m: ((cells + n) % several != 0) | everywhere for n, m in enumerate(self.dims)}
        for values in present.values():
            values[1, 5] = everywhere  # an utterance without any modality
        return present

    @in_standard_numbers
    def predict(
        self,
        features: Mapping[str, Array],
        reset: Array = _RESET,
        present: Mapping[str, Array] | None = None,
        state: Any = None,
        seed: int = 0,
        method: str = "__call__",
        mask: Array = _REAL,
    ) -> tuple[dict[str, np.ndarray], Any]:
        """Returns what a method of the system returns outside training."""
        inputs = Inputs(features, mask, reset, present or {})
        return jax.tree.map(
            np.asarray, self._apply(self.params, inputs, state, seed, method=method)
        )

    @in_standard_numbers
    def gradients(
        self, features: Mapping[str, Array], present: Mapping[str, Array], seed: int = 0
    ) -> tuple[np.ndarray, dict[str, np.ndarray], Any, dict[str, np.ndarray]]:
        """Returns the loss in training, the logits, and gradients by parameters and features."""
        inputs = Inputs(features, _REAL, _RESET, present)
        (loss, logits), by = self._gradients(self.params, features, inputs, seed)
        return jax.tree.map(np.asarray, (loss, logits, *by))

    @in_standard_numbers
    def jacobians(self) -> dict[str, dict[str, np.ndarray]]:
        """Returns derivatives of each head by each modality, [B, U, B, U, D]."""
        weights = np.float32(np.random.default_rng(self.seed).normal(size=self.outputs))

        def weighted(features):
            logits, _ = self._apply(self.params, Inputs(features, _REAL, _RESET, {}), None, 0)
            return {head: logits[head] @ weights for head in self.heads}

        return jax.tree.map(np.asarray, jax.jit(jax.jacrev(weighted))(self.draw()))

    @functools.cached_property
    def _apply(self) -> Any:
        def apply(params, inputs, state, seed, train=False, method="__call__"):
            variables, rngs = {"params": params}, {"dropout": jax.random.key(seed)}
            return self.system.apply(variables, inputs, state, train, rngs=rngs, method=method)

        return jax.jit(apply, static_argnames=("train", "method"))

    @functools.cached_property
    def _gradients(self) -> Any:
        weights = np.random.default_rng(self.seed).normal(size=(*_REAL.shape, self.outputs))
        weights = np.float32(weights * _REAL[..., None])

        def loss(params, features, inputs, seed):
            inputs = inputs._replace(features=features)
            outputs, _ = self._apply(params, inputs, None, seed, train=True)
            logits = {head: outputs[head] for head in self.heads}
            total = sum(jnp.sum(x * weights) for x in logits.values())
            losses = self.system.losses(outputs, inputs, jnp.asarray(_LABELS)).values()
            total += sum(x / jnp.maximum(weight, 1e-9) for x, weight in losses)
            return total, logits

        return jax.jit(jax.value_and_grad(loss, (0, 1), has_aux=True))

    def require(self, holds: Any, name: str, problem: str) -> None:
        """Raises an AssertionError that names the class and the property, unless it holds."""
        if not holds:
            raise AssertionError(f"{self.system_class.__name__}: {name}: {problem}")

    def require_close(self, found: Any, expected: Any, name: str, problem: str) -> None:
        """Requires two trees of arrays to be equal up to rounding."""
        close = jax.tree.map(lambda x, y: np.allclose(x, y, 1e-4, 1e-5), found, expected)
        self.require(all(jax.tree.leaves(close)), name, problem)

    def require_equal(self, found: Any, expected: Any, name: str, problem: str) -> None:
        """Requires two trees of arrays to be equal bit for bit."""
        same = jax.tree.map(np.array_equal, found, expected)
        self.require(all(jax.tree.leaves(same)), name, problem)


def check_system(
    system_class: type[System | Estimator],
    dims: Mapping[str, int] = DIMS,
    outputs: int = 3,
    settings: Mapping[str, Any] | None = None,
    seed: int = 0,
    training: Mapping[str, Any] | None = None,
    idle: Sequence[str] = (),
) -> None:
    """Checks every property that the library relies on; the arguments are those of `Case`.

    Raises:
        AssertionError: The first violation, as `MySystem: causality: ...`.
    """
    case = Case(system_class, dims, outputs, settings, seed, training, idle)
    for check in ESTIMATOR_CHECKS if issubclass(system_class, Estimator) else CHECKS:
        check(case)


def check_shapes(case: Case) -> None:
    """Requires logits [B, U, C] float32 of every head of every stage."""
    inputs = Inputs(case.draw(), _REAL, _RESET, {})
    for train in (False, True):
        apply = functools.partial(case._apply, train=train)
        outputs, state = jax.eval_shape(apply, case.params, inputs, None, 0)
        problem = f"outputs are {', '.join(outputs)}; the stages have {', '.join(case.heads)}"
        extra = set(outputs) - set(case.heads)
        case.require(set(case.heads) <= set(outputs) and (train or not extra), "shapes", problem)
        for head in case.heads:
            x = outputs[head]
            good = x.shape == (*_REAL.shape, case.outputs) and x.dtype == np.float32
            case.require(good, "shapes", f"logits of {head!r} are {x.dtype} {list(x.shape)}")
        rows = [x.shape[:1] == (_ROWS,) for x in jax.tree.leaves(state)]
        case.require(all(rows), "shapes", "an array of the state has another first axis than B")


def check_dropout(case: Case) -> None:
    """Requires dropout to act in training, if a rate is above zero, and at no other time."""
    (first, _), (second, _) = (case.predict(case.draw(), seed=seed) for seed in (0, 1))
    case.require_equal(first, second, "dropout", "logits outside training depend on the key")
    given = case.draw(), case.present(everywhere=True)
    first, again, second = (case.gradients(*given, seed)[1] for seed in (0, 0, 1))
    case.require_equal(first, again, "dropout", "the same key gives other logits")
    rates = _dropout_rates(case.system_class.defaults() | dict(case.settings or {}))
    differ = any(not np.array_equal(first[head], second[head]) for head in first)
    acts = differ or not any(rate > 0 for rate in rates)
    case.require(acts, "dropout", "logits in training do not depend on the key")


def check_stages(case: Case) -> None:
    """Requires the method of each stage to give what `__call__` gives for its heads."""
    expected, _ = case.predict(case.draw())
    for stage in case.system.stages():
        reads = case.predict(case.draw(), method=stage.reads)[0] if stage.reads else case.draw()
        logits, _ = case.predict(reads, method=stage.method)
        pairs = [{head: x.get(head) for head in stage.heads} for x in (logits, expected)]
        problem = f"{stage.method!r} of stage {stage.name!r} gives other logits than `__call__`"
        case.require_close(*pairs, "stages", problem)


def check_padding(case: Case) -> None:
    """Requires that neither the values nor the amount of padding change any logits or loss."""
    features, present, more = case.draw(), case.present(), case.draw(2, 2)
    other = {m: np.where(_REAL[..., None], x, case.draw(1)[m]) for m, x in features.items()}
    before, after = ([*case.gradients(x, present)[:2]] for x in (features, other))
    before.append(case.predict(features, _RESET, present)[0])
    after.append(case.predict(other, _RESET, present)[0])
    before, after = (jax.tree.map(lambda x: x[_REAL] if x.ndim else x, t) for t in (before, after))
    case.require_close(after, before, "padding", "its values change logits or the loss")
    longer = {m: np.concatenate([x, more[m]], axis=1) for m, x in features.items()}
    present = {m: np.pad(x, ((0, 0), (0, 2))) for m, x in present.items()}
    reset = np.pad(_RESET, ((0, 0), (0, 2)))
    reset[1, _CELLS] = True  # padding starts here
    mask = np.pad(_REAL, ((0, 0), (0, 2)))
    logits, _ = case.predict(longer, reset, present, mask=mask)
    after = {head: x[:, :_CELLS][_REAL] for head, x in logits.items()}
    case.require_close(after, before[-1], "padding", "more of it changes logits")


def check_packing(case: Case) -> None:
    """Requires the logits of a conversation to be the same alone and beside others in a row."""
    packed, _ = case.predict(case.draw(), _RESET, case.present())
    for number in range(_CONVERSATIONS.max() + 1):
        here = np.equal(_CONVERSATIONS, number)
        length, features, present = here.sum(), case.draw(1), case.present(everywhere=True)
        for m in case.dims:
            features[m][0, :length] = case.draw()[m][here]
            present[m][0, :length] = case.present()[m][here]
        reset = np.zeros(_RESET.shape, bool)
        reset[:, 0] = reset[:, length : length + 1] = True
        mask = np.broadcast_to(np.arange(_CELLS) < length, reset.shape)
        alone, _ = case.predict(features, reset, present, mask=mask)
        pair = {h: x[0, :length] for h, x in alone.items()}, {h: x[here] for h, x in packed.items()}
        case.require_close(*pair, "packing", "logits depend on other conversations of the batch")


def check_causality(case: Case) -> None:
    """Requires a gradient from an utterance and its context, and none from what is unknown then.

    Unknown are other conversations; if the system is `causal`, later utterances; and if it is not
    `in_context`, all other utterances.
    """
    system, name, steps = case.system, "causality", np.arange(_CELLS)
    same = _CONVERSATIONS[:, :, None, None] == _CONVERSATIONS
    others = same & (steps[:, None, None] != steps)
    unknown = same & (steps[:, None, None] < steps) & system.causal
    unknown = unknown if system.in_context else others
    for head, by_modality in case.jacobians().items():
        reaches = np.any([(x != 0).any(-1) for x in by_modality.values()], axis=0)
        reaches[~_REAL] = False
        case.require((reaches & same & ~others).any(), name, f"{head!r} depends on no feature")
        case.require(not (reaches & ~same).any(), name, f"{head!r} depends on other conversations")
        problem = f"{head!r} depends on {'later' if system.in_context else 'other'} utterances"
        case.require(not (reaches & unknown).any(), name, problem)
        if head == system.head and system.in_context:
            problem = f"{head!r} depends on no other utterance, yet `in_context` is True"
            case.require((reaches & others).any(), name, problem)
    if system.causal:  # also where no gradient shows it
        other = {m: np.where((steps < 3)[:, None], x, -x) for m, x in case.draw().items()}
        pair = [{h: x[:, :3] for h, x in case.predict(f)[0].items()} for f in (case.draw(), other)]
        case.require_close(*pair, name, "logits depend on the values of later utterances")


def check_streaming(case: Case) -> None:
    """Requires, if the system `streams`, the same logits one utterance at a time as in a row.

    The state before a conversation is zeros, and it keeps its structure, shapes and dtypes.
    """
    if not (case.system.causal and case.system.streams):
        return
    given = case.draw(), case.present()
    expected, last = case.predict(given[0], _RESET, given[1])
    state = jax.tree.map(np.zeros_like, last)
    for u in range(_CELLS):
        features, present = ({m: x[:, u : u + 1] for m, x in several.items()} for several in given)
        reset, mask = _RESET[:, u : u + 1] & (u > 0), _REAL[:, u : u + 1]
        logits, state = case.predict(features, reset, present, state, mask=mask)
        old, new = (jax.tree.map(lambda x: (x.shape, x.dtype), x) for x in (last, state))
        case.require(old == new, "streaming", "the state changes its structure, shapes or dtypes")
        real = _REAL[:, u]
        pair = ({h: x[real, at] for h, x in t.items()} for t, at in ((logits, 0), (expected, u)))
        problem = f"logits of utterance {u} differ from those of the whole row"
        case.require_close(*pair, "streaming", problem)


def check_missing_modalities(case: Case) -> None:
    """Requires that features of a missing modality, also NaN, change nothing."""
    name, present, features = "missing modalities", case.present(), case.draw()
    broken = {m: np.where(present[m][..., None], x, np.nan) for m, x in features.items()}
    broken = {m: np.float32(x) for m, x in broken.items()}
    pair = (case.predict(x, _RESET, present)[0] for x in (features, broken))
    case.require_equal(*pair, name, "their features change logits")
    pair = (case.gradients(x, present)[:2] for x in (features, broken))
    case.require_equal(*pair, name, "their features change the loss")
    _, _, by_params, by_features = case.gradients(broken, present)
    finite = all(np.isfinite(x).all() for x in jax.tree.leaves(by_params))
    case.require(finite, name, "a NaN among their features reaches a gradient")
    for m, gradient in by_features.items():
        case.require(not gradient[~present[m]].any(), name, f"{m!r} has a gradient where missing")
    pair = (case.predict(features, _RESET, x)[0] for x in (None, case.present(everywhere=True)))
    pair = ({head: x[_REAL] for head, x in logits.items()} for logits in pair)
    case.require_close(*pair, name, "logits change where `present` is True everywhere")


def check_gradients(case: Case) -> None:
    """Requires a gradient to reach every parameter, and a stage to train it."""
    total, present = jax.tree.map(np.zeros_like, case.params), case.present(everywhere=True)
    for number in range(_DRAWS):
        _, _, gradients, _ = case.gradients(case.draw(number), present, number)
        total = jax.tree.map(lambda x, y: x + np.abs(y), total, gradients)
        if all(x.any() for x in jax.tree.leaves(total)):
            break
    training, stages = _training(case), case.system.stages()
    groups = [optimizer.labels(case.params, training[stage.name]["rules"]) for stage in stages]
    leaves = jax.tree_util.tree_leaves_with_path(total)
    for (path, x), *trained in zip(leaves, *map(jax.tree.leaves, groups), strict=True):
        where = jax.tree_util.keystr(path, simple=True, separator="/")
        idle = any(re.fullmatch(pattern, where) for pattern in case.idle)
        case.require(idle or x.any(), "gradients", f"none reaches {where}")
        case.require(not (idle and x.any()), "gradients", f"{where} has one, but is listed as idle")
        case.require({*trained} != {optimizer.FROZEN}, "gradients", f"no stage trains {where}")


def check_estimator(case: Case) -> None:
    """Requires an estimator to repeat itself, know no context and accept missing modalities."""
    random, count = np.random.default_rng(case.seed), 12 * case.outputs
    labels = np.arange(count, dtype=np.int32) % case.outputs
    features = {m: np.float32(random.normal(size=(count, d))) for m, d in case.dims.items()}
    for number, x in enumerate(features.values()):
        x += labels[:, None]
        x[number :: len(features) + 1] = 0  # missing
    fitted, again = (case.system.fit(features, labels, case.seed) for _ in range(2))
    case.require_equal(again, fitted, "seeds", "the same seed gives other parameters")
    case.system.check(fitted, case.dims)
    logits = case.system.logits(fitted, features)
    good = logits.shape == (count, case.outputs) and logits.dtype == np.float32
    case.require(good, "shapes", f"logits are {logits.dtype} {list(logits.shape)}")
    finite = np.isfinite(logits).all()
    case.require(finite, "missing modalities", "logits are not finite where features are zeros")
    order = random.permutation(count)
    mixed = case.system.logits(fitted, {m: x[order] for m, x in features.items()})
    case.require_close(mixed, logits[order], "context", "logits depend on other utterances")


def check_life_cycle(case: Case) -> None:
    """Requires training, freezing, resuming, saving, loading and exporting to agree."""
    corpus, fits = _corpus(case), issubclass(case.system_class, Estimator)
    parts, called = prepare(corpus), case.system_class.__name__
    network, systems = {"system": called} | plain(case.settings or {}), {called: case.system_class}
    with compiling(quickly=True), tempfile.TemporaryDirectory() as folder:
        params, logits = (_fit if fits else _train)(case, parts)
        given = jax.tree.map(np.asarray, params), parts.scaling, network, corpus.dims
        Model(*given, corpus.label_names, systems=systems).save(folder)
        model = Model.load(folder, systems)
        layout, probabilities = parts.layouts["test"], model.probabilities(corpus)
        expected = gather(layout, np.asarray(jax.nn.softmax(logits)).mean(0))
        found = probabilities[corpus.utterances_of(layout.conversations)]
        case.require_close(found, expected, _CYCLE, "the loaded model differs from the trainer")
        if not fits and importlib.util.find_spec("flatbuffers"):  # jax.export needs it
            _check_export(case, model, corpus, probabilities)


def _train(case: Case, parts: Parts) -> tuple[Any, np.ndarray]:
    """Trains two seeds; returns their parameters and their logits on the test part."""
    (task,) = tasks(parts.corpus, "auto")
    labels, seeds = parts.labels(task), [case.seed, case.seed + 1]
    mesh = make_mesh(len(seeds), "jit", 1, 1)
    trainer = Trainer(case.system, _training(case), parts.rows, case.outputs, mesh)
    before = jax.tree.map(np.array, trainer.start(trainer.stages[0], seeds).params)
    snapshots = []
    for snapshot in trainer.run(labels, seeds):  # the next epoch overwrites the state
        snapshots.append(snapshot._replace(state=jax.tree.map(np.array, snapshot.state)))
    for stage in trainer.stages:
        several = [snapshot for snapshot in snapshots if snapshot.stage == stage]
        after, moved = several[-1].state.params, set()
        groups = jax.tree.leaves(trainer.stage(stage).groups)
        pairs = zip(jax.tree.leaves(before), jax.tree.leaves(after), strict=True)
        for group, (old, new) in zip(groups, pairs, strict=True):
            case.require(np.isfinite(new).all(), _CYCLE, f"{stage!r} ends in infinite parameters")
            moved |= set() if np.array_equal(old, new) else {group}
        case.require(optimizer.FROZEN not in moved, _CYCLE, f"{stage!r} changes what is frozen")
        still = ", ".join(sorted({*groups} - {optimizer.FROZEN} - moved))
        case.require(not still, _CYCLE, f"{stage!r} does not train {still}")
        before = several[-1].state.best
        packed = checkpoints.pack(several[0])
        start = checkpoints.unpack(*packed, trainer.stages, trainer.template)
        *_, resumed = trainer.run(labels, seeds, start)
        pair = ((x.state, x.finished) for x in (resumed, snapshots[-1]))
        case.require_equal(*pair, _CYCLE, f"resuming in {stage!r} gives other numbers")
    return before, trainer.answers(before)["test"]


def _fit(case: Case, parts: Parts) -> tuple[Any, np.ndarray]:
    """Fits an estimator; returns its parameters of two seeds and its logits on the test part."""
    (task,) = tasks(parts.corpus, "auto")
    fitting = Fitting(case.system, parts.rows)
    params = fitting.fit(parts.labels(task), [case.seed, case.seed + 1]).state.best
    return params, fitting.answers(params)["test"]


def _check_export(case: Case, model: Model, corpus: Corpus, probabilities: np.ndarray) -> None:
    """Requires the functions of `jax.export` to answer the first conversation as the model does."""
    from jax import export

    def loaded(function):
        return jax.jit(export.deserialize(function.serialize()).call)

    length, both = int(corpus.lengths[0]), (corpus.features, corpus.present)
    features, present = ({m: x[None, :length] for m, x in several.items()} for several in both)
    found = [loaded(exported.conversations([model]))(features, present)[0]]
    if case.system.causal and case.system.streams:
        step, state, turns = loaded(exported.step([model])), exported.initial_state([model]), []
        state = state[None]
        for u in range(length):
            now = ({m: x[:, u] for m, x in several.items()} for several in (features, present))
            state, turn = step(state, *now)
            turns.append(turn[0])
        found.append(np.stack(turns))
    expected = [probabilities[:length]] * len(found)
    case.require_close(found, expected, _CYCLE, "an exported function differs from the model")


def _corpus(case: Case) -> Corpus:
    """A random corpus of all three parts, where every modality is missing at times."""
    random, split = np.random.default_rng(case.seed), [p for p in _LENGTHS for _ in _LENGTHS[p]]
    lengths = np.array([n for part in _LENGTHS.values() for n in part], np.int32)
    count = lengths.sum()
    present = {m: random.random(count) < 0.8 for m in case.dims}
    drawn = {m: random.normal(size=(count, d)) for m, d in case.dims.items()}
    return Corpus(
        features={m: np.float32(x * present[m][:, None]) for m, x in drawn.items()},
        labels=np.arange(count, dtype=np.int32) % case.outputs,
        label_names=tuple(f"class_{n}" for n in range(case.outputs)),
        lengths=lengths,
        conversation_ids=tuple(f"conversation_{n}" for n in range(len(lengths))),
        utterance_ids=tuple(f"utterance_{u}" for n in lengths for u in range(n)),
        split=tuple(split),
        present=present,
    )


def _training(case: Case) -> dict[str, Any]:
    """Settings of a trainer that ends each stage after two epochs."""
    if case.training is not None:
        return plain(case.training) | {"max_epochs": _EPOCHS}
    stages = case.system.stages()
    heads = {head: stage.name for stage in stages for head in stage.heads}
    tops = {top: heads.get(owner(top, heads), stages[0].name) for top in case.params}
    shared = {"optimizer": "adam", "learning_rate": {"default": 1e-3}, "clip": 1e9}
    shared |= {"epochs": _EPOCHS, "patience": _EPOCHS}
    settings = {"batch": 2, "max_epochs": _EPOCHS, "select": "loss", "class_weights": False}
    for stage in stages:
        rules = [(f"{re.escape(top)}(/.*)?", tops[top] == stage.name) for top in tops]
        settings[stage.name] = shared | {"rules": rules}
    return settings


def _dropout_rates(settings: Any, named: bool = False) -> list[float]:
    """The numbers of all settings that have `dropout` in their name, or in that of their table."""
    if hasattr(settings, "items"):
        pairs = settings.items()
        return [r for k, v in pairs for r in _dropout_rates(v, named or "dropout" in str(k))]
    return [settings] if named and isinstance(settings, int | float) else []


CHECKS = (
    *(check_shapes, check_dropout, check_stages, check_padding, check_packing, check_causality),
    *(check_streaming, check_missing_modalities, check_gradients, check_life_cycle),
)
"""What `check_system` checks of a network, in order."""

ESTIMATOR_CHECKS = (check_estimator, check_life_cycle)
"""What it checks of an estimator."""
