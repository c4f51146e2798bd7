"""Learning curves where people keep them: TensorBoard, Weights & Biases, MLflow.

A board shows one seed. Which boards are used is no part of a run: the same folder may be resumed
with others.
"""

import os
import pathlib
import shutil
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple, Protocol

from mman_jax.errors import InputError

_PROJECT = "mman_jax"


class Board(Protocol):
    """Where the curves of one seed are shown."""

    def add(self, values: Mapping[str, float], epoch: int) -> None:
        """Takes in values of one epoch by their names."""

    def close(self) -> None:
        """Writes what is left."""


class Run(NamedTuple):
    """Whose curves they are.

    Attributes:
        folder: of the trial; boards that write files write there.
        name: what tells this training from the others of the folder; may be empty.
        config: of the trial, for those that show it.
    """

    folder: pathlib.Path
    name: str
    config: Mapping[str, Any]

    def path(self, kind: str) -> pathlib.Path:
        """The folder of one kind of board."""
        return self.folder / kind / self.name

    def title(self, seed: int) -> str:
        """A seed's name where runs of many folders are shown together."""
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
    """WANDB_MODE, WANDB_PROJECT and the like hold, as everywhere."""

    def __init__(self, run: Run, seed: int):
        import wandb

        run.path("wandb").mkdir(parents=True, exist_ok=True)
        self._run = wandb.init(
            project=os.environ.get("WANDB_PROJECT", _PROJECT),
            group=run.folder.name,
            name=run.title(seed),
            dir=str(run.path("wandb")),
            config=dict(run.config) | {"seed": seed},
            reinit="create_new",  # seeds are shown side by side
            settings=wandb.Settings(silent=True, console="off", disable_git=True),
        )
        self._run.define_metric("*", step_metric="epoch")  # heads begin anew in each stage

    def add(self, values: Mapping[str, float], epoch: int) -> None:
        self._run.log({**values, "epoch": epoch})

    def close(self) -> None:
        self._run.finish()


class _MLflow:
    """MLFLOW_TRACKING_URI says where to, as everywhere; without one, into the trial's folder."""

    def __init__(self, run: Run, seed: int):
        uri = os.environ.get("MLFLOW_TRACKING_URI")
        if not uri:
            uri = run.path("mlflow").absolute().as_uri()
            os.environ.setdefault("MLFLOW_ALLOW_FILE_STORE", "true")  # files need no database
        from mlflow.tracking import MlflowClient

        self._client = MlflowClient(tracking_uri=uri)
        found = self._client.get_experiment_by_name(_PROJECT)
        where = found.experiment_id if found else self._client.create_experiment(_PROJECT)
        self._run = self._client.create_run(where, run_name=run.title(seed)).info.run_id
        for name, value in {**_flat(run.config), "seed": seed}.items():
            self._client.log_param(self._run, name, str(value)[:500])

    def add(self, values: Mapping[str, float], epoch: int) -> None:
        for name, value in values.items():
            self._client.log_metric(self._run, name, value, step=epoch)

    def close(self) -> None:
        self._client.set_terminated(self._run)


_KINDS: dict[str, tuple[Callable[[Run, int], Board], str, str]] = {
    "tensorboard": (_TensorBoard, "tensorboardX", "in WORKDIR/tensorboard"),
    "wandb": (_Wandb, "wandb", "at Weights & Biases, or in WORKDIR/wandb where it is offline"),
    "mlflow": (_MLflow, "mlflow", "where MLFLOW_TRACKING_URI says, else in WORKDIR/mlflow"),
}

WHERE: dict[str, str] = {kind: where for kind, (_, _, where) in _KINDS.items()}
"""The kinds of boards, and where each shows its curves."""


def check(kinds: Sequence[str]) -> None:
    """Refuses boards whose package is not installed.

    Raises:
        InputError: it is missing; the extra that brings it is named.
    """
    for kind in kinds:
        package = _KINDS[kind][1]
        try:
            __import__(package)
        except ImportError as error:
            expected = f"pip install 'mman_jax[{kind}]'"
            raise InputError(kind, f"{package} is missing", expected) from error


def begin(kinds: Sequence[str], run: Run, seeds: Sequence[int]) -> dict[int, list[Board]]:
    """A board of each kind for each seed; what an earlier start left in the folder is removed."""
    for kind in kinds:
        shutil.rmtree(run.path(kind), ignore_errors=True)
    return {seed: [_KINDS[kind][0](run, seed) for kind in kinds] for seed in seeds}


def _flat(config: Mapping[str, Any], before: str = "") -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, value in config.items():
        if isinstance(value, Mapping):
            found |= _flat(value, f"{before}{name}.")
        else:
            found[f"{before}{name}"] = value
    return found
