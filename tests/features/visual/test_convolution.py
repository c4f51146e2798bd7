import flax.linen as nn
import jax
import numpy as np
import pytest

from mman_jax.features.visual.resnet3d import Conv


@pytest.mark.parametrize(
    ("shape", "kernel", "stride"),
    [
        ((2, 5, 11, 8, 3), (3, 7, 7), (1, 2, 2)),
        ((2, 4, 6, 5, 4), (3, 3, 3), (1, 1, 1)),
        ((1, 5, 6, 7, 4), (3, 3, 3), (2, 2, 2)),
        ((1, 1, 2, 2, 4), (3, 3, 3), (2, 2, 2)),
        ((2, 4, 6, 5, 4), (1, 1, 1), (2, 2, 2)),
        ((1, 7, 3, 3, 2), (5, 1, 3), (3, 1, 2)),
    ],
)
def test_it_is_flax_s_own_convolution_and_so_are_its_gradients(shape, kernel, stride):
    random = np.random.default_rng(0)
    x = random.normal(size=shape).astype(np.float32)
    ours = Conv(6, kernel, stride)
    sides = [(size // 2, size // 2) for size in kernel]
    theirs = nn.Conv(6, kernel, stride, sides, use_bias=False)
    params = ours.init(jax.random.key(0), x)
    jax.tree.map(
        np.testing.assert_array_equal, params, theirs.init(jax.random.key(0), x)
    )  # also what a seed draws
    wanted = theirs.apply(params, x)
    np.testing.assert_allclose(ours.apply(params, x), wanted, rtol=1e-5, atol=1e-5)
    weights = random.normal(size=wanted.shape).astype(np.float32)

    def gradients(network):
        return jax.grad(lambda p, x: (network.apply(p, x) * weights).sum(), (0, 1))(params, x)

    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-4),
        gradients(ours),
        gradients(theirs),
    )
