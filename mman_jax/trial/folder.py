"""The folder of a run: of one config, for good."""

import json
import pathlib
from typing import Any

from mman_jax.data.corpus import Corpus
from mman_jax.errors import InputError
from mman_jax.files.whole import read_json, write_whole

CORPUS = "corpus.json"
"""The file that says which content a run was begun on: digests of it all, and of its parts."""

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
    workdir: pathlib.Path,
    chosen: dict[str, Any],
    corpus: Corpus,
    first: bool = True,
    test: Corpus | None = None,
) -> None:
    """Writes whose folder it is: this config's, on a corpus of this content.

    Every one of several processes calls it and refuses another corpus; the `first` writes.

    Args:
        workdir: the folder.
        chosen: the config.
        corpus: that is trained on.
        first: whether to write.
        test: the corpus that is tested on, where that is another one.

    Raises:
        InputError: if a corpus is not the one that the folder was begun with.
    """
    stored, ours = workdir / CORPUS, _content(corpus)
    if test is not None:
        ours["test"] = _content(test)
    if stored.is_file():
        before = read_json(stored)
        own = before.get("sha256") == ours["sha256"]
        if not own or _test(before) != _test(ours):
            raise InputError(
                workdir,
                f"was begun on another content of {(test if own and test else corpus).source}",
                "an empty folder, or the corpus as it was",
            )
    if not first:
        return
    for path, content in ((stored, ours), (workdir / "config.json", chosen)):
        write_whole(path, (json.dumps(content, indent=1, allow_nan=False) + "\n").encode())


def _content(corpus: Corpus) -> dict[str, Any]:
    found = corpus.fingerprints()
    parts = {"utterances": found.utterances, "modalities": found.modalities}
    return {"sha256": found.whole, **parts}


def _test(content: dict[str, Any]) -> str | None:
    test = content.get("test")
    return test.get("sha256") if isinstance(test, dict) else None


def _differences(before: Any, now: Any, place: str = "config") -> list[str]:
    if isinstance(before, dict) and isinstance(now, dict):
        pairs = [
            _differences(before.get(key), now.get(key), f"{place}.{key}")
            for key in sorted(before.keys() | now.keys())
        ]
        return [line for lines in pairs for line in lines]
    return [] if before == now else [f"{place} was {before!r}, is {now!r}"]
