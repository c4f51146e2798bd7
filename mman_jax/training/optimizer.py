"""Optimisation: optimizers of parameter groups, freezing, averaging, learning rates.

A group is a top-level part of a network (a tower, the fusion), trained by a separate optimizer.
Rules from a config determine which parameters are frozen, by optax masks.
"""

import dataclasses
import functools
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from mman_jax.errors import InputError, nearest
from mman_jax.systems.base import owner
from mman_jax.types import Array

FROZEN = "frozen"
Rules = Sequence[tuple[str, bool]]


def _adam_l2(rate: float, weight_decay: float, **more: Any) -> optax.GradientTransformation:
    """Returns Adam with an L2 penalty in the gradients, like the weight decay of PyTorch's Adam."""
    return optax.chain(optax.add_decayed_weights(weight_decay), optax.adam(rate, **more))


_OPTIMIZERS = {
    "adamw": optax.adamw,
    "adam": optax.adam,
    "adam_l2": _adam_l2,
    "adadelta": functools.partial(optax.adadelta, rho=0.95, eps=1e-8),  # Keras's defaults
}
_OF_ADAM = ("b2", "eps")


def optimizer(settings: Mapping[str, Any], group: str) -> optax.GradientTransformation:
    """Builds the optimizer of a group: clipping by its norm, then the update at its learning rate.

    Raises:
        InputError: the optimizer is unknown, or a setting does not apply to it.
    """
    rates, name = settings["learning_rate"], settings.get("optimizer", "adamw")
    if name not in _OPTIMIZERS:
        raise InputError("optimizer", repr(name), nearest(str(name), _OPTIMIZERS))
    more = {field: settings[field] for field in _OF_ADAM if field in settings}
    if more and name == "adadelta":
        raise InputError("optimizer", f"{name} with {' and '.join(more)}", "adam or adamw")
    if name != "adam":
        more["weight_decay"] = settings["weight_decay"]
    steps = [optax.clip_by_global_norm(settings["clip"])]
    steps += [_OPTIMIZERS[name](rates[owner(group, rates) or "default"], **more)]
    if settings.get("pull"):
        steps.insert(0, pull_back(settings["pull"]))
    return optax.chain(*steps)


def pull_back(strength: float) -> optax.GradientTransformation:
    """Adds the gradient of a penalty: `strength` times the squared distance from the start.

    Examples:
        >>> optimizer = pull_back(0.5)
        >>> state = optimizer.init({"late": 2.0})
        >>> float(optimizer.update({"late": 0.0}, state, {"late": 5.0})[0]["late"])
        3.0
    """

    def update(updates, start, params=None):
        penalised = jax.tree.map(
            lambda u, p, before: u + 2 * strength * (p - before), updates, params, start
        )
        return penalised, start

    return optax.GradientTransformation(lambda params: params, update)


def plain(settings: Any) -> Any:
    """Copies nested mappings to dicts."""
    if hasattr(settings, "items"):
        return {name: plain(value) for name, value in settings.items()}
    return settings


def labels(params: Mapping[str, Any], rules: Rules) -> Any:
    """Labels each parameter with the group that trains it, or with `FROZEN`.

    Args:
        params: the network's parameters; each top-level key is a group (a tower, the fusion).
        rules: (pattern, trains) pairs; the first pattern that matches a parameter's full path
            (`text/clstm/lstm_0/bias_input`) decides.

    Returns:
        A tree with the structure of `params`, of group names and `FROZEN`.

    Raises:
        InputError: if no rule covers a parameter.

    Examples:
        >>> params = {"text": {"kernel": 1.0}, "late": {"kernel": 2.0}}
        >>> labels(params, [("late/.*", True), ("text/.*", False)])
        {'late': {'kernel': 'late'}, 'text': {'kernel': 'frozen'}}
    """

    def label(path, _):
        names = [str(key.key) for key in path]
        for pattern, trains in rules:
            if re.fullmatch(pattern, "/".join(names)):
                return names[0] if trains else FROZEN
        raise InputError("rules", f"no rule covers {'/'.join(names)}", "a rule for each")

    return jax.tree_util.tree_map_with_path(label, params)


def freeze(
    transform: Callable[[str], optax.GradientTransformation], tree: Any
) -> optax.GradientTransformation:
    """Applies a separate transformation to each group, and none to frozen parameters.

    Towers are trained separately, so that the gradient norm of one never clips the step of another.
    Frozen parameters take no part in clipping, decay or moments. `transform` takes a group's name,
    and `tree` is the result of `labels`.

    Examples:
        Weight decay changes a parameter whose gradient is zero, but not a frozen parameter.

        >>> params = {"text": 1.0, "late": 2.0}
        >>> tree = labels(params, [("late", True), ("text", False)])
        >>> optimizer = freeze(lambda group: optax.add_decayed_weights(0.5), tree)
        >>> gradients = {"text": 9.0, "late": 0.0}
        >>> updates, _ = optimizer.update(gradients, optimizer.init(params), params)
        >>> float(updates["text"]), float(updates["late"])
        (0.0, 1.0)
    """
    groups = set(jax.tree.leaves(tree)) - {FROZEN}
    transforms = {group: transform(group) for group in sorted(groups)}
    transforms[FROZEN] = optax.set_to_zero()
    return optax.partition(transforms, tree)


def apply_updates(params: Any, updates: Any, tree: Any) -> Any:
    """Adds the updates to trained parameters; frozen parameters remain bitwise unchanged."""
    return jax.tree.map(lambda name, p, u: p if name == FROZEN else p + u, tree, params, updates)


@dataclasses.dataclass(frozen=True)
class Averaging:
    """The exponential average of the parameters over the steps, which is evaluated and selected.

    Attributes:
        decay: weight of the previous average at each step; 0: no averaging.
        warmup: whether the decay of step t, from 0, is at most (1 + t) / (10 + t), so that the
            average forgets the early steps of a short training.
    """

    decay: float = 0.0
    warmup: bool = False

    def start(self, params: Any) -> Any:
        """Initialises the average of one seed's parameters; `()` without averaging."""
        if not self.decay:
            return ()
        average = optax.ema(self.decay).init(params)
        return average._replace(ema=params) if self.warmup else average

    def update(self, average: Any, params: Any) -> Any:
        """Updates the average with the parameters of a new step."""
        if not self.decay:
            return ()
        t = average.count
        decay = jnp.minimum(self.decay, (1 + t) / (10 + t)) if self.warmup else self.decay
        return optax.ema(decay).update(params, average)[1]

    def averaged(self, average: Any, params: Any, groups: Any) -> Any:
        """Returns the average; without averaging, and before the first step, the parameters.

        Frozen parameters, by the `groups` of `labels`, remain bitwise unchanged.
        """
        if not self.decay:
            return params
        # An average that starts at zero is divided by the total weight of the steps.
        weight = 1.0 if self.warmup else 1 - self.decay**average.count

        def of_parameter(group, p, mean):
            if group == FROZEN:
                return p
            return jnp.where(average.count == 0, p, mean / weight).astype(p.dtype)

        return jax.tree.map(of_parameter, groups, params, average.ema)


class Lowest(NamedTuple):
    """The lowest validation loss so far.

    Attributes:
        loss: [T] float32 in nats.
        epoch: [T] int32, the epoch of that loss; 0 before the first epoch.
    """

    loss: Array
    epoch: Array


class Plateau(NamedTuple):
    """A schedule that reduces the learning rates when the validation loss stops falling.

    Attributes:
        patience: epochs without a lower validation loss before each reduction.
        factor: the factor by which each reduction multiplies the learning rates.
    """

    patience: int
    factor: float


def plateau_of(settings: Mapping[str, Any], heads: tuple[str, ...]) -> Plateau | None:
    """Reads the `plateau` of a stage's settings; None for constant learning rates.

    Raises:
        InputError: if the stage has several heads, each of which has its own loss.
    """
    plateau = settings.get("plateau")
    if plateau and len(heads) > 1:
        raise InputError("plateau", f"given for {len(heads)} heads", "a stage of one head")
    return Plateau(plateau["patience"], plateau["factor"]) if plateau else None


def start_lowest(heads: int) -> Lowest:
    """Returns the lowest losses before the first epoch."""
    return Lowest(jnp.full(heads, jnp.inf, jnp.float32), jnp.zeros(heads, jnp.int32))


def update_lowest(lowest: Lowest, epoch: Array, losses: Array) -> Lowest:
    """Updates the lowest losses by the validation losses [T] of an epoch, counted from 1."""
    lower = losses < lowest.loss
    return Lowest(jnp.where(lower, losses, lowest.loss), jnp.where(lower, epoch, lowest.epoch))


def reduce_scale(
    lr_scale: Array, plateau: Plateau, lowest: Lowest, epoch: Array, known: Array | int = -1
) -> Array:
    """Returns the factor on the learning rates after an epoch, given the one during the epoch.

    `known` is the number of reductions, if known in advance; with -1, `is_stalled` decides.
    """
    stalled = is_stalled(plateau, epoch - lowest.epoch[0])
    times = jnp.where(jnp.asarray(known) < 0, stalled, known)
    return lr_scale * jnp.float32(plateau.factor) ** times


def is_stalled(plateau: Plateau, waited: Any) -> Any:
    """Returns whether patience runs out (again) after this number of epochs without improvement."""
    return (waited > 0) & (waited % plateau.patience == 0)


def reductions(losses: np.ndarray, plateau: Plateau) -> np.ndarray:
    """Returns the epochs [E, S] bool after which the losses [E, S] reduce the learning rates."""
    lowest = np.fmin.accumulate(np.vstack([np.full_like(losses[:1], np.inf), losses]), axis=0)
    epochs = np.arange(1, len(losses) + 1)[:, None]
    # A loss that is not finite is never lower.
    when = np.maximum.accumulate(np.where(losses < lowest[:-1], epochs, 0), axis=0)
    return is_stalled(plateau, epochs - when)
