"""Convert a corpus to `.npz`: `mman convert --input=PATH --output=FILE.npz`.

It says what it recognised, the sizes, labels and parts, and what was decided where the file left it
open; without `--output` it says so and writes nothing. Frames and words are kept as sequences,
beside their mean as a feature; `--pool=mean|mean_std|last` writes a feature in their place.
`--output=FILE.jsonl` writes the utterances as the lines that `mman predict --stream` takes.

`--output=FILE.csv` writes a list of clips (MELD's CSV files, EmoBox's or SUPERB's folds) as the
manifest that `mman extract` takes, with transcripts where there are some.

`--join=wav2vec=PATH` adds arrays that were computed elsewhere, by utterance id, as a modality, or
one of another corpus; layouts of labels alone and a manifest of clips (`.csv`) can be joined to,
too: their ids, labels and split make the corpus then.

`--input=FILE.pth` (or `.pt`) is no corpus but the weights of torchvision's r3d_18, which become the
`.npz` that `mman extract --visual_weights` takes. The file is read by
`torch.load(weights_only=True)`, which runs nothing of it. Nothing is downloaded: bring the file,
for example the one that torchvision documents as `R3D_18_Weights.KINETICS400_V1`.
"""

import csv
import dataclasses
import io
import pathlib
from collections import Counter

import numpy as np
from absl import flags
from flax import traverse_util

from mman_jax.cli.terminal import command
from mman_jax.data.corpus import Corpus
from mman_jax.data.readers import csv_tables, joining, npz, pooling
from mman_jax.data.readers.read import joined, read_clips, read_corpus
from mman_jax.data.validation import SPLIT_NAMES, is_line
from mman_jax.errors import InputError
from mman_jax.files.whole import write_whole
from mman_jax.inference import lines as turns

_GROUPS = 10
"""Groups of a column that are told, at most."""

_INPUT = command.path_flag(
    "input",
    "The corpus to read: a file or a folder of any layout in docs/corpora.md; with --join also a "
    ".csv manifest. Or the weights of r3d_18: .pth, .pt.",
)
_OUTPUT = command.path_flag(
    "output",
    "The file to write: .npz, .jsonl for a stream, .csv for a manifest of clips; absent: none.",
    must=False,
)
_JOIN = flags.DEFINE_multi_string(
    "join", [], "MODALITY=PATH: an .npz archive or a folder of .npy files by id, or a corpus."
)
_POOL = flags.DEFINE_enum(
    "pool",
    None,
    list(pooling.POOLS),
    "What becomes of the frames or words of an utterance; absent: they are kept.",
)


def read(path: str, join: dict[str, str], pool: pooling.How = "mean") -> Corpus:
    """The corpus at a path, with further modalities.

    Raises:
        InputError: what cannot be read, or arrays that do not fit.
    """
    manifested = pathlib.Path(path).suffix.lower() == ".csv" and pathlib.Path(path).is_file()
    if not manifested or "path" not in csv_tables.header(pathlib.Path(path)):
        corpus = read_corpus(path, join, pool)
        if corpus.sequences and pool == "mean":  # of an .npz: it is the feature that there is
            return dataclasses.replace(corpus, sequences={})
        if corpus.sequences and pool is not None:
            expected = "mean, which its features are, or none"
            raise InputError(f"--pool={pool}", "a corpus that holds sequences", expected)
        return corpus
    if not join:
        expected = "--join, or mman extract for features of the clips"
        raise InputError(path, "a manifest, which holds no features", expected)
    from mman_jax.features import manifest

    utterances = manifest.read(path)
    nothing = {"none": np.zeros((len(utterances), 1), np.float32)}
    given = manifest.to_corpus(utterances, nothing, path)
    corpus = joining.join(given, join, pool, read=lambda p: joined(p, pool))
    return corpus.select_modalities(list(join))


def read_torch(path: pathlib.Path) -> dict[str, np.ndarray]:
    """The tensors of a file that `torch.save` wrote of a state dict, as float32.

    Raises:
        InputError: torch is missing, or the file holds something else.
    """
    try:
        import torch
    except ImportError as error:
        expected = "pip install 'mman_jax[torch]'"
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


def describe(corpus: Corpus) -> list[str]:
    """Lines for people: what was read and decided, labels, numbers, parts and sizes."""
    lines = [f"  {note}" for note in corpus.source_notes]
    counts = np.bincount(corpus.labels[corpus.labels >= 0], minlength=len(corpus.label_names))
    named = [f"{name} {n}" for name, n in zip(corpus.label_names, counts, strict=True)]
    none = int((corpus.labels < 0).sum())
    named += [f"none {none}"] if none else []
    lines.append(f"  labels: {', '.join(named)}")
    for name, values in corpus.targets.items():
        there = values[~np.isnan(values)]
        span = f"{there.min():g} to {there.max():g}" if len(there) else "none"
        lines.append(f"  target {name}: {span} ({len(there)} utterances)")
    for name, values in corpus.groups.items():
        counts = Counter(values)
        named = [f"{group} {many}" for group, many in sorted(counts.items())[:_GROUPS]]
        more = ["..."] if len(counts) > _GROUPS else []
        lines.append(f"  groups by {name}: {', '.join([*named, *more])}")
    for name, sequence in corpus.sequences.items():
        cells, width = sequence.values.shape
        timed = "with" if sequence.intervals is not None else "without"
        most = f"at most {sequence.lengths.max()} an utterance"
        lines.append(f"  sequence {name}: {cells} cells of {width}, {timed} times, {most}")
    if corpus.split is None:
        lines.append("  conversations by part: no split in the file")
    else:
        of, parts = np.array(corpus.split), []
        for part in SPLIT_NAMES:
            held = corpus.lengths[of == part]
            parts += [f"{part} {len(held)} ({held.sum()} utterances)"] if len(held) else []
        lines.append(f"  conversations by part: {', '.join(parts)}")
    return lines


def convert_corpus(
    source: str, output: pathlib.Path | None, join: dict[str, str], pool: pooling.How
) -> None:
    """Writes a corpus as `.npz`, or its utterances as lines; without an output nothing.

    Raises:
        InputError: what cannot be read or written, or arrays that do not fit.
    """
    corpus = read(source, join, pool)
    print("\n".join([f"{source}:", *describe(corpus)]))
    if output is not None and output.suffix == ".npz":
        npz.write(corpus, output)
    elif output is not None:
        write_whole(output, "".join(turns.lines(corpus)).encode())
    sizes = ", ".join(f"{name} {size}" for name, size in corpus.dims.items())
    print(
        f"{output or 'nothing written'}: {len(corpus.lengths)} conversations, "
        f"{len(corpus.labels)} utterances, {sizes}"
    )


def convert_clips(source: str, output: pathlib.Path) -> None:
    """Writes a list of clips as a manifest.

    Raises:
        InputError: a layout that names no clips, or what cannot be read or written.
    """
    found = read_clips(source)
    labels = [found.label_names[label] if label >= 0 else "" for label in found.labels]
    columns = {
        "conversation_id": found.conversation_ids,
        "utterance_id": found.utterance_ids,
        "path": found.clips,
        "transcript": found.transcripts,
        "label": labels,
        "speaker": found.speakers,
        "session": found.sessions,
        "split": found.split,
    }
    held = {name: values for name, values in columns.items() if values is not None}
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(held)
    # Some transcripts hold control characters of other encodings, which no manifest may.
    writer.writerows(
        [_written(cell, name) for name, cell in zip(held, row, strict=True)]
        for row in zip(*held.values(), strict=True)
    )
    write_whole(output, text.getvalue().encode())
    print("\n".join([f"{source}: {found.layout}", *(f"  {note}" for note in found.notes)]))
    print(f"{output}: {len(set(found.conversation_ids))} conversations, {len(labels)} clips")


def _written(cell: str, column: str) -> str:
    good = is_line if column == "transcript" else str.isprintable
    return "".join(c if good(c) else " " for c in cell)


def main() -> None:
    """Reads and writes."""
    source = pathlib.Path(_INPUT.value)
    output = None if _OUTPUT.value is None else pathlib.Path(_OUTPUT.value)
    weights = source.suffix.lower() in (".pth", ".pt")
    suffixes = (".npz",) if weights else (".npz", ".jsonl", ".csv")
    if output is None and weights:
        raise InputError("--output", "missing", "a path that ends in .npz, for weights")
    if output is not None and output.suffix not in suffixes:
        expected = " or ".join(suffixes)
        raise InputError(f"--output={output}", f"ends in {output.suffix!r}", expected)
    join = joining.named_paths(_JOIN.value, "--join")
    for flag in (_JOIN, _POOL):
        if weights:
            command.refuse(flag, f"given with weights ({source})", "a corpus as --input")
        if output is not None and output.suffix == ".csv":
            command.refuse(flag, f"given with a manifest ({output})", "an .npz as --output")
    if weights:
        convert_weights(source, output)
    elif output is not None and output.suffix == ".csv":
        convert_clips(_INPUT.value, output)
    else:
        convert_corpus(_INPUT.value, output, join, _POOL.value)
