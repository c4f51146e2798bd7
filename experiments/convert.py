"""Any readable corpus as `.npz`: `python -m experiments.convert --input=PATH --output=FILE.npz`.

`--output=FILE.jsonl` writes its utterances as the lines that `experiments.predict --stream` takes.

`--join=wav2vec=PATH` adds arrays that were computed elsewhere, by utterance id, as a modality; a
manifest of clips (`.csv`) can be joined to, too: its ids, labels and split make the corpus then.
"""

import pathlib

import numpy as np
from absl import flags

from experiments.terminal import command
from mman_jax.data.corpus import Corpus
from mman_jax.data.readers import joining, npz
from mman_jax.data.readers.read import read_corpus
from mman_jax.errors import InputError
from mman_jax.files.whole import regular_file, write_whole
from mman_jax.inference import lines as turns

_INPUT = command.path_flag(
    "input", "The corpus to read: .npz, .pkl, a bc-LSTM folder; with --join also a .csv manifest."
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


def main() -> None:
    """Reads and writes."""
    output = pathlib.Path(_OUTPUT.value)
    if output.suffix not in (".npz", ".jsonl"):
        raise InputError(f"--output={output}", f"ends in {output.suffix!r}", ".npz or .jsonl")
    corpus = read(_INPUT.value, joining.named_paths(_JOIN.value, "--join"))
    if output.suffix == ".npz":
        npz.write(corpus, output)
    else:
        write_whole(output, "".join(turns.lines(corpus)).encode())
    sizes = ", ".join(f"{name} {size}" for name, size in corpus.dims.items())
    print(
        f"{output}: {len(corpus.lengths)} conversations, {len(corpus.labels)} utterances, {sizes}"
    )


if __name__ == "__main__":
    command.run(main)
