"""Joining of a user's arrays, by utterance id, as further modalities of a corpus."""

import contextlib
import dataclasses
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from mman_jax.data import sequences
from mman_jax.data.corpus import Corpus
from mman_jax.data.readers import pooling
from mman_jax.data.readers.items import parse_name
from mman_jax.errors import InputError, reading

_KINDS = "a folder of .npy files, or an .npz archive, by utterance id"


class _Modality(NamedTuple):
    """Features [N, D], presence [N], the sequence of frames (or None), and notes."""

    features: np.ndarray
    present: np.ndarray
    sequence: sequences.Sequence | None
    notes: list[str]


def join(
    corpus: Corpus,
    paths: Mapping[str, str | Path],
    pool: pooling.How = "mean",
    keys: Sequence[str] | None = None,
    read: Callable[[Path], Corpus | None] = lambda path: None,
) -> Corpus:
    """Returns the corpus with additional modalities.

    Args:
        corpus: The corpus to extend.
        paths: Path of each new modality. It is an .npz archive or a folder of .npy files, with a
            vector [D] or frames [T, D] per utterance under its id: `conversation/utterance`, the
            utterance's id if it is unique, or an entry of `keys`; other arrays are ignored. Or it
            is another corpus, whose modality of this name, or only modality, is joined; utterances
            are matched by conversation and id (by number if the ids have different forms, by
            position if one corpus has no ids).
        pool: Pooling of frames, see `pooling.How`.
        keys: Other names of the N utterances, or None.
        read: Reads another corpus at a path; returns None if it is not a corpus.

    Raises:
        InputError: The array of an utterance is missing or has another size.
    """
    joined: dict[str, _Modality] = {}
    for modality, path in paths.items():
        path = Path(path)
        if modality in corpus.features:
            found = f"a modality of {corpus.source or 'the corpus'} already"
            raise InputError(f"{path}: modality {modality}", found, "a new name")
        other = read(path) if path.exists() else None
        if other is None:
            joined[modality] = _read(corpus, modality, path, pool, keys)
        else:
            joined[modality] = _matched(corpus, modality, other)
    present = {name: m.present for name, m in joined.items() if not m.present.all()}
    frames = {name: m.sequence for name, m in joined.items() if m.sequence is not None}
    return dataclasses.replace(
        corpus,
        features={**corpus.features, **{name: m.features for name, m in joined.items()}},
        present={**corpus.present, **present},
        sequences={**corpus.sequences, **frames},
        source_notes=(*corpus.source_notes, *(note for m in joined.values() for note in m.notes)),
    )


def named_paths(texts: list[str], place: str) -> dict[str, str]:
    """Parses `NAME=PATH` texts to a mapping."""
    paths: dict[str, str] = {}
    for text in texts:
        name, equals, path = text.partition("=")
        if not (name and equals and path):
            raise InputError(place, repr(text), "MODALITY=PATH, such as wav2vec=arrays.npz")
        if name in paths:
            raise InputError(place, f"{name!r} twice", "each modality once")
        paths[name] = path
    return paths


def _matched(corpus: Corpus, modality: str, other: Corpus) -> _Modality:
    """Returns a modality of another corpus, for the utterances of this one."""
    name = modality
    if name not in other.features:
        if len(other.features) > 1:
            found = f"several modalities ({', '.join(other.features)})"
            raise InputError(other.source, found, "the name of one of them for what is joined")
        (name,) = other.features
    rows: dict[str, dict[str, int]] = {}
    for index, conversation in enumerate(other.conversation_ids):
        span = other.utterances(index)
        rows[conversation] = {u: span.start + i for i, u in enumerate(other.utterance_ids[span])}
    take = np.full(len(corpus.utterance_ids), -1, np.int64)
    matched = {"position": 0, "number": 0}
    for index, conversation in enumerate(corpus.conversation_ids):
        span, others = corpus.utterances(index), rows.get(conversation, {})
        ids = corpus.utterance_ids[span]
        ours, theirs = _numbers(ids), _numbers(list(others))
        if others.keys() & set(ids) or len(others) != len(ids):
            take[span] = [others.get(utterance, -1) for utterance in ids]
        elif ours and theirs and sorted(ours) == sorted(theirs):
            by_number = dict(zip(theirs, others.values(), strict=True))
            take[span] = [by_number[number] for number in ours]
            matched["number"] += 1
        elif _are_positions(ids) or _are_positions(list(others)):
            take[span] = list(others.values())
            matched["position"] += 1
    present = take >= 0
    if not present.any():
        first = f"conversation {corpus.conversation_ids[0]}, utterance {corpus.utterance_ids[0]}"
        raise InputError(other.source, "no utterance of the other", f"ids such as {first}")
    features = np.where(present[:, None], other.features[name][take], 0).astype(np.float32)
    if name in other.present:
        present &= other.present[name][take]
        features[~present] = 0
    notes = [f"{modality}: {note}" for note in other.source_notes]
    notes += [
        f"{modality}: utterances of {count} conversations matched by {how}"
        for how, count in matched.items()
        if count
    ]
    if not present.all():
        notes.append(f"{modality}: {int((~present).sum())} utterances without it")
    sequence = other.sequences.get(name)
    return _Modality(features, present, sequence and sequences.taken(sequence, take), notes)


def _are_positions(ids: Sequence[str]) -> bool:
    """Returns whether the ids are 0, 1, 2, ..., which readers assign in layouts without ids."""
    return list(ids) == [str(position) for position in range(len(ids))]


def _numbers(ids: Sequence[str]) -> list[int] | None:
    """Returns the numbers that ids encode; None unless they are unique."""
    parsed = [parse_name(name) for name in ids]
    numbers = [name.order for name in parsed if name is not None and name.order is not None]
    return numbers if len(set(numbers)) == len(ids) else None


def _read(
    corpus: Corpus, modality: str, path: Path, pool: pooling.How, keys: Sequence[str] | None
) -> _Modality:
    """Reads an array for each utterance."""
    conversations = np.repeat(np.array(corpus.conversation_ids), corpus.lengths).tolist()
    counts = Counter(corpus.utterance_ids)
    collector = pooling.Collector(modality, pool)
    with _opened(path) as load:
        pairs = zip(conversations, corpus.utterance_ids, strict=True)
        for row, (conversation, utterance) in enumerate(pairs):
            place = f"{path}: conversation {conversation}, utterance {utterance}"
            place = f"{place}, modality {modality}"
            ids = [f"{conversation}/{utterance}"]
            ids += [utterance] if counts[utterance] == 1 else []
            ids += [keys[row]] if keys and keys[row] not in ids else []
            array = _array(place, load, ids)
            if array.ndim == 2:
                collector.add(array, place)
            else:
                collector.add_vectors(array[None], place)
    notes = collector.notes()
    return _Modality(collector.features, collector.present, collector.sequence(), notes)


def _array(place: str, load: Callable[[str], np.ndarray | None], ids: list[str]) -> np.ndarray:
    """Returns the array of the first id for which there is one."""
    with reading(place, "an array that NumPy wrote", (OSError, ValueError, EOFError)):
        array = next((loaded for name in ids if (loaded := load(name)) is not None), None)
    if array is None:
        raise InputError(place, "no array", " or ".join(repr(name) for name in ids))
    if array.dtype.kind not in "fiu" or array.ndim not in (1, 2) or not array.shape[-1]:
        shape = f"{array.dtype} of shape {array.shape}"
        raise InputError(place, shape, "one vector [D] or frames [T, D] of numbers")
    return array


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[Callable[[str], np.ndarray | None]]:
    """Opens a folder or an archive; yields a function from an id to its array (None if missing)."""
    if path.is_dir():
        yield lambda name: _of_folder(path, name)
        return
    if not path.is_file():
        raise InputError(path, "no such file or folder", _KINDS)
    if path.suffix.lower() != ".npz":
        raise InputError(path, f"a file of another kind ({path.suffix or 'no suffix'})", _KINDS)
    # An archive may have more members than `files.archive` allows.
    with contextlib.ExitStack() as stack:
        with reading(path, _KINDS):
            file = stack.enter_context(path.open("rb"))
            archive = stack.enter_context(np.load(file, allow_pickle=False))
            names = Counter(archive.files)
        for name, count in names.items():
            if count > 1:
                found = f"occurs twice, as {name!r} and as {name + '.npy'!r}"
                raise InputError(f"{path}: {name}", found, "each id once")
        yield lambda name: archive[name] if name in names else None


def _of_folder(folder: Path, name: str) -> np.ndarray | None:
    path = folder / f"{name}.npy"
    # An id must not lead out of the folder.
    if ".." in Path(name).parts or Path(name).is_absolute() or not path.is_file():
        return None
    return np.load(path, allow_pickle=False)
