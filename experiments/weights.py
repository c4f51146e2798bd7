"""Weights of torchvision's r3d_18 in a safe form: `python -m experiments.weights --input=FILE.pth`.

The file is read by `torch.load(weights_only=True)`, which runs nothing of it. Nothing is
downloaded: bring the file, for example the one that torchvision documents as
`R3D_18_Weights.KINETICS400_V1`.
"""

import io
import pathlib

import numpy as np
from flax import traverse_util

from experiments.terminal import command
from mman_jax.errors import InputError
from mman_jax.features.visual import resnet3d
from mman_jax.files.whole import write_whole

_INPUT = command.path_flag("input", "The .pth file.")
_OUTPUT = command.path_flag("output", "The .npz file to write.")


def read_torch(path: pathlib.Path) -> dict[str, np.ndarray]:
    """The tensors of a file that `torch.save` wrote of a state dict.

    Raises:
        InputError: torch is missing, or the file holds something else.
    """
    try:
        import torch
    except ImportError as error:
        expected = "pip install -e '.[torch]'"
        raise InputError("reading .pth files", "torch is missing", expected) from error
    expected = "the state dict of torchvision's r3d_18"
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:
        # Bytes of another kind fail in many ways; the first line of each says enough.
        reason = getattr(error, "strerror", None) or str(error).split("\n")[0]
        raise InputError(path, f"cannot be read ({reason:.200})", expected) from error
    tensors = isinstance(state, dict) and all(isinstance(v, torch.Tensor) for v in state.values())
    if not tensors or not state:
        raise InputError(path, f"a {type(state).__name__} that is no state dict", expected)
    return {str(name): tensor.to(torch.float32).numpy() for name, tensor in state.items()}


def main() -> None:
    """Reads, converts, writes."""
    source, output = pathlib.Path(_INPUT.value), pathlib.Path(_OUTPUT.value)
    if output.suffix != ".npz":
        raise InputError(f"--output={output}", f"ends in {output.suffix!r}", ".npz")
    variables = resnet3d.from_torchvision(read_torch(source), source)
    arrays = traverse_util.flatten_dict(variables, sep="/")
    content = io.BytesIO()
    np.savez(content, **arrays)
    write_whole(output, content.getvalue())
    print(f"{output}: {sum(a.size for a in arrays.values())} numbers of a 3D ResNet-18")


if __name__ == "__main__":
    command.run(main)
