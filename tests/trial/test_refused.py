"""What no run can use is said before anything is written."""

import pytest

from configs import mman
from mman_jax.data.readers import npz
from mman_jax.errors import InputError
from tests import tiny
from tests.trial.test_runner import on, run


@pytest.fixture(scope="module")
def corpus_file(tmp_path_factory):
    path = tmp_path_factory.mktemp("corpus") / "corpus.npz"
    npz.write(tiny.corpus(), path)
    return path


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (dict(path="missing.npz"), "no such file"),
        (dict(path=""), "empty path"),
        (dict(protocol="mman5"), "'mman4'"),
        (dict(modalities="speech,txt"), "'text'"),
    ],
)
def test_bad_input_is_said_before_anything_is_written(change, said, corpus_file, tmp_path):
    config = on(corpus_file, **change) if "path" not in change else on("", **{})
    config.data.update(change)
    with pytest.raises(InputError, match=said):
        run(config, tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_numbers_below_one_are_refused(tmp_path):
    config = mman.get_config()
    config.seeds = 0
    with pytest.raises(InputError, match=r"config.seeds: 0; expected a number from 1"):
        run(config, tmp_path / "run")
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("field", "value", "said"),
    [
        ("train.towers.epochs", 0, "train.towers.epochs: 0; expected a number from 1"),
        ("train.fusion.patience", -1, "train.fusion.patience: -1"),
        ("train.towers.clip", float("inf"), "train.towers.clip: inf; expected a finite number"),
        ("train.towers.learning_rate.default", 0.0, "a finite number above 0"),
        ("train.towers.weight_decay", -0.1, "weight_decay: -0.1"),
        ("train.select", "acuracy", "'accuracy'"),
        ("first_seed", -1, "first_seed: -1"),
        ("mesh.seeds", -1, "config.mesh"),
        ("mesh.rows", 99, "at most 8"),
        ("network.early.attention.skip", "concat", "'concatenate'"),
        ("network.early.attention.value", 100, "equal sizes"),
        ("network.unimodal.default.dropout", 1.5, "dropout: 1.5"),
        ("network.early.dense", 0, "a whole number from 1 to"),
    ],
)
def test_settings_that_no_run_can_use_are_refused(field, value, said, corpus_file, tmp_path):
    config = on(corpus_file, tiny.recipe(early=True))
    config.update_from_flattened_dict({field: value})
    with pytest.raises(InputError, match=said):
        run(config, tmp_path / "run")
    assert not (tmp_path / "run").exists()
