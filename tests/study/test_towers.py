import jax
import jax.numpy as jnp
import pytest

from configs import mman
from mman_jax.study import towers as plan
from mman_jax.systems import build

MODALITIES = ("speech", "visual", "text")
DIMS = {"speech": 100, "visual": 512, "text": 100}


@pytest.fixture(scope="module")
def recipe():
    config = mman.get_config()
    config.train.towers.learning_rate.mma = 1e-4
    return config


@pytest.fixture(scope="module")
def planned(recipe):
    return {system.name: system for system in plan.systems(recipe, MODALITIES)}


def names(system, recipe):
    found = plan.towers(system.config, recipe, MODALITIES)
    return {name: plan.key(name, config) for name, config in found.items()}


def count(config, dims):
    network = build(config.network, list(dims), 4)
    features = {m: jnp.zeros((1, 1, d)) for m, d in dims.items()}
    made = jax.eval_shape(network.init, jax.random.key(0), features, jnp.ones((1, 1), bool))
    return sum(x.size for x in jax.tree.leaves(made))


def test_the_paper_s_systems_come_first_with_the_paper_s_sizes(planned):
    paper = [s for s in planned.values() if s.group == "paper"]
    assert [s.name for s in paper] == [
        "clstm_speech", "clstm_visual", "clstm_text", "clstm_ef", "clstm_lf", "clstm_mma", "mman",
    ]  # fmt: skip
    sizes = {s.name: count(s.config, DIMS) for s in paper if s.name[6:] not in MODALITIES}
    assert sizes == {
        "clstm_ef": 2_000_204, "clstm_lf": 4_729_616, "clstm_mma": 1_273_154, "mman": 4_392_184,
    }  # fmt: skip
    assert count(planned["clstm_speech"].config, {"speech": 100}) == 1_265_804


def test_systems_share_their_towers(planned, recipe):
    whole, late = names(planned["mman"], recipe), names(planned["clstm_lf"], recipe)
    assert list(whole) == [*MODALITIES, "mma"]
    assert whole["speech"] == late["speech"] == names(planned["clstm_speech"], recipe)["speech"]
    assert whole["text"] == late["text"]
    assert whole["visual"] != late["visual"]  # MMAN's is smaller
    assert late["visual"] == names(planned["clstm_visual"], recipe)["visual"]
    assert whole["mma"] == names(planned["clstm_mma"], recipe)["mma"]
    assert whole == names(planned["joint"], recipe)
    assert names(planned["no_attention"], recipe)["ef"] == names(planned["clstm_ef"], recipe)["ef"]


@pytest.mark.parametrize(
    ("name", "tower"),
    [
        ("own_keys", "mma"),
        ("skip_concatenated", "mma"),
        ("without_speech", "mma"),
        ("no_context", "mma"),
    ],
)
def test_an_ablation_trains_only_what_it_changes(planned, recipe, name, tower):
    ablated, whole = names(planned[name], recipe), names(planned["mman"], recipe)
    assert [t for t in ablated if ablated[t] != whole[t]] == [tower]


def test_a_tower_has_its_own_rate_and_nothing_to_fuse(planned, recipe):
    towers = plan.towers(planned["mman"].config, recipe, MODALITIES)
    assert towers["mma"].train.towers.learning_rate.to_dict() == {"default": 1e-4}
    assert towers["text"].train.towers.learning_rate.to_dict() == {"default": 1e-3}
    for name, config in towers.items():
        assert "fusion" not in config.network
        read = config.data.modalities.split(",") if config.data.modalities else MODALITIES
        assert list(build(config.network, read, 4).towers) == [name]


def test_two_modalities_are_not_reduced_to_one(recipe):
    found = {s.name for s in plan.systems(recipe, ("speech", "text"))}
    assert not {name for name in found if name.startswith("without")}


def test_plans_leave_the_recipe_as_it_is(recipe):
    before = recipe.to_json()
    plan.systems(recipe, MODALITIES)
    assert recipe.to_json() == before
