"""Numbers and paths of parameters."""

import importlib
import pathlib

import jax
import pytest

import configs
from configs import mman
from mman_jax.systems import build
from mman_jax.trial.config import network, title
from tests.systems.golden import count

MODALITIES = ("text", "speech", "visual")
IEMOCAP = {"speech": 100, "visual": 512, "text": 100}  # sizes of the public features
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
"""By config, on these features and four classes; Table 2 of the paper rounds them to millions."""


def config_of(name):
    return importlib.import_module(f"configs.{name}").get_config()


def shapes(settings, dims, classes=4):
    return build(settings, list(dims), classes).parameter_shapes(dims)


def test_every_config_of_a_network_is_listed():
    files = pathlib.Path(configs.__file__).parent.glob("*.py")
    of_mman, estimators = {"mosi", "recommended"}, {"linear", "rozgic"}
    assert {f.stem for f in files} == PARAMETERS.keys() | {"__init__"} | of_mman | estimators


@pytest.mark.parametrize("name", PARAMETERS)
def test_parameters_of_every_config(name):
    config = config_of(name)
    modalities = config.data.modalities.split(",") if config.data.modalities else IEMOCAP
    if config.system.startswith("mister_e"):
        modalities = ("speech", "text")  # two modalities
    assert title(config) == name
    found = count(shapes(network(config), {m: IEMOCAP[m] for m in modalities}))
    assert found == PARAMETERS[name]


@pytest.mark.parametrize(
    ("name", "dims", "classes", "parameters"),
    [
        ("fmt", (300, 74, 35), 8, 77_088_060),
        ("raven", (300, 74, 35), 1, 1_192_953),
        ("mult", (300, 74, 35), 8, 1_074_998),
        ("mfm", (300, 74, 35), 8, 730_465),
        ("lmf", (100, 73, 100), 2, 52_426),
        ("tripathi", (100, 73, 100), 2, 268_034),
        ("bc_lstm", (100, 73, 100), 2, 4_756_808),
        ("sdt", (100, 73, 100), 2, 76_919_816),
        ("mister_e", (100, 73), 2, 41_443_565),
        ("mister_e_causal", (100, 73), 2, 50_880_749),
        ("dialogue_rnn_bi", (100,), 6, 8_880_406),
    ],
)
def test_parameters_on_other_features(name, dims, classes, parameters):
    dims = dict(zip(MODALITIES, dims, strict=False))
    assert count(shapes(network(config_of(name)), dims, classes)) == parameters


@pytest.mark.parametrize(
    ("changes", "parameters"),
    [
        # The other reading of section 2.1.2.
        ({"model": 100, "key": 50, "value": 100, "skip": "concatenate"}, 1_274_904),
        # Each of three queries with its own three key and three value weights.
        ({"shared": False}, 1_273_154 + 2 * 2 * 3 * 150 * 150),
    ],
)
def test_other_readings_of_the_attention_are_settings(changes, parameters):
    config = config_of("clstm_mma")
    config.network.early.attention.update(changes)
    assert count(shapes(config.network, IEMOCAP)) == parameters


def test_parameters_of_mman():
    params = shapes(mman.get_config().network, IEMOCAP)
    assert {name: count(x) for name, x in params.items()} == {
        "towers_speech": 1_265_804,
        "towers_visual": 587_354,
        "towers_text": 1_265_804,
        "towers_mma": 1_273_154,
        "fusion": 16 * 4 + 4,
    }

    def dense(name):
        return [f"{name}/bias", f"{name}/kernel"]

    def clstm(name, layers):
        lstm = ("bias_hidden", "bias_input", "kernel_hidden", "kernel_input")
        within = [f"{name}/lstm_{layer}/{x}" for layer in range(layers) for x in lstm]
        return [*dense(f"{name}/dense"), *dense(f"{name}/logits"), *within]

    attention, kinds = "towers_mma/attention", ("key", "query", "value")
    expected = [
        *dense("fusion/logits"),
        *(path for m in IEMOCAP for path in dense(f"{attention}/standardise_{m}")),
        *(f"{attention}/{kind}_{m}/kernel" for kind in kinds for m in IEMOCAP),
        *clstm("towers_mma/clstm", 1),
        *(path for m in IEMOCAP for path in clstm(f"towers_{m}/clstm", 2)),
    ]
    leaves = jax.tree_util.tree_leaves_with_path(params)
    paths = [jax.tree_util.keystr(path, simple=True, separator="/") for path, _ in leaves]
    assert sorted(paths) == sorted(expected)
