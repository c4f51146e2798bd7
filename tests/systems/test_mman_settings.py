"""Towers, fusion and head of MMAN by its settings."""

import pytest

from configs import mman
from mman_jax.systems import build
from mman_jax.systems.base import owner

ATTENTION = {"model": 4, "key": 3, "value": 4}


def block(hidden=(3,), dense=2, **changes):
    return {"hidden": hidden, "dense": dense, "dropout": 0.0, "input_dropout": 0.0} | changes


def test_towers_inputs_and_head():
    modalities = ("speech", "visual", "text")
    network = build(mman.get_config().network, list(modalities), 4)
    assert list(network.towers) == [*modalities, "mma"]
    assert dict(network.inputs) == {m: (m,) for m in modalities} | {"mma": modalities}
    assert network.fusion.block is None
    assert network.head == "fusion"


@pytest.mark.parametrize(
    ("recipe", "modalities", "head"),
    [
        ("clstm_text", ["text"], "text"),
        ("clstm_ef", ["a", "b"], "ef"),
        ("clstm_mma", ["a", "b"], "mma"),
    ],
)
def test_the_head_of_a_single_tower_is_the_tower(recipe, modalities, head):
    network = build(mman.get_config(recipe).network, modalities, 4)
    assert (list(network.towers), network.fusion, network.head) == ([head], None, head)


def test_a_modality_has_its_own_sizes_or_the_default_ones():
    unimodal = {"default": block(), "visual": block((4, 5), 6, dropout=0.25, input_dropout=0.5)}
    network = {"unimodal": unimodal, "fusion": {"kind": "dense"}}
    towers = build(network, ["speech", "visual"], 3).towers
    assert towers["speech"].block == {"hidden": (3,), "dense": 2, "dropout": 0.0}
    assert towers["speech"].input_dropout == 0.0
    assert towers["visual"].block == {"hidden": (4, 5), "dense": 6, "dropout": 0.25}
    assert towers["visual"].input_dropout == 0.5
    # Settings of a modality that the corpus lacks have no effect.
    assert list(build(network, ["speech", "smell"], 3).towers) == ["speech", "smell"]


def test_settings_of_the_early_tower_and_of_the_fusion():
    early = block((7,), 8, dropout=0.25, input_dropout=0.5, kind="attention", attention=ATTENTION)
    tower = build({"early": early}, ["a", "b"], 3).towers["mma"]
    assert tower.block == {"hidden": (7,), "dense": 8, "dropout": 0.25}
    assert tower.attention == ATTENTION
    assert tower.input_dropout == 0.5
    fusion = {"kind": "clstm", "hidden": (7,), "dense": 8, "dropout": 0.125}
    network = build({"unimodal": {"default": block()}, "fusion": fusion}, ["a", "b"], 3)
    assert network.fusion.block == {"hidden": (7,), "dense": 8, "dropout": 0.125}


def test_the_smallest_sizes_and_the_extreme_rates_are_permitted():
    settings = block((1, 1), 1, dropout=1, input_dropout=0)
    tower = build({"unimodal": {"default": settings}}, ["a"], 3).towers["a"]
    assert tower.block == {"hidden": (1, 1), "dense": 1, "dropout": 1}


def test_parameters_belong_to_the_head_with_the_longest_matching_name():
    assert owner("towers_b_a", ["a", "b_a"]) == "b_a"
    assert owner("fusion", ["fusion", "ion"]) == "fusion"
    assert owner("stem", ["a"]) is None
