"""Convert a corpus to `.npz`: `mman convert --input=PATH --output=FILE.npz`.

It reports the layout, sizes, labels and parts, and how ambiguities in the file were resolved.
Without `--output` it writes nothing. Frames and words are stored as sequences, in addition to their
mean as a feature; `--pool=mean|mean_std|last` stores only a feature. `--output=FILE.jsonl` writes
the utterances as lines for `mman predict --stream`.

`--output=FILE.csv` writes a manifest for `mman extract` from a list of clips: MELD's CSV files,
EmoBox's or SUPERB's folds, or a folder of clips named as in EMO-DB, RAVDESS, CREMA-D, TESS or
SAVEE.

`--join=wav2vec=PATH` adds a modality: arrays by utterance id, or a modality of another corpus. The
input may then lack features: it may have only labels, or be a manifest of clips (`.csv`).

With `--input=FILE.pth` (or `.pt`), the weights of torchvision's r3d_18 become an `.npz` for
`mman extract --visual_weights`. The file is read by `torch.load(weights_only=True)`, which runs no
code in it. Nothing is downloaded: provide the file, for example the one that torchvision documents
as `R3D_18_Weights.KINETICS400_V1`.
"""

import csv
import dataclasses
import io
import pathlib
from collections import Counter
from typing import Any

import numpy as np
from absl import flags

from mman_jax.cli.terminal import command
from mman_jax.data import warnings
from mman_jax.data.corpus import Corpus
from mman_jax.data.readers import csv_tables, joining, npz, pooling
from mman_jax.data.readers.read import joined, read_clips, read_corpus
from mman_jax.data.validation import SPLIT_NAMES, is_line
from mman_jax.errors import InputError, reading, require
from mman_jax.files.whole import write_whole
from mman_jax.inference import lines as turns

_GROUPS = 10
"""Maximum number of groups that are listed per column."""

_INPUT = command.path_flag(
    "input", "Corpus of any layout in docs/corpora.md, .csv manifest, or weights (.pth, .pt)."
)
_OUTPUT = command.path_flag(
    "output", "File to write, if any: .npz, .jsonl (a stream) or .csv (clips).", must=False
)
_JOIN = flags.DEFINE_multi_string(
    "join", [], "MODALITY=PATH of an .npz archive or a folder of .npy files by id, or a corpus."
)
_POOL = flags.DEFINE_enum(
    "pool", None, list(pooling.POOLS), "Pooling of frames or words; by default, none."
)


def read(path: str, join: dict[str, str], pool: pooling.How = "mean") -> Corpus:
    """Reads the corpus at a path, with further modalities."""
    file = pathlib.Path(path)
    is_csv = file.suffix.lower() == ".csv" and file.is_file()
    if not join or not is_csv or "path" not in csv_tables.header(file):
        corpus = read_corpus(path, join, pool)
        if corpus.sequences and pool == "mean":  # features of an .npz are the mean
            return dataclasses.replace(corpus, sequences={})
        if corpus.sequences and pool is not None:
            expected = "mean (the pooling of its features), or no --pool"
            raise InputError(f"--pool={pool}", "a corpus with sequences", expected)
        return corpus
    from mman_jax.features import manifest

    utterances = manifest.read(path)
    placeholder = {"none": np.zeros((len(utterances), 1), np.float32)}
    corpus = manifest.to_corpus(utterances, placeholder, path)
    corpus = joining.join(corpus, join, pool, read=lambda path: joined(path, pool))
    return corpus.select_modalities(list(join))


def read_torch(path: pathlib.Path) -> dict[str, np.ndarray]:
    """Reads the tensors of a state dict that `torch.save` wrote, as float32."""
    torch = require("torch", "torch", "reading .pth files")
    expected = "the state dict of torchvision's r3d_18"
    with reading(path, expected):
        state = torch.load(path, map_location="cpu", weights_only=True)
    tensors = isinstance(state, dict) and all(isinstance(v, torch.Tensor) for v in state.values())
    if not tensors or not state:
        raise InputError(path, f"a {type(state).__name__}, not a state dict", expected)
    return {str(name): tensor.to(torch.float32).numpy() for name, tensor in state.items()}


def convert_weights(source: pathlib.Path, output: pathlib.Path) -> None:
    """Converts torchvision's weights to those of `ResNet3D`."""
    from mman_jax.features.visual import resnet3d

    arrays: dict[str, Any] = resnet3d.from_torchvision(read_torch(source), source)
    content = io.BytesIO()
    np.savez(content, **arrays)
    write_whole(output, content.getvalue())
    print(f"{output}: {sum(a.size for a in arrays.values())} numbers of a 3D ResNet-18")


def describe(corpus: Corpus) -> list[str]:
    """Describes a corpus in lines: notes, labels, targets, groups, sequences and parts."""
    notes = (*corpus.source_notes, *warnings.of_conversations(corpus, range(len(corpus.lengths))))
    lines = [f"  {note}" for note in notes]
    classes = Counter(corpus.labels.tolist())
    labels = [f"{name} {classes[label]}" for label, name in enumerate(corpus.label_names)]
    labels += [f"none {classes[-1]}"] if classes[-1] else []
    lines.append(f"  labels: {', '.join(labels)}")
    for name, values in corpus.targets.items():
        known = values[~np.isnan(values)]
        span = f"{known.min():g} to {known.max():g}" if len(known) else "none"
        lines.append(f"  target {name}: {span} ({len(known)} utterances)")
    for name, members in corpus.groups.items():
        groups = [f"{group} {count}" for group, count in sorted(Counter(members).items())]
        groups = [*groups[:_GROUPS], *(["..."] if len(groups) > _GROUPS else [])]
        lines.append(f"  groups by {name}: {', '.join(groups)}")
    for name, sequence in corpus.sequences.items():
        cells, width = sequence.values.shape
        timed = "with" if sequence.intervals is not None else "without"
        most = f"at most {sequence.lengths.max()} per utterance"
        lines.append(f"  sequence {name}: {cells} cells of {width}, {timed} times, {most}")
    if corpus.split is None:
        lines.append("  conversations by part: no split in the file")
    else:
        parts = []
        for part in (part for part in SPLIT_NAMES if part in corpus.split):
            lengths = corpus.lengths[np.array(corpus.split) == part]
            parts.append(f"{part} {len(lengths)} ({lengths.sum()} utterances)")
        lines.append(f"  conversations by part: {', '.join(parts)}")
    return lines


def convert_corpus(
    source: str, output: pathlib.Path | None, join: dict[str, str], pool: pooling.How
) -> None:
    """Prints a description of a corpus, and writes it as `.npz` or as lines if requested."""
    corpus = read(source, join, pool)
    print("\n".join([f"{source}:", *describe(corpus)]))
    if output is not None and output.suffix == ".npz":
        npz.write(corpus, output)
    elif output is not None:
        write_whole(output, "".join(turns.lines(corpus)).encode())
    sizes = ", ".join(f"{name} {size}" for name, size in corpus.dims.items())
    counts = f"{len(corpus.lengths)} conversations, {len(corpus.labels)} utterances, {sizes}"
    print(f"{output or 'nothing written'}: {counts}")


def convert_clips(source: str, output: pathlib.Path) -> None:
    """Writes a list of clips as a manifest."""
    table = read_clips(source)
    conversations = [row.conversation for row in table.rows]
    names = [row.utterance for row in table.rows]
    columns = {
        "conversation_id": None if conversations == names else conversations,
        "utterance_id": names,
        "path": table.column("clip"),
        "transcript": table.column("transcript"),
        "label": [table.labels.names[x] if x >= 0 else "" for x in table.labels.classes],
        **{name: table.column(name) for name in ("speaker", "session", "split", "gender")},
    }
    known = {name: values for name, values in columns.items() if values is not None}
    cleaned = [[_cleaned(cell, name) for cell in values] for name, values in known.items()]
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows([known, *zip(*cleaned, strict=True)])
    write_whole(output, text.getvalue().encode())
    print("\n".join([f"{source}: {table.layout}", *(f"  {note}" for note in table.notes)]))
    print(f"{output}: {len(set(conversations))} conversations, {len(names)} clips")


def _cleaned(cell: str, column: str) -> str:
    """Replaces control characters by spaces, because a manifest may not contain them."""
    is_valid = is_line if column == "transcript" else str.isprintable
    return "".join(c if is_valid(c) else " " for c in cell)


def main() -> None:
    """Converts the input that the flags name."""
    source = pathlib.Path(_INPUT.value)
    output = None if _OUTPUT.value is None else pathlib.Path(_OUTPUT.value)
    is_weights = source.suffix.lower() in (".pth", ".pt")
    is_manifest = output is not None and output.suffix == ".csv"
    suffixes = (".npz",) if is_weights else (".npz", ".jsonl", ".csv")
    if output is not None and output.suffix not in suffixes:
        expected = " or ".join(suffixes)
        raise InputError(f"--output={output}", f"ends in {output.suffix!r}", expected)
    join = joining.named_paths(_JOIN.value, "--join")
    for flag in (_JOIN, _POOL):
        if is_weights:
            command.refuse(flag, f"given with weights ({source})", "a corpus as --input")
        if is_manifest:
            command.refuse(flag, f"given with a manifest ({output})", "an .npz as --output")
    if is_weights:
        if output is None:
            raise InputError("--output", "missing", "a path that ends in .npz, for weights")
        convert_weights(source, output)
    elif output is not None and is_manifest:
        convert_clips(_INPUT.value, output)
    else:
        convert_corpus(_INPUT.value, output, join, _POOL.value)
