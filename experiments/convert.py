"""Any readable corpus as `.npz`: `python -m experiments.convert --input=PATH --output=FILE.npz`.

`--output=FILE.jsonl` writes its utterances as the lines that `experiments.predict --stream` takes.

`--join=wav2vec=PATH` adds arrays that were computed elsewhere, by utterance id, as a modality; a
manifest of clips (`.csv`) can be joined to, too: its ids, labels and split make the corpus then.

`--input=FILE.pth` (or `.pt`) is no corpus but the weights of torchvision's r3d_18, which become the
`.npz` that `experiments.extract --visual_weights` takes. The file is read by
`torch.load(weights_only=True)`, which runs nothing of it. Nothing is downloaded: bring the file,
for example the one that torchvision documents as `R3D_18_Weights.KINETICS400_V1`.
"""

import io
import pathlib

import numpy as np
from absl import flags
from flax import traverse_util

from experiments.terminal import command
from mman_jax.data.corpus import Corpus
from mman_jax.data.readers import joining, npz
from mman_jax.data.readers.read import read_corpus
from mman_jax.errors import InputError
from mman_jax.files.whole import regular_file, write_whole
from mman_jax.inference import lines as turns

_INPUT = command.path_flag(
    "input",
    "The corpus to read: .npz, .pkl, a bc-LSTM folder; with --join also a .csv manifest. "
    "Or the weights of r3d_18: .pth, .pt.",
)
_OUTPUT = command.path_flag("output", "The file to write: .npz, or .jsonl for a stream.")
_JOIN = flags.DEFINE_multi_string(
    "join", [], "MODALITY=PATH: an .npz archive, or a folder of .npy files, by utterance id."
)


def read(path: str, join: dict[str, str]) -> Corpus:
    """The corpus at a path, with further modalities.

    Raises:
        InputError: what cannot be read, or arrays that do not fit.
    """
    if pathlib.Path(path).suffix.lower() != ".csv":
        corpus = read_corpus(path)
        return joining.join(corpus, join) if join else corpus
    if not join:
        expected = "--join, or experiments.extract for features of the clips"
        raise InputError(path, "a manifest, which holds no features", expected)
    from mman_jax.features import manifest

    regular_file(pathlib.Path(path))
    utterances = manifest.read(path)
    nothing = {"none": np.zeros((len(utterances), 1), np.float32)}
    corpus = joining.join(manifest.to_corpus(utterances, nothing, path), join)
    return corpus.select_modalities(list(join))


def read_torch(path: pathlib.Path) -> dict[str, np.ndarray]:
    """The tensors of a file that `torch.save` wrote of a state dict, as float32.

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


def convert_weights(source: pathlib.Path, output: pathlib.Path) -> None:
    """Writes torchvision's weights as those of `ResNet3D`.

    Raises:
        InputError: a file that cannot be read or written, or holds other weights.
    """
    from mman_jax.features.visual import resnet3d

    variables = resnet3d.from_torchvision(read_torch(source), source)
    arrays = traverse_util.flatten_dict(variables, sep="/")
    content = io.BytesIO()
    np.savez(content, **arrays)
    write_whole(output, content.getvalue())
    print(f"{output}: {sum(a.size for a in arrays.values())} numbers of a 3D ResNet-18")


def convert_corpus(source: str, output: pathlib.Path, join: dict[str, str]) -> None:
    """Writes a corpus as `.npz`, or its utterances as lines.

    Raises:
        InputError: what cannot be read or written, or arrays that do not fit.
    """
    corpus = read(source, join)
    if output.suffix == ".npz":
        npz.write(corpus, output)
    else:
        write_whole(output, "".join(turns.lines(corpus)).encode())
    sizes = ", ".join(f"{name} {size}" for name, size in corpus.dims.items())
    print(
        f"{output}: {len(corpus.lengths)} conversations, {len(corpus.labels)} utterances, {sizes}"
    )


def main() -> None:
    """Reads and writes."""
    source, output = pathlib.Path(_INPUT.value), pathlib.Path(_OUTPUT.value)
    weights = source.suffix.lower() in (".pth", ".pt")
    suffixes = (".npz",) if weights else (".npz", ".jsonl")
    if output.suffix not in suffixes:
        expected = " or ".join(suffixes)
        raise InputError(f"--output={output}", f"ends in {output.suffix!r}", expected)
    join = joining.named_paths(_JOIN.value, "--join")
    if weights and join:
        raise InputError("--join", f"given with weights ({source})", "a corpus as --input")
    if weights:
        convert_weights(source, output)
    else:
        convert_corpus(_INPUT.value, output, join)


if __name__ == "__main__":
    command.run(main)
