"""A trial: one system trained and scored on one corpus, in one folder."""

import os
import pathlib
from collections.abc import Sequence
from typing import Any

from ml_collections import ConfigDict

from mman_jax.trial.progress import Progress


def run(
    config: ConfigDict,
    workdir: str | os.PathLike[str],
    progress: Progress | None = None,
    boards: Sequence[str] = (),
) -> dict[str, Any]:
    """Trains and scores one system, or resumes an interrupted training.

    Prints nothing by itself.

    Args:
        config: as `configs/mman.py` makes it.
        workdir: folder that gets `results.json`, the model, learning curves and checkpoints.
        progress: receives what is reported on the way; None: nobody does.
        boards: where learning curves are shown as well: `tensorboard`, `wandb` or `mlflow`.

    Returns:
        The content of `results.json`.

    Raises:
        InputError: the config or its corpus cannot be used; nothing is written then.
    """
    from mman_jax.trial import runner  # what trains takes seconds to import

    return runner.run(config, pathlib.Path(workdir), progress or Progress(), boards)
