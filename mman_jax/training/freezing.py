"""What trains and what is frozen: rules from a config, carried out by optax masks."""

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import optax

from mman_jax.errors import InputError

FROZEN = "frozen"
Rules = Sequence[tuple[str, bool]]


def labels(params: Mapping[str, Any], rules: Rules) -> Any:
    """Says of each parameter which group of the network trains it, or that it is frozen.

    Args:
        params: the network's parameters, a group (a tower, the fusion) a top-level key.
        rules: (pattern, trains) pairs; of the patterns that match a parameter's whole path
            (`text/clstm/lstm_0/bias_input`) the first decides.

    Returns:
        A tree like `params` of group names and `FROZEN`.

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
    """Trains each group by a transformation of its own, and frozen parameters not at all.

    A group alone: towers are trained separately, so one tower's gradient norm never clips
    another's step. Frozen parameters take no part in clipping, decay or moments.

    Args:
        transform: makes that of a group, from its name.
        tree: what `labels` returned.

    Examples:
        Decay alone would shrink a parameter whose gradient is zero. The frozen one has no update.

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
    """Adds the updates to what trains; a frozen parameter is passed on as it is, bit for bit."""
    return jax.tree.map(lambda name, p, u: p if name == FROZEN else p + u, tree, params, updates)
