"""What picks the epoch, chosen by what carries over to conversations that had no say."""

import dataclasses
import json
import pathlib
from collections.abc import Callable, Mapping, Sequence

import numpy as np
from ml_collections import ConfigDict

from mman_jax.evaluation.metrics import accuracy
from mman_jax.files.whole import read_json, write_whole
from mman_jax.study.inner import Candidate, Inner
from mman_jax.study.side_by_side import Workers, in_order
from mman_jax.training.state import LAST, SELECT
from mman_jax.trial.progress import Progress

SMOOTHED = 0.5
"""What is tried on the best rule, once all are known without it."""

Accuracies = Mapping["Rule", np.ndarray]
"""By rule: [folds, seeds], the mean over all heads."""


@dataclasses.dataclass(frozen=True)
class Rule:
    """`train.select` and `train.smoothing`."""

    select: str
    smoothing: float

    def __str__(self) -> str:
        return f"{self.select}, smoothing {self.smoothing:g}" if self.smoothing else self.select

    def on(self, config: ConfigDict) -> ConfigDict:
        """The recipe with this rule."""
        config = config.copy_and_resolve_references().unlock()
        config.train.update(select=self.select, smoothing=self.smoothing)
        return config


def plain() -> tuple[Rule, ...]:
    """The rules that choose without smoothing, the simpler first."""
    return tuple(Rule(select, 0.0) for select in SELECT if select != LAST)


def measure(
    inner: Inner, config: ConfigDict, rule: Rule, seeds: Sequence[int], progress: Progress
) -> np.ndarray:
    """Accuracy [folds, seeds] on the groups that had no say, the mean over towers and fusion."""
    config = rule.on(config)
    whole = Candidate(inner, config, seeds, progress, folds=inner.blind)
    apart = [
        Candidate(inner, config, seeds, progress, [tower], inner.blind)
        for tower in whole.system.towers
    ]
    found = []
    for fold, name in enumerate(inner.blind.names):
        told, towers = f"{rule}, {name} without a say", {}
        for tower in apart:
            towers |= tower.towers(tower.train(fold, f"{told}, {', '.join(tower.system.towers)}"))
        snapshot = whole.train(fold, told, towers)
        counts = [outcome.test for outcome in snapshot.finished.values()]
        found.append(accuracy(np.concatenate(counts, axis=1).astype(np.int64)).mean(-1))
    return np.array(found)


def measure_all(
    workers: Workers,
    config: ConfigDict,
    seeds: Sequence[int],
    progress: Progress,
    path: pathlib.Path,
    late: Callable[[float], bool],
) -> Accuracies:
    """What each rule gives; goes on after the rules that were measured before.

    Args:
        workers: what trains, on folds of which some have no say.
        config: the recipe whose epochs are picked.
        seeds: S seeds.
        progress: where progress is shown.
        path: where it is kept.
        late: whether so many seconds more are too many.
    """
    settings = {name: json.loads(config[name].to_json()) for name in ("network", "train")}
    kept: dict[str, list] = {}
    if path.is_file() and read_json(path).get("settings") == settings:
        kept = read_json(path)["accuracy"]
    accuracies: dict[Rule, np.ndarray] = {}
    longest = 0.0

    def begun(rules):
        for rule in rules:
            if str(rule) in kept:
                yield lambda rule=rule: (rule, None)
            elif late(longest * min(workers.width, 2)):
                return
            else:
                waiting = workers.begin(measure, config, rule, seeds)
                yield lambda rule=rule, waiting=waiting: (rule, waiting())

    def measured(rules):
        nonlocal longest
        for rule, found in in_order(begun(rules), workers.width):
            if found:
                accuracy, seconds = found
                longest = max(longest, seconds)
                kept[str(rule)] = accuracy.tolist()
                content = {"settings": settings, "accuracy": kept}
                write_whole(path, (json.dumps(content, indent=1) + "\n").encode())
                mean = 100 * np.mean(accuracy)
                progress.line(f"{rule}: {mean:.2f} % where nothing had a say, in {seconds:.0f} s")
            accuracies[rule] = np.array(kept[str(rule)])

    measured(plain())
    if accuracies:
        measured([dataclasses.replace(best(accuracies), smoothing=SMOOTHED)])
    return accuracies


def best(accuracies: Accuracies) -> Rule:
    """The rule of the highest mean accuracy; of equals, the simplest."""
    return max(accuracies, key=lambda rule: round(float(accuracies[rule].mean()), 6))
