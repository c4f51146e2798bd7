import chex
import jax
import numpy as np
import pytest

from mman_jax.errors import InputError
from mman_jax.training import checkpoints
from tests import tiny


def test_a_snapshot_read_back_goes_on_to_the_same_end(tmp_path):
    trainer, labels = tiny.trainer(tiny.recipe(dropout=0.3, epochs=2), seeds=2)
    kept = tiny.kept(trainer.run(labels, [0, 1]))
    for middle in kept[:4]:
        checkpoints.save(tmp_path, *checkpoints.pack(middle))
        back = checkpoints.unpack(*checkpoints.restore(tmp_path), trainer)
        chex.assert_trees_all_equal(back, middle)
    end = tiny.last(trainer, labels, [0, 1], back)
    chex.assert_trees_all_equal(jax.tree.map(np.asarray, end.state), kept[-1].state)


def test_the_newest_is_read_and_two_are_kept(tmp_path):
    for step in (1, 2, 3):
        checkpoints.save(tmp_path, {"a": {"b": np.full(2, step)}}, {"step": step})
    arrays, card = checkpoints.restore(tmp_path)
    np.testing.assert_array_equal(arrays["a"]["b"], [3, 3])
    assert card == {"step": 3}
    assert sorted(p.name for p in tmp_path.iterdir()) == ["1", "2"]


def test_nothing_there_is_none(tmp_path):
    assert checkpoints.restore(tmp_path) is None
    assert checkpoints.restore(tmp_path / "missing") is None


def test_a_damaged_checkpoint_is_named(tmp_path):
    checkpoints.save(tmp_path, {"a": np.arange(100.0)}, {})
    for path in (tmp_path / "0" / "arrays").rglob("*"):
        if path.is_file():
            path.write_bytes(b"")
    with pytest.raises(InputError, match="unreadable"):
        checkpoints.restore(tmp_path)


def test_a_damaged_checkpoint_is_passed_over_for_the_one_before(tmp_path):
    for number in (1, 2):
        checkpoints.save(tmp_path, {"a": np.full(100, number)}, {"number": number})
    for path in (tmp_path / "1" / "arrays").rglob("*"):
        if path.is_file():
            path.write_bytes(b"")
    arrays, card = checkpoints.restore(tmp_path)
    np.testing.assert_array_equal(arrays["a"], np.ones(100))
    assert card == {"number": 1}


def test_an_unwritable_folder_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="file"):
        checkpoints.save(tmp_path / "file", {"a": np.zeros(2)}, {})
