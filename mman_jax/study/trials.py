"""The trials of a sweep on disk, in Optuna's storage: a search goes on after them."""

import contextlib
import pathlib
from collections.abc import Iterator

import numpy as np

from mman_jax.errors import InputError
from mman_jax.study.search import Row, Search, frozen, library

_LOSSES = "losses"


class Trials:
    """The rows of one search, in a study of its name."""

    def __init__(self, storage, name: str, search: Search):
        self.search = search
        self._study = library().create_study(storage=storage, study_name=name, load_if_exists=True)

    @property
    def rows(self) -> list[Row]:
        """All rows, in order."""
        return [self._row(trial) for trial in self._study.get_trials(deepcopy=False)]

    def add(self, row: Row) -> None:
        """Keeps a row; a process that is killed meanwhile leaves the whole row or nothing."""
        trial = frozen(row, self.search.fields, named=True)
        losses = {owner: np.asarray(x).tolist() for owner, x in row.losses.items()}
        trial.set_user_attr(_LOSSES, losses)
        self._study.add_trial(trial)

    def _row(self, trial) -> Row:
        values = {owner: {} for owner in self.search.fields}
        for name, value in trial.params.items():
            owner, _, field = name.rpartition(".")
            values[owner][field] = value
        if _LOSSES not in trial.user_attrs:
            place = f"trials.db: {self._study.study_name}: trial {trial.number + 1}"
            raise InputError(place, "no losses", "a storage that a sweep wrote")
        losses = {owner: np.array(x) for owner, x in trial.user_attrs[_LOSSES].items()}
        pruned = trial.state == library().trial.TrialState.PRUNED
        return Row(values, losses, pruned)


@contextlib.contextmanager
def opened(path: pathlib.Path) -> Iterator[object]:
    """A storage of Optuna's in a file of SQLite, which is made if it is missing.

    Raises:
        InputError: it cannot be read or written.
    """
    from sqlalchemy.exc import SQLAlchemyError

    try:
        storage = library().storages.RDBStorage(f"sqlite:///{path}")
    except (SQLAlchemyError, OSError, RuntimeError) as error:
        found = f"cannot be used ({str(error).splitlines()[0]})"
        raise InputError(path, found, "a storage that a sweep wrote") from error
    try:
        yield storage
    finally:
        storage.remove_session()
        storage.engine.dispose()
