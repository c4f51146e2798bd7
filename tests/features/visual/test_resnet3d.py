import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mman_jax.errors import InputError
from mman_jax.features.visual import resnet3d

torch = pytest.importorskip("torch", reason="parity needs torch: pip install 'mman_jax[torch]'")


class Block(torch.nn.Module):
    def __init__(self, before, channels, stride):
        super().__init__()

        def conv(a, b, s):
            return torch.nn.Conv3d(a, b, 3, stride=s, padding=1, bias=False)

        norm, relu = torch.nn.BatchNorm3d, torch.nn.ReLU
        self.conv1 = torch.nn.Sequential(conv(before, channels, stride), norm(channels), relu())
        self.conv2 = torch.nn.Sequential(conv(channels, channels, 1), norm(channels))
        self.downsample = None
        if stride != 1 or before != channels:
            shortcut = torch.nn.Conv3d(before, channels, 1, stride=stride, bias=False)
            self.downsample = torch.nn.Sequential(shortcut, norm(channels))

    def forward(self, x):
        skip = x if self.downsample is None else self.downsample(x)
        return torch.relu(self.conv2(self.conv1(x)) + skip)


class R3D18(torch.nn.Module):
    """The network written in torch, its parts named as torchvision names them."""

    def __init__(self, classes=400):
        super().__init__()
        conv = torch.nn.Conv3d(3, 64, (3, 7, 7), (1, 2, 2), (1, 3, 3), bias=False)
        self.stem = torch.nn.Sequential(conv, torch.nn.BatchNorm3d(64), torch.nn.ReLU())
        sizes = [(64, 64, 1), (64, 128, 2), (128, 256, 2), (256, 512, 2)]
        for number, (before, channels, stride) in enumerate(sizes):
            blocks = Block(before, channels, stride), Block(channels, channels, 1)
            self.add_module(f"layer{number + 1}", torch.nn.Sequential(*blocks))
        self.fc = torch.nn.Linear(512, classes)

    def forward(self, clips):
        x = self.stem(clips)
        for number in range(1, 5):
            x = getattr(self, f"layer{number}")(x)
        return x.mean((2, 3, 4))


def weights():
    torch.manual_seed(0)
    network = R3D18().eval()
    with torch.no_grad():
        for module in network.modules():
            if isinstance(module, torch.nn.BatchNorm3d):
                # Statistics of a network that was trained: none at its start value.
                module.running_mean.uniform_(-0.3, 0.3)
                module.running_var.uniform_(0.5, 2.0)
                module.weight.uniform_(0.5, 1.5)
                module.bias.uniform_(-0.3, 0.3)
    return network


@pytest.fixture(scope="module")
def network():
    return weights()


@pytest.fixture(scope="module")
def state(network):
    return {name: tensor.numpy() for name, tensor in network.state_dict().items()}


@pytest.mark.parametrize("shape", [(2, 8, 32, 32, 3), (1, 7, 45, 37, 3)])
def test_parity_with_torch(network, state, shape):
    clips = np.random.default_rng(0).integers(0, 256, shape).astype(np.uint8)
    variables = resnet3d.from_torchvision(state, "test")
    ours, logits = resnet3d.ResNet3D().apply(variables, clips, train=False)
    scaled = (clips / 255.0 - np.array(resnet3d.MEAN)) / np.array(resnet3d.DEVIATION)
    with torch.no_grad():
        theirs = network(torch.tensor(scaled.transpose(0, 4, 1, 2, 3), dtype=torch.float32))
    assert ours.shape == (shape[0], 512)
    assert logits is None
    assert np.abs(theirs.numpy()).max() > 0.1
    np.testing.assert_allclose(ours, theirs.numpy(), rtol=2e-3, atol=2e-4)


def test_every_weight_has_its_place(state):
    variables = resnet3d.from_torchvision(state, "test")
    used = sum(x.size for x in jax.tree.leaves(variables))
    left_out = ("fc.weight", "fc.bias", "num_batches_tracked")
    assert used == sum(x.size for name, x in state.items() if not name.endswith(left_out))


REFUSED = {
    "missing": (lambda s: s.pop("layer3.0.conv1.0.weight"), "no weight 'layer3.0.conv1.0.weight'"),
    "another network's": (
        lambda s: s.update({"layer1.0.conv1.0.0.weight": s["fc.bias"]}),
        r"layer1\.0\.conv1\.0\.0\.weight: no weight of r3d_18",
    ),
    "another shape": (
        lambda s: s.update({"stem.0.weight": s["stem.0.weight"][:, :, :1]}),
        r"stem\.0\.weight: shape \(64, 3, 1, 7, 7\)",
    ),
    "not finite": (
        lambda s: s.update({"stem.1.bias": np.full(64, np.nan)}),
        r"stem\.1\.bias: values that are not finite",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refused(state, name):
    changed = dict(state)
    change, said = REFUSED[name]
    change(changed)
    with pytest.raises(InputError, match=said):
        resnet3d.from_torchvision(changed, "file.pth")


def test_a_narrow_one_trains_with_its_own_statistics():
    clips = np.random.default_rng(0).integers(0, 256, (3, 4, 16, 16, 3)).astype(np.uint8)
    network = resnet3d.ResNet3D(width=4, classes=2)
    variables = network.init(jax.random.key(0), clips, train=False)
    (features, logits), kept = network.apply(variables, clips, train=True, mutable=["batch_stats"])
    assert features.shape == (3, network.size) == (3, 32)
    assert logits.shape == (3, 2)
    before = variables["batch_stats"]["stem_norm"]["mean"]
    assert jnp.abs(kept["batch_stats"]["stem_norm"]["mean"] - before).max() > 0
