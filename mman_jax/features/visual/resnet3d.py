"""The 3D ResNet-18 of Tran et al. (CVPR 2018), and the conversion of torchvision's weights."""

from collections.abc import Mapping

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from flax import traverse_util

from mman_jax.errors import InputError, nearest
from mman_jax.types import Array

MEAN = (0.43216, 0.394666, 0.37645)
DEVIATION = (0.22803, 0.22145, 0.216989)
"""Standard deviation of red, green and blue in Kinetics-400, for values from 0 to 1."""

WIDTH = 64
_STAGES = 4
_BLOCKS = 2
_IGNORED = ("num_batches_tracked", "fc.weight", "fc.bias")


class Conv(nn.Module):
    """A convolution over time and space, without biases, zero-padded by half the kernel.

    It is computed as a two-dimensional convolution, with the pictures under the kernel stacked as
    channels, since XLA's three-dimensional convolutions are slow on CPUs: the gradient of the first
    layer would take seventy times as long.

    Sizes are in time, height and width; those of the kernel are odd.
    """

    channels: int
    kernel: tuple[int, int, int]
    stride: tuple[int, int, int]

    @nn.compact
    def __call__(self, x: Array) -> Array:
        """Convolves [B, T, H, W, C] to [B, time, height, width, channels]."""
        shape = (*self.kernel, x.shape[-1], self.channels)
        kernel = self.param("kernel", nn.initializers.lecun_normal(), shape)
        (taps, *_), (step, *steps) = self.kernel, self.stride
        sides = [(size // 2, size // 2) for size in self.kernel]
        x = jnp.pad(x, [(0, 0), sides[0], *[(0, 0)] * 3])
        last = x.shape[1] - taps
        stacked = jnp.concatenate([x[:, t : t + last + 1 : step] for t in range(taps)], axis=-1)
        # [taps, height, width, channels, O] to [height, width, taps * channels, O]
        flat = jnp.moveaxis(kernel, 0, 2).reshape(*self.kernel[1:], -1, self.channels)
        y = jax.lax.conv_general_dilated(
            stacked.reshape(-1, *stacked.shape[2:]), flat, steps, sides[1:],
            dimension_numbers=("NHWC", "HWIO", "NHWC"),
        )  # fmt: skip
        return y.reshape(*stacked.shape[:2], *y.shape[1:])


class ResNet3D(nn.Module):
    """A network for short clips; its features are means over time and space."""

    width: int = WIDTH  # channels of the first stage; the last stage has D = 8 * width
    classes: int = 0  # C of a final layer; 0: no such layer

    @property
    def size(self) -> int:
        """Returns D."""
        return self.width * 2 ** (_STAGES - 1)

    @nn.compact
    def __call__(self, clips: Array, train: bool) -> tuple[Array, Array | None]:
        """Computes features [B, D] float32 and logits [B, C], or None without classes.

        Args:
            clips: [B, T, height, width, 3] uint8 RGB.
            train: whether to use the statistics of the batch, and to update the running ones.
        """
        x = (clips.astype(jnp.float32) / 255.0 - jnp.array(MEAN)) / jnp.array(DEVIATION)
        x = Conv(self.width, (3, 7, 7), (1, 2, 2), name="stem_conv")(x)
        x = nn.relu(_norm(train, "stem_norm")(x))
        for stage in range(_STAGES):
            for block in range(_BLOCKS):
                stride = 2 if stage and not block else 1
                name = f"layer{stage + 1}_{block}"
                x = _Block(self.width * 2**stage, stride, name=name)(x, train)
        features = x.mean((1, 2, 3))
        if not self.classes:
            return features, None
        return features, nn.Dense(self.classes, name="classes")(features)


class _Block(nn.Module):
    channels: int
    stride: int

    @nn.compact
    def __call__(self, x: Array, train: bool) -> Array:
        cube, ones, stride = (3,) * 3, (1,) * 3, (self.stride,) * 3
        y = Conv(self.channels, cube, stride, name="conv1")(x)
        y = nn.relu(_norm(train, "norm1")(y))
        y = _norm(train, "norm2")(Conv(self.channels, cube, ones, name="conv2")(y))
        if y.shape != x.shape:
            x = Conv(self.channels, ones, stride, name="shortcut_conv")(x)
            x = _norm(train, "shortcut_norm")(x)
        return nn.relu(y + x)


def shapes(width: int) -> dict[str, tuple[int, ...]]:
    """Returns the shapes of the variables of a `ResNet3D` without classes, by `params/...` path."""
    clips = jax.ShapeDtypeStruct((1, 8, 32, 32, 3), jnp.uint8)
    network, key = ResNet3D(width), jax.random.key(0)
    variables = jax.eval_shape(lambda x: network.init(key, x, train=False), clips)
    return {path: x.shape for path, x in traverse_util.flatten_dict(variables, sep="/").items()}


def check(arrays: Mapping[str, np.ndarray], place: object) -> None:
    """Checks that arrays (from `place`) are the variables of a `ResNet3D` without classes.

    Names are paths such as `params/...`; the stem's kernel must be among them.
    """
    width = (0, *arrays["params/stem_conv/kernel"].shape)[-1]
    expected = shapes(width) if width else {}
    for path in {**expected, **arrays}:
        if path not in arrays or path not in expected:
            found = f"{'no' if path in expected else 'a'} weight {path!r:.90}, of another network"
            raise InputError(place, found, "what mman convert wrote")
        if arrays[path].shape != expected[path]:
            found = f"shape {arrays[path].shape}, of another network"
            raise InputError(f"{place}: {path}", found, f"{expected[path]}")
        if arrays[path].dtype != np.float32 or not np.isfinite(arrays[path]).all():
            found = f"{arrays[path].dtype} values, or some that are not finite"
            raise InputError(f"{place}: {path}", found, "finite float32")


def from_torchvision(weights: Mapping[str, np.ndarray], place: object) -> dict[str, np.ndarray]:
    """Converts torchvision's `r3d_18` to variables of a `ResNet3D` without classes, by path.

    The classifier `fc` is ignored. `place` is the origin of the weights, for messages.
    """
    sizes = shapes(WIDTH)
    expected = {_torch_name(path): path for path in sizes}
    variables = {}
    for name in weights:
        if name not in expected and not name.endswith(_IGNORED):
            raise InputError(f"{place}: {name}", "no weight of r3d_18", nearest(name, expected))
    for name, path in expected.items():
        if name not in weights:
            raise InputError(place, f"no weight {name!r}", "the weights of torchvision's r3d_18")
        value = np.asarray(weights[name], np.float32)
        if path.endswith("/kernel") and value.ndim == 5:
            value = value.transpose(2, 3, 4, 1, 0)
        if value.shape != sizes[path]:
            found = f"shape {np.shape(weights[name])}"
            raise InputError(f"{place}: {name}", found, "that of r3d_18")
        if not np.isfinite(value).all():
            raise InputError(f"{place}: {name}", "values that are not finite", "finite weights")
        variables[path] = np.ascontiguousarray(value)
    return variables


def _torch_name(path: str) -> str:
    """Returns torchvision's name of a variable such as `params/layer2_0/shortcut_norm/scale`."""
    _, *layers, field = path.split("/")
    fields = {"kernel": "weight", "scale": "weight", "mean": "running_mean", "var": "running_var"}
    part = {"conv": "0", "norm": "1"}[layers[-1].rsplit("_", 1)[-1].rstrip("12")]
    if layers[0].startswith("stem"):
        where = "stem"
    else:
        inner = layers[1]
        branch = "downsample" if inner.startswith("shortcut") else f"conv{inner[-1]}"
        where = f"{layers[0].replace('_', '.')}.{branch}"
    return f"{where}.{part}.{fields.get(field, field)}"


def _norm(train: bool, name: str) -> nn.BatchNorm:
    return nn.BatchNorm(use_running_average=not train, momentum=0.9, epsilon=1e-5, name=name)
