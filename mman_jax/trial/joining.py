"""The start of a system whose first stage was trained already, a trial a head."""

import functools
import pathlib
from collections.abc import Mapping
from typing import Any

import jax
import numpy as np

from mman_jax.data.protocols import Task
from mman_jax.errors import InputError
from mman_jax.inference.model import Model
from mman_jax.training import checkpoints
from mman_jax.training.outcome import Outcome, Snapshot, StopAt
from mman_jax.trial import training
from mman_jax.trial.prepared import Experiment

CHOSEN = "chosen"
"""The folder of the model by which the epochs were chosen, where another one was trained again."""

_MOST = 6
"""Towers that are kept in memory: a study fuses the same few again and again."""


def begin(
    experiment: Experiment,
    task: Task,
    towers: Mapping[str, pathlib.Path],
    again: bool = False,
    stop_at: Mapping[str, StopAt] | None = None,
) -> Snapshot:
    """The snapshot before the first epoch that is left to train.

    Args:
        experiment: of the whole system.
        task: what is trained.
        towers: the folders of finished trials by the head that each trained, with the same seeds.
        again: whether from what these trials trained again (see `refit`).
        stop_at: see `Trainer.run`.

    Raises:
        InputError: one of these trials is not finished, or of other seeds.
    """
    trainer = experiment.trainer
    first = trainer.stages[0]
    params, outcomes = {}, {}
    for name, folder in towers.items():
        where = training.checkpoints_of(folder, task, again)
        chosen = experiment.config.train.refit and not again
        trained = folder / (CHOSEN if chosen else "model") / task.name
        results = folder / "results.json"
        written = results.stat().st_mtime_ns if results.is_file() else 0
        outcomes[name], model = _read(where, trained, first, written)
        params |= _of_all_seeds(model, experiment.seeds, folder)
    return trainer.join(params, outcomes, experiment.seeds, stop_at=stop_at)


@functools.lru_cache(_MOST)
def _read(
    where: pathlib.Path, trained: pathlib.Path, stage: str, written: int
) -> tuple[Outcome, Model]:
    """What a finished trial's first stage gave, and its model; once for all that fuse it."""
    found = checkpoints.restore(where)
    if found is None:
        raise InputError(where, "no checkpoint", "the folder of a finished trial")
    return checkpoints.unpack_finished(*found, stage, where), Model.load(trained)


def _of_all_seeds(model: Model, seeds: list[int], folder: pathlib.Path) -> Any:
    """A model's parameters with zeros for the seeds that failed; their outcome says that they did.

    Seeds never touch each other, so that whatever stands there changes no other one.
    """
    there = model.card["seeds"]
    if not set(there) <= set(seeds):
        raise InputError(folder, f"seeds {there}", f"some of {seeds}")
    places = [seeds.index(seed) for seed in there]

    def spread(x):
        whole = np.zeros((len(seeds), *np.shape(x)[1:]), np.asarray(x).dtype)
        whole[places] = x
        return whole

    return jax.tree.map(spread, dict(model.params))
