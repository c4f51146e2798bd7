"""Models that cannot be used are refused when they are read, not at the first prediction."""

import jax
import numpy as np
import pytest
from flax import traverse_util

from mman_jax.errors import InputError
from mman_jax.files.arrays import write_carded
from mman_jax.inference import stored
from mman_jax.inference.model import Model
from tests.inference import trained
from tests.robustness import examples


def parts():
    """Returns the content of a model's checkpoint: arrays and card."""
    made = examples.model()
    arrays = {"params": made.params, "mean": made.scaling.mean, "scale": made.scaling.scale}
    arrays["familiarity"] = made.familiarity.quantiles
    card = {"network": dict(made.network), "modalities": list(made.dims)}
    card |= {"classes": list(made.classes), "about": dict(made.card), "temperature": 1.0}
    return jax.tree.map(np.array, arrays), card


def write(folder, arrays, card):
    """As `Model.save` would."""
    flat = traverse_util.flatten_dict(arrays)
    several = {f"{i:04d}": x for i, x in enumerate(flat.values())}
    paths = {"paths": [list(path) for path in flat]}
    write_carded(folder / "model.npz", several, paths | card)


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


def put(*path, value):
    """A change of the arrays or, under `card`, of the card."""

    def change(tree):
        for name in path[:-1]:
            tree = tree[name]
        tree[path[-1]] = value

    return change


def gone(*path):
    def change(tree):
        for name in path[:-1]:
            tree = tree[name]
        del tree[path[-1]]

    return change


def first(edit):
    """A change of the first of the parameters."""

    def change(tree):
        leaves, structure = jax.tree.flatten(tree["params"])
        tree["params"] = jax.tree.unflatten(structure, [edit(leaves[0]), *leaves[1:]])

    return change


TEXT = "scaling of modality text"
BLOCK, NINE = ("card", "network", "unimodal", "default"), np.ones(9, np.float32)
CHANGES = {
    "no scale": (gone("scale"), "another kind", "scale"),
    "no network": (gone("card", "network"), "another kind", "network"),
    "a list as network": (put("card", "network", value=[]), "another kind"),
    "classes twice": (put("card", "classes", value=["a", "a"]), "classes"),
    "no classes": (put("card", "classes", value=[]), "classes"),
    "classes of numbers": (put("card", "classes", value=[1, 2]), "classes"),
    "another class": (put("card", "classes", value=list("abc")), "parameter", "bias", "of shape"),
    "another modality": (put("card", "modalities", value=["speech"]), "mean"),
    "no statistics": (gone("mean", "text"), "mean"),
    "statistics of another size": (put("mean", "text", value=NINE), TEXT),
    "statistics of doubles": (put("mean", "text", value=np.zeros(3)), TEXT, "float32"),
    "statistics not finite": (put("mean", "text", value=NINE * np.nan), TEXT, "not finite"),
    "a scale of zero": (lambda tree: tree["scale"]["text"].fill(0), TEXT),
    "both of another size": (
        lambda tree: [tree[name].update(text=NINE) for name in ("mean", "scale")],
        "parameter", "text", "of shape",
    ),
    "turns that are no number": (put("card", "turns", value="4"), "turns"),
    "turns below zero": (put("card", "turns", value=-1.0), "turns"),
    "components of another size": (
        lambda tree: tree.update(components={"text": NINE[:, None]}, offset={"text": NINE[:1]}),
        TEXT,
    ),
    "no offset": (lambda tree: tree.update(components={"text": NINE[:3, None]}), "offset"),
    "no distances": (gone("familiarity", "text"), "familiarity"),
    "too few distances": (put("familiarity", "text", value=NINE), "familiarity"),
    "distances that decrease": (
        put("familiarity", "text", value=np.linspace(1, 0, 101, dtype=np.float32)), "familiarity",
    ),
    "options of other cells": (put("card", "frames", value={}), "frames: options of frames"),
    "words without a pivot": (put("card", "words", value={"most": 3}), "words: no pivot"),
    "an unknown fusion": (put("card", "network", "fusion", value={"kind": "magic"}), "magic"),
    "no sizes": (put("card", "network", "unimodal", value={}), "cannot be built"),
    "a million layers": (put(*BLOCK, "hidden", value=[3] * 10**6), "network", "entries"),
    "another size": (put(*BLOCK, "hidden", value=[4]), "parameter", "of shape"),
    "no fusion": (gone("card", "network", "fusion"), "fusion: None"),
    "parameters not finite": (first(lambda x: x * np.inf), "parameter", "not finite"),
    "whole numbers": (first(lambda x: x.astype(np.int32)), "parameter", "int32"),
    "seeds that differ": (first(lambda x: np.concatenate([x, x])), "seeds"),
    "a parameter gone": (gone("params", "towers_text"), "missing"),
    "a parameter too many": (put("params", "more", value=NINE[None]), "more", "unknown"),
}  # fmt: skip


@pytest.mark.parametrize("name", CHANGES)
def test_refused_by_name(tmp_path, name):
    arrays, card = parts()
    change, *words = CHANGES[name]
    tree = {**arrays, "card": card | {"network": jax.tree.map(lambda x: x, card["network"])}}
    change(tree)
    card = tree.pop("card")
    write(tmp_path / "model", tree, card)
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
    with pytest.raises(InputError, match="x: network: more than 16 levels of nesting; expected"):
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
