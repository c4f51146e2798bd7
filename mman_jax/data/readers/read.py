"""Reads a corpus from any layout that is known, told by what is in it and never by its name."""

import dataclasses
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from mman_jax.data.corpus import Corpus
from mman_jax.data.readers import (
    bc_lstm,
    bc_lstm_pickle,
    clip_lists,
    csd,
    csv_tables,
    dialogue_rnn,
    emotion2vec,
    joining,
    meld_csv,
    meld_vectors,
    merbench,
    mfn,
    misa,
    mmsa,
    mult,
    npz,
    pooling,
)
from mman_jax.data.readers.table import Table
from mman_jax.errors import InputError
from mman_jax.files import objects, unpickler

READABLE = (
    "a .npz corpus, a .csv of utterances, a .pkl, .npy, .csd or .json file, or a folder, of a "
    "layout in docs/corpora.md"
)

_PICKLES = (mmsa, mult, misa, bc_lstm_pickle, meld_vectors, dialogue_rnn)
_DURATION = "duration"


def read_corpus(
    path: str | Path, join: Mapping[str, str | Path] | None = None, pool: pooling.How = "mean"
) -> Corpus:
    """Read a corpus in any layout that is known.

    Args:
        path: of a file or a folder.
        join: further modalities and where they are: see `joining.join`. Layouts of labels alone
            need one, or have the seconds of each utterance for a modality.
        pool: what becomes of frames and words: one of `pooling.POOLS`; None: they are kept as
            sequences, beside their mean as a feature.

    Raises:
        InputError: nothing at the path, another kind of file, or what the layout's own
            reader refuses.
    """
    pooling.check(pool)
    found = _checked(path, pool)
    if isinstance(found, Corpus):
        corpus, keys, alone = found, None, False
    else:
        arranged = found.arrange()
        alone = not arranged.features
        if alone:
            arranged = _without_features(arranged, bool(join))
        corpus, keys = arranged.to_corpus(), arranged.keys
    if join:
        own = list(corpus.features)
        corpus = joining.join(corpus, join, pool, keys, lambda p: joined(p, pool))
        if alone:
            rest = [name for name in corpus.features if name not in own]
            corpus = corpus.select_modalities(rest)
    return corpus


def read_clips(path: str | Path) -> Table:
    """The utterances of a layout that lists clips, in conversation order, without features.

    Raises:
        InputError: what its reader refuses, or a layout of another kind.
    """
    found = _checked(path, pooling.POOLS[0])
    if isinstance(found, Corpus) or found.clips is None:
        layout = "a corpus" if isinstance(found, Corpus) else found.layout
        expected = "a list of clips: MELD's CSV files, EmoBox's or SUPERB's folds"
        raise InputError(path, f"{layout}, which names no clips", expected)
    return found.arrange()


def joined(path: Path, pool: pooling.How) -> Corpus | None:
    """A corpus to take a modality of, or None: arrays by utterance id."""
    if path.is_dir():
        several = any(True for _ in path.glob("*.lengths"))
        corpora = (csd.recognises, misa.files, merbench.recognises, meld_csv.recognises)
        if not several and not any(is_one(path) for is_one in corpora):
            return None
    if path.is_file() and _magic(path).startswith(b"PK"):
        keys = objects.keys(path)
        own = any(key.startswith((npz.FEATURES, npz.SEQUENCES)) for key in keys)
        if not own and not mfn.recognises(path):
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
        return _file(path, pool)
    except (OSError, ValueError) as error:
        if isinstance(error, InputError):
            raise
        # A path with a NUL, one that is too long, or one that may not be read.
        raise InputError(repr(str(path))[:200], f"cannot be read ({error})", READABLE) from error


def _folder(path: Path, pool: pooling.How) -> Corpus | Table:
    if merbench.recognises(path):
        return merbench.read(path, pool)
    if clip_lists.recognises(path):
        return clip_lists.read(path)
    if meld_csv.recognises(path):
        return meld_csv.read(path)
    if csd.recognises(path):
        return csd.read(path, pool)
    if misa.files(path):
        return misa.read_folder(path, pool)
    if emotion2vec.recognises(path):
        return emotion2vec.read(path, pool)
    return bc_lstm.read(path)


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
    if meld_csv.recognises(path):
        return meld_csv.read(path)
    if csv_tables.recognises(path):
        return csv_tables.read(path)
    if start[:1] == b"\x80" or _ends_as_pickle(path):
        return _pickle(path, pool)
    # Neither: whoever reads files of this name says best what is wrong with it.
    if path.suffix.lower() == ".csv" and "path" in csv_tables.header(path):
        expected = "its features: mman extract makes them, mman convert joins them"
        raise InputError(path, "a manifest of clips, which holds no features", expected)
    readers = {".npz": npz.read, ".csv": csv_tables.read}
    readers |= dict.fromkeys((".pkl", ".pickle"), unpickler.load)
    if path.suffix.lower() in readers:
        readers[path.suffix.lower()](path)
    raise InputError(path, f"a file of another kind ({path.suffix or 'no suffix'})", READABLE)


def _pickle(path: Path, pool: pooling.How) -> Table:
    loaded = unpickler.load(path)
    for layout in _PICKLES:
        if layout.recognises(loaded):
            return layout.read(str(path), loaded, pool)
    size = f" of {len(loaded)}" if isinstance(loaded, tuple | list | dict) else ""
    raise InputError(path, f"a pickled {type(loaded).__name__}{size}", READABLE)


def _magic(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(8)


def _ends_as_pickle(path: Path) -> bool:
    """Whether a file ends in a pickle's last opcode: protocols 0 and 1 begin in many ways."""
    with path.open("rb") as file:
        file.seek(-1, 2)
        return file.read(1) == b"."


def _without_features(found: Table, joined: bool) -> Table:
    """A table of labels alone with a modality to join others to."""
    count = len(found.utterance_ids)
    if joined:
        return dataclasses.replace(found, features={"none": np.zeros((count, 1), np.float32)})
    if found.duration is None:
        conversations = len(set(found.conversation_ids))
        what = f"labels alone ({found.layout}: {conversations} conversations, {count} utterances)"
        expected = "features that are joined to them, by utterance (see docs/corpora.md)"
        raise InputError(found.place, what, expected)
    note = f"no features in this layout: its seconds alone are one ({_DURATION}); join others"
    seconds = found.duration.reshape(-1, 1)
    return dataclasses.replace(found, features={_DURATION: seconds}, notes=[*found.notes, note])
