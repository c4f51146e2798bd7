"""Models that cannot be used are refused when they are read, not when they answer."""

import jax
import numpy as np
import pytest
from flax import traverse_util

from mman_jax.errors import InputError
from mman_jax.files import carded
from mman_jax.inference import stored
from mman_jax.inference.model import Model
from tests.inference import trained
from tests.robustness import examples


def parts():
    """What a checkpoint of a model holds: arrays and card."""
    made = examples.model()
    arrays = {"params": made.params, "mean": made.scaling.mean, "scale": made.scaling.scale}
    card = {
        "network": dict(made.network),
        "modalities": list(made.dims),
        "classes": list(made.classes),
        "about": dict(made.card),
        "temperature": made.temperature,
    }
    return jax.tree.map(np.array, arrays), card


def write(folder, arrays, card):
    """As `Model.save` would."""
    flat = traverse_util.flatten_dict(arrays)
    several = {f"{i:04d}": x for i, x in enumerate(flat.values())}
    paths = {"paths": [list(path) for path in flat]}
    carded.write(folder / "model.npz", several, paths | card)


def test_a_model_comes_back_as_it_was(tmp_path):
    made = examples.model()
    made.save(tmp_path / "model")
    back = Model.load(tmp_path / "model")
    jax.tree.map(np.testing.assert_array_equal, back.params, made.params)
    assert (back.dims, back.classes, back.card) == (made.dims, made.classes, made.card)


@pytest.mark.parametrize("turns", [None, 4.0])
def test_a_scaling_comes_back_as_it_was(tmp_path, turns):
    made = trained.by_speaker(turns)
    made.save(tmp_path / "model")
    back = Model.load(tmp_path / "model")
    jax.tree.map(np.testing.assert_array_equal, back.scaling.arrays(), made.scaling.arrays())
    assert (back.scaling.turns, back.scaling.causal, back.dims) == (turns, False, made.dims)


def edit_params(arrays, change):
    leaves, structure = jax.tree.flatten(arrays["params"])
    leaves[0] = change(leaves[0])
    arrays["params"] = jax.tree.unflatten(structure, leaves)


CHANGES = {
    "no scale": (lambda a, c: a.pop("scale"), ["another kind", "scale"]),
    "no card": (lambda a, c: c.clear(), ["another kind", "network"]),
    "a list as network": (lambda a, c: c.update(network=[]), ["another kind"]),
    "classes twice": (lambda a, c: c.update(classes=["a", "a"]), ["classes"]),
    "no classes": (lambda a, c: c.update(classes=[]), ["classes"]),
    "classes of numbers": (lambda a, c: c.update(classes=[1, 2]), ["classes"]),
    "another class": (
        lambda a, c: c["classes"].append("maybe"),
        ["parameter", "bias", "of shape"],
    ),
    "another modality": (lambda a, c: c.update(modalities=["speech"]), ["mean"]),
    "a modality's statistics gone": (lambda a, c: a["mean"].pop("text"), ["mean"]),
    "statistics of another size": (
        lambda a, c: a["mean"].update(text=np.zeros(9, np.float32)),
        ["scaling of modality text"],
    ),
    "both of another size": (
        lambda a, c: (
            a["mean"].update(text=np.zeros(9, np.float32)),
            a["scale"].update(text=np.ones(9, np.float32)),
        ),
        ["parameter", "text", "of shape"],
    ),
    "statistics of doubles": (
        lambda a, c: a["mean"].update(text=np.zeros(3)),
        ["scaling of modality text", "float32"],
    ),
    "statistics not finite": (
        lambda a, c: a["mean"]["text"].fill(np.nan),
        ["scaling of modality text", "not finite"],
    ),
    "a scale of zero": (lambda a, c: a["scale"]["text"].fill(0), ["scaling of modality text"]),
    "turns that are no number": (lambda a, c: c.update(turns="4"), ["turns"]),
    "turns below zero": (lambda a, c: c.update(turns=-1.0), ["turns"]),
    "components of another size": (
        lambda a, c: a.update(
            components={"text": np.ones((9, 1), np.float32)},
            offset={"text": np.ones(1, np.float32)},
        ),
        ["scaling of modality text"],
    ),
    "components without an offset": (
        lambda a, c: a.update(components={"text": np.ones((3, 1), np.float32)}),
        ["offset"],
    ),
    "a network of unknown kind": (
        lambda a, c: c["network"].update(fusion={"kind": "magic"}),
        ["magic"],
    ),
    "a network without sizes": (lambda a, c: c["network"].update(unimodal={}), ["cannot be built"]),
    "a network of a million layers": (
        lambda a, c: c["network"]["unimodal"]["default"].update(hidden=[3] * 10**6),
        ["network", "entries"],
    ),
    "another size": (
        lambda a, c: c["network"]["unimodal"]["default"].update(hidden=[4]),
        ["parameter", "of shape"],
    ),
    "no fusion": (lambda a, c: c["network"].pop("fusion"), ["no fusion"]),
    "parameters not finite": (
        lambda a, c: edit_params(a, lambda x: np.full_like(x, np.inf)),
        ["parameter", "not finite"],
    ),
    "parameters of whole numbers": (
        lambda a, c: edit_params(a, lambda x: x.astype(np.int32)),
        ["parameter", "int32"],
    ),
    "seeds that differ": (
        lambda a, c: edit_params(a, lambda x: np.concatenate([x, x])),
        ["seeds"],
    ),
    "a parameter gone": (
        lambda a, c: a["params"].pop("towers_text"),
        ["missing"],
    ),
    "a parameter too many": (
        lambda a, c: a["params"].update(more=np.zeros((1, 2), np.float32)),
        ["more", "unknown"],
    ),
}


@pytest.mark.parametrize("name", CHANGES)
def test_refused_by_name(tmp_path, name):
    arrays, card = parts()
    change, words = CHANGES[name]
    card["network"] = jax.tree.map(lambda x: x, card["network"])  # a copy
    change(arrays, card)
    write(tmp_path / "model", arrays, card)
    with pytest.raises(InputError) as error:
        Model.load(tmp_path / "model")
    for word in [str(tmp_path / "model"), *words]:
        assert word in str(error.value)


def test_a_network_is_described_not_computed():
    # A description of sizes that no memory holds is compared, and nothing of its size is made.
    made = examples.model()
    huge = {
        "unimodal": {
            "default": {"hidden": (10**9,), "dense": 2, "dropout": 0.0, "input_dropout": 0.0}
        },
        "fusion": {"kind": "dense"},
    }
    with pytest.raises(InputError, match="of shape"):
        stored.check_params("x", made.params, huge, made.dims, 2, made.systems)


def test_a_description_is_so_deep_at_most():
    arrays, card = parts()
    nested = {}
    for _ in range(14):
        nested = {"a": nested}
    card["network"]["more"] = nested
    stored.check_kind("x", arrays, card)
    card["network"]["more"] = [nested]
    with pytest.raises(InputError, match="x: network: nested over 16 deep; expected a trained mod"):
        stored.check_kind("x", arrays, card)


PATHS = {
    "none": None,
    "too few": [["a"]],
    "no text": [["a"], [3]],
    "nothing": [["a"], []],
    "twice": [["a"], ["a"]],
    "within an array": [["a"], ["a", "b"]],
    "an array around": [["a", "b"], ["a"]],
}


@pytest.mark.parametrize("name", PATHS)
def test_paths_that_cannot_be_are_refused(name):
    found = {"0000": np.zeros(1), "0001": np.zeros(1)}
    with pytest.raises(InputError, match="path"):
        stored.nested("x", found, {"paths": PATHS[name]})
    tree = stored.nested("x", found, {"paths": [["a", "b"], ["c"]]})
    assert jax.tree.structure(tree) == jax.tree.structure({"a": {"b": 0}, "c": 0})


def test_a_folder_without_a_model_is_refused(tmp_path):
    with pytest.raises(InputError, match="no trained model"):
        Model.load(tmp_path / "nothing")
