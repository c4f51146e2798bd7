"""The folder of a trial: its config, the digests of its corpora, its results and their origin."""

import json
import pathlib
import platform
import subprocess
from collections.abc import Mapping
from importlib import metadata
from typing import Any

import jax

from mman_jax.data.corpus import Corpus
from mman_jax.errors import InputError
from mman_jax.files.whole import read_json, write_whole
from mman_jax.report import figures
from mman_jax.trial.progress import Progress
from mman_jax.trial.stored import read_results

CORPUS = "corpus.json"
"""Name of the file with the digests of the corpora of a run."""

_FREE = {"checkpoint_seconds": None}  # settings that may change when a run is resumed
_PACKAGES = ("jax", "jaxlib", "flax", "optax", "orbax-checkpoint", "numpy", "scipy")


def matches(workdir: pathlib.Path, config: Mapping[str, Any]) -> bool:
    """Returns whether a folder belongs to this config; False for a folder without a run.

    Raises:
        InputError: it belongs to another config.
    """
    stored = workdir / "config.json"
    if not stored.is_file():
        return False
    changed = _differences(read_json(stored) | _FREE, {**config, **_FREE})
    if changed:
        found = f"contains a run with other settings ({'; '.join(changed[:3])})"
        raise InputError(workdir, found, "an empty folder, or the same config")
    return True


def finished(
    workdir: pathlib.Path, config: Mapping[str, Any], progress: Progress
) -> dict[str, Any] | None:
    """Returns the results of this config's run if it is finished, and reports them."""
    path = workdir / "results.json"
    if not (matches(workdir, config) and path.is_file()):
        return None
    results = read_results(path)
    progress.line(f"the run in {workdir} is finished: nothing to do")
    progress.table(results)
    return results


def claim(
    workdir: pathlib.Path,
    config: Mapping[str, Any],
    corpus: Corpus,
    test: Corpus | None = None,
    write: bool = True,
) -> None:
    """Writes the config and the digests of the corpora; an InputError if the folder has others.

    Args:
        write: whether to write; only the first of several processes does.

    Raises:
        InputError: the folder belongs to another config or corpus.
    """
    matches(workdir, config)
    stored, described = workdir / CORPUS, digests(corpus, test)
    if stored.is_file():
        before = read_json(stored)
        same = before.get("sha256") == described["sha256"]
        if not same or _test_digest(before) != _test_digest(described):
            changed = test if same and test else corpus
            found = f"was started with another version of {changed.source}"
            expected = "an empty folder, or the earlier version of the corpus"
            raise InputError(workdir, found, expected)
    if write:
        write_whole(stored, to_json(described))
        write_whole(workdir / "config.json", to_json(config))


def write_results(workdir: pathlib.Path, results: Mapping[str, Any]) -> None:
    """Writes confusion matrices and then `results.json`, which marks the run as finished."""
    tasks = results.get("tasks") or {results["protocol"]: results}
    for task, scores in tasks.items():
        if "confusion" not in scores["test"]:
            continue
        seeds = len(results["seeds"])
        title = f"{results['system']}, {task}: test" + f", {seeds} seeds summed" * (seeds > 1)
        name = "confusion.png" if len(tasks) == 1 else f"confusion_{task}.png"
        counts = {title: scores["test"]["confusion"]}
        picture = figures.confusions(counts, scores["classes"], counted=True)
        write_whole(workdir / name, picture)
    write_whole(workdir / "results.json", to_json(results))


def to_json(content: Any) -> bytes:
    """Returns indented JSON; NaN is an error."""
    return (json.dumps(content, indent=1, allow_nan=False) + "\n").encode()


def provenance() -> dict[str, Any]:
    """Returns the fields `revision`, `versions` and `devices` of the results."""
    devices = jax.devices()
    return {
        "revision": revision(pathlib.Path(__file__).parent),
        "versions": {"python": platform.python_version()}
        | {name: metadata.version(name) for name in _PACKAGES},
        "devices": {"kind": devices[0].device_kind, "count": len(devices)},
    }


def revision(folder: pathlib.Path) -> str | None:
    """Returns the git revision of a folder, with `-dirty` if files were changed.

    None outside of a checkout, or if git is missing.
    """
    try:
        described = subprocess.run(
            ["git", "describe", "--always", "--dirty"],
            cwd=folder,
            capture_output=True,
            text=True,
            check=True,
        )
    except (OSError, subprocess.CalledProcessError):
        return None
    return described.stdout.strip()


def digests(corpus: Corpus, test: Corpus | None = None) -> dict[str, Any]:
    """Returns the content of `corpus.json`: fingerprints, and ids of utterances by conversation."""
    found = corpus.fingerprints()
    parts: dict[str, Any] = {"utterances": found.utterances, "modalities": found.modalities}
    names = {
        name: list(corpus.utterance_ids[start : start + length])
        for name, start, length in zip(
            corpus.conversation_ids, corpus.offsets, corpus.lengths, strict=False
        )
    }
    of_test = {} if test is None else {"test": digests(test)}
    return {"sha256": found.whole, **parts, "ids": names, **of_test}


def _test_digest(digests: Mapping[str, Any]) -> str | None:
    test = digests.get("test")
    return test.get("sha256") if isinstance(test, dict) else None


def _differences(before: Any, now: Any, place: str = "config") -> list[str]:
    if now == {} and before is None:  # a group that earlier versions do not have
        return []
    if isinstance(before, dict) and isinstance(now, dict):
        pairs = [
            _differences(before.get(key), now.get(key), f"{place}.{key}")
            for key in sorted(before.keys() | now.keys())
        ]
        return [line for lines in pairs for line in lines]
    return [] if before == now else [f"{place} was {before!r}, is {now!r}"]
