import flax.linen as nn
import jax
import numpy as np
import pytest
from flax.traverse_util import unflatten_dict

from mman_jax.errors import InputError
from mman_jax.features.visual import resnet3d


@pytest.mark.parametrize(
    ("shape", "kernel", "stride"),
    [
        ((2, 5, 11, 8, 3), (3, 7, 7), (1, 2, 2)),
        ((1, 1, 2, 2, 4), (3, 3, 3), (2, 2, 2)),
        ((2, 4, 6, 5, 4), (1, 1, 1), (2, 2, 2)),
        ((1, 7, 3, 3, 2), (5, 1, 3), (3, 1, 2)),
    ],
)
def test_convolution_and_its_gradients_equal_those_of_flax(shape, kernel, stride):
    random = np.random.default_rng(0)
    x = random.normal(size=shape).astype(np.float32)
    ours = resnet3d.Conv(6, kernel, stride)
    theirs = nn.Conv(6, kernel, stride, [(n // 2, n // 2) for n in kernel], use_bias=False)
    params = ours.init(jax.random.key(0), x)
    jax.tree.map(np.testing.assert_array_equal, params, theirs.init(jax.random.key(0), x))
    expected = theirs.apply(params, x)
    np.testing.assert_allclose(ours.apply(params, x), expected, rtol=1e-5, atol=1e-5)
    weights = random.normal(size=expected.shape).astype(np.float32)

    def gradients(network):
        return jax.grad(lambda p, x: (network.apply(p, x) * weights).sum(), (0, 1))(params, x)

    for a, b in zip(*map(jax.tree.leaves, map(gradients, (ours, theirs))), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-4)


def torchvision_state():
    """Random weights with the names and shapes of torchvision's r3d_18."""
    random, state = np.random.default_rng(0), {}

    def convolution(name, shape):
        scale = np.sqrt(2 / np.prod(shape[1:]))
        state[f"{name}.0.weight"] = random.normal(0, scale, shape).astype(np.float32)
        for field, low, high in (
            *(("weight", 0.5, 1.5), ("bias", -0.3, 0.3)),
            *(("running_mean", -0.3, 0.3), ("running_var", 0.5, 2.0)),
        ):
            values = random.uniform(low, high, shape[0]).astype(np.float32)
            state[f"{name}.1.{field}"] = values
        state[f"{name}.1.num_batches_tracked"] = np.array(7)

    convolution("stem", (64, 3, 3, 7, 7))
    before = 64
    for stage, size in enumerate((64, 128, 256, 512)):
        for block in range(2):
            name = f"layer{stage + 1}.{block}"
            convolution(f"{name}.conv1", (size, before, 3, 3, 3))
            convolution(f"{name}.conv2", (size, size, 3, 3, 3))
            if before != size:
                convolution(f"{name}.downsample", (size, before, 1, 1, 1))
            before = size
    state["fc.weight"], state["fc.bias"] = np.zeros((400, 512)), np.zeros(400)
    return state


@pytest.fixture(scope="module")
def state():
    return torchvision_state()


@pytest.mark.parametrize("shape", [(2, 8, 32, 32, 3), (1, 7, 45, 37, 3)])
def test_features_equal_those_of_torch(state, shape):
    torch = pytest.importorskip("torch", reason="parity needs torch: pip install 'mman_jax[torch]'")
    functional = torch.nn.functional
    tensors = {name: torch.tensor(value) for name, value in state.items()}

    def convolve(x, name, stride):
        weight = tensors[f"{name}.0.weight"]
        x = functional.conv3d(x, weight, stride=stride, padding=[n // 2 for n in weight.shape[2:]])
        fields = ("running_mean", "running_var", "weight", "bias")
        return functional.batch_norm(x, *(tensors[f"{name}.1.{field}"] for field in fields))

    clips = np.random.default_rng(0).integers(0, 256, shape).astype(np.uint8)
    scaled = (clips / 255.0 - np.array(resnet3d.MEAN)) / np.array(resnet3d.DEVIATION)
    x = torch.tensor(scaled.transpose(0, 4, 1, 2, 3), dtype=torch.float32)
    x = torch.relu(convolve(x, "stem", (1, 2, 2)))
    for name in (f"layer{stage}.{block}" for stage in range(1, 5) for block in range(2)):
        skips = f"{name}.downsample.0.weight" in state
        y = torch.relu(convolve(x, f"{name}.conv1", 2 if skips else 1))
        x = convolve(x, f"{name}.downsample", 2) if skips else x
        x = torch.relu(convolve(y, f"{name}.conv2", 1) + x)
    expected = x.mean((2, 3, 4)).numpy()
    variables = unflatten_dict(resnet3d.from_torchvision(state, "test"), sep="/")
    features, logits = resnet3d.ResNet3D().apply(variables, clips, train=False)
    assert logits is None
    assert np.abs(expected).max() > 0.1
    np.testing.assert_allclose(features, expected, rtol=2e-3, atol=2e-4)


def test_every_weight_is_converted(state):
    converted = sum(x.size for x in resnet3d.from_torchvision(state, "test").values())
    ignored = ("fc.weight", "fc.bias", "num_batches_tracked")
    assert converted == sum(x.size for name, x in state.items() if not name.endswith(ignored))


@pytest.mark.parametrize(
    ("name", "change", "found"),
    [
        ("layer3.0.conv1.0.weight", lambda x: None, "no weight 'layer3.0.conv1.0.weight'"),
        ("layer1.0.conv1.0.0.weight", lambda x: np.zeros(3), "no weight of r3d_18"),
        ("stem.0.weight", lambda x: x[:, :, :1], r"shape \(64, 3, 1, 7, 7\)"),
        ("stem.1.bias", lambda x: x + np.nan, "not finite"),
    ],
)
def test_weights_of_other_networks_are_refused(state, name, change, found):
    changed = {n: x for n, x in (state | {name: change(state.get(name))}).items() if x is not None}
    with pytest.raises(InputError, match=found) as error:
        resnet3d.from_torchvision(changed, "file.pth")
    assert name in str(error.value)
