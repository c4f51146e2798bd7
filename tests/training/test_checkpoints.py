import chex
import jax
import numpy as np
import pytest

from mman_jax.errors import InputError
from mman_jax.training import checkpoints, integrity, packing
from tests import tiny


def test_a_snapshot_read_back_goes_on_to_the_same_end(tmp_path):
    trainer, labels = tiny.trainer(tiny.recipe(dropout=0.3, epochs=2), seeds=2)
    kept = tiny.kept(trainer.run(labels, [0, 1]))
    for middle in kept[:4]:
        checkpoints.save(tmp_path, *packing.pack(middle))
        back = packing.unpack(*checkpoints.restore(tmp_path), trainer)
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


def files(directory):
    return sorted(p for p in directory.rglob("*") if p.is_file())


def test_any_damaged_byte_is_seen(tmp_path):
    checkpoints.save(tmp_path, {"a": np.arange(1000.0)}, {"x": 1})
    for path in files(tmp_path):
        whole = path.read_bytes()
        damaged = bytearray(whole or b"x")
        damaged[len(whole) // 2] ^= 1
        path.write_bytes(damaged)
        with pytest.raises(InputError, match=str(tmp_path)):
            checkpoints.restore(tmp_path)
        path.write_bytes(whole)
    assert checkpoints.restore(tmp_path)[1] == {"x": 1}


def test_an_unfinished_checkpoint_is_passed_over_and_then_dropped(tmp_path):
    for number in range(3):
        checkpoints.save(tmp_path, {"a": np.full(10, number)}, {"number": number})
    (tmp_path / "2" / integrity.NAME).unlink()  # killed before it was signed
    assert checkpoints.restore(tmp_path)[1] == {"number": 1}
    checkpoints.save(tmp_path, {"a": np.full(10, 3)}, {"number": 3})
    assert sorted(p.name for p in tmp_path.iterdir()) == ["1", "3"]


def test_whole_checkpoints_stay_until_the_next_one_is_whole(tmp_path, monkeypatch):
    for number in range(2):
        checkpoints.save(tmp_path, {"a": np.full(10, number)}, {"number": number})

    def fail(_):
        raise OSError(28, "No space left on device")

    for _ in range(3):
        with monkeypatch.context() as patch:
            patch.setattr(integrity, "sign", fail)
            with pytest.raises(InputError, match="No space left"):
                checkpoints.save(tmp_path, {"a": np.zeros(10)}, {})
        assert checkpoints.restore(tmp_path)[1] == {"number": 1}


def test_more_claimed_than_there_can_be_is_refused(tmp_path, monkeypatch):
    checkpoints.save(tmp_path, {"a": np.zeros(10**6, np.float32)}, {})  # zeros pack well
    checkpoints.restore(tmp_path)
    monkeypatch.setattr(checkpoints, "_FREE_BYTES", 0)
    monkeypatch.setattr(checkpoints, "_LARGEST_RATIO", 1)
    with pytest.raises(InputError, match="claim to hold 4000000"):
        checkpoints.restore(tmp_path)
