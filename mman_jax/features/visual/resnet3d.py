"""The 3D ResNet-18 of Tran et al. (CVPR 2018), and weights in torchvision's naming of it."""

from collections.abc import Mapping
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from flax import traverse_util

from mman_jax.errors import InputError, nearest
from mman_jax.features.visual.convolution import Conv
from mman_jax.types import Array

MEAN = (0.43216, 0.394666, 0.37645)
DEVIATION = (0.22803, 0.22145, 0.216989)
"""Of red, green and blue on Kinetics-400, of values from 0 to 1."""

WIDTH = 64
_STAGES = 4
_BLOCKS = 2
_IGNORED = ("num_batches_tracked", "fc.weight", "fc.bias")


class ResNet3D(nn.Module):
    """Features of short clips: the mean over time and place before the last layer.

    Attributes:
        width: channels of the first stage; the last has eight times as many, D.
        classes: C of a last layer, or 0: none.
    """

    width: int = WIDTH
    classes: int = 0

    @property
    def size(self) -> int:
        """D."""
        return self.width * 2 ** (_STAGES - 1)

    @nn.compact
    def __call__(self, clips: Array, train: bool) -> tuple[Array, Array | None]:
        """Features [B, D] float32 and logits [B, C], or None without classes.

        Args:
            clips: [B, T, height, width, 3] uint8 RGB.
            train: whether batch statistics are the batch's own, and updated.
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
    """Shapes of the variables of a `ResNet3D` without classes, by paths such as `params/...`."""
    clips = jax.ShapeDtypeStruct((1, 8, 32, 32, 3), jnp.uint8)
    network, key = ResNet3D(width), jax.random.key(0)
    found = jax.eval_shape(lambda x: network.init(key, x, train=False), clips)
    return {path: x.shape for path, x in traverse_util.flatten_dict(found, sep="/").items()}


def check(arrays: Mapping[str, np.ndarray], place: object) -> None:
    """Raises InputError where arrays are not all variables of a `ResNet3D` without classes.

    Args:
        arrays: by paths such as `params/...`; the stem's kernel, which is there, tells the width.
        place: where they came from, for messages.
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


def from_torchvision(weights: Mapping[str, np.ndarray], place: object) -> dict[str, Any]:
    """The variables of a `ResNet3D` without classes, from the state of torchvision's `r3d_18`.

    Args:
        weights: by torchvision's names, kernels [out, in, time, height, width]; the classifier `fc`
            may be there and is left out.
        place: where they came from, for messages.

    Raises:
        InputError: a name or a shape that is another network's.
    """
    expected = {}
    for path, shape in shapes(WIDTH).items():
        collection, *layers, field = path.split("/")
        expected[_torch_name(layers, field)] = (collection, layers, field, shape)
    made: dict[str, Any] = {}
    for name in weights:
        if name not in expected and not name.endswith(_IGNORED):
            raise InputError(f"{place}: {name}", "no weight of r3d_18", nearest(name, expected))
    for name, (collection, layers, field, shape) in expected.items():
        if name not in weights:
            raise InputError(place, f"no weight {name!r}", "the weights of torchvision's r3d_18")
        value = np.asarray(weights[name], np.float32)
        if field == "kernel" and value.ndim == 5:
            value = value.transpose(2, 3, 4, 1, 0)
        if value.shape != shape:
            found = f"shape {np.shape(weights[name])}"
            raise InputError(f"{place}: {name}", found, "that of r3d_18")
        if not np.isfinite(value).all():
            raise InputError(f"{place}: {name}", "values that are not finite", "finite weights")
        node = made.setdefault(collection, {})
        for layer in layers:
            node = node.setdefault(layer, {})
        node[field] = np.ascontiguousarray(value)
    return made


def _torch_name(layers: list[str], field: str) -> str:
    """Where torchvision keeps what is here at `layer2_0/shortcut_norm/scale`, say."""
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
