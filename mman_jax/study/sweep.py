"""Search of a system's settings by the validation loss on folds inside the training part.

Optuna samples, prunes and stores the trials. Each head whose settings do not affect other heads (a
tower, a fusion) has a separate study, and thus separate best settings.
"""

import dataclasses
import hashlib
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
from ml_collections import ConfigDict

from mman_jax.errors import InputError, nearest, require
from mman_jax.study.folds import Candidate, Inner, Trained
from mman_jax.systems import SYSTEMS
from mman_jax.systems.settings import Ranges
from mman_jax.training.programs import ANSWERS
from mman_jax.trial.config import change, copy
from mman_jax.trial.progress import Progress

FIRST_SEED = 1000
"""The first seed of a trial, which differs from the seeds of reports."""

_SINGLE = {
    "dropout": (0.5,),
    "input_dropout": (0.5,),
    "average": (0.98,),
    "class_weights": (True,),
    "kind": ("mean",),
    "from_start": (True,),
}
"""Values of single settings that are tried before sampling."""

_FACTORS = {"hidden": (0.5,), "dense": (0.5,), "learning_rate": (0.1, 3.0)}
"""Factors of single sizes and learning rates that are tried before sampling."""


@dataclasses.dataclass(frozen=True)
class Budget:
    """Limits of a search.

    Attributes:
        trials: trials of each study; None for no limit.
        hours: hours for all studies together; None for no limit.
        seeds: seeds of each trial.
        jobs: trials that run in parallel.
        seed: seed of the sampler.
    """

    trials: int | None
    hours: float | None = None
    seeds: int = 2
    jobs: int = 1
    seed: int = 0


@dataclasses.dataclass(frozen=True)
class Phase:
    """Settings that are searched together.

    Attributes:
        name: name that the progress shows.
        stage: name of the last stage to train.
        ranges: the search space of each head; `all` has the settings that all heads share.
        share: share of the hours.
        resumes: whether the earlier stages are trained once, with the best settings so far, rather
            than in every trial.
    """

    name: str
    stage: str
    ranges: Mapping[str, Ranges]
    share: float
    resumes: bool = False

    @property
    def paths(self) -> list[str]:
        """The paths of all its settings."""
        return [path for ranges in self.ranges.values() for path in ranges]


class Sweep:
    """A search of the settings of one system on one corpus.

    Attributes:
        phases: phases of the search, in order.
        best: the config with the best settings so far.
        tables: the trials of each finished study, with its head.
    """

    def __init__(
        self, config: ConfigDict, inner: Inner, budget: Budget, fields: Sequence[str] = ()
    ):
        """Checks the search space; trains nothing yet.

        Args:
            config: config of any system that learns by gradients, which is the first trial.
            fields: settings to search, by the last part of their paths; empty selects all.

        Raises:
            InputError: the system has no such setting, or does not search it.
        """
        self._inner, self._budget = inner, budget
        self._seeds = [FIRST_SEED + number for number in range(budget.seeds)]
        self._start = config
        self.best = copy(config)
        self.best.train.refit = False  # trials are not retrained
        for settings in _stages_with_answers(self.best).values():
            settings.answers = ANSWERS[0]
        self._heads = inner.heads(self.best)
        self.phases = self._phases(fields)
        self.tables: list[tuple[str, list[Any]]] = []

    def run(self, storage: Any, progress: Progress) -> ConfigDict:
        """Returns the config with the best settings of each study.

        Args:
            storage: storage of Optuna, from which a search resumes.

        Raises:
            InputError: all trials of a study failed.
        """
        self._storage, self._progress = storage, progress
        began, spent = time.monotonic(), 0.0
        for phase in self.phases:
            spent += phase.share
            hours = self._budget.hours
            until = None if hours is None else began + spent * 3600 * hours
            before = self._train_before(phase.stage) if phase.resumes else None
            self._search(phase, before, until)
        searched = {path for phase in self.phases for path in phase.paths}
        self.best.train.refit = self._start.train.refit
        for name, settings in _stages_with_answers(self._start).items():
            if f"train.{name}.answers" not in searched:
                self.best.train[name].answers = settings.answers
        return self.best

    def _phases(self, fields: Sequence[str]) -> list[Phase]:
        kind = SYSTEMS[self.best.system]
        unused = self._inner.task.unused_settings
        known: set[str] = set()

        def ranges_of(head: str) -> Ranges:
            ranges = kind.search_space(head)
            known.update(name for path in ranges for name in _names(path))
            return {
                path: values
                for path, values in ranges.items()
                if (not fields or {*fields} & {*_names(path)}) and not path.endswith(unused)
            }

        phases = []
        for index, (stage, heads) in enumerate(self._heads.items()):
            by_head = {head: ranges for head in heads if (ranges := ranges_of(head))}
            if by_head:
                share = 0.2 if index else 0.6
                phases.append(Phase(stage, stage, by_head, share, resumes=index > 0))
        if shared := ranges_of(""):
            # If later stages have separate settings, the first stage suffices for shared ones.
            stages = list(self._heads)
            separate = any(kind.search_space(head) for head in self._heads[stages[-1]])
            phases.insert(0, Phase("all", stages[0 if separate else -1], {"all": shared}, 0.2))
        for name in fields:
            if name not in known:
                raise InputError("fields", f"unknown {name!r:.60}", nearest(name, sorted(known)))
        if not phases:
            found = f"{self.best.system}, which has no settings to search"
            raise InputError("config.system", found, "a system with a search_space()")
        for path in [path for phase in phases for path in phase.paths]:
            try:
                _current(self.best, path)
            except (AttributeError, KeyError, TypeError) as error:
                found = f"{path!r:.80}, which its config lacks"
                raise InputError("search_space", found, "the path of a setting") from error
        total = sum(phase.share for phase in phases)
        return [dataclasses.replace(phase, share=phase.share / total) for phase in phases]

    def _search(self, phase: Phase, before: Sequence[Trained] | None, until: float | None) -> None:
        optuna = load_optuna()
        studies = {head: self._study(phase, head) for head in phase.ranges}
        numbers = self._numbers(next(iter(studies.values())), until)
        if self._budget.jobs == 1:  # in this thread, so that an interruption ends it at once
            for number in numbers:
                self._trial(phase, studies, before, number)
        else:
            with ThreadPoolExecutor(self._budget.jobs) as pool:
                running = []
                for number in numbers:
                    running.append(pool.submit(self._trial, phase, studies, before, number))
                    if len(running) == self._budget.jobs:
                        running.pop(0).result()
                for trial in running:
                    trial.result()
        for head, study in studies.items():
            complete = study.get_trials(states=[optuna.trial.TrialState.COMPLETE])
            if not complete:
                found = f"{phase.name}: every trial failed"
                expected = "training that converges (smaller learning rates)"
                raise InputError("training", found, expected)
            best = min(complete, key=lambda trial: trial.value)
            self.best = change(self.best, _values(best.params))
            self.tables.append((head, _ended(study)))

    def _study(self, phase: Phase, head: str) -> Any:
        """Creates Optuna's study of a head, or reads that of an interrupted search."""
        optuna = load_optuna()
        digest = hashlib.sha256(self.best.to_json(sort_keys=True).encode()).hexdigest()[:8]
        study = optuna.create_study(
            storage=self._storage,
            study_name=f"{phase.name}/{head}/{digest}",
            load_if_exists=True,
            pruner=optuna.pruners.PercentilePruner(100 / 3, n_startup_trials=4),
        )
        done = len(study.get_trials(deepcopy=False))
        for trial in study.get_trials(states=[optuna.trial.TrialState.RUNNING]):
            # Only one process searches at a time, so this trial was interrupted.
            study.tell(trial.number, state=optuna.trial.TrialState.FAIL)
            study.enqueue_trial(trial.params, skip_if_exists=False)
        seed = self._budget.seed + done
        study.sampler = optuna.samplers.TPESampler(seed=seed, n_startup_trials=8)
        if not done:
            for values in _first(self.best, phase.ranges[head]):
                study.enqueue_trial(values, skip_if_exists=True)
        return study

    def _numbers(self, study: Any, until: float | None) -> Iterator[int]:
        """Yields the numbers of the remaining trials, as long as there is time."""
        number = len(_ended(study))
        if number:
            self._progress.line(f"{study.study_name}: resumes after {number} trials")
        while self._budget.trials is None or number < self._budget.trials:
            if until is not None and time.monotonic() > until and number:
                text = f"{study.study_name}: time limit reached after {number} trials"
                self._progress.notice(text)
                return
            yield number
            number += 1

    def _trial(
        self,
        phase: Phase,
        studies: Mapping[str, Any],
        before: Sequence[Trained] | None,
        number: int,
    ) -> None:
        """Trains the settings that each study suggests on the folds, and reports the losses."""
        began = time.monotonic()
        trials = {
            head: study.ask({p: _distribution(r) for p, r in phase.ranges[head].items()})
            for head, study in studies.items()
        }
        fields = {k: v for trial in trials.values() for k, v in _values(trial.params).items()}
        config = change(self.best, fields)
        candidate = Candidate(self._inner, config, self._seeds, self._progress, phase.stage)
        folds, pruned = self._inner.folds, False
        losses: dict[str, list[float]] = {head: [] for head in trials}
        for fold, name in enumerate(folds):
            title = f"{phase.name} {number + 1}, fold {name}"
            snapshot = candidate.train(fold, title, before[fold] if before else None)
            by_head = candidate.losses(fold, snapshot)
            for head, trial in trials.items():
                heads = [head] if head in by_head else self._heads[phase.stage]
                losses[head].append(float(np.mean([by_head[name] for name in heads])))
                trial.report(float(np.mean(losses[head])), fold)
            if fold + 1 < len(folds) and all(t.should_prune() for t in trials.values()):
                pruned = True
                break
        states = load_optuna().trial.TrialState
        for head, study in studies.items():
            mean = float(np.mean(losses[head]))
            if pruned or not np.isfinite(mean):
                study.tell(trials[head], state=states.PRUNED)
            else:
                study.tell(trials[head], mean)
        count = "" if self._budget.trials is None else f"/{self._budget.trials}"
        means = ", ".join(f"{head} {np.mean(values):.4f}" for head, values in losses.items())
        end = " (pruned)" if pruned else ""
        seconds = time.monotonic() - began
        values = "; ".join(format_settings(trial.params) for trial in trials.values())
        self._progress.line(
            f"{phase.name}, trial {number + 1}{count}: {means}{end}, {seconds:.0f} s; {values}"
        )

    def _train_before(self, stage: str) -> list[Trained]:
        """Trains the stages before one on every fold, with the best settings."""
        names = list(self._heads)
        earlier = names[names.index(stage) - 1]
        candidate = Candidate(self._inner, self.best, self._seeds, self._progress, earlier)
        return [
            candidate.trained(candidate.train(fold, f"{earlier}, fold {name}"))
            for fold, name in enumerate(self._inner.folds)
        ]


def format_settings(params: Mapping[str, Any]) -> str:
    """Formats settings as `name=value`, separated by spaces."""
    return " ".join(f"{_names(path)[-1]}={_round(value)}" for path, value in params.items())


def load_optuna() -> Any:
    """Imports Optuna, and silences its log."""
    optuna = require("optuna", "sweep", "sweep", "Optuna")
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    return optuna


def _ended(study: Any) -> list[Any]:
    """Returns the complete and the pruned trials; interrupted ones failed, and run again."""
    states = load_optuna().trial.TrialState
    return study.get_trials(deepcopy=False, states=(states.COMPLETE, states.PRUNED))


def _stages_with_answers(config: ConfigDict) -> dict[str, ConfigDict]:
    """Returns the settings of the stages that may learn from out-of-fold predictions."""
    return {
        name: settings
        for name, settings in config.train.items()
        if isinstance(settings, ConfigDict) and "answers" in settings
    }


def _names(path: str) -> list[str]:
    """Returns the names by which `fields` may name a setting."""
    *_, group, last = path.split(".")
    return [group] if group == "learning_rate" else last.split("|")


def _paths(path: str) -> list[str]:
    """Returns the paths of the settings that share a value."""
    group, _, last = path.rpartition(".")
    return [f"{group}.{name}" for name in last.split("|")]


def _values(params: Mapping[str, Any]) -> dict[str, Any]:
    """Returns values for `change`, with numbers rounded to three digits."""
    return {setting: _round(value) for path, value in params.items() for setting in _paths(path)}


def _round(value: Any) -> Any:
    return float(f"{value:.3g}") if isinstance(value, float) else value


def _current(config: ConfigDict, path: str) -> Any:
    """Returns the value of a setting; a missing entry has the value of `default`."""
    at: Any = config
    for part in _paths(path)[0].split("."):
        at = at[part if part in at else "default"]
    return at[0] if isinstance(at, tuple) else at


def _distribution(values: Mapping[str, Any]) -> Any:
    distributions = load_optuna().distributions
    if "choices" in values:
        return distributions.CategoricalDistribution(values["choices"])
    integers = isinstance(values["low"], int) and isinstance(values["high"], int)
    kind = distributions.IntDistribution if integers else distributions.FloatDistribution
    return kind(values["low"], values["high"], log=values.get("log", False))


def _nearest(value: Any, values: Mapping[str, Any]) -> Any:
    """Returns the value of a range that is nearest to this one."""
    if "choices" in values:
        choices = values["choices"]
        return value if value in choices else choices[0]
    value = min(max(value, values["low"]), values["high"])
    return round(value) if isinstance(values["low"], int) else float(value)


def _first(config: ConfigDict, ranges: Ranges) -> Iterator[dict[str, Any]]:
    """Yields the first trials: the config's values, then single changes of them."""
    start = {path: _nearest(_current(config, path), values) for path, values in ranges.items()}
    yield start
    for path, values in ranges.items():
        name = "|".join(_names(path))
        others = [*_SINGLE.get(name, ()), *(start[path] * x for x in _FACTORS.get(name, ()))]
        for value in others:
            changed = _nearest(value, values)
            if changed != start[path]:
                yield start | {path: changed}
