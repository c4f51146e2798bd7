"""A search by Optuna: what is tried next, and what is hopeless, from what was tried before."""

import dataclasses
import hashlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from mman_jax.errors import InputError
from mman_jax.study.space import ALL_TOWERS, Field, Values

_ENOUGH, _KEPT = 4, 100 / 3
"""Trials before one is compared with them, and the per cent that goes on then."""

_COMBINED = 10
"""Every such trial, and the last, has the best values so far of each owner."""


@dataclasses.dataclass(frozen=True)
class Row:
    """A trial: values for all that is searched, and what they gave.

    Attributes:
        values: by owner and name.
        losses: by owner but all towers, [folds, seeds] float, nats; infinite where one diverged.
        pruned: whether it was given up before its last fold.
    """

    values: Values
    losses: Mapping[str, np.ndarray]
    pruned: bool

    def loss(self, owner: str) -> float:
        """The mean over folds and seeds; of all towers, over them, too."""
        if owner in self.losses:
            return float(np.mean(self.losses[owner]))
        return float(np.mean([np.mean(losses) for losses in self.losses.values()]))


@dataclasses.dataclass(frozen=True)
class Search:
    """Several owners of settings that are tried together, each with a study of its own.

    The studies of Optuna are made from the rows anew each time, each with a seed of its own: the
    next trial depends on the rows alone, not on when the search was interrupted.

    Attributes:
        fields: by owner; that of all towers decides by the mean of the losses.
        first: values of the first trial.
        seed: what all draws come from.
        trials: how many rows there are to be.
    """

    fields: Mapping[str, Sequence[Field]]
    first: Values
    seed: int
    trials: int

    def draw(self, rows: Sequence[Row], ahead: int = 0) -> Values:
        """Values for the next trial.

        Args:
            rows: of all trials that have ended.
            ahead: how many trials are under way.
        """
        number = len(rows) + ahead
        if not number:
            return self.first
        if rows and (number == self.trials - 1 or (number + 1) % _COMBINED == 0):
            combined = self._combined(rows)
            if combined not in [row.values for row in rows]:
                return combined
        drawn = {}
        for owner, fields in self.fields.items():
            trial = self._study(rows, owner, number).ask(
                {field.name: distribution(field) for field in fields}
            )
            drawn[owner] = {field.name: field.near(trial.params[field.name]) for field in fields}
        return drawn

    def _combined(self, rows: Sequence[Row]) -> Values:
        if all(row.pruned for row in rows):
            return self.first
        return {owner: best(rows, owner).values[owner] for owner in self.fields}

    def hopeless(self, rows: Sequence[Row], losses: Mapping[str, np.ndarray]) -> bool:
        """Whether a trial is, by the mean over its owners, not among the best third of the others.

        It is asked once, after the first fold, and compared with what all others had there, those
        that were given up, too: what goes on all along was chosen, and the bar would rise with it.

        Args:
            rows: of all trials that have ended.
            losses: by owner, [folds so far, seeds].
        """
        value, *more = _running(losses.values())
        if more:
            return False
        alike = [dataclasses.replace(row, pruned=False) for row in rows]
        trial = self._study(alike, ALL_TOWERS, len(rows)).ask()
        trial.report(value, 0)
        return trial.should_prune()

    def _study(self, rows: Sequence[Row], owner: str, number: int):
        optuna = library()
        digest = hashlib.sha256(f"{self.seed} {owner} {number}".encode()).digest()
        study = optuna.create_study(
            sampler=optuna.samplers.TPESampler(seed=int.from_bytes(digest[:4], "big")),
            pruner=optuna.pruners.PercentilePruner(_KEPT, n_startup_trials=_ENOUGH),
        )
        study.add_trials([frozen(row, {owner: self.fields.get(owner, ())}) for row in rows])
        return study


def best(rows: Sequence[Row], owner: str = ALL_TOWERS) -> Row:
    """The trial over all folds with the lowest loss; of equals, the first."""
    return min((row for row in rows if not row.pruned), key=lambda row: row.loss(owner))


def distribution(field: Field):
    """Optuna's own word for a setting's values."""
    distributions = library().distributions
    if field.kind == "choice":
        return distributions.CategoricalDistribution(field.choices)
    kinds = {"int": distributions.IntDistribution, "float": distributions.FloatDistribution}
    return kinds[field.kind](field.low, field.high, log=field.log)


def frozen(row: Row, fields: Mapping[str, Sequence[Field]], named: bool = False):
    """A row as a trial of Optuna.

    Args:
        row: the row.
        fields: by owner; where there is one, the trial's value is its loss.
        named: whether the parameters' names begin with their owner's.
    """
    trial = library().trial
    owner = next(iter(fields)) if len(fields) == 1 else ALL_TOWERS
    losses = [row.losses[owner]] if owner in row.losses else list(row.losses.values())
    params, distributions = {}, {}
    for group, own in fields.items():
        for field in own:
            name = f"{group}.{field.name}" if named else field.name
            params[name] = row.values[group][field.name]
            distributions[name] = distribution(field)
    state = trial.TrialState.PRUNED if row.pruned else trial.TrialState.COMPLETE
    return trial.create_trial(
        state=state,
        value=None if row.pruned else row.loss(owner),
        params=params,
        distributions=distributions,
        intermediate_values=dict(enumerate(_running(losses))),
    )


def library() -> Any:
    """Optuna, quiet.

    Raises:
        InputError: it is not installed.
    """
    try:
        import optuna
    except ImportError as error:
        expected = "pip install 'mman_jax[sweep]'"
        raise InputError("sweep", "Optuna is not installed", expected) from error
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    return optuna


def _running(losses) -> list[float]:
    """After each fold, the mean over the folds so far, the seeds and the owners."""
    by_fold = np.mean([np.mean(own, axis=1) for own in losses], axis=0)
    return (np.cumsum(by_fold) / np.arange(1, len(by_fold) + 1)).tolist()
