"""Confidence intervals and paired tests, by resampling speakers or conversations.

S seeds, N utterances, V units.
"""

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np

from mman_jax.evaluation import significance
from mman_jax.evaluation.groups import PREFIX
from mman_jax.tasks import Task

_SPEAKER = f"{PREFIX}speaker"


@dataclasses.dataclass(frozen=True, eq=False)
class Units:
    """The units of a test part that are resampled, because their utterances are not independent.

    Attributes:
        unit: `speakers` or `conversations`.
        count: V.
        of: [N] int, the unit of each utterance.
    """

    unit: str
    count: int
    of: np.ndarray

    def about(self) -> dict[str, Any]:
        """Returns the field `resampled` of `results.json`."""
        return {"unit": self.unit, "count": self.count}


def units(utterances: Mapping[str, Any]) -> Units:
    """Returns the speakers, if all are known and fewer than conversations; else conversations.

    Args:
        utterances: arrays [N] by name: `conversation` and, if it is known, `groups/speaker`.

    Examples:
        >>> units({"conversation": ["a", "b", "c"], "groups/speaker": ["x", "y", "x"]}).about()
        {'unit': 'speakers', 'count': 2}
    """
    columns = {"conversations": utterances["conversation"]}
    speakers = utterances.get(_SPEAKER, ())
    if all(speakers) and 1 < len(set(speakers)) < len(set(columns["conversations"])):
        columns = {"speakers": speakers}
    ((unit, names),) = columns.items()
    known, of = np.unique(names, return_inverse=True)
    return Units(unit, len(known), of)


def intervals(
    task: Task, answers: Mapping[str, np.ndarray], utterances: Mapping[str, Any]
) -> dict[str, dict[str, list[float]]]:
    """Computes the 95 % interval of each score by resampling units and seeds.

    Args:
        answers: predictions [S, N, ...] by system; S may differ between systems.
        utterances: arrays [N] by name: `label`, and the columns that `units` reads.

    Returns:
        The lower and upper end by system and score; empty if there is a single unit.
    """
    resampled = units(utterances)
    if resampled.count < 2:
        return {}
    drawn = significance.Resamples(resampled.count)

    def score(sums: np.ndarray) -> np.ndarray:
        return np.stack(list(task.measures(sums).values()), axis=-1)

    ends = {}
    for name, predicted in answers.items():
        sums = by_unit(task, predicted, utterances["label"], resampled)
        names = task.measures(sums.sum(1))
        low, high = significance.interval(drawn.scores(score, sums)).tolist()
        ends[name] = {key: [low[i], high[i]] for i, key in enumerate(names)}
    return ends


def compare(
    task: Task, first: Any, second: Any, utterances: Mapping[str, Any], score: str = ""
) -> dict[str, Any]:
    """Computes how much better the first system is than the second on the same utterances.

    Args:
        first: predictions [S, N, ...] of the first system's seeds.
        score: key of the score; by default the headline. If lower is better, its sign is reversed.

    Returns:
        The difference, its interval and p-value. For the accuracy of classes, it also has McNemar's
        test of the seeds' majority votes.
    """
    labels, resampled = utterances["label"], units(utterances)
    described = task.describe_score(score) if score else task.headline
    sign = 1 if described.higher_is_better else -1
    if score and not (task.has_probabilities and score == task.headline.key):
        return significance.bootstrap_score(
            lambda tallies: sign * task.score(score, tallies),
            *(by_unit(task, x, labels, resampled) for x in (first, second)),
        ).about()
    gain, other = (sign * task.score_each(x, labels) for x in (first, second))
    tests = significance.bootstrap(gain, other, resampled.of).about()
    if not task.has_probabilities:
        return tests
    votes = [significance.vote(np.asarray(x), len(task.classes)) for x in (first, second)]
    only_first, only_second, p = significance.mcnemar(*(x == np.asarray(labels) for x in votes))
    return tests | {"p_mcnemar": p, "only_first": only_first, "only_second": only_second}


def by_unit(task: Task, answers: np.ndarray, labels: np.ndarray, units: Units) -> np.ndarray:
    """Returns the tallies [S, V, ...] of the predictions for the utterances of each unit."""
    seeds = []
    for seed in np.asarray(answers):
        each = task.tally_each(seed, np.asarray(labels))
        tallies = np.zeros((units.count, *each.shape[1:]))
        np.add.at(tallies, units.of, each)
        seeds.append(tallies)
    return np.stack(seeds)
