"""Joining: arrays that a user computed, by utterance id, as further modalities of a corpus."""

import contextlib
import dataclasses
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np

from mman_jax.data import sequences as cells
from mman_jax.data.corpus import Corpus
from mman_jax.data.readers import names, pooling
from mman_jax.data.readers.cells import Cells
from mman_jax.errors import InputError

_KINDS = "a folder of .npy files, or an .npz archive, by utterance id"


def join(
    corpus: Corpus,
    arrays: Mapping[str, str | Path],
    pool: pooling.How = "mean",
    keys: Sequence[str] | None = None,
    read: Callable[[Path], Corpus | None] = lambda path: None,
) -> Corpus:
    """The corpus with more modalities.

    Args:
        corpus: what to add to.
        arrays: for each new modality where its vectors [D] or frames [T, D] are, one array an
            utterance, of any D: an .npz archive whose keys are ids, or a folder of .npy files
            named by them. An id is `conversation/utterance`, or the utterance's alone where no two
            have the same, or one of `keys`. Arrays of other ids are left unread. Or another
            corpus, matched by conversation and utterance (by number where only the form of the
            ids is another; by position where one of the two has none): its modality of this name,
            or its only one.
        pool: what becomes of frames: see `pooling.How`.
        keys: other names of the N utterances, or None.
        read: what reads another corpus at a path; None where there is none.

    Raises:
        InputError: the modality and the utterance whose array is missing or another's size.
    """
    added, present, sequences, notes = {}, {}, {}, []
    for modality, path in arrays.items():
        path = Path(path)
        if modality in corpus.features:
            found = f"a modality of {corpus.source or 'the corpus'} already"
            raise InputError(f"{path}: modality {modality}", found, "a new name")
        other = read(path) if path.exists() else None
        if other is None:
            found = _read(corpus, modality, path, pool, keys, notes)
        else:
            found = _matched(corpus, modality, other, notes)
        added[modality], present[modality], sequence = found
        if sequence is not None:
            sequences[modality] = sequence
    lacking = {name: there for name, there in present.items() if not there.all()}
    return dataclasses.replace(
        corpus,
        features={**corpus.features, **added},
        present={**corpus.present, **lacking},
        sequences={**corpus.sequences, **sequences},
        source_notes=(*corpus.source_notes, *notes),
    )


def _matched(
    corpus: Corpus, modality: str, other: Corpus, notes: list[str]
) -> tuple[np.ndarray, np.ndarray, cells.Sequence | None]:
    """[N, D] of another corpus, whether each utterance is there and has it, and its sequence."""
    name = modality if modality in other.features else None
    if name is None and len(other.features) == 1:
        (name,) = other.features
    if name is None:
        found = f"several modalities ({', '.join(other.features)})"
        raise InputError(other.source, found, "the name of one of them for what is joined")
    rows: dict[str, dict[str, int]] = {}
    for index, conversation in enumerate(other.conversation_ids):
        span = other.utterances(index)
        ids = other.utterance_ids[span]
        rows[conversation] = {u: span.start + i for i, u in enumerate(ids)}
    take = np.full(len(corpus.utterance_ids), -1, np.int64)
    otherwise = {"position": 0, "number": 0}
    for index, conversation in enumerate(corpus.conversation_ids):
        span, held = corpus.utterances(index), rows.get(conversation, {})
        ids = corpus.utterance_ids[span]
        ours, theirs = _numbers(ids), _numbers(list(held))
        if held.keys() & set(ids) or len(held) != len(ids):
            take[span] = [held.get(utterance, -1) for utterance in ids]
        elif ours and theirs and sorted(ours) == sorted(theirs):
            of = dict(zip(theirs, held.values(), strict=True))
            take[span] = [of[number] for number in ours]
            otherwise["number"] += 1
        elif _counted(ids) or _counted(list(held)):
            take[span] = list(held.values())
            otherwise["position"] += 1
    there = take >= 0
    if not there.any():
        first = f"conversation {corpus.conversation_ids[0]}, utterance {corpus.utterance_ids[0]}"
        raise InputError(other.source, "no utterance of the other", f"ids such as {first}")
    array = np.where(there[:, None], other.features[name][take], 0).astype(np.float32)
    if name in other.present:
        there &= other.present[name][take]
        array[~there] = 0
    notes += [f"{modality}: {note}" for note in other.source_notes]
    notes += [
        f"{modality}: utterances of {count} conversations matched by {how}"
        for how, count in otherwise.items()
        if count
    ]
    if not there.all():
        notes.append(f"{modality}: {int((~there).sum())} utterances without it")
    sequence = other.sequences.get(name)
    return array, there, sequence and cells.taken(sequence, take)


def _counted(ids: Sequence[str]) -> bool:
    """Whether ids are their positions, as where a layout has none."""
    return list(ids) == [str(position) for position in range(len(ids))]


def _numbers(ids: Sequence[str]) -> list[int] | None:
    """The numbers of the utterances by their names, each once; None where they have none."""
    told = [names.parse(name) for name in ids]
    found = [None if name is None else name.order for name in told]
    return None if None in found or len(set(found)) < len(found) else found


def _read(
    corpus: Corpus,
    modality: str,
    path: Path,
    pool: pooling.How,
    keys: Sequence[str] | None,
    notes: list[str],
) -> tuple[np.ndarray, np.ndarray, cells.Sequence | None]:
    conversations = np.repeat(np.array(corpus.conversation_ids), corpus.lengths).tolist()
    alone = Counter(corpus.utterance_ids)
    vectors: list[np.ndarray] = []
    there: list[bool] = []
    replaced = framed = 0
    kept = Cells()
    with _Source(path) as load:
        for row, (conversation, utterance) in enumerate(
            zip(conversations, corpus.utterance_ids, strict=True)
        ):
            place = f"{path}: conversation {conversation}, utterance {utterance}"
            place = f"{place}, modality {modality}"
            ids = [f"{conversation}/{utterance}"]
            ids += [utterance] if alone[utterance] == 1 else []
            ids += [keys[row]] if keys and keys[row] not in ids else []
            array = _array(place, load, ids)
            if array.ndim == 2:
                framed += 1
                made = pooling.ragged([array], pool)
                replaced += made.replaced
                vector, present = made.features[0], bool(made.present[0])
                if pool is None:
                    kept.add_one(array)
            else:
                kept.skip()
                with np.errstate(over="ignore"):  # the corpus refuses infinity, and says where
                    vector, present = array.astype(np.float32), True
            if vectors and len(vector) != len(vectors[0]):
                found = f"{len(vector)} features"
                raise InputError(place, found, f"{len(vectors[0])}, as those before it")
            vectors.append(vector)
            there.append(present)
    if framed:
        notes.append(f"{modality}: {pooling.describe(pool)}")
    if replaced:
        notes.append(f"{modality}: {replaced} values NaN or infinite, taken as 0")
    sequence = kept.sequence() if framed and pool is None else None
    return np.stack(vectors), np.array(there), sequence


def _array(place: str, load: Callable[[str], np.ndarray | None], ids: list[str]) -> np.ndarray:
    try:
        array = next((found for name in ids if (found := load(name)) is not None), None)
    except (OSError, ValueError, EOFError) as error:
        raise InputError(place, f"unreadable ({error})", "an array that NumPy wrote") from error
    if array is None:
        raise InputError(place, "no array", " or ".join(repr(name) for name in ids))
    if array.dtype.kind not in "fiu" or array.ndim not in (1, 2) or not array.shape[-1]:
        found = f"{array.dtype} of shape {array.shape}"
        raise InputError(place, found, "one vector [D] or frames [T, D] of numbers")
    return array


class _Source:
    """A function from an id to its array, or None; open while inside `with`."""

    def __init__(self, path: Path):
        self._path, self._open = path, contextlib.ExitStack()

    def __enter__(self) -> Callable[[str], np.ndarray | None]:
        if self._path.is_dir():
            return self._of_folder
        if not self._path.is_file():
            raise InputError(self._path, "no such file or folder", _KINDS)
        if self._path.suffix.lower() != ".npz":
            found = f"a file of another kind ({self._path.suffix or 'no suffix'})"
            raise InputError(self._path, found, _KINDS)
        try:
            file = self._open.enter_context(self._path.open("rb"))
            self._archive = self._open.enter_context(np.load(file, allow_pickle=False))
        except Exception as error:
            # Bytes that are no archive can fail in any way; none of them is a bug of ours.
            self._open.close()
            raise InputError(self._path, f"unreadable ({error})", _KINDS) from error
        for name, count in Counter(self._archive.files).items():
            if count > 1:
                self._open.close()
                twice = f"comes twice, as {name!r} and as {name + '.npy'!r}"
                raise InputError(f"{self._path}: {name}", twice, "each id once")
        return self._of_archive

    def __exit__(self, *_) -> None:
        self._open.close()

    def _of_folder(self, name: str) -> np.ndarray | None:
        path = self._path / f"{name}.npy"
        # An id is not to lead out of the folder.
        if ".." in Path(name).parts or Path(name).is_absolute() or not path.is_file():
            return None
        return np.load(path, allow_pickle=False)

    def _of_archive(self, name: str) -> np.ndarray | None:
        return self._archive[name] if name in self._archive.files else None


def named_paths(texts: list[str], place: str) -> dict[str, str]:
    """`NAME=PATH` texts as a mapping.

    Raises:
        InputError: a text of another form, or a name twice.
    """
    found: dict[str, str] = {}
    for text in texts:
        name, equals, path = text.partition("=")
        if not (name and equals and path):
            raise InputError(place, repr(text), "MODALITY=PATH, such as wav2vec=arrays.npz")
        if name in found:
            raise InputError(place, f"{name!r} twice", "each modality once")
        found[name] = path
    return found
