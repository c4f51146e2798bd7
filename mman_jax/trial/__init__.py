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
    baseline: bool = True,
) -> dict[str, Any]:
    """Trains and scores one system, or resumes an interrupted training.

    It prints nothing.

    Args:
        config: a config such as that of `configs/mman.py`.
        workdir: folder that gets `results.json`, the model, learning curves and checkpoints.
        progress: receives the reports of the trial; None discards them.
        boards: services that also show the learning curves: `tensorboard`, `wandb` or `mlflow`.
        baseline: whether to also fit and score the linear baseline.

    Returns:
        The content of `results.json`.

    Raises:
        InputError: the config or its corpus cannot be used; in this case nothing is written.
    """
    from mman_jax.trial import runner  # takes seconds to import

    progress = progress or Progress()
    folder = pathlib.Path(workdir)
    return runner.run(config, folder, progress, boards, analyse=True, with_baseline=baseline)
