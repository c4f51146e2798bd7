"""Joining: arrays that a user computed, by utterance id, as further modalities of a corpus."""

import contextlib
import dataclasses
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np

from mman_jax.data.corpus import Corpus
from mman_jax.errors import InputError

_KINDS = "a folder of .npy files, or an .npz archive, by utterance id"


def join(corpus: Corpus, arrays: Mapping[str, str | Path]) -> Corpus:
    """The corpus with more modalities.

    Args:
        corpus: what to add to.
        arrays: for each new modality where its vectors are, one [D] an utterance, of any D: an
            .npz archive whose keys are ids, or a folder of .npy files named by them. An id is
            `conversation/utterance`, or the utterance's alone where no two have the same.
            Arrays of other ids are left unread.

    Raises:
        InputError: the modality and the utterance whose array is missing or another's size.
    """
    added = {}
    for modality, path in arrays.items():
        if modality in corpus.features:
            found = f"a modality of {corpus.source or 'the corpus'} already"
            raise InputError(f"{path}: modality {modality}", found, "a new name")
        added[modality] = _read(corpus, modality, Path(path))
    return dataclasses.replace(corpus, features={**corpus.features, **added})


def _read(corpus: Corpus, modality: str, path: Path) -> np.ndarray:
    conversations = np.repeat(np.array(corpus.conversation_ids), corpus.lengths).tolist()
    alone = Counter(corpus.utterance_ids)
    vectors: list[np.ndarray] = []
    with _Source(path) as load:
        for conversation, utterance in zip(conversations, corpus.utterance_ids, strict=True):
            place = f"{path}: conversation {conversation}, utterance {utterance}"
            place = f"{place}, modality {modality}"
            ids = [f"{conversation}/{utterance}"]
            ids += [utterance] if alone[utterance] == 1 else []
            vector = _vector(place, load, ids)
            if vectors and len(vector) != len(vectors[0]):
                found = f"{len(vector)} features"
                raise InputError(place, found, f"{len(vectors[0])}, as those before it")
            vectors.append(vector)
    return np.stack(vectors)


def _vector(place: str, load: Callable[[str], np.ndarray | None], ids: list[str]) -> np.ndarray:
    try:
        array = next((found for name in ids if (found := load(name)) is not None), None)
    except (OSError, ValueError, EOFError) as error:
        raise InputError(place, f"unreadable ({error})", "an array that NumPy wrote") from error
    if array is None:
        raise InputError(place, "no array", " or ".join(repr(name) for name in ids))
    if array.dtype.kind not in "fiu" or array.ndim != 1 or not len(array):
        found = f"{array.dtype} of shape {array.shape}"
        raise InputError(place, found, "one vector [D] of numbers (average over time first)")
    with np.errstate(over="ignore"):  # the corpus refuses infinity, and says where
        return array.astype(np.float32)


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
