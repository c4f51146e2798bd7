"""Settings that are refused, with the name of the setting at fault."""

import pytest

from mman_jax.errors import InputError
from mman_jax.systems import build
from mman_jax.systems.rozgic import Rozgic

DIMS = {"text": 4, "speech": 3, "visual": 2}
BLOCK = {"hidden": (3,), "dense": 2, "dropout": 0.0, "input_dropout": 0.0}
ATTENTION = {"model": 4, "key": 3, "value": 4}
EARLY = BLOCK | {"kind": "attention", "attention": ATTENTION}
UNIMODAL = {"unimodal": {"default": BLOCK}}
UNKNOWN = float("nan")


def place_of(settings, modalities=tuple(DIMS)):
    """Returns the place of the error of building such a system."""
    dims = {m: DIMS.get(m, 1) for m in modalities}
    with pytest.raises(InputError) as error:
        build(settings, list(dims), 2).parameter_shapes(dims)
    return error.value.place


@pytest.mark.parametrize(
    ("system", "settings", "place"),
    [
        ("bc_lstm", {"hiden": 3}, "hiden"),
        ("bc_lstm", {"hidden": 1.5}, "hidden"),
        ("bc_lstm", {"dropout": "much"}, "dropout"),
        ("bc_lstm", {"dropout": UNKNOWN}, "dropout"),
        ("fmt", {"layers": 0}, "layers"),
        ("fmt", {"widths": {"text": 0}}, "widths.text"),
        ("fmt", {"widths": {"text": 1.5}}, "widths.text"),
        ("fmt", {"widths": 3}, "widths"),
        ("fmt", {"merge": ()}, "merge"),
        ("fmt", {"dropout": 1.0}, "dropout"),
        ("lmf", {"pivot": "face"}, "pivot"),
        ("lmf", {"rank": 0}, "rank"),
        ("lmf", {"sizes": {"speech": 3}}, "sizes"),
        ("lmf", {"cells": "frames"}, "cells"),
        ("mfm", {"private": {"text": 5}}, "private"),
        ("mfm", {"private": 5}, "private"),
        ("mfm", {"hidden": {"default": 0}}, "hidden.default"),
        ("mfm", {"hidden": {"default": 1.5}}, "hidden.default"),
        ("mfm", {"private_dropout": {"default": 2.0}}, "private_dropout.default"),
        ("mfm", {"inner": (1, 2)}, "inner"),
        ("mfm", {"cells": "word"}, "cells"),
        ("mult", {"units": 0}, "units"),
        ("mult", {"heads": 4}, "heads"),
        ("mult", {"window": -1}, "window"),
        ("mult", {"embed_dropout": 1.0}, "embed_dropout"),
        ("mult", {"cells": "frame"}, "cells"),
        ("mult", {"frames": {"text": 5}}, "frames"),
        ("mult", {"frames": {"default": 0}}, "frames.default"),
        ("raven", {"pivot": "txt"}, "pivot"),
        ("raven", {"frames": 0}, "frames"),
        ("raven", {"beta": -1.0}, "beta"),
        ("raven", {"dropout": 1.5}, "dropout"),
        ("tripathi", {"units": 0}, "units"),
        ("tripathi", {"cells": "frame"}, "cells"),
        ("tripathi", {"parts": 0}, "parts"),
        ("tripathi", {"channels": ()}, "channels"),
        ("tripathi", {"branches": {"text": "recurrent"}}, "branches"),
        ("tripathi", {"branches": {"default": "lstm"}}, "branches.default"),
        ("mmam", {}, "system"),
        ("mman", UNIMODAL | {"fusoin": {"kind": "dense"}}, "fusoin"),
        ("mman", {"early": EARLY | {"kind": "atention"}}, "early.kind"),
        ("mman", UNIMODAL | {"fusion": {"kind": "dens"}}, "fusion.kind"),
        ("mman", UNIMODAL | {"modality_dropout": -0.1}, "modality_dropout"),
        ("mman", UNIMODAL | {"modality_dropout": 1.0}, "modality_dropout"),
    ],
    ids=str,
)
def test_the_setting_is_named(system, settings, place):
    assert place_of({"system": system} | settings) == f"network.{place}"


@pytest.mark.parametrize("system", ["lmf", "mult", "raven"])
def test_a_modality_alone_is_refused(system):
    assert place_of({"system": system}, ["text"]) == "modalities"


@pytest.mark.parametrize(
    ("settings", "modalities"),
    [
        (UNIMODAL, ["a", "b"]),  # two towers and no fusion
        (UNIMODAL | {"early": EARLY}, ["a"]),
        ({}, ["a"]),
        ({"fusion": {"kind": "dense"}}, ["a"]),
    ],
)
def test_towers_that_are_not_one_system_are_refused(settings, modalities):
    assert place_of({"system": "mman"} | settings, modalities) == "network"


def test_a_modality_must_not_have_the_name_of_another_tower():
    settings = UNIMODAL | {"early": EARLY, "fusion": {"kind": "dense"}}
    assert place_of({"system": "mman"} | settings, ["speech", "mma"]) == "modalities"


@pytest.mark.parametrize(
    ("field", "value"),
    [
        *(("hidden", value) for value in (3, (), (3, 0), (1.5,), ("a",), ((1,),), (2**31,))),
        *(("dense", 0), ("dropout", -0.1), ("dropout", 1.1), ("dropout", UNKNOWN)),
        ("input_dropout", -0.1),
    ],
    ids=str,
)
def test_sizes_and_rates_of_a_tower_are_refused(field, value):
    place = place_of({"unimodal": {"default": BLOCK | {field: value}}}, ["a"])
    assert place == f"network.unimodal.default.{field}"


@pytest.mark.parametrize(
    ("change", "place"),
    [({"skip": "ad"}, "skip"), ({"key": 0}, "key"), ({"key": -1}, "key"), ({"value": 5}, "value")],
)
def test_settings_of_the_attention_are_refused(change, place):
    early = EARLY | {"attention": ATTENTION | change}
    assert place_of({"early": early}) == f"network.early.attention.{place}"
    if place == "value":  # sizes may differ if the skip connection concatenates
        early["attention"] = early["attention"] | {"skip": "concatenate"}
        build({"early": early}, ["a", "b"], 2)


@pytest.mark.parametrize(
    ("changes", "place"),
    [
        ({"outputs": 1}, "classes"),
        ({"outputs": 9}, "classes"),
        ({"cost": 0.0}, "network.cost"),
        ({"gamma": -1.0}, "network.gamma"),
    ],
)
def test_settings_of_the_trees_are_refused(changes, place):
    with pytest.raises(InputError) as error:
        Rozgic(("text",), **({"outputs": 2} | changes))
    assert error.value.place == place
