"""Scores by speaker, by session, and by whatever groups a corpus brings."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from mman_jax.data.corpus import Corpus
from mman_jax.data.validation import TOLD
from mman_jax.evaluation import groups
from mman_jax.tasks import metrics
from mman_jax.tasks.score import over_seeds

PREFIX = "groups/"
"""How the groups of utterances are named among what else is told of these."""


def of_utterances(corpus: Corpus, which: np.ndarray) -> dict[str, np.ndarray]:
    """The group [n] str of each of some utterances, in their order, by `PREFIX`.

    Args:
        corpus: with N utterances.
        which: [n] int, of the N.
    """
    groups = {name: np.array(values) for name, values in corpus.groups.items()}
    several = groups | corpus.traits()
    return {PREFIX + name: values[which] for name, values in sorted(several.items())}


def scores(
    answers: np.ndarray, utterances: Mapping[str, Sequence[Any]], classes: int
) -> dict[str, Any]:
    """The content of `groups` in `results.json`: by column, the scores of its groups and the gap.

    Args:
        answers: [S, N] int, of the scored test utterances.
        utterances: of each its `label`, its `conversation` and its groups, by `PREFIX`.
        classes: C.

    Returns:
        For each column `groups` (by name `utterances`, `conversations`, `accuracy` and
        `unweighted_recall`); `gap` between the best and the worst, None where there are no two to
        compare; and `left_out`, groups of a single conversation, which have no part in it.
    """
    answers, labels = np.asarray(answers), np.asarray(utterances["label"])
    conversations = np.asarray(utterances["conversation"])
    found = {}
    for key, values in utterances.items():
        if not key.startswith(PREFIX):
            continue
        of = np.asarray(values)
        sizes = groups.sizes(of, conversations)
        gap = groups.largest_gap(answers == labels, of, conversations)
        found[key.removeprefix(PREFIX)] = {
            "groups": {
                name: {"utterances": many, "conversations": talks}
                | _scores(answers[:, of == name], labels[of == name], classes)
                for name, (many, talks) in sizes.items()
            },
            "gap": gap
            and {
                "first": gap.best,
                "second": gap.worst,
                "difference": gap.difference,
                "interval": [gap.low, gap.high],
            },
            "left_out": [name for name, (_, talks) in sizes.items() if talks < groups.LEAST],
        }
    return found


def anonymous(told: Mapping[str, Any]) -> dict[str, Any]:
    """What `scores` gave, with numbers for the names of speakers and sessions: these are parts of
    the names of conversations in some corpora, and reports are published.
    """
    found = dict(told)
    for column in TOLD:
        if column not in told:
            continue
        own = told[column]
        names = {name: f"{column} {i}" for i, name in enumerate(own["groups"], 1)}
        gap = own["gap"]
        if gap:
            gap = {**gap, **{place: names[gap[place]] for place in ("first", "second")}}
        found[column] = {
            "groups": {names[name]: scored for name, scored in own["groups"].items()},
            "gap": gap,
            "left_out": [names[name] for name in own["left_out"]],
        }
    return found


def _scores(answers: np.ndarray, labels: np.ndarray, classes: int) -> dict[str, Any]:
    cells = labels * classes + answers
    counts = np.stack([np.bincount(one, minlength=classes**2) for one in cells])
    counts = counts.reshape(-1, classes, classes)
    return {
        name: over_seeds(metrics.METRICS[name](counts))
        for name in ("accuracy", "unweighted_recall")
    }
