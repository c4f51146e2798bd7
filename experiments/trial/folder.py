"""The folder of a run: of one config, for good."""

import json
import pathlib
from typing import Any

from mman_jax.data.corpus import Corpus
from mman_jax.errors import InputError
from mman_jax.files.whole import read_json, write_whole

_FREE = {"checkpoint_seconds": None}  # what may change between two starts of one run


def holds(workdir: pathlib.Path, chosen: dict[str, Any]) -> bool:
    """Whether the folder is this config's already; False where it is nobody's.

    Raises:
        InputError: if it is another config's.
    """
    stored = workdir / "config.json"
    if not stored.is_file():
        return False
    changed = _differences(read_json(stored) | _FREE, chosen | _FREE)
    if changed:
        raise InputError(
            workdir,
            f"holds a run with other settings ({'; '.join(changed[:3])})",
            "an empty folder, or the same config",
        )
    return True


def claim(
    workdir: pathlib.Path, chosen: dict[str, Any], corpus: Corpus, first: bool = True
) -> None:
    """Writes whose folder it is: this config's, on a corpus of this content.

    Every one of several processes calls it and refuses another corpus; the `first` writes.

    Raises:
        InputError: if the corpus is not the one that the folder was begun with.
    """
    stored, ours = workdir / "corpus.json", {"sha256": corpus.fingerprint()}
    if stored.is_file() and read_json(stored) != ours:
        raise InputError(
            workdir,
            f"was begun on another content of {corpus.source}",
            "an empty folder, or the corpus as it was",
        )
    if not first:
        return
    for path, content in ((stored, ours), (workdir / "config.json", chosen)):
        write_whole(path, (json.dumps(content, indent=1, allow_nan=False) + "\n").encode())


def _differences(before: Any, now: Any, place: str = "config") -> list[str]:
    if isinstance(before, dict) and isinstance(now, dict):
        pairs = [
            _differences(before.get(key), now.get(key), f"{place}.{key}")
            for key in sorted(before.keys() | now.keys())
        ]
        return [line for lines in pairs for line in lines]
    return [] if before == now else [f"{place} was {before!r}, is {now!r}"]
