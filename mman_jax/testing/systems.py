"""Checks of properties that every system must have, such as causality, packing and gradients."""

import dataclasses
import functools
import re
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from mman_jax.layers.precision import in_standard_numbers
from mman_jax.systems.base import BaseSystem, owner
from mman_jax.training import optimizer
from mman_jax.training.programs import initial
from mman_jax.types import UNSCORED, Array, Inputs

DIMS = {"text": 5, "speech": 4, "visual": 3}
"""Default number of features of each modality."""

# Indices of the conversations in two rows; -1 is padding.
CONVERSATIONS = np.array([[0, 0, 0, 1, 2, 2, -1], [3, 3, 3, 3, 3, 3, 3]])
REAL = CONVERSATIONS >= 0
RESET = np.diff(CONVERSATIONS, axis=1, prepend=-2) != 0
ROWS, CELLS = CONVERSATIONS.shape
LABELS = np.where(REAL, np.arange(CELLS) % 2, UNSCORED).astype(np.int32)
_EPOCHS = 2  # epochs of each stage, so that it can be interrupted after the first


_DRAWS = 20  # a unit that is inactive for some features is active for others


@dataclasses.dataclass(frozen=True)
class Case:
    """A small system with random parameters and features, for a check.

    Attributes:
        system_class: Subclass of `System` or `Estimator`.
        dims: Number of features of each modality, by name and in order.
        outputs: C, the number of classes.
        settings: Settings for `from_settings`; None for the defaults.
        seed: The random seed.
        training: Settings of a `Trainer`; None: Adam at a rate of 1e-3, where each stage trains the
            parameters that belong to its heads (see `mman_jax.systems.base.owner`).
        idle: Patterns of the paths of parameters that no gradient reaches by design, such as
            `decoder/kernel_hidden` in a recurrence that takes a single step.
    """

    system_class: type[BaseSystem]
    dims: Mapping[str, int] = dataclasses.field(default_factory=lambda: DIMS)
    outputs: int = 3
    settings: Mapping[str, Any] | None = None
    seed: int = 0
    training: Mapping[str, Any] | None = None
    idle: Sequence[str] = ()

    @functools.cached_property
    def system(self) -> Any:
        """The system, built from the settings."""
        settings = dict(self.settings or {})
        return self.system_class.from_settings(settings, list(self.dims), self.outputs)

    @property
    def heads(self) -> list[str]:
        """The heads of all stages."""
        return [head for stage in self.system.stages() for head in stage.heads]

    @functools.cached_property
    @in_standard_numbers
    def params(self) -> Any:
        """Parameters of one seed, perturbed so that no bias is zero."""
        random = np.random.default_rng(self.seed)
        start = jax.jit(lambda seed: initial(self.system, tuple(self.dims.items()), seed))
        return jax.tree.map(
            lambda x: x + np.float32(0.2 * random.normal(size=x.shape)),
            jax.device_get(start(self.seed)),  # in NumPy, so that no sum is compiled
        )

    def draw(self, number: int = 0, cells: int = CELLS) -> dict[str, np.ndarray]:
        """Samples features [B, cells, D] of each modality, which depend on `number`."""
        random = np.random.default_rng([self.seed, number])
        sizes = {m: (ROWS, cells, d) for m, d in self.dims.items()}
        return {m: random.normal(size=size).astype(np.float32) for m, size in sizes.items()}

    def present(self, everywhere: bool = False) -> dict[str, np.ndarray]:
        """Returns where each modality is present, [B, U] bool: some cells, or all of them."""
        cells, period = np.arange(CELLS) + np.arange(ROWS)[:, None], len(self.dims) + 1
        present = {m: ((cells + n) % period != 0) | everywhere for n, m in enumerate(self.dims)}
        for values in present.values():
            values[1, 5] = everywhere  # an utterance without any modality
        return present

    @in_standard_numbers
    def predict(
        self,
        features: Mapping[str, Array],
        reset: Array = RESET,
        present: Mapping[str, Array] | None = None,
        state: Any = None,
        seed: int = 0,
        method: str = "__call__",
        mask: Array = REAL,
        spoken: tuple[Array, ...] = (),
    ) -> tuple[dict[str, np.ndarray], Any]:
        """Calls a method of the system outside training, and returns its results.

        `spoken` are the fields `speakers` and `new_speaker` of the inputs, by default `speakers`.
        """
        inputs = Inputs(features, mask, reset, present or {}, *(spoken or self.speakers))
        return jax.tree.map(np.asarray, self.apply(self.params, inputs, state, seed, method=method))

    @in_standard_numbers
    def gradients(
        self, features: Mapping[str, Array], present: Mapping[str, Array], seed: int = 0
    ) -> tuple[np.ndarray, dict[str, np.ndarray], Any, dict[str, np.ndarray]]:
        """Returns the loss and logits in training, and gradients by parameters and features."""
        inputs = Inputs(features, REAL, RESET, present, *self.speakers)
        (loss, logits), by = self._gradients(self.params, features, inputs, seed)
        return jax.tree.map(np.asarray, (loss, logits, *by))

    @functools.cached_property
    def speakers(self) -> tuple[np.ndarray, ...]:
        """The slots [B, U] int32 of speakers, and where these are new; empty if not read.

        In each conversation two speakers take turns, and a stranger takes the slot of the first at
        the fifth utterance, as if there were no others.
        """
        if not self.system.places:
            return ()
        turn = np.arange(CELLS) - np.maximum.accumulate(np.where(RESET, np.arange(CELLS), 0), 1)
        slots = turn % min(2, self.system.places)
        return slots.astype(np.int32), (turn == slots) | (turn == 4)

    @in_standard_numbers
    def jacobians(self) -> dict[str, dict[str, np.ndarray]]:
        """Returns derivatives of each head by each modality, [B, U, B, U, D]."""
        weights = np.float32(np.random.default_rng(self.seed).normal(size=self.outputs))

        def weighted(features):
            inputs = Inputs(features, REAL, RESET, {}, *self.speakers)
            logits, _ = self.apply(self.params, inputs, None, 0)
            return {head: logits[head] @ weights for head in self.heads}

        return jax.tree.map(np.asarray, jax.jit(jax.jacrev(weighted))(self.draw()))

    @functools.cached_property
    def apply(self) -> Any:
        """The compiled `System.apply` of (params, inputs, state, seed)."""

        def apply(params, inputs, state, seed, train=False, method="__call__"):
            variables, rngs = {"params": params}, {"dropout": jax.random.key(seed)}
            return self.system.apply(variables, inputs, state, train, rngs=rngs, method=method)

        return jax.jit(apply, static_argnames=("train", "method"))

    @functools.cached_property
    def _gradients(self) -> Any:
        random = np.random.default_rng(self.seed)
        weights = random.normal(size=(*REAL.shape, self.outputs)) * REAL[..., None]
        weights = weights.astype(np.float32)

        def loss(params, features, inputs, seed):
            inputs = inputs._replace(features=features)
            outputs, _ = self.apply(params, inputs, None, seed, train=True)
            logits = {head: outputs[head] for head in self.heads}
            total = sum(jnp.sum(x * weights) for x in logits.values())
            losses = self.system.losses(outputs, inputs, jnp.asarray(LABELS)).values()
            total += sum(x / jnp.maximum(weight, 1e-9) for x, weight in losses)
            return total, logits

        return jax.jit(jax.value_and_grad(loss, (0, 1), has_aux=True))

    def require(self, holds: Any, name: str, problem: str) -> None:
        """Raises an AssertionError that names the class and the property if it is violated."""
        if not holds:
            raise AssertionError(f"{self.system_class.__name__}: {name}: {problem}")

    def require_close(self, actual: Any, expected: Any, name: str, problem: str) -> None:
        """Requires two trees of arrays to be equal up to rounding."""
        close = jax.tree.map(lambda x, y: np.allclose(x, y, 1e-4, 1e-5), actual, expected)
        self.require(all(jax.tree.leaves(close)), name, problem)

    def require_equal(self, actual: Any, expected: Any, name: str, problem: str) -> None:
        """Requires two trees of arrays to be equal bit for bit."""
        same = jax.tree.map(np.array_equal, actual, expected)
        self.require(all(jax.tree.leaves(same)), name, problem)


def training_settings(case: Case) -> dict[str, Any]:
    """Returns settings of a trainer that ends each stage after two epochs."""
    if case.training is not None:
        return optimizer.plain(case.training) | {"max_epochs": _EPOCHS}
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


def check_shapes(case: Case) -> None:
    """Requires logits [B, U, C] float32 of every head of every stage."""
    inputs = Inputs(case.draw(), REAL, RESET, {}, *case.speakers)
    for train in (False, True):
        apply = functools.partial(case.apply, train=train)
        outputs, state = jax.eval_shape(apply, case.params, inputs, None, 0)
        problem = f"outputs are {', '.join(outputs)}; the stages have {', '.join(case.heads)}"
        extra = set(outputs) - set(case.heads)
        case.require(set(case.heads) <= set(outputs) and (train or not extra), "shapes", problem)
        for head in case.heads:
            x = outputs[head]
            good = x.shape == (*REAL.shape, case.outputs) and x.dtype == np.float32
            case.require(good, "shapes", f"logits of {head!r} are {x.dtype} {list(x.shape)}")
        rows = [x.shape[:1] == (ROWS,) for x in jax.tree.leaves(state)]
        case.require(all(rows), "shapes", "the first axis of an array of the state is not B")


def check_dropout(case: Case) -> None:
    """Requires dropout to act in training if a rate is above zero, and never outside training."""
    (first, _), (second, _) = (case.predict(case.draw(), seed=seed) for seed in (0, 1))
    case.require_equal(first, second, "dropout", "logits outside training depend on the key")
    inputs = case.draw(), case.present(everywhere=True)
    first, repeated, second = (case.gradients(*inputs, seed)[1] for seed in (0, 0, 1))
    case.require_equal(first, repeated, "dropout", "the same key gives different logits")
    rates = _dropout_rates(case.system_class.defaults() | dict(case.settings or {}))
    differ = any(not np.array_equal(first[head], second[head]) for head in first)
    acts = differ or not any(rate > 0 for rate in rates)
    case.require(acts, "dropout", "logits in training do not depend on the key")


def check_stages(case: Case) -> None:
    """Requires the method of each stage to give the same logits of its heads as `__call__`."""
    expected, _ = case.predict(case.draw())
    for stage in case.system.stages():
        reads = case.predict(case.draw(), method=stage.reads)[0] if stage.reads else case.draw()
        logits, _ = case.predict(reads, method=stage.method)
        actual, wanted = ({h: x.get(h) for h in stage.heads} for x in (logits, expected))
        problem = f"{stage.method!r} of stage {stage.name!r} and `__call__` give different logits"
        case.require_close(actual, wanted, "stages", problem)


def check_padding(case: Case) -> None:
    """Requires that neither the values nor the amount of padding change any logits or loss."""
    features, present, more = case.draw(), case.present(), case.draw(2, 2)
    other = {m: np.where(REAL[..., None], x, case.draw(1)[m]) for m, x in features.items()}

    def outputs(x):
        loss, logits, *_ = case.gradients(x, present)
        trees = loss, logits, case.predict(x, RESET, present)[0]
        return jax.tree.map(lambda x: x[REAL] if x.ndim else x, trees)

    before = outputs(features)
    case.require_close(outputs(other), before, "padding", "its values change logits or the loss")
    longer = {m: np.concatenate([x, more[m]], axis=1) for m, x in features.items()}
    present = {m: np.pad(x, ((0, 0), (0, 2))) for m, x in present.items()}
    reset = np.pad(RESET, ((0, 0), (0, 2)))
    reset[1, CELLS] = True  # padding starts here
    mask, *spoken = (np.pad(x, ((0, 0), (0, 2))) for x in (REAL, *case.speakers))
    logits, _ = case.predict(longer, reset, present, mask=mask, spoken=tuple(spoken))
    after = {head: x[:, :CELLS][REAL] for head, x in logits.items()}
    case.require_close(after, before[-1], "padding", "its amount changes logits")


def check_packing(case: Case) -> None:
    """Requires a conversation to have the same logits alone and with others in the row."""
    packed, _ = case.predict(case.draw(), RESET, case.present())
    for number in range(CONVERSATIONS.max() + 1):
        here = np.equal(CONVERSATIONS, number)
        length, features, present = here.sum(), case.draw(1), case.present(everywhere=True)
        for m in case.dims:
            features[m][0, :length] = case.draw()[m][here]
            present[m][0, :length] = case.present()[m][here]
        reset = np.zeros(RESET.shape, bool)
        reset[:, 0] = reset[:, length : length + 1] = True
        mask = np.broadcast_to(np.arange(CELLS) < length, reset.shape)
        spoken = tuple(map(np.zeros_like, case.speakers))
        for values, of_row in zip(spoken, case.speakers, strict=True):
            values[0, :length] = of_row[here]
        alone, _ = case.predict(features, reset, present, mask=mask, spoken=spoken)
        actual = {head: x[0, :length] for head, x in alone.items()}
        expected = {head: x[here] for head, x in packed.items()}
        problem = "logits depend on other conversations of the batch"
        case.require_close(actual, expected, "packing", problem)


def check_causality(case: Case) -> None:
    """Requires a gradient from an utterance and its context, and none from other utterances.

    The context excludes other conversations; if the system is `causal`, later utterances; and if it
    is not `in_context`, all other utterances.
    """
    system, name, steps = case.system, "causality", np.arange(CELLS)
    same = CONVERSATIONS[:, :, None, None] == CONVERSATIONS
    others = same & (steps[:, None, None] != steps)
    unknown = same & (steps[:, None, None] < steps) & system.causal
    unknown = unknown if system.in_context else others
    for head, by_modality in case.jacobians().items():
        reaches = np.any([(x != 0).any(-1) for x in by_modality.values()], axis=0)
        reaches[~REAL] = False
        case.require((reaches & same & ~others).any(), name, f"{head!r} depends on no feature")
        case.require(not (reaches & ~same).any(), name, f"{head!r} depends on other conversations")
        problem = f"{head!r} depends on {'later' if system.in_context else 'other'} utterances"
        case.require(not (reaches & unknown).any(), name, problem)
        if head == system.head and system.in_context:
            problem = f"{head!r} depends on no other utterance, but `in_context` is True"
            case.require((reaches & others).any(), name, problem)
    if system.causal:  # a dependence may have no gradient
        other = {m: np.where((steps < 3)[:, None], x, -x) for m, x in case.draw().items()}
        first, second = (
            {h: x[:, :3] for h, x in case.predict(f)[0].items()} for f in (case.draw(), other)
        )
        case.require_close(first, second, name, "logits depend on the values of later utterances")


def check_streaming(case: Case) -> None:
    """Requires the same logits utterance by utterance as from full rows, if the system `streams`.

    The state before a conversation is zeros, and its structure, shapes and dtypes are constant.
    """
    if not (case.system.causal and case.system.streams):
        return
    rows = case.draw(), case.present()
    expected, last = case.predict(rows[0], RESET, rows[1])
    state = jax.tree.map(np.zeros_like, last)
    for u in range(CELLS):
        features, present = ({m: x[:, u : u + 1] for m, x in values.items()} for values in rows)
        reset, mask = RESET[:, u : u + 1] & (u > 0), REAL[:, u : u + 1]
        spoken = tuple(x[:, u : u + 1] for x in case.speakers)
        logits, state = case.predict(features, reset, present, state, mask=mask, spoken=spoken)
        old, new = (jax.tree.map(lambda x: (x.shape, x.dtype), x) for x in (last, state))
        case.require(old == new, "streaming", "the state changes its structure, shapes or dtypes")
        streamed = {head: x[REAL[:, u], 0] for head, x in logits.items()}
        at_once = {head: x[REAL[:, u], u] for head, x in expected.items()}
        problem = f"logits of utterance {u} differ from those of the full row"
        case.require_close(streamed, at_once, "streaming", problem)


def check_speakers(case: Case) -> None:
    """Requires logits to depend on who speaks, if it is read, and none on who speaks later.

    The other checks of such a system have several speakers as well, one of them a stranger.
    """
    if case.system.places < 2:
        return
    features, steps, (slots, new) = case.draw(), np.arange(CELLS), case.speakers
    one = np.zeros_like(slots), RESET
    later = np.where(steps < 3, slots, 0), np.where(steps < 3, new, RESET)
    logits, alone, changed = (case.predict(features, spoken=x)[0] for x in ((), one, later))
    differ = not np.allclose(logits[case.system.head][REAL], alone[case.system.head][REAL])
    case.require(differ, "speakers", "logits do not depend on them")
    if case.system.causal:
        actual, expected = ({h: x[:, :3] for h, x in of.items()} for of in (changed, logits))
        case.require_close(actual, expected, "speakers", "logits depend on who speaks later")


def check_missing_modalities(case: Case) -> None:
    """Requires that features of a missing modality, including NaN, have no effect."""
    name, present, features = "missing modalities", case.present(), case.draw()
    broken = {
        m: np.where(present[m][..., None], x, np.float32(np.nan)) for m, x in features.items()
    }
    logits, other_logits = (case.predict(x, RESET, present)[0] for x in (features, broken))
    case.require_equal(logits, other_logits, name, "their features change logits")
    loss, by_head, _, _ = case.gradients(features, present)
    other_loss, other_by_head, by_params, by_features = case.gradients(broken, present)
    problem = "their features change the loss"
    case.require_equal((loss, by_head), (other_loss, other_by_head), name, problem)
    finite = all(np.isfinite(x).all() for x in jax.tree.leaves(by_params))
    case.require(finite, name, "a NaN among their features reaches a gradient")
    for m, gradient in by_features.items():
        case.require(not gradient[~present[m]].any(), name, f"{m!r} has a gradient where missing")
    absent, everywhere = (
        {head: x[REAL] for head, x in case.predict(features, RESET, present)[0].items()}
        for present in (None, case.present(everywhere=True))
    )
    problem = "logits change where `present` is True everywhere"
    case.require_close(absent, everywhere, name, problem)


def check_gradients(case: Case) -> None:
    """Requires every parameter to have a gradient, and a stage that trains it."""
    total, present = jax.tree.map(np.zeros_like, case.params), case.present(everywhere=True)
    for number in range(_DRAWS):
        _, _, gradients, _ = case.gradients(case.draw(number), present, number)
        total = jax.tree.map(lambda x, y: x + np.abs(y), total, gradients)
        if all(x.any() for x in jax.tree.leaves(total)):
            break
    training, stages = training_settings(case), case.system.stages()
    groups = [optimizer.labels(case.params, training[stage.name]["rules"]) for stage in stages]
    leaves = jax.tree_util.tree_leaves_with_path(total)
    for (path, x), *trained in zip(leaves, *map(jax.tree.leaves, groups), strict=True):
        where = jax.tree_util.keystr(path, simple=True, separator="/")
        idle = any(re.fullmatch(pattern, where) for pattern in case.idle)
        case.require(idle or x.any(), "gradients", f"none reaches {where}")
        case.require(not (idle and x.any()), "gradients", f"{where} has one, but is listed as idle")
        case.require({*trained} != {optimizer.FROZEN}, "gradients", f"no stage trains {where}")


def check_estimator(case: Case) -> None:
    """Requires an estimator to be deterministic, use no context and accept missing modalities."""
    random, count = np.random.default_rng(case.seed), 12 * case.outputs
    labels = np.arange(count, dtype=np.int32) % case.outputs
    sizes = {m: (count, d) for m, d in case.dims.items()}
    features = {m: random.normal(size=size).astype(np.float32) for m, size in sizes.items()}
    for number, x in enumerate(features.values()):
        x += labels[:, None]
        x[number :: len(features) + 1] = 0  # missing
    fitted, refitted = (case.system.fit(features, labels, case.seed) for _ in range(2))
    case.require_equal(refitted, fitted, "seeds", "the same seed gives different parameters")
    case.system.check(fitted, case.dims)
    logits = case.system.logits(fitted, features)
    good = logits.shape == (count, case.outputs) and logits.dtype == np.float32
    case.require(good, "shapes", f"logits are {logits.dtype} {list(logits.shape)}")
    finite = np.isfinite(logits).all()
    case.require(finite, "missing modalities", "logits are not finite where features are zeros")
    order = random.permutation(count)
    mixed = case.system.logits(fitted, {m: x[order] for m, x in features.items()})
    case.require_close(mixed, logits[order], "context", "logits depend on other utterances")


def _dropout_rates(settings: Any, named: bool = False) -> list[float]:
    """Returns all numeric settings with `dropout` in their name or the name of their table."""
    if hasattr(settings, "items"):
        pairs = settings.items()
        return [r for k, v in pairs for r in _dropout_rates(v, named or "dropout" in str(k))]
    return [settings] if named and isinstance(settings, int | float) else []
