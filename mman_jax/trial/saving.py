"""A trained model on disk, with what it was made of."""

import pathlib
from typing import Any

from mman_jax.inference.model import Model
from mman_jax.tasks import Task
from mman_jax.training import processes
from mman_jax.trial.trial import Trial


def save_model(
    trial: Trial,
    task: Task,
    params: Any,
    seeds: list[int],
    models: pathlib.Path,
    temperature: float = 1.0,
) -> None:
    """Writes a trained model; where several processes train the first does.

    Args:
        trial: that was trained.
        task: the same.
        params: of the seeds that are kept, leading axis S.
        seeds: which these are.
        models: the folder that gets a folder of the task's name.
        temperature: by which the logarithm of the mean probabilities is divided.
    """
    if not processes.is_first():
        return
    about: dict[str, Any] = {
        "system": trial.title,
        "protocol": trial.protocol,
        "task": task.name,
        "corpus": trial.parts.corpus.source,
        "seeds": seeds,
    }
    if trial.external:
        about["test_corpus"] = trial.external.card()
    parts = trial.parts
    laid = parts.cells
    model = Model(
        params,
        parts.scaling,
        trial.network,
        parts.cells.dims,
        task.classes,
        about,
        temperature=temperature,
        units=trial.reference(task),
        cells=type(laid),
        cell_options=laid.card() or {},
    )
    model.save(models / task.name)
