"""Files of conversation states, from which interrupted streams resume."""

import hashlib
import json
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import numpy as np

from mman_jax.errors import InputError
from mman_jax.files import carded
from mman_jax.inference.model import Model

_EXPECTED = "states that were saved with this model"


def identity(models: Sequence[Model]) -> str:
    """Returns a digest of models, since states are valid only for the models that made them."""
    digest = hashlib.sha256()
    for model in models:
        about = {"network": dict(model.network), "dims": dict(model.dims), "classes": model.classes}
        digest.update(json.dumps(about, sort_keys=True).encode())
        # None has no leaves: what a model does not have does not affect its digest.
        scaling = model.scaling
        numbers = [model.params, dict(scaling.mean), dict(scaling.scale), model.units]
        numbers += [dict(scaling.components), dict(scaling.offset), scaling.turns]
        for path, array in jax.tree.leaves_with_path(numbers):
            digest.update(jax.tree_util.keystr(path).encode())
            digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()


def to_bytes(states: Mapping[str, Any], owner: str, gone: Sequence[str] = ()) -> bytes:
    """Returns the content of a .npz file of states.

    Args:
        states: states by conversation, all of the same structure.
        owner: the `identity` of the models.
        gone: conversations whose state was discarded to free memory.
    """
    by_conversation = [jax.tree.leaves(state) for state in states.values()]
    stacked = {
        f"state_{i}": np.stack([np.asarray(leaf) for leaf in leaves])
        for i, leaves in enumerate(zip(*by_conversation, strict=True))
    }
    return carded.to_bytes(
        stacked, {"model": owner, "conversations": list(states), "gone": list(gone)}
    )


def read(path: pathlib.Path, template: Any, owner: str) -> tuple[dict[str, Any], list[str]]:
    """Reads a file that `to_bytes` created.

    Args:
        path: the file.
        template: the initial state of a conversation.
        owner: the `identity` of the models.

    Returns:
        The states by conversation, and the conversations whose state was discarded.

    Raises:
        InputError: the file is of another kind or damaged, or its states are of another model.
    """
    file, card = carded.read(path, _EXPECTED)
    try:
        names, written_by = [str(name) for name in card["conversations"]], card["model"]
        gone = [str(name) for name in card["gone"]]
        arrays = [file[f"state_{i}"] for i in range(len(file))]
    except (LookupError, TypeError) as error:
        raise InputError(path, f"no states ({error!r:.200})", _EXPECTED) from error
    if written_by != owner:
        raise InputError(path, "states of another model", _EXPECTED)
    leaves, structure = jax.tree.flatten(template)
    shapes = [((len(names), *leaf.shape), leaf.dtype) for leaf in leaves] if names else []
    if shapes != [(array.shape, array.dtype) for array in arrays]:
        raise InputError(path, "states of other sizes", _EXPECTED)
    if not all(np.isfinite(array).all() for array in arrays):
        raise InputError(path, "states that are not finite", _EXPECTED)
    states = {
        name: jax.tree.unflatten(structure, [array[i] for array in arrays])
        for i, name in enumerate(names)
    }
    return states, gone
