import jax
import numpy as np

from mman_jax.layers.recurrent import GRU
from tests.layers import references

RESET = np.array([[True, False, False, True], [False, False, False, False]])
MASK = np.array([[True, False, True, True], [True, True, True, False]])


def expected(params, inputs, state):
    """In loops, by the equations of PyTorch's."""
    params = {name: np.float64(x) for name, x in params.items()}
    found = np.zeros((*inputs.shape[:2], state.shape[1]))
    last = np.array(state, np.float64)
    for b, u in np.ndindex(*inputs.shape[:2]):
        hidden = np.zeros_like(last[b]) if RESET[b, u] else last[b]
        if MASK[b, u]:
            x = np.split(inputs[b, u] @ params["kernel_input"] + params["bias_input"], 3)
            h = np.split(hidden @ params["kernel_hidden"] + params["bias_hidden"], 3)
            r, z = (references.sigmoid(x[gate] + h[gate]) for gate in (0, 1))
            hidden = (1 - z) * np.tanh(x[2] + r * h[2]) + z * hidden
        found[b, u] = last[b] = hidden
    return found, last


def test_a_gru_equals_its_equations():
    random = np.random.default_rng(0)
    inputs, state = (random.normal(size=s).astype("f4") for s in ((2, 4, 3), (2, 5)))
    shapes = jax.eval_shape(GRU(5).init, jax.random.key(0), inputs, RESET)["params"]
    assert shapes["kernel_hidden"].shape == (5, 15)
    params = references.randomise(shapes)
    found = GRU(5).apply({"params": params}, inputs, RESET, MASK, state)
    for one, other in zip(found, expected(params, inputs, state), strict=True):
        np.testing.assert_allclose(one, other, atol=1e-5)
