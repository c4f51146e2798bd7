"""Checks of every system by `mman_jax.testing`, at small sizes."""

import pytest

from mman_jax import testing
from mman_jax.systems import SYSTEMS
from mman_jax.trial import config

DIMS = {"text": 4, "speech": 3}
BLOCK = {"hidden": (4,), "dense": 5, "dropout": 0.3, "input_dropout": 0.3}
STILL = BLOCK | {"dropout": 0.0, "input_dropout": 0.0}
ATTENTION = {"model": 4, "key": 3, "value": 4}
SETTINGS = {
    "mman": {
        "unimodal": {"default": BLOCK},
        "early": BLOCK | {"kind": "attention", "attention": ATTENTION},
        "fusion": {"kind": "dense"},
    },
    "bc_lstm": {"hidden": 5, "dense": 4, "fusion_dense": 6},
    "mult": {"units": 6, "heads": 3, "layers": 1, "window": 2},
    "fmt": {
        "widths": {"speech": 4},
        "heads": 2,
        "merge": (3,),
        "hidden": 5,
        "layers": 2,
        "units": 4,
        "window": 2,
        "dropout": 0.3,
    },
    "mfm": {
        "private": {"default": 3, "text": 4},
        "shared": 3,
        "private_factor": {"default": 3},
        "shared_factor": 4,
        "hidden": {"default": 3, "text": 4},
        "memory": 4,
        "inner": (5, 4, 3, 4),
    },
    "raven": {"projection": 4, "frames": 3, "hidden": 5},
    "tripathi": {"units": 6},
    "rozgic": {},
    "linear": {},
    "dialogue_rnn": {"history": 5, "party": 4, "emotion": 3, "dense": 4, "listener": True},
    "dialogue_rnn_bi": {"history": 5, "party": 4, "emotion": 3, "dense": 4},
    "sdt": {"size": 4, "heads": 2},
    "sdt_causal": {"size": 4, "heads": 2, "window": 3},
    "mister_e": {"context": 3, "layers": 1, "size": 4, "inner": 4, "heads": 2, "units": 1},
    "mister_e_causal": {
        **{"context": 3, "layers": 1, "size": 4, "inner": 4, "heads": 2, "units": 1},
        "window": 3,
    },
    "lmf": {"hidden": 5, "code": 4, "sizes": {"default": 3}, "rank": 3},
}
# A kernel that acts from one step to the next, in a sequence of one step.
IDLE = {"mfm": ["decoder_.*/kernel_hidden"], "raven": ["frames_.*/kernel_hidden"]}
OTHERS = {
    "fusion by a cLSTM": {
        "unimodal": {"default": BLOCK | {"hidden": (4, 5)}},
        "fusion": BLOCK | {"kind": "clstm"},
    },
    "dropout of modalities alone": {
        "early": STILL | {"kind": "concatenation"},
        "modality_dropout": 0.5,
    },
}


SHORT = ("mman", "rozgic", "linear")
"""Systems whose life cycle is not left to the end-to-end tests."""


def case_of(name):
    if SYSTEMS[name].needs:
        pytest.importorskip("sklearn", reason="needs scikit-learn: pip install 'mman_jax[svm]'")
    settings = {"settings": SETTINGS[name], "training": config.of(name).train}
    return testing.Case(SYSTEMS[name], DIMS, idle=IDLE.get(name, ()), **settings)


@pytest.mark.parametrize("name", SYSTEMS)
def test_properties_of_every_system(name):
    case, fits = case_of(name), SYSTEMS[name].learns_by == "fitting"
    for check in testing.ESTIMATOR_CHECKS if fits else testing.CHECKS:
        if check is not testing.check_life_cycle:
            check(case)


@pytest.mark.parametrize(
    "name", [pytest.param(x, marks=() if x in SHORT else pytest.mark.e2e) for x in SYSTEMS]
)
def test_life_cycle_of_every_system(name):
    testing.check_life_cycle(case_of(name))


CHECKS = {
    "fusion by a cLSTM": (
        *(testing.check_stages, testing.check_packing, testing.check_causality),
        *(testing.check_streaming, testing.check_gradients),
    ),
    "dropout of modalities alone": (
        *(testing.check_dropout, testing.check_missing_modalities, testing.check_gradients),
    ),
}
"""What the settings could break; the rest is as in the row of MMAN."""


@pytest.mark.parametrize("name", OTHERS)
def test_other_settings_of_mman(name):
    case = testing.Case(SYSTEMS["mman"], DIMS, settings=OTHERS[name])
    for check in CHECKS[name]:
        check(case)
