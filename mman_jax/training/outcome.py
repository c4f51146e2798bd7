"""Where training stands, and what a stage gave."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import jax
import numpy as np

from mman_jax.training import processes
from mman_jax.training.state import Record, State


class Snapshot(NamedTuple):
    """Where training stands after an epoch: all that is needed to go on from there.

    Attributes:
        stage: name of the stage.
        state: of that stage, leading axis S.
        history: of that stage, an epoch a leading entry: `Record` of [E, S, T] arrays.
        finished: what the stages before gave, by name.
    """

    stage: str
    state: State
    history: Record
    finished: Mapping[str, "Outcome"]


class Outcome(NamedTuple):
    """What a stage gave. T counts its heads.

    Attributes:
        best_epoch: [S, T] int32.
        valid: [S, T, C, C] int32, validation counts at the best epoch; of numbers sums
            [S, T, C, K] float32 (see `State`).
        test: the same of test.
        oracle: [S, T] float32, highest test accuracy of any epoch; of numbers CCC.
        failed: [S, T, 2] int32, epoch and step of the first loss or gradient that was not finite.
        failed_norm: [S, T] float32, the gradient's norm there.
        history: `Record` of [E, S, T] arrays.
    """

    best_epoch: np.ndarray
    valid: np.ndarray
    test: np.ndarray
    oracle: np.ndarray
    failed: np.ndarray
    failed_norm: np.ndarray
    history: Record


def stack(history: Sequence[Record]) -> Record:
    """Records of one epoch each as one, with a leading axis E."""
    return jax.tree.map(lambda *x: np.stack(x), *history)


def by_epoch(records: Record) -> list[Record]:
    """Records [S, E, T] as one [S, T] an epoch."""
    epochs = records.train_loss.shape[1]
    return [jax.tree.map(lambda x, e=epoch: x[:, e], records) for epoch in range(epochs)]


def unstack(history: Record) -> list[Record]:
    """The records that `stack` was given."""
    epochs = len(history.train_loss)
    return [jax.tree.map(lambda x, e=epoch: x[e], history) for epoch in range(epochs)]


def outcome(state: State, history: Record) -> Outcome:
    """What a stage gave, whole on every process."""
    arrays = tuple(getattr(state, name) for name in Outcome._fields[:-1])
    return Outcome(*processes.whole(arrays), history)


def converged(finished: Mapping[str, Outcome]) -> np.ndarray:
    """[S] bool: the seeds that have a best epoch in every stage and failed in none."""
    return np.all(
        [(o.best_epoch > 0).all(1) & ~o.failed.any((1, 2)) for o in finished.values()], axis=0
    )


def of_seeds(finished: Mapping[str, Outcome], chosen: np.ndarray) -> dict[str, Outcome]:
    """What every stage gave, of some seeds alone ([S] bool)."""
    return {
        name: Outcome(*(x[chosen] for x in o[:-1]), jax.tree.map(lambda x: x[:, chosen], o.history))
        for name, o in finished.items()
    }


def refitted(chosen: Mapping[str, Outcome], again: Mapping[str, Outcome]) -> dict[str, Outcome]:
    """What was chosen, with the test counts of networks that were trained again, and all failures.

    Args:
        chosen: what every stage gave.
        again: what the stages gave that were trained again.
    """
    found = dict(chosen)
    for name, other in again.items():
        own = chosen[name]
        failed = own.failed.any(-1)
        found[name] = own._replace(
            test=other.test,
            best_epoch=np.where(other.best_epoch > 0, own.best_epoch, 0),
            failed=np.where(failed[..., None], own.failed, other.failed),
            failed_norm=np.where(failed, own.failed_norm, other.failed_norm),
        )
    return found


def join(outcomes: Sequence[Outcome]) -> Outcome:
    """Outcomes of heads that were trained apart as one; shorter histories end in zeros."""
    epochs = max(len(one.history.train_loss) for one in outcomes)

    def lengthen(x):
        return np.pad(x, [(0, epochs - len(x)), *[(0, 0)] * (x.ndim - 1)])

    histories = [jax.tree.map(lengthen, one.history) for one in outcomes]
    history = jax.tree.map(lambda *x: np.concatenate(x, axis=2), *histories)
    scores = zip(*(one[:-1] for one in outcomes), strict=True)
    return Outcome(*(np.concatenate(x, axis=1) for x in scores), history)
