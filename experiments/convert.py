"""Any readable corpus as `.npz`: `python -m experiments.convert --input=PATH --output=FILE.npz`."""

import pathlib

from experiments import command
from mman_jax.data import npz
from mman_jax.data.importers import read_corpus
from mman_jax.errors import InputError

_INPUT = command.path_flag("input", "The corpus to read: .npz, .pkl, or a bc-LSTM folder.")
_OUTPUT = command.path_flag("output", "The .npz file to write.")


def main() -> None:
    """Reads and writes."""
    output = pathlib.Path(_OUTPUT.value)
    if output.suffix != ".npz":
        raise InputError(f"--output={output}", f"ends in {output.suffix!r}", ".npz")
    corpus = read_corpus(_INPUT.value)
    npz.write(corpus, output)
    sizes = ", ".join(f"{name} {size}" for name, size in corpus.dims.items())
    print(
        f"{output}: {len(corpus.lengths)} conversations, {len(corpus.labels)} utterances, {sizes}"
    )


if __name__ == "__main__":
    command.run(main)
