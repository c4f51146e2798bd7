"""A sweep, in order: the towers, early fusion, the late fusions on frozen towers, the rule."""

import dataclasses
import pathlib
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from ml_collections import ConfigDict

from mman_jax.errors import InputError
from mman_jax.study import attempts, rules, space
from mman_jax.study.attempts import Attempt
from mman_jax.study.inner import Inner, Towers
from mman_jax.study.search import Row, Search, best
from mman_jax.study.side_by_side import Waiting, Workers, in_order
from mman_jax.study.space import ALL_TOWERS, ATTENTION, CLSTM, DENSE, EARLY_FUSION
from mman_jax.study.towers import key
from mman_jax.study.trials import Trials
from mman_jax.systems.mman import CLSTM_EF, CLSTM_LF, NAME
from mman_jax.training.programs import ANSWERS
from mman_jax.trial import tasks as learnt
from mman_jax.trial.config import title
from mman_jax.trial.progress import Progress

FIRST_SEED = 1000
"""Others than those of a report."""

_HOMES = {"early fusion": CLSTM_EF, CLSTM: CLSTM_LF}
"""The system of the paper whose settings a search begins with, if it is not MMAN."""

_UNTIL = {"towers": 0.6, "early fusion": 0.7, DENSE: 0.75, CLSTM: 0.85}
"""The share of the time after which a search tries nothing new."""


@dataclasses.dataclass(frozen=True)
class Budget:
    """How much is tried.

    Attributes:
        trials: of the towers; of each fusion half as many.
        seeds: of each trial.
        hours: after which nothing new is tried; None: no end.
        names: of the settings that are searched.
        seed: of the draws.
    """

    trials: int
    seeds: int
    hours: float | None
    names: tuple[str, ...]
    seed: int = 0


class Sweep:
    """A sweep of one recipe on one corpus."""

    def __init__(
        self,
        recipes: Mapping[str, ConfigDict],
        inner: Inner,
        storage: Any,
        budget: Budget,
        progress: Progress,
        workers: Workers,
    ):
        """Trains nothing yet.

        Args:
            recipes: the config of each system of the paper, by its name.
            inner: its corpus's folds.
            storage: Optuna's, which a search goes on from.
            budget: how much is tried.
            progress: where progress is shown.
            workers: what trains.
        """
        self.inner, self.storage, self.budget, self.progress = inner, storage, budget, progress
        self.workers, self.began = workers, time.monotonic()
        self.seeds = [FIRST_SEED + i for i in range(budget.seeds)]
        self.given = recipes[NAME].train
        self.found = {n: c.copy_and_resolve_references().unlock() for n, c in recipes.items()}
        # What is searched is what trains once, by the paper's own way.
        self._set(refit=False, answers=ANSWERS[0])
        self.searches: list[list[Row]] = []

    def run(self, path: pathlib.Path) -> tuple[dict[str, ConfigDict], rules.Accuracies]:
        """The best configs by system, and the accuracy of each rule that selects an epoch.

        Args:
            path: where the rules' accuracies are kept.
        """
        names = (*self.inner.modalities, ATTENTION)
        half = max(1, self.budget.trials // 2)
        self._search("towers", names, self.budget.trials, self._beside(NAME, names))
        early = self._beside(CLSTM_EF, (EARLY_FUSION,))
        self._search("early fusion", (EARLY_FUSION,), half, early)
        self._search(DENSE, (DENSE,), half, self._fused(NAME, DENSE))
        self._search(CLSTM, (CLSTM,), half, self._fused(CLSTM_LF, CLSTM))
        accuracies: rules.Accuracies = {}
        if learnt.numbers(self.inner.task):
            pass  # the loss alone picks the epoch of numbers
        elif self.inner.blind:
            accuracies = rules.measure_all(
                self.workers, self.found[NAME], self.seeds, self.progress, path, self._late(1.0)
            )
        else:
            self.progress.notice("two groups: none is left without a say in what picks the epoch")
        if accuracies:
            rule = rules.best(accuracies)
            self.found = {name: rule.on(config) for name, config in self.found.items()}
        self._set(refit=self.given.refit, answers=self.given.fusion.answers)
        return self.found, accuracies

    def _set(self, refit: bool, answers: str) -> None:
        for config in self.found.values():
            config.train.refit = refit
            if "fusion" in config.train:
                config.train.fusion.answers = answers

    def _search(
        self,
        name: str,
        owners: Sequence[str],
        trials: int,
        begin: Callable[[Search, Sequence[Row], space.Values], Waiting[Attempt]],
    ) -> None:
        """Searches the settings of some owners, and makes the best part of what was found."""
        owned = {owner: space.fields(owner, self.budget.names) for owner in owners}
        shared = space.fields(ALL_TOWERS, self.budget.names) if name == "towers" else ()
        if not shared and not any(owned.values()):
            return
        fields = {ALL_TOWERS: shared, **owned}
        home = self.found[_HOMES.get(name, NAME)]
        first = {owner: space.given(home, owner, own) for owner, own in fields.items()}
        search = Search(fields, first, self.budget.seed, trials)
        # Once other towers are found, what was tried on the former ones says nothing.
        study = name if name == "towers" else key(name, ConfigDict(self.found))
        kept = Trials(self.storage, study, search)
        rows = kept.rows
        if rows:
            self.progress.line(f"{name}: goes on after {len(rows)} of {trials} trials")
        late, longest, drawn = self._late(_UNTIL[name]), 0.0, []
        width, resumed = self.workers.width, len(rows)

        def begun():
            for number in range(resumed, trials):
                # What was begun just before may be waited for, too.
                if number and late(longest * min(width, 2)):
                    return
                # These rows and no others, even if there are some by now: so the same is tried on
                # fast and slow machines, and wherever it was interrupted.
                known = rows[: max(0, number - width + 1)]
                drawn.append(search.draw(known, number - len(known)))
                yield begin(search, known, drawn[-1])

        for (losses, pruned), seconds in in_order(begun(), width):
            row = Row(drawn[len(rows) - resumed], losses, pruned)
            longest = max(longest, seconds)
            kept.add(row)
            self._tell(name, len(rows), trials, row, seconds)
            rows.append(row)
        if len(rows) < trials:
            self.progress.notice(f"{name}: the time is over after {len(rows)} of {trials} trials")
        if not np.isfinite(best(rows).loss(ALL_TOWERS)):
            found = f"{name}: every trial failed"
            raise InputError("training", found, "training that converges (smaller learning rates)")
        values = best(rows).values
        self.found = {n: space.apply(config, values) for n, config in self.found.items()}
        self.searches.append(rows)

    def _beside(self, system: str, towers: Sequence[str]):
        """What tries settings of towers."""

        def begin(search, rows, values):
            config = space.apply(self.found[system], values)
            return self.workers.begin(
                attempts.of_towers, config, tuple(towers), self.seeds, search, rows
            )

        return begin

    def _fused(self, system: str, owner: str):
        """What tries settings of a late fusion, on towers that are trained but once."""
        frozen: list[Towers] = []

        def begin(search, rows, values):
            if not frozen:
                frozen.extend(self._frozen(self.found[system]))
            config = space.apply(self.found[system], values)
            task = (config, owner, frozen, self.seeds, search, rows)
            return self.workers.begin(attempts.of_fusion, *task)

        return begin

    def _frozen(self, config: ConfigDict) -> list[Towers]:
        names = [*self.inner.modalities, *([ATTENTION] if "early" in config.network else [])]
        task = (attempts.frozen_towers, config, names, self.seeds)
        folds = range(len(self.inner.held.names))
        begun = (self.workers.begin(*task, fold) for fold in folds)
        return [towers for towers, _ in in_order(begun, self.workers.width)]

    def _late(self, share: float) -> Callable[[float], bool]:
        hours = self.budget.hours

        def late(seconds: float) -> bool:
            spent = time.monotonic() - self.began + seconds
            return hours is not None and spent > share * hours * 3600

        return late

    def _tell(self, name: str, number: int, trials: int, row: Row, seconds: float) -> None:
        each = ", ".join(f"{owner} {row.loss(owner):.4f}" for owner in row.losses)
        mean = f"{row.loss(ALL_TOWERS):.4f} ({each})" if len(row.losses) > 1 else each
        end = " after its first folds" if row.pruned else ""
        self.progress.line(
            f"{name}, trial {number + 1}/{trials}: {mean}{end}, {seconds:.0f} s; {_words(row)}"
        )


def check(recipe: ConfigDict) -> None:
    """Refuses a recipe that is not MMAN's.

    Raises:
        InputError: naming what it is.
    """
    if title(recipe) != NAME:
        expected = "the recipe of MMAN, configs/mman.py, or one made from it"
        raise InputError("config", f"the system {title(recipe)}", expected)
    if recipe.data.test:
        found = f"{recipe.data.test!r}: a sweep reads a training part, and tests nothing"
        raise InputError("config.data.test", found, "none")
    if recipe.distributed:
        raise InputError("config.distributed", repr(recipe.distributed), "one process")


def _words(row: Row) -> str:
    parts: Mapping[str, Any] = {owner: own for owner, own in row.values.items() if own}
    return "; ".join(
        f"{owner}: " + " ".join(f"{name}={value}" for name, value in own.items())
        for owner, own in parts.items()
    )
