import importlib
import math
import pathlib

import jax
import pytest

import configs
from configs import mman
from mman_jax.errors import InputError
from mman_jax.systems import build
from mman_jax.systems.base import owner
from mman_jax.trial.config import network, title

# The public IEMOCAP features (facts.md).
DIMS = {"speech": 100, "visual": 512, "text": 100}
# Trainable numbers of each config on them; what Table 2 rounds to millions.
PARAMETERS = {
    "bc_lstm": 5_812_016,
    "clstm_speech": 1_265_804,
    "clstm_visual": 1_760_204,
    "clstm_text": 1_265_804,
    "clstm_ef": 2_000_204,
    "clstm_lf": 4_729_616,
    "clstm_mma": 1_273_154,
    "fmt": 21_518_656,
    "lmf": 58_988,
    "mult": 1_083_364,
    "mfm": 877_684,
    "mman": 4_392_184,
    "raven": 968_706,
    "tripathi": 380_932,
    "dialogue_rnn": 6_311_304,
    "dialogue_rnn_bi": 13_163_204,
    "sdt": 77_377_552,
    "sdt_causal": 77_377_552,
    "mister_e": 41_781_551,
    "mister_e_causal": 51_218_735,
}


def shapes(network, dims):
    return network.parameter_shapes(dims)


def count(params):
    return sum(math.prod(x.shape) for x in jax.tree.leaves(params))


def config_of(name):
    return importlib.import_module(f"configs.{name}").get_config()


def dims_of(config):
    names = config.data.modalities.split(",") if config.data.modalities else DIMS
    if config.system.startswith("mister_e"):
        names = ["speech", "text"]  # two modalities
    return {m: DIMS[m] for m in names}


def block(hidden=(3,), dense=2, **changes):
    return {"hidden": hidden, "dense": dense, "dropout": 0.0, "input_dropout": 0.0} | changes


ATTENTION = {"model": 4, "key": 3, "value": 4}


def test_every_config_is_listed_here():
    files = pathlib.Path(configs.__file__).parent.glob("*.py")
    recipes = {"mosi"}  # MMAN with other settings
    estimators = {"linear", "rozgic"}  # as many numbers as training utterances ask for
    assert {
        f.stem for f in files if f.stem != "__init__"
    } == PARAMETERS.keys() | recipes | estimators


@pytest.mark.parametrize("name", PARAMETERS)
def test_parameters_of_every_config(name):
    config = config_of(name)
    dims = dims_of(config)
    system = build(network(config), list(dims), 4)
    assert title(config) == name
    assert count(shapes(system, dims)) == PARAMETERS[name]


def test_parameters_of_each_tower_of_mman():
    params = shapes(build(mman.get_config().network, list(DIMS), 4), DIMS)
    assert {name: count(x) for name, x in params.items()} == {
        "towers_speech": 1_265_804,
        "towers_visual": 587_354,
        "towers_text": 1_265_804,
        "towers_mma": 1_273_154,
        "fusion": 16 * 4 + 4,
    }


def test_parameter_paths_of_mman():
    params = shapes(build(mman.get_config().network, list(DIMS), 4), DIMS)

    def dense(name):
        return [f"{name}/bias", f"{name}/kernel"]

    def clstm(name, layers):
        lstm = ("bias_hidden", "bias_input", "kernel_hidden", "kernel_input")
        within = [f"{name}/lstm_{layer}/{x}" for layer in range(layers) for x in lstm]
        return [*dense(f"{name}/dense"), *dense(f"{name}/logits"), *within]

    expected = [
        *dense("fusion/logits"),
        *(x for m in DIMS for x in dense(f"towers_mma/attention/standardise_{m}")),
        *(f"towers_mma/attention/{x}_{m}/kernel" for x in ("key", "query", "value") for m in DIMS),
        *clstm("towers_mma/clstm", 1),
        *clstm("towers_speech/clstm", 2),
        *clstm("towers_text/clstm", 2),
        *clstm("towers_visual/clstm", 2),
    ]
    leaves = jax.tree_util.tree_leaves_with_path(params)
    actual = [jax.tree_util.keystr(path, simple=True, separator="/") for path, _ in leaves]
    assert sorted(actual) == sorted(expected)


@pytest.mark.parametrize(
    ("changes", "parameters"),
    [
        # facts.md, the other reading of section 2.1.2.
        ({"model": 100, "key": 50, "value": 100, "skip": "concatenate"}, 1_274_904),
        # Each of three queries with three key and three value weights of its own.
        ({"shared": False}, 1_273_154 + 2 * 2 * 3 * 150 * 150),
    ],
)
def test_the_other_readings_of_the_attention_are_settings(changes, parameters):
    config = config_of("clstm_mma")
    config.network.early.attention.update(changes)
    assert count(shapes(build(config.network, list(DIMS), 4), DIMS)) == parameters


def test_towers_inputs_and_head():
    network = build(mman.get_config().network, ["speech", "visual", "text"], 4)
    assert list(network.towers) == ["speech", "visual", "text", "mma"]
    assert dict(network.inputs) == {
        "speech": ("speech",),
        "visual": ("visual",),
        "text": ("text",),
        "mma": ("speech", "visual", "text"),
    }
    assert network.fusion.block is None
    assert network.head == "fusion"


def test_the_head_of_a_single_tower_is_the_tower():
    alone = build(config_of("clstm_text").network, ["text"], 4)
    assert (list(alone.towers), alone.fusion, alone.head) == (["text"], None, "text")
    early = build(config_of("clstm_ef").network, ["a", "b"], 4)
    assert (list(early.towers), early.fusion, early.head) == (["ef"], None, "ef")
    attention = build(config_of("clstm_mma").network, ["a", "b"], 4)
    assert (list(attention.towers), attention.fusion, attention.head) == (["mma"], None, "mma")


def test_a_modality_has_its_own_sizes_or_the_default_ones():
    unimodal = {"default": block(), "visual": block((4, 5), 6, dropout=0.25, input_dropout=0.5)}
    network = {"unimodal": unimodal, "fusion": {"kind": "dense"}}
    towers = build(network, ["speech", "visual"], 3).towers
    assert towers["speech"].block == {"hidden": (3,), "dense": 2, "dropout": 0.0}
    assert towers["speech"].input_dropout == 0.0
    assert towers["visual"].block == {"hidden": (4, 5), "dense": 6, "dropout": 0.25}
    assert towers["visual"].input_dropout == 0.5
    # A modality of the config that the corpus lacks asks for nothing.
    assert list(build(network, ["speech", "smell"], 3).towers) == ["speech", "smell"]


def test_settings_of_the_early_tower():
    early = block((7,), 8, dropout=0.25, input_dropout=0.5, kind="attention", attention=ATTENTION)
    tower = build({"early": early}, ["a", "b"], 3).towers["mma"]
    assert tower.block == {"hidden": (7,), "dense": 8, "dropout": 0.25}
    assert tower.attention == ATTENTION
    assert tower.input_dropout == 0.5


def test_settings_of_the_fusion():
    unimodal = {"default": block()}
    fusion = {"kind": "clstm", "hidden": (7,), "dense": 8, "dropout": 0.125}
    network = build({"unimodal": unimodal, "fusion": fusion}, ["a", "b"], 3)
    assert network.fusion.block == {"hidden": (7,), "dense": 8, "dropout": 0.125}


def test_an_unknown_kind_is_refused_with_the_near_match():
    early = block(kind="atention", attention=ATTENTION)
    with pytest.raises(InputError, match=r"^network\.early\.kind: 'atention'.*'attention'"):
        build({"early": early}, ["a"], 3)
    network = {"unimodal": {"default": block()}, "fusion": {"kind": "dens"}}
    with pytest.raises(InputError, match=r"^network\.fusion\.kind: 'dens'.*'dense'"):
        build(network, ["a", "b"], 3)


@pytest.mark.parametrize(
    ("network", "modalities", "found"),
    [
        ({"unimodal": {"default": block()}}, ["a", "b"], "towers: a, b; fusion: None"),
        (
            {
                "unimodal": {"default": block()},
                "early": block(kind="attention", attention=ATTENTION),
            },
            ["a"],
            "towers: a, mma; fusion: None",
        ),
        ({}, ["a"], "towers: none"),
    ],
)
def test_towers_that_are_not_one_system_are_refused(network, modalities, found):
    with pytest.raises(InputError, match=rf"^network: {found}"):
        build(network, modalities, 3)


def test_a_fusion_of_nothing_is_refused():
    with pytest.raises(InputError, match=r"^network: towers: none"):
        build({"fusion": {"kind": "dense"}}, ["a"], 3)


SIZES = "whole numbers from 1 to 2**31 - 1, one for each layer: (300,)"
SIZE = "a whole number from 1 to 2**31 - 1"


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        (dict(hidden=3), f"hidden: 3; expected {SIZES}"),
        (dict(hidden=()), f"hidden: (); expected {SIZES}"),
        (dict(hidden=(3, 0)), f"hidden: (3, 0); expected {SIZES}"),
        (dict(hidden=(1.5,)), f"hidden: (1.5,); expected {SIZES}"),
        (dict(hidden=("a",)), f"hidden: ('a',); expected {SIZES}"),
        (dict(hidden=((1,),)), f"hidden: ((1,),); expected {SIZES}"),
        (dict(hidden=(2**31,)), f"hidden: (2147483648,); expected {SIZES}"),
        (dict(dense=0), f"dense: 0; expected {SIZE}"),
        (dict(dropout=-0.1, input_dropout=0.5), "dropout: -0.1; expected a rate from 0 to 1"),
        (dict(dropout=0.5, input_dropout=-0.1), "input_dropout: -0.1; expected a rate from 0 to 1"),
        (dict(dropout=1.1), "dropout: 1.1; expected a rate from 0 to 1"),
        (dict(dropout=float("nan")), "dropout: nan; expected a rate from 0 to 1"),
    ],
)
def test_sizes_and_rates_that_cannot_be_are_refused(changes, said):
    with pytest.raises(InputError) as error:
        build({"unimodal": {"default": block(**changes)}}, ["a"], 3)
    assert str(error.value) == f"network.unimodal.default.{said}"


def test_the_least_sizes_and_the_extreme_rates_are_taken():
    settings = block((1, 1), 1, dropout=1, input_dropout=0)
    tower = build({"unimodal": {"default": settings}}, ["a"], 3).towers["a"]
    assert tower.block == {"hidden": (1, 1), "dense": 1, "dropout": 1}


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        (dict(skip="ad"), "skip: 'ad'; expected 'add'? (one of add, concatenate)"),
        (dict(key=0), f"key: 0; expected {SIZE}"),
        (dict(key=-1), f"key: -1; expected {SIZE}"),
        (dict(value=5), "value: 5, with model 4; expected equal sizes, or skip=concatenate"),
    ],
)
def test_an_attention_that_cannot_be_is_refused(changes, said):
    early = block(kind="attention", attention=ATTENTION | changes)
    with pytest.raises(InputError) as error:
        build({"early": early}, ["a", "b"], 3)
    assert str(error.value) == f"network.early.attention.{said}"
    early["attention"] = ATTENTION | changes | {"skip": "concatenate"}
    if "key" not in changes:
        build({"early": early}, ["a", "b"], 3)


@pytest.mark.parametrize("rate", [-0.1, 1.0, 1.5])
def test_a_modality_dropout_that_is_no_rate_is_refused(rate):
    network = {"unimodal": {"default": block()}, "modality_dropout": rate}
    with pytest.raises(InputError, match=rf"^network\.modality_dropout: {rate}"):
        build(network, ["a"], 3)


def test_a_modality_may_not_take_the_name_of_another_tower():
    network = mman.get_config().network
    with pytest.raises(InputError, match="mma"):
        build(network, ["speech", "mma"], 4)


def test_an_unknown_system_or_setting_is_refused_with_the_near_match():
    with pytest.raises(InputError, match=r"^network.system: unknown 'mmam'; expected 'mman'"):
        build({"system": "mmam"}, ["a"], 3)
    with pytest.raises(InputError, match=r"^network.fusoin: unknown; expected 'fusion'"):
        build({"unimodal": {"default": block()}, "fusoin": {"kind": "dense"}}, ["a"], 3)


def test_parameters_belong_to_the_head_whose_name_is_longest():
    assert owner("towers_b_a", ["a", "b_a"]) == "b_a"
    assert owner("fusion", ["fusion", "ion"]) == "fusion"
    assert owner("stem", ["a"]) is None
