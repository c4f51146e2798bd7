"""Numbers that no run can use, and runs that no machine here can hold."""

import pytest

from configs import mman
from mman_jax.errors import InputError
from mman_jax.trial import config as configs
from mman_jax.trial import trial
from mman_jax.trial.trial import prepare_trial


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("seeds", 10**9),
        ("train.batch", 2**31),
        ("train.max_epochs", 2**31),
        ("train.towers.epochs", 2**40),
        ("network.unimodal.default.hidden", (300, 2**31)),
        ("network.unimodal.visual.dense", 2**31),
        ("network.early.attention.key", 2**62),
    ],
)
def test_a_size_beyond_all_use_is_refused_by_name(field, value):
    config = mman.get_config()
    config.update_from_flattened_dict({field: value})
    with pytest.raises(InputError, match=f"^config.{field}: .*; expected .* 1048576$"):
        configs.check(config)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -1.0])
def test_checkpoints_at_no_interval_are_refused(value):
    config = mman.get_config()
    config.checkpoint_seconds = value
    with pytest.raises(InputError, match=r"^config.checkpoint_seconds: .* a finite number of at"):
        configs.check(config)


def test_the_recipe_itself_is_fine():
    configs.check(mman.get_config())


def test_more_seeds_than_memory_holds_are_refused_before_anything_is_written(monkeypatch):
    config = mman.get_config()
    config.seeds = 4
    prepare_trial(config)
    monkeypatch.setattr(trial, "memory", lambda: 10**8)
    with pytest.raises(
        InputError, match=r"^config.seeds: 4 of \d+ parameters each: training takes"
    ):
        prepare_trial(config)
    config.seeds = 1
    prepare_trial(config)


def test_a_layer_of_a_million_units_is_refused_for_its_memory():
    config = mman.get_config()
    config.network.unimodal.default.hidden = (2**20, 2**20)
    with pytest.raises(InputError, match=r"^config.network: 1 of \d+ parameters each"):
        prepare_trial(config)


def test_the_estimate_grows_with_all_that_a_run_holds():
    assert trial.estimate(1, 1000, 0) == 20_000
    assert trial.estimate(3, 1000, 7) == 60_007
    assert trial.estimate(3, 1000, 7, averaged=True) == 72_007
    assert trial.memory() > 10**8
