import jax
import numpy as np
import pytest

from mman_jax.errors import InputError
from mman_jax.inference import weights
from tests.inference import trained

PARAMS = trained.model().params
NAME = "towers_speech/clstm/lstm_0/kernel_hidden"


def test_parameters_come_back_bit_by_bit():
    tensors = weights.to_tensors(PARAMS)
    assert tensors[NAME].shape == (2, 8, 32)
    shuffled = dict(sorted(tensors.items(), reverse=True))
    back = weights.from_tensors(shuffled, PARAMS)
    assert jax.tree.structure(back) == jax.tree.structure(PARAMS)
    jax.tree.map(np.testing.assert_array_equal, back, PARAMS)


def test_another_number_of_seeds_is_taken():
    one = {name: tensor[1:] for name, tensor in weights.to_tensors(PARAMS).items()}
    back = weights.from_tensors(one, PARAMS)
    jax.tree.map(lambda x, y: np.testing.assert_array_equal(x, y[1:]), back, PARAMS)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda t: t.pop(NAME), "missing"),
        (lambda t: t.update({f"{NAME}s": t[NAME]}), f"{NAME}s: unexpected; expected '{NAME}'"),
        (lambda t: t.update({NAME: t[NAME][:, :, :31]}), r"\(2, 8, 31\).*\(2, 8, 32\)"),
        (lambda t: t.update({NAME: t[NAME][:1]}), r"\(1, 8, 32\).*\(2, 8, 32\)"),
        (lambda t: t.update({NAME: np.float32(0)}), r"of shape \(\)"),
        (lambda t: t.update({NAME: t[NAME].astype(np.float16)}), "float16 .* float32"),
        (lambda t: t.update({NAME: t[NAME] * np.nan}), "not finite"),
    ],
    ids=["missing", "unexpected", "shape", "seeds", "scalar", "dtype", "nan"],
)
def test_a_tensor_that_does_not_fit_is_named(change, said):
    tensors = weights.to_tensors(PARAMS)
    change(tensors)
    with pytest.raises(InputError, match=said) as error:
        weights.from_tensors(tensors, PARAMS, "edited.safetensors")
    assert f"edited.safetensors: tensor {NAME}" in str(error.value)


@pytest.mark.parametrize("shape", [(), (0,)])
def test_no_seeds_at_all(shape):
    none = {name: np.zeros(shape, np.float32) for name in weights.to_tensors(PARAMS)}
    with pytest.raises(InputError, match="of shape"):
        weights.from_tensors(none, PARAMS)
