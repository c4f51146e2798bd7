"""The kinds of input: valid ones, what reads them, and cases made of both."""

import dataclasses
import importlib.util
import pathlib
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from mman_jax.errors import InputError
from tests.robustness import corpora, examples, openers
from tests.robustness.mutations import Files, damage_files

_STRUCTURED = 3
"""One case in so many is drawn by Hypothesis, the others are damaged bytes."""


@dataclasses.dataclass(frozen=True)
class Target:
    """A kind of input.

    Attributes:
        name: also that of its strategy in `structures` or `replaced`, if it has one.
        entry: the path in a case's folder that is opened; empty: the folder itself.
        opener: reads what lies there.
        seconds: of computation that a case may take.
        quiet: whether a case that prints has failed.
        repack: damage below checksums that are then right again; None: bytes alone are damaged.
    """

    name: str
    entry: str
    opener: Callable[[pathlib.Path], Any]
    seconds: float = 5.0
    quiet: bool = True
    repack: Callable[[Files, np.random.Generator], Files] | None = None


TARGETS = {
    target.name: target
    for target in (
        Target("npz", "case.npz", openers.corpus, repack=examples.repack),
        Target("pickles", "case.pkl", openers.corpus),
        Target("layouts", "case.pkl", openers.corpus),
        Target("folder", "", openers.corpus),
        Target("folders", "", openers.corpus),
        Target("tables", "case.csv", openers.corpus),
        *([Target("csd", "", openers.corpus)] if importlib.util.find_spec("h5py") else []),
        Target("runs", "", openers.run),
        Target("lines", "case.jsonl", openers.lines),
        Target("states", "case.npz", openers.states, repack=examples.repack),
        Target("extractions", "case.npz", openers.extraction, repack=examples.repack),
        Target("models", "", openers.model, repack=examples.repack),
        # Where a checkpoint's digests are forged, threads of TensorStore print what they find in
        # it. The call ends as it must, and nobody can silence them.
        Target("checkpoints", "", openers.checkpoint, 20.0, False, examples.resign),
    )
}


def cases(target: Target, count: int, seed: int, scratch: pathlib.Path) -> Iterator[Files]:
    """So many cases, the same for the same seed.

    Args:
        target: the kind of input.
        count: how many.
        seed: of all that is random.
        scratch: an empty folder, to write valid input into.

    Raises:
        InputError: if Hypothesis is not installed.
    """
    try:
        from tests.robustness import replaced, structures
    except ImportError as error:
        raise InputError("hypothesis", "not installed", "pip install 'mman_jax[test]'") from error
    if target.name == "checkpoints":
        valid = examples.checkpoints(scratch)
        strategy = structures.checkpoints(valid[0])
    else:
        valid = _named(target.name, examples, corpora)()
        make = _named(target.name, structures, replaced)
        strategy = make() if make else None
    yield from valid[:count]
    count -= len(valid)
    some = max(1, count // _STRUCTURED) if count > 0 and strategy is not None else 0
    drawn = structures.draw(strategy, some, seed) if some else []
    rng = np.random.default_rng(seed)
    donors = [content for files in valid for content in files.values()]
    for number in range(count):
        if number % _STRUCTURED == 0 and drawn:
            yield drawn.pop()
            continue
        files = valid[rng.integers(len(valid))]
        if target.repack and rng.integers(2):
            yield target.repack(files, rng)
        else:
            yield damage_files(files, donors, rng)


def _named(name: str, *modules: Any) -> Callable[..., Any] | None:
    """The function of a name in the first module that has one."""
    return next((getattr(m, name) for m in modules if hasattr(m, name)), None)
