"""Reading of corpora in any known layout, which is recognised by the content of a file."""

import dataclasses
import itertools
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from mman_jax.data.corpus import Corpus
from mman_jax.data.readers import (
    bc_lstm,
    clip_lists,
    clip_names,
    csd,
    csv_tables,
    dialogue_rnn,
    emotion2vec,
    joining,
    meld,
    merbench,
    mfn,
    misa,
    mmsa,
    mult,
    npz,
    pooling,
)
from mman_jax.data.readers.table import Table
from mman_jax.errors import InputError, check_pointer
from mman_jax.files import archive, unpickler
from mman_jax.types import UNSCORED

READABLE = (
    "a .npz corpus, a .csv of utterances, a .pkl, .npy, .csd or .json file, or a folder, of a "
    "layout in docs/corpora.md"
)

_PICKLES: tuple[tuple[Callable[[Any], bool], Callable[[str, Any, pooling.How], Table]], ...] = (
    (mmsa.recognises, mmsa.read),
    (mult.recognises, mult.read),
    (misa.recognises, misa.read),
    (bc_lstm.recognises, bc_lstm.read_pickle),
    (meld.recognises_vectors, meld.read_vectors),
    (dialogue_rnn.recognises, dialogue_rnn.read),
)
"""Layouts of pickles: functions that recognise and read a loaded pickle."""

_FOLDERS: tuple[
    tuple[Callable[[Path], Any], Callable[[Path, pooling.How], Corpus | Table]], ...
] = (
    (merbench.recognises, merbench.read),
    (clip_lists.recognises, lambda path, pool: clip_lists.read(path)),
    (meld.recognises, lambda path, pool: meld.read(path)),
    (csd.recognises, csd.read),
    (misa.files, misa.read_folder),
    (emotion2vec.recognises, emotion2vec.read),
    (clip_names.recognises, lambda path, pool: clip_names.read(path)),
    (lambda path: True, lambda path, pool: bc_lstm.read(path)),
)
"""Layouts of folders: functions that recognise and read a folder."""

_DURATION = "duration"

_MOST_FILES = 1000  # searched for pointers of Git LFS, in a folder that cannot be read


def read_corpus(
    path: str | Path, join: Mapping[str, str | Path] | None = None, pool: pooling.How = "mean"
) -> Corpus:
    """Reads a corpus in any known layout.

    Args:
        path: Path of a file or a folder.
        join: Paths of further modalities by name, see `joining.join`. A layout without features
            needs one, unless it has durations, which are then its only modality.
        pool: Pooling of frames and words, one of `pooling.POOLS`; None stores them as sequences, in
            addition to their mean as a feature.

    Raises:
        InputError: The path is missing or of another kind, or the layout's reader rejects it.
    """
    pooling.check(pool)
    source = _checked(path, pool)
    keys, labels_alone = None, False
    if isinstance(source, Corpus):
        corpus = source
    else:
        table = source.arrange()
        labels_alone = not table.features
        if labels_alone:
            table = _with_placeholder(table, bool(join))
        corpus, keys = table.to_corpus(), table.column("key")
    if join:
        placeholders = list(corpus.features) if labels_alone else []
        corpus = joining.join(corpus, join, pool, keys, lambda path: joined(path, pool))
        if placeholders:
            rest = [name for name in corpus.features if name not in placeholders]
            corpus = corpus.select_modalities(rest)
    return _without_unknown(corpus)


def read_clips(path: str | Path) -> Table:
    """Reads the utterances of a layout that lists clips, in conversation order, without features.

    Raises:
        InputError: The reader rejects the path, or its layout lists no clips.
    """
    source = _checked(path, pooling.POOLS[0])
    if isinstance(source, Corpus) or source.column("clip") is None:
        layout = "a corpus" if isinstance(source, Corpus) else source.layout
        expected = "a list of clips (MELD, EmoBox, SUPERB), or clips named as in EMO-DB and others"
        raise InputError(path, f"{layout}, which lists no clips", expected)
    return source.arrange()


def joined(path: Path, pool: pooling.How) -> Corpus | None:
    """Reads a corpus that is to be joined; returns None for a path of arrays by utterance id."""
    if path.is_dir():
        corpora = (csd.recognises, misa.files, merbench.recognises, meld.recognises)
        if not any(path.glob("*.lengths")) and not any(is_one(path) for is_one in corpora):
            return None
    if path.is_file() and _magic(path).startswith(b"PK"):
        prefixes = (npz.FEATURES, npz.SEQUENCES)
        is_corpus = any(key.startswith(prefixes) for key in archive.keys(path))
        if not is_corpus and not mfn.recognises(path):
            return None
    return read_corpus(path, pool=pool)


def _checked(path: str | Path, pool: pooling.How) -> Corpus | Table:
    if not str(path).strip():
        raise InputError("data path", "an empty path", READABLE)
    path = Path(path)
    try:
        if path.is_dir():
            return _folder(path, pool)
        if not path.exists():
            raise InputError(path, "no such file or folder", READABLE)
        if not path.is_file():
            raise InputError(path, "neither a file nor a folder", READABLE)
        if not path.stat().st_size:
            raise InputError(path, "an empty file", READABLE)
        check_pointer(path)
        return _file(path, pool)
    except (OSError, ValueError) as error:
        if isinstance(error, InputError):
            raise
        # The path has a null character, is too long, or lacks permissions.
        raise InputError(repr(str(path))[:200], f"cannot be read ({error})", READABLE) from error


def _folder(path: Path, pool: pooling.How) -> Corpus | Table:
    try:
        return next(read(path, pool) for recognises, read in _FOLDERS if recognises(path))
    except InputError:
        for file in itertools.islice(path.rglob("*"), _MOST_FILES):  # pointers have another content
            check_pointer(file)
        raise


def _file(path: Path, pool: pooling.How) -> Corpus | Table:
    start = _magic(path)
    if start.startswith(b"PK"):
        if merbench.has_labels(path):
            return merbench.read(path, pool)
        return mfn.read(path, pool) if mfn.recognises(path) else npz.read(path)
    if start == csd.MAGIC:
        return csd.read(path, pool)
    if start.startswith(b"\x93NUMPY"):
        return emotion2vec.read(path, pool)
    if start.lstrip()[:1] in (b"{", b"["):
        return clip_lists.read(path)
    if meld.recognises(path):
        return meld.read(path)
    if csv_tables.recognises(path):
        return csv_tables.read(path)
    if start[:1] == b"\x80" or _ends_as_pickle(path):
        return _pickle(path, pool)
    # If the content is unknown, the reader for the file's suffix gives the best error message.
    suffix = path.suffix.lower()
    if suffix == ".csv" and "path" in csv_tables.header(path):
        expected = "features: mman extract computes them, mman convert joins them"
        raise InputError(path, "a manifest of clips, which has no features", expected)
    if suffix == ".npz":
        return npz.read(path)
    if suffix == ".csv":
        return csv_tables.read(path)
    if suffix in (".pkl", ".pickle"):
        return _pickle(path, pool)
    raise InputError(path, f"a file of another kind ({path.suffix or 'no suffix'})", READABLE)


def _pickle(path: Path, pool: pooling.How) -> Table:
    loaded = unpickler.load(path)
    if dialogue_rnn.recognises_sentences(loaded):
        return dialogue_rnn.read_sentences(path, loaded, pool)
    for recognises, read in _PICKLES:
        if recognises(loaded):
            return read(str(path), loaded, pool)
    size = f" of {len(loaded)}" if isinstance(loaded, tuple | list | dict) else ""
    raise InputError(path, f"a pickled {type(loaded).__name__}{size}", READABLE)


def _magic(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(8)


def _ends_as_pickle(path: Path) -> bool:
    """Returns whether a file ends like a pickle, since protocols 0 and 1 have no common start."""
    with path.open("rb") as file:
        file.seek(-1, 2)
        return file.read(1) == b"."


def _without_unknown(corpus: Corpus) -> Corpus:
    """Makes utterances that lack every modality context only."""
    if corpus.features.keys() - corpus.present.keys():
        return corpus
    known = np.any(list(corpus.present.values()), axis=0)
    rated = [~np.isnan(values) for values in corpus.targets.values()]
    labelled = np.any([corpus.labels != UNSCORED, *rated], axis=0)
    count = int((labelled & ~known).sum())
    if not count or not known.any():
        return corpus
    note = f"{count} labelled utterances lack every modality: context only, not scored"
    return dataclasses.replace(
        corpus,
        labels=np.where(known, corpus.labels, np.int32(UNSCORED)),
        targets={k: np.where(known, x, np.float32(np.nan)) for k, x in corpus.targets.items()},
        votes={k: np.where(known, x, np.int32(0)) for k, x in corpus.votes.items()},
        source_notes=(*corpus.source_notes, note),
    )


def _with_placeholder(table: Table, joins: bool) -> Table:
    """Adds durations to a table without features, or a placeholder if features are joined to it."""
    count, duration = len(table.rows), table.column("duration")
    if joins:
        return dataclasses.replace(table, features={"none": np.zeros((count, 1), np.float32)})
    if duration is None:
        conversations = len({row.conversation for row in table.rows})
        found = f"labels alone ({table.layout}: {conversations} conversations, {count} utterances)"
        expected = "features that are joined to them, by utterance (see docs/corpora.md)"
        if table.column("clip") is not None:
            expected = f"mman convert to write a clips.csv for mman extract; or {expected}"
        raise InputError(table.place, found, expected)
    note = f"no features in this layout except durations ({_DURATION}); others can be joined"
    seconds = np.array(duration, np.float32).reshape(-1, 1)
    return dataclasses.replace(table, features={_DURATION: seconds}, notes=[*table.notes, note])
