"""Learning curves on TensorBoard, Weights & Biases and MLflow.

A board shows one seed. A run may be resumed with other boards.
"""

import os
import pathlib
import shutil
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple, Protocol

from ml_collections import ConfigDict

from mman_jax.errors import require
from mman_jax.trial.config import leaves

_PROJECT = "mman_jax"


class Board(Protocol):
    """A board that shows the curves of one seed."""

    def add(self, values: Mapping[str, float], epoch: int) -> None:
        """Adds the values of one epoch by their names."""

    def close(self) -> None:
        """Writes the remaining values."""


class Run(NamedTuple):
    """A training whose curves are shown.

    Attributes:
        folder: folder of the trial, in which boards write their files.
        name: name that distinguishes this training from others in the folder; may be empty.
        config: config of the trial, which some boards show.
    """

    folder: pathlib.Path
    name: str
    config: Mapping[str, Any]

    def path(self, kind: str) -> pathlib.Path:
        """Returns the folder of one kind of board."""
        return self.folder / kind / self.name

    def title(self, seed: int) -> str:
        """Returns the name of a seed on boards that combine runs of several folders."""
        return "/".join(filter(None, (self.folder.name, self.name, f"seed_{seed}")))


class _TensorBoard:
    def __init__(self, run: Run, seed: int):
        from tensorboardX import SummaryWriter

        self._writer = SummaryWriter(str(run.path("tensorboard") / f"seed_{seed}"), flush_secs=10)

    def add(self, values: Mapping[str, float], epoch: int) -> None:
        for name, value in values.items():
            self._writer.add_scalar(name, value, epoch)

    def close(self) -> None:
        self._writer.close()


class _Wandb:
    """Uses WANDB_MODE, WANDB_PROJECT and the other usual variables."""

    def __init__(self, run: Run, seed: int):
        import wandb

        run.path("wandb").mkdir(parents=True, exist_ok=True)
        self._run = wandb.init(
            project=os.environ.get("WANDB_PROJECT", _PROJECT),
            group=run.folder.name,
            name=run.title(seed),
            dir=str(run.path("wandb")),
            config=dict(run.config) | {"seed": seed},
            reinit="create_new",  # one run per seed
            settings=wandb.Settings(silent=True, console="off", disable_git=True),
        )
        self._run.define_metric("*", step_metric="epoch")  # epochs start at 1 in each stage

    def add(self, values: Mapping[str, float], epoch: int) -> None:
        self._run.log({**values, "epoch": epoch})

    def close(self) -> None:
        self._run.finish()


class _MLflow:
    """Writes to MLFLOW_TRACKING_URI, or to the trial's folder if it is not set."""

    def __init__(self, run: Run, seed: int):
        uri = os.environ.get("MLFLOW_TRACKING_URI")
        if not uri:
            uri = run.path("mlflow").absolute().as_uri()
            os.environ.setdefault("MLFLOW_ALLOW_FILE_STORE", "true")  # files instead of a database
        from mlflow.tracking import MlflowClient

        self._client = MlflowClient(tracking_uri=uri)
        project = self._client.get_experiment_by_name(_PROJECT)
        number = project.experiment_id if project else self._client.create_experiment(_PROJECT)
        self._run = self._client.create_run(number, run_name=run.title(seed)).info.run_id
        for name, value in [*leaves(ConfigDict(run.config)), ("seed", seed)]:
            self._client.log_param(self._run, name, str(value)[:500])

    def add(self, values: Mapping[str, float], epoch: int) -> None:
        for name, value in values.items():
            self._client.log_metric(self._run, name, value, step=epoch)

    def close(self) -> None:
        self._client.set_terminated(self._run)


_KINDS: dict[str, tuple[Callable[[Run, int], Board], str, str]] = {
    "tensorboard": (_TensorBoard, "tensorboardX", "in WORKDIR/tensorboard"),
    "wandb": (_Wandb, "wandb", "at Weights & Biases, or in WORKDIR/wandb if it is offline"),
    "mlflow": (_MLflow, "mlflow", "at MLFLOW_TRACKING_URI, or in WORKDIR/mlflow if it is not set"),
}

WHERE: dict[str, str] = {kind: where for kind, (_, _, where) in _KINDS.items()}
"""The kinds of boards, and where each shows its curves."""


def check(kinds: Sequence[str]) -> None:
    """Raises an InputError if a board's package is not installed."""
    for kind in kinds:
        require(_KINDS[kind][1], kind, kind)


def begin(kinds: Sequence[str], run: Run, seeds: Sequence[int]) -> dict[int, list[Board]]:
    """Opens a board of each kind for each seed, after removing the files of an earlier start."""
    for kind in kinds:
        shutil.rmtree(run.path(kind), ignore_errors=True)
    return {seed: [_KINDS[kind][0](run, seed) for kind in kinds] for seed in seeds}
