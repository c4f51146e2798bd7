"""Reads a corpus from any layout that is known."""

from pathlib import Path

from mman_jax.data.corpus import Corpus
from mman_jax.data.readers import bc_lstm, dialogue_rnn, layouts, npz
from mman_jax.errors import InputError

READABLE = "a .npz corpus, a DialogueRNN-style .pkl, or a folder in the bc-LSTM layout"

_NEXT = f"{READABLE}; others as {layouts.ADVICE.removeprefix('a corpus as ')}"

_UNREAD = {
    ".npy": "an array alone, as emotion2vec writes them",
    ".csd": "CMU-MultimodalSDK's computational sequences",
    ".jsonl": "a list of clips, as EmoBox has them",
    ".json": "a list of clips, as EmoBox has them",
}

_READERS = {".npz": npz.read, ".pkl": dialogue_rnn.read, ".pickle": dialogue_rnn.read}


def read_corpus(path: str | Path) -> Corpus:
    """Read a corpus in any layout that is known, by the suffix of its path.

    Raises:
        InputError: nothing at the path, another kind of file, or what the layout's own
            reader refuses.
    """
    if not str(path).strip():
        raise InputError("data path", "an empty path", READABLE)
    path = Path(path)
    try:
        if path.is_dir():
            return bc_lstm.read(path)
        if not path.exists():
            raise InputError(path, "no such file or folder", READABLE)
        if not path.is_file():
            raise InputError(path, "neither a file nor a folder", READABLE)
        if path.suffix.lower() not in _READERS:
            unread = _UNREAD.get(path.suffix.lower())
            if unread:
                raise InputError(path, f"a file of another kind ({unread})", _NEXT)
            found = f"a file of another kind ({path.suffix or 'no suffix'})"
            raise InputError(path, found, READABLE)
        if not path.stat().st_size:
            raise InputError(path, "an empty file", READABLE)
        return _READERS[path.suffix.lower()](path)
    except (OSError, ValueError) as error:
        if isinstance(error, InputError):
            raise
        # A path with a NUL, one that is too long, or one that may not be read.
        raise InputError(repr(str(path))[:200], f"cannot be read ({error})", READABLE) from error
