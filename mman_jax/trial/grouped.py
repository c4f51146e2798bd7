"""Scores by speaker, by session, and by other groups of a corpus."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from mman_jax.data.corpus import Corpus
from mman_jax.data.validation import TOLD
from mman_jax.evaluation import groups
from mman_jax.tasks import metrics
from mman_jax.tasks.score import over_seeds

PREFIX = "groups/"
"""Prefix of the columns that are groups, among all columns of the utterances."""


def of_utterances(corpus: Corpus, which: np.ndarray) -> dict[str, np.ndarray]:
    """Returns the group [n] str of each selected utterance, by `PREFIX` and column.

    Args:
        corpus: a corpus of N utterances.
        which: indices [n] int of the selected utterances.
    """
    groups = {name: np.array(values) for name, values in corpus.groups.items()}
    columns = groups | corpus.traits()
    return {PREFIX + name: values[which] for name, values in sorted(columns.items())}


def scores(
    answers: np.ndarray, utterances: Mapping[str, Sequence[Any]], classes: int
) -> dict[str, Any]:
    """Computes the field `groups` of `results.json`: each column's scores by group, and the gap.

    Args:
        answers: predictions [S, N] int for the scored test utterances.
        utterances: the `label` and the `conversation` of each, and its groups by `PREFIX`.
        classes: C.

    Returns:
        For each column `groups` (by name `utterances`, `conversations`, `accuracy` and
        `unweighted_recall`); `gap` between the best and the worst group, None if fewer than two
        can be compared; and `left_out`, groups of a single conversation, which the gap ignores.
    """
    answers, labels = np.asarray(answers), np.asarray(utterances["label"])
    conversations = np.asarray(utterances["conversation"])
    columns = {}
    for key, values in utterances.items():
        if not key.startswith(PREFIX):
            continue
        members = np.asarray(values)
        sizes = groups.sizes(members, conversations)
        gap = groups.largest_gap(answers == labels, members, conversations)
        columns[key.removeprefix(PREFIX)] = {
            "groups": {
                name: {"utterances": utterance_count, "conversations": conversation_count}
                | _scores(answers[:, members == name], labels[members == name], classes)
                for name, (utterance_count, conversation_count) in sizes.items()
            },
            "gap": gap
            and {
                "first": gap.best,
                "second": gap.worst,
                "difference": gap.difference,
                "interval": [gap.low, gap.high],
            },
            "left_out": [name for name, (_, count) in sizes.items() if count < groups.LEAST],
        }
    return columns


def anonymous(told: Mapping[str, Any]) -> dict[str, Any]:
    """Replaces the names of speakers and sessions in the result of `scores` by numbers.

    In some corpora the names of conversations contain these names, and reports are published.
    """
    columns = dict(told)
    for column in TOLD:
        if column not in told:
            continue
        scored = told[column]
        names = {name: f"{column} {i}" for i, name in enumerate(scored["groups"], 1)}
        gap = scored["gap"]
        if gap:
            gap = {**gap, **{place: names[gap[place]] for place in ("first", "second")}}
        columns[column] = {
            "groups": {names[name]: values for name, values in scored["groups"].items()},
            "gap": gap,
            "left_out": [names[name] for name in scored["left_out"]],
        }
    return columns


def _scores(answers: np.ndarray, labels: np.ndarray, classes: int) -> dict[str, Any]:
    cells = labels * classes + answers
    counts = np.stack([np.bincount(row, minlength=classes**2) for row in cells])
    counts = counts.reshape(-1, classes, classes)
    return {
        name: over_seeds(metrics.METRICS[name](counts))
        for name in ("accuracy", "unweighted_recall")
    }
