"""What a config's corpus is trained on: its labels, raters' votes, or targets."""

import ml_collections

from mman_jax.data import protocols, targets, votes
from mman_jax.data.corpus import Corpus
from mman_jax.data.protocols import Task
from mman_jax.errors import InputError, nearest

LABELS = ("label", "votes")
"""What classes are learnt from: one label an utterance, or the votes of its raters."""


def of_config(config: ml_collections.ConfigDict, corpus: Corpus) -> tuple[Task, ...]:
    """The tasks that a config names, on its corpus.

    Raises:
        InputError: a protocol, a target, classes or votes that cannot be used.
    """
    data, learnt = config.data, config.train.labels
    if learnt not in LABELS:
        raise InputError("config.train.labels", repr(learnt), nearest(learnt, LABELS))
    names = [name.strip() for name in data.target.split(",") if name.strip()]
    if names:
        if learnt != "label":
            found = f"{learnt!r}, of labels, and a target ({data.target})"
            raise InputError("config.train.labels", found, "one of the two")
        return (targets.task(corpus, names, data.protocol, data.classes),)
    if data.classes:
        found = f"{data.classes} without a target to cut them from"
        raise InputError("config.data.classes", found, "data.target, too")
    tasks = protocols.tasks(corpus, data.protocol)
    return tuple(votes.voted(corpus, task) for task in tasks) if learnt == "votes" else tasks
