"""Settings that no run can use are refused before anything is written."""

import pytest

from configs import mman
from mman_jax.cli.terminal.screen import Screen
from mman_jax.errors import InputError
from mman_jax.trial import config as configs
from mman_jax.trial import runner, trial
from mman_jax.trial.trial import prepare_trial
from tests import tiny
from tests.gallery import on


@pytest.mark.parametrize(
    ("field", "value", "expected"),
    [
        ("seeds", 0, "1 to 1048576"),
        ("seeds", 10**9, "1 to 1048576"),
        ("first_seed", -1, "at least 0"),
        ("train.batch", 2**31, "1 to 1048576"),
        ("train.max_epochs", 2**31, "1 to 1048576"),
        ("train.towers.epochs", 0, "1 to 1048576"),
        ("train.towers.epochs", 2**40, "1 to 1048576"),
        ("train.fusion.patience", -1, "1 to 1048576"),
        ("train.towers.clip", float("inf"), "a finite number above 0"),
        ("train.towers.learning_rate.default", 0.0, "a finite number above 0"),
        ("train.towers.weight_decay", -0.1, "at least 0"),
        ("train.select", "acuracy", "'accuracy'"),
        ("checkpoint_seconds", float("nan"), "a finite number of at least 0"),
        ("checkpoint_seconds", float("inf"), "a finite number of at least 0"),
        ("checkpoint_seconds", -1.0, "a finite number of at least 0"),
        ("network.unimodal.default.hidden", (300, 2**31), "at most 1048576"),
        ("network.unimodal.visual.dense", 2**31, "at most 1048576"),
        ("network.early.attention.key", 2**62, "at most 1048576"),
    ],
)
def test_a_value_outside_its_range_is_refused_by_name(field, value, expected):
    config = mman.get_config()
    configs.check(config)
    config.update_from_flattened_dict({field: value})
    with pytest.raises(InputError, match=f"^config.{field}: .*; expected .*{expected}"):
        configs.check(config)


@pytest.mark.parametrize(
    ("field", "value", "said"),
    [
        ("data.path", "missing.npz", "no such file"),
        ("data.path", "", "empty path"),
        ("data.protocol", "mman5", "'mman4'"),
        ("data.modalities", "speech,txt", "'text'"),
        ("seeds", 0, "config.seeds: 0"),
        ("mesh.seeds", -1, "config.mesh"),
        ("mesh.rows", 99, "at most 1"),
        ("network.early.attention.skip", "concat", "'concatenate'"),
        ("network.early.attention.value", 100, "equal sizes"),
        ("network.unimodal.default.dropout", 1.5, "dropout: 1.5"),
        ("network.early.dense", 0, "a whole number from 1 to"),
    ],
)
def test_what_no_run_can_use_is_refused_before_anything_is_written(
    field, value, said, corpus_file, tmp_path
):
    config = on(corpus_file, tiny.recipe(early=True))
    config.update_from_flattened_dict({field: value})
    with pytest.raises(InputError, match=said):
        runner.run(config, tmp_path / "run", Screen(quiet=True))
    assert not (tmp_path / "run").exists()


def test_more_seeds_than_memory_holds_are_refused(monkeypatch):
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


def test_a_changed_config_still_takes_a_path():
    config = configs.change(mman.get_config(), {"network.fusion.kind": "mean"})
    config.data.path = "corpus.npz"
    assert (config.network.fusion.kind, config.data.path) == ("mean", "corpus.npz")
    with pytest.raises(TypeError):
        config.data.path = 3
    assert mman.get_config().data.path is None
