import numpy as np
import pytest

from mman_jax.errors import InputError
from mman_jax.files import carded


def test_arrays_and_card_come_back(tmp_path):
    several = {"a": np.arange(3), "b/c": np.array(["x", "y"]), "d": np.array([True])}
    carded.write(tmp_path / "new" / "x.npz", several, {"n": 1}, "about")
    with np.load(tmp_path / "new" / "x.npz", allow_pickle=False) as file:
        assert sorted(file) == ["a", "about", "b/c", "d"]
    found, card = carded.read(tmp_path / "new" / "x.npz", "it", "about")
    assert card == {"n": 1}
    for name, array in several.items():
        np.testing.assert_array_equal(found[name], array)


def test_what_has_no_card_is_refused(tmp_path):
    np.savez(tmp_path / "x.npz", a=np.zeros(1))
    with pytest.raises(InputError, match=r"x\.npz: no card .*expected it"):
        carded.read(tmp_path / "x.npz", "it")
    np.savez(tmp_path / "x.npz", card=np.array("{"))
    with pytest.raises(InputError, match="no card"):
        carded.read(tmp_path / "x.npz", "it")
    with pytest.raises(InputError, match="no such file"):
        carded.read(tmp_path / "none.npz", "it")
    with pytest.raises(InputError, match="cannot be written"):
        carded.write(tmp_path / "none" / "x.npz", {}, {}, make_folder=False)
