"""Search of a system's settings by the validation loss on folds inside the training part.

Optuna samples, prunes and stores: each head whose settings change no other head's loss (a tower, a
fusion) has a study of its own, and so keeps its own best settings.
"""

import dataclasses
import hashlib
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
from ml_collections import ConfigDict

from mman_jax.errors import InputError, nearest
from mman_jax.study.inner import Candidate, Inner, Trained
from mman_jax.systems import SYSTEMS, build
from mman_jax.systems.base import Stage
from mman_jax.systems.estimator import check_network
from mman_jax.systems.settings import Ranges
from mman_jax.training.programs import ANSWERS
from mman_jax.trial.config import change, network
from mman_jax.trial.progress import Progress

FIRST_SEED = 1000
"""The first seed of a trial; those of a report are others."""

OF_CLASSES = ("label_smoothing", "class_weights")
"""Settings that have no meaning if numbers are predicted."""

_SINGLE = {
    "dropout": (0.5,),
    "input_dropout": (0.5,),
    "average": (0.98,),
    "class_weights": (True,),
    "hidden": (0.5,),
    "dense": (0.5,),
    "learning_rate": (0.1, 3.0),
}
"""Changes of a single setting that are tried before any are sampled: values, or for sizes and rates
of learning factors."""


@dataclasses.dataclass(frozen=True)
class Budget:
    """Limits of a search.

    Attributes:
        trials: of each study; None: as many as there is time for.
        hours: of all studies together; None: no limit.
        seeds: seeds of each trial.
        jobs: trials that run side by side.
        seed: of the sampler.
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
        name: for the progress.
        stage: the last stage that is trained, by its name.
        ranges: what is tried, by head; what all heads share is that of `all`.
        share: of the hours.
        resumes: whether the earlier stages are trained once, with the best settings so far, rather
            than in every trial.
    """

    name: str
    stage: str
    ranges: Mapping[str, Ranges]
    share: float
    resumes: bool = False


class Sweep:
    """A search of the settings of one system on one corpus."""

    def __init__(
        self,
        config: ConfigDict,
        inner: Inner,
        budget: Budget,
        fields: Sequence[str] = (),
    ):
        """Checks the search space; trains nothing yet.

        Args:
            config: of any system that learns by gradients; the first trial.
            inner: folds of its training part.
            budget: limits of the search.
            fields: last names of the settings to search; none: all.

        Raises:
            InputError: a setting that the system lacks or does not search.
        """
        self.inner, self.budget = inner, budget
        self.seeds = [FIRST_SEED + number for number in range(budget.seeds)]
        self.given = config
        self.best = self._once(config.copy_and_resolve_references().unlock())
        self.phases = self._phases(fields)
        self.tables: list[tuple[str, list[Any]]] = []

    def run(self, storage: Any, progress: Progress) -> ConfigDict:
        """Returns the config with the best settings of each study.

        Args:
            storage: Optuna's, from which a search resumes.
            progress: receives a line for each trial.

        Raises:
            InputError: all trials of a study failed.
        """
        self.storage, self.progress = storage, progress
        began, spent = time.monotonic(), 0.0
        for phase in self.phases:
            spent += phase.share
            until = None
            if self.budget.hours is not None:
                until = began + spent * 3600 * self.budget.hours
            before = self._train_before(phase.stage) if phase.resumes else None
            self._search(phase, before, until)
        searched = {path for phase in self.phases for of in phase.ranges.values() for path in of}
        self.best.train.refit = self.given.train.refit
        for name, settings in self.given.train.items():
            has = isinstance(settings, ConfigDict) and "answers" in settings
            if has and f"train.{name}.answers" not in searched:
                self.best.train[name].answers = settings.answers
        return self.best

    def _phases(self, fields: Sequence[str]) -> list[Phase]:
        kind = SYSTEMS[self.best.system]
        system = build(network(self.best), self.inner.modalities, len(self.inner.task.classes))
        check_network("sweep", system)
        self._stages: tuple[Stage, ...] = system.stages()
        phases, names = [], set()
        numbers = bool(self.inner.task.targets)

        def wanted(ranges: Ranges) -> Ranges:
            names.update(leaf for path in ranges for leaf in _leaves(path))
            kept = {p: r for p, r in ranges.items() if not fields or {*fields} & {*_leaves(p)}}
            return {
                path: values
                for path, values in kept.items()
                if not (numbers and path.endswith(OF_CLASSES))
            }

        for index, stage in enumerate(self._stages):
            own = {head: wanted(kind.search_space(head)) for head in stage.heads}
            own = {head: ranges for head, ranges in own.items() if ranges}
            if own:
                share = 0.2 if index else 0.6
                phases.append(Phase(stage.name, stage.name, own, share, resumes=index > 0))
        if whole := wanted(kind.search_space()):
            # Where later stages have settings of their own, the first one tells enough.
            apart = any(kind.search_space(head) for head in self._stages[-1].heads)
            stage = self._stages[0 if apart else -1]
            phases.insert(0, Phase("all", stage.name, {"all": whole}, 0.2))
        for name in fields:
            if name not in names:
                raise InputError("fields", f"unknown {name!r:.60}", nearest(name, sorted(names)))
        if not phases:
            found = f"{self.best.system}, which has no settings to search"
            raise InputError("config.system", found, "a system with a search_space()")
        total = sum(phase.share for phase in phases)
        for phase in phases:
            for ranges in phase.ranges.values():
                for path in ranges:
                    _check_path(self.best, path)
        return [dataclasses.replace(phase, share=phase.share / total) for phase in phases]

    def _search(self, phase: Phase, before: Sequence[Trained] | None, until: float | None) -> None:
        optuna, ids = library(), {}
        digest = hashlib.sha256(self.best.to_json(sort_keys=True).encode()).hexdigest()[:8]
        for head, ranges in phase.ranges.items():
            study = optuna.create_study(
                storage=self.storage,
                study_name=f"{phase.name}/{head}/{digest}",
                load_if_exists=True,
                pruner=optuna.pruners.PercentilePruner(100 / 3, n_startup_trials=4),
            )
            done = len(study.get_trials(deepcopy=False))
            for trial in study.get_trials(states=[optuna.trial.TrialState.RUNNING]):
                # Whatever ran it was interrupted, since one process at a time searches.
                study.tell(trial.number, state=optuna.trial.TrialState.FAIL)
                study.enqueue_trial(trial.params, skip_if_exists=False)
            study.sampler = optuna.samplers.TPESampler(
                seed=self.budget.seed + done, n_startup_trials=8
            )
            if not done:
                for values in _first(self.best, ranges):
                    study.enqueue_trial(values, skip_if_exists=True)
            ids[head] = study
        numbers = self._numbers(next(iter(ids.values())), until)
        if self.budget.jobs == 1:  # in this thread, so that an interruption ends it at once
            for number in numbers:
                self._trial(phase, ids, before, number)
        else:
            with ThreadPoolExecutor(self.budget.jobs) as pool:
                running = []
                for number in numbers:
                    running.append(pool.submit(self._trial, phase, ids, before, number))
                    if len(running) == self.budget.jobs:
                        running.pop(0).result()
                for trial in running:
                    trial.result()
        for head, study in ids.items():
            complete = study.get_trials(states=[optuna.trial.TrialState.COMPLETE])
            if not complete:
                found = f"{phase.name}: every trial failed"
                expected = "training that converges (smaller learning rates)"
                raise InputError("training", found, expected)
            best = min(complete, key=lambda trial: trial.value)
            self.best = change(self.best, _values(best.params))
            self.tables.append((head, study.get_trials(deepcopy=False, states=_ended())))

    def _numbers(self, study: Any, until: float | None) -> Iterator[int]:
        """Numbers of the trials that are still to run, as long as there is time."""
        number = len(study.get_trials(deepcopy=False, states=_ended()))
        if number:
            self.progress.line(f"{study.study_name}: resumes after {number} trials")
        while self.budget.trials is None or number < self.budget.trials:
            if until is not None and time.monotonic() > until and number:
                self.progress.notice(f"{study.study_name}: the time is over after {number} trials")
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
        began = time.monotonic()
        trials = {
            head: study.ask({p: _distribution(r) for p, r in phase.ranges[head].items()})
            for head, study in studies.items()
        }
        fields = {k: v for trial in trials.values() for k, v in _values(trial.params).items()}
        candidate = Candidate(
            self.inner, change(self.best, fields), self.seeds, self.progress, phase.stage
        )
        folds, pruned = self.inner.folds.names, False
        losses: dict[str, list[float]] = {head: [] for head in trials}
        for fold, name in enumerate(folds):
            title = f"{phase.name} {number + 1}, fold {name}"
            snapshot = candidate.train(fold, title, before and before[fold])
            own = candidate.losses(fold, snapshot)
            stage = next(stage for stage in self._stages if stage.name == phase.stage)
            for head, trial in trials.items():
                of = [own[head]] if head in own else [own[name] for name in stage.heads]
                losses[head].append(float(np.mean(of)))
                trial.report(float(np.mean(losses[head])), fold)
            if fold + 1 < len(folds) and all(t.should_prune() for t in trials.values()):
                pruned = True
                break
        states = library().trial.TrialState
        for head, study in studies.items():
            mean = float(np.mean(losses[head]))
            state = states.PRUNED if pruned or not np.isfinite(mean) else states.COMPLETE
            study.tell(trials[head], mean if state == states.COMPLETE else None, state)
        self._tell(phase, number, trials, losses, pruned, time.monotonic() - began)

    def _train_before(self, stage: str) -> list[Trained]:
        """Trains the stages before one on every fold, with the best settings."""
        names = [each.name for each in self._stages]
        earlier = names[names.index(stage) - 1]
        candidate = Candidate(self.inner, self.best, self.seeds, self.progress, earlier)
        folds = enumerate(self.inner.folds.names)
        return [
            candidate.trained(candidate.train(fold, f"{earlier}, fold {name}"))
            for fold, name in folds
        ]

    def _once(self, config: ConfigDict) -> ConfigDict:
        """Sets what is searched to train once, as the recipe of the system does."""
        config.train.refit = False
        for settings in config.train.values():
            if isinstance(settings, ConfigDict) and "answers" in settings:
                settings.answers = ANSWERS[0]
        return config

    def _tell(self, phase, number, trials, losses, pruned, seconds) -> None:
        count = "" if self.budget.trials is None else f"/{self.budget.trials}"
        each = ", ".join(f"{head} {np.mean(of):.4f}" for head, of in losses.items())
        end = " (pruned)" if pruned else ""
        values = "; ".join(words(trial.params) for trial in trials.values())
        self.progress.line(
            f"{phase.name}, trial {number + 1}{count}: {each}{end}, {seconds:.0f} s; {values}"
        )


def words(params: Mapping[str, Any]) -> str:
    """Returns settings as `name=value`, separated by blanks."""
    return " ".join(f"{_leaves(path)[-1]}={_round(value)}" for path, value in params.items())


def library() -> Any:
    """Returns Optuna, quiet.

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


def _ended() -> tuple[Any, ...]:
    states = library().trial.TrialState  # a trial that was interrupted is FAIL, and runs again
    return states.COMPLETE, states.PRUNED


def _leaves(path: str) -> list[str]:
    """The names that `fields` may name a setting by."""
    *groups, last = path.split(".")
    return ["learning_rate"] if groups[-1] == "learning_rate" else last.split("|")


def _paths(path: str) -> list[str]:
    group, _, last = path.rpartition(".")
    return [f"{group}.{name}" for name in last.split("|")]


def _values(params: Mapping[str, Any]) -> dict[str, Any]:
    """Values for `change`; numbers of three digits."""
    return {one: _round(value) for path, value in params.items() for one in _paths(path)}


def _round(value: Any) -> Any:
    return float(f"{value:.3g}") if isinstance(value, float) else value


def _current(config: ConfigDict, path: str) -> Any:
    """The value of a setting; of an entry that is not there that of `default`."""
    at: Any = config
    for part in _paths(path)[0].split("."):
        at = at[part if part in at else "default"]
    return at[0] if isinstance(at, tuple) else at


def _check_path(config: ConfigDict, path: str) -> None:
    try:
        _current(config, path)
    except (AttributeError, KeyError, TypeError) as error:
        found = f"{path!r:.80}, which its config lacks"
        raise InputError("search_space", found, "the path of a setting") from error


def _distribution(values: Mapping[str, Any]) -> Any:
    distributions = library().distributions
    if "choices" in values:
        return distributions.CategoricalDistribution(values["choices"])
    whole = isinstance(values["low"], int) and isinstance(values["high"], int)
    kind = distributions.IntDistribution if whole else distributions.FloatDistribution
    return kind(values["low"], values["high"], log=values.get("log", False))


def _near(value: Any, values: Mapping[str, Any]) -> Any:
    """The value of a range that is next to this one."""
    if "choices" in values:
        choices = values["choices"]
        return value if value in choices else choices[0]
    value = min(max(value, values["low"]), values["high"])
    return round(value) if isinstance(values["low"], int) else float(value)


def _first(config: ConfigDict, ranges: Ranges) -> Iterator[dict[str, Any]]:
    """The trials that come first: the config's own values, then single changes of them."""
    own = {path: _near(_current(config, path), values) for path, values in ranges.items()}
    yield own
    for path, values in ranges.items():
        *_, group, leaf = path.split(".")
        name = "learning_rate" if group == "learning_rate" else leaf
        for other in _SINGLE.get(name, ()):
            factor = name in ("learning_rate", "hidden", "dense")
            changed = _near(own[path] * other if factor else other, values)
            if changed != own[path]:
                yield own | {path: changed}
