"""The kinds of input: valid examples, the function that reads them, and cases made from both."""

import dataclasses
import importlib.util
import pathlib
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from mman_jax.errors import require
from tests.robustness import examples, openers
from tests.robustness.mutations import Files, damage_files

_STRUCTURED = 3
"""One case of this many is drawn by Hypothesis; the others are damaged bytes."""


@dataclasses.dataclass(frozen=True)
class Target:
    """A kind of input.

    Attributes:
        name: also the name of its function in `examples`.
        entry: the path in a case's folder that is opened; empty: the folder itself.
        opener: reads it.
        seconds: limit of computation for a case.
        quiet: whether a case that prints has failed.
        repack: damages content and makes its checksums right again; None: only bytes are damaged.
        seal: makes the digests of a changed case right.
    """

    name: str
    entry: str
    opener: Callable[[pathlib.Path], Any]
    seconds: float = 5.0
    quiet: bool = True
    repack: Callable[[Files, np.random.Generator], Files] | None = None
    seal: Callable[[Files], Files] = dict


TARGETS = {
    target.name: target
    for target in (
        Target("npz", "case.npz", openers.corpus, repack=examples.repack),
        Target("layouts", "case.pkl", openers.corpus),
        Target("folders", "", openers.corpus),
        Target("tables", "case.csv", openers.corpus),
        *([Target("csd", "", openers.corpus)] if importlib.util.find_spec("h5py") else []),
        Target("runs", "", openers.run),
        Target("lines", "case.jsonl", openers.lines),
        Target("states", "case.npz", openers.states, repack=examples.repack),
        Target("extractions", "case.npz", openers.extraction, repack=examples.repack),
        Target("models", "", openers.model, repack=examples.repack),
        # If a checkpoint's digests are forged, threads of TensorStore print their findings, which
        # cannot be silenced.
        Target(
            *("checkpoints", "", openers.checkpoint, 20.0, False),
            *(examples.resign, examples.sign),
        ),
    )
}


def cases(target: Target, count: int, seed: int, scratch: pathlib.Path) -> Iterator[Files]:
    """Yields `count` cases, which depend on the seed alone.

    Args:
        target: the kind of input.
        count: number of cases.
        seed: random seed.
        scratch: an empty folder for valid input.

    Raises:
        InputError: if Hypothesis is not installed.
    """
    require("hypothesis", "test", "fuzz")
    from tests.robustness import structures

    folder = (scratch,) if target.name == "checkpoints" else ()
    valid = getattr(examples, target.name)(*folder)
    yield from valid[:count]
    count -= len(valid)
    some = max(1, count // _STRUCTURED) if count > 0 else 0
    drawn = structures.draw(valid, some, seed) if some else []
    rng = np.random.default_rng(seed)
    donors = [content for files in valid for content in files.values()]
    for number in range(count):
        if number % _STRUCTURED == 0 and drawn:
            yield target.seal(drawn.pop())
            continue
        files = valid[rng.integers(len(valid))]
        if target.repack and rng.integers(2):
            yield target.repack(files, rng)
        else:
            yield damage_files(files, donors, rng)
