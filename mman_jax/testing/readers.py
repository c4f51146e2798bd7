"""Checks of readers, which are functions from a path to a corpus."""

import os
import shutil
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

from mman_jax.data.corpus import Corpus
from mman_jax.data.readers import npz
from mman_jax.data.readers.table import Table
from mman_jax.errors import InputError

_SHARES = (0.0, 0.1, 0.5, 0.9)
"""Fractions to which a file is truncated."""


def check_reader(
    read: Callable[[Path], Corpus | Table], examples: Sequence[str | os.PathLike]
) -> None:
    """Checks a reader on files or folders of its layout.

    Reading twice must give equal corpora, whose source is the path. Files must not change, and only
    an `InputError` may be raised for missing or truncated files. `npz.write` followed by `npz.read`
    must return an equal corpus.

    Args:
        read: Function from a path to a `Corpus`, or to a `Table` of utterances with features.
        examples: Paths that it can read.

    Raises:
        AssertionError: The first violation, with the path.
    """
    for example in map(Path, examples):
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / example.name
            shutil.copytree(example, path) if example.is_dir() else shutil.copy(example, path)
            _check_example(read, path)


def _check_example(read: Callable[[Path], Corpus | Table], path: Path) -> None:
    files = sorted(file for file in (path, *path.rglob("*")) if file.is_file())
    before = [file.read_bytes() for file in files]
    first, second = (_corpus(read(path)) for _ in range(2))
    _require(first.fingerprint() == second.fingerprint(), path, "reading it twice differs")
    _require([file.read_bytes() for file in files] == before, path, "reading it changes a file")
    _require(str(path) in first.source, path, f"the source {first.source!r} is not this path")
    length = first.select_conversations([0]).lengths[0]
    _require(length > 0, path, "the first conversation is empty")
    stored = path.parent / "stored.npz"
    npz.write(first, stored)
    same = npz.read(stored).fingerprint() == first.fingerprint()
    _require(same, path, "the corpus changes when it is stored as .npz")
    for file, content in zip(files, before, strict=True):
        for share in _SHARES:
            file.write_bytes(content[: int(share * len(content))])
            _check_refusal(read, path, f"{file.name} cut to {share:.0%}")
        file.write_bytes(content)
    _check_refusal(read, path.parent / "nothing here", "a missing path")


def _corpus(result: Corpus | Table) -> Corpus:
    return result.arrange().to_corpus() if isinstance(result, Table) else result


def _check_refusal(read: Callable[[Path], Corpus | Table], path: Path, what: str) -> None:
    try:
        _corpus(read(path))
    except InputError:
        return
    except Exception as error:
        _require(False, path, f"{what}: {type(error).__name__} ({error}); expected an InputError")


def _require(holds: bool, path: Path, problem: str) -> None:
    if not holds:
        raise AssertionError(f"{path}: {problem}")
