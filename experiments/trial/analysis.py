"""`analysis.json`: what a trained system did, beyond its scores."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import numpy as np
import scipy.special

from experiments.trial import results
from experiments.trial.prepared import Experiment
from mman_jax.data import batching
from mman_jax.data.protocols import Task
from mman_jax.evaluation.attention import attention_weights, mean_weights
from mman_jax.evaluation.metrics import confusion
from mman_jax.evaluation.missing import answers_without
from mman_jax.training import freezing, mesh
from mman_jax.training.outcome import Outcome, Snapshot, of_seeds
from mman_jax.types import UNSCORED

_DRAWN = 20
"""Utterances that the conversation drawn through time should have, about."""


NAME = "analysis.json"


def of_task(
    experiment: Experiment, task: Task, snapshot: Snapshot, kept: np.ndarray, looks: bool
) -> dict[str, Any]:
    """What the file holds of one task, of the seeds that converged.

    `answers` [S, N] to the scored test utterances, and which `utterances` these are; `counts`
    [S, C, C] of validation and test, of the system and each tower, and [1, C, C] of test, of the
    `ensemble` that answers by the mean of the seeds' probabilities; `sizes` of the parts; `curves`
    by head; how many parameters were `trainable` in the last stage; and if asked for `attention`
    and `missing`.

    Args:
        experiment: that was trained.
        task: that was trained.
        snapshot: its last one. Several processes must all call this.
        kept: [S] bool, the seeds that converged.
        looks: whether attention and missing modalities are analysed, where there is one task.
    """
    labels, logits = _test(experiment, task, snapshot.state.best)
    logits, finished = logits[kept], of_seeds(snapshot.finished, kept)
    given = logits.argmax(-1)
    trainer = experiment.trainer
    groups = jax.tree.leaves(trainer.stage(trainer.stages[-1]).groups)
    sizes = [math.prod(x.shape[1:]) for x in jax.tree.leaves(snapshot.state.best)]
    trained = [n for group, n in zip(groups, sizes, strict=True) if group != freezing.FROZEN]
    found = {
        **_answers(experiment, labels, given),
        "counts": results.counts(finished, experiment.heads)
        | {"ensemble": {"test": [_together(logits, labels).tolist()]}},
        "sizes": results.sizes(experiment.parts, experiment.labels[task.name]),
        "curves": curves(experiment.heads, finished),
        "trainable": sum(trained),
    }
    if looks and len(experiment.tasks) == 1:  # of one-vs-rest tasks the report tells scores alone
        params = jax.tree.map(lambda x: np.asarray(x)[kept], snapshot.state.best)
        found["attention"] = _attention(experiment, task, params, labels, given)
        found["missing"] = _missing(experiment, params, labels)
    return found


def _answers(experiment: Experiment, labels: np.ndarray, given: np.ndarray) -> dict[str, Any]:
    scored, corpus = labels != UNSCORED, experiment.parts.corpus
    which, position = experiment.parts.whose("test")
    return {
        "answers": given[:, scored].tolist(),
        "utterances": {
            "conversation": [corpus.conversation_ids[c] for c in which[scored]],
            "position": position[scored].tolist(),
            "label": labels[scored].tolist(),
        },
    }


def curves(heads: Mapping[str, Sequence[str]], finished: Mapping[str, Outcome]) -> dict[str, Any]:
    """By head and epoch, the mean over the seeds that still trained.

    Args:
        heads: names of the heads of every stage.
        finished: what every stage gave.
    """
    places = {name: (stage, i) for stage in heads for i, name in enumerate(heads[stage])}
    found = {}
    for name, (stage, head) in places.items():
        history = finished[stage].history
        training = history.training[:, :, head].astype(bool)  # [E, S]
        alive = training.any(1)

        def mean(values, head=head, training=training, alive=alive):
            kept = np.where(training, values[:, :, head], 0).sum(1)[alive]
            return (kept / training.sum(1)[alive]).tolist()

        found[name] = {
            "train_loss": mean(history.train_loss),
            "valid_loss": mean(history.valid_loss),
            "valid_accuracy": mean(history.valid_accuracy),
        }
    return found


def _test(experiment: Experiment, task: Task, params: Any) -> tuple[np.ndarray, np.ndarray]:
    """Labels [N] and logits [S, N, C] of the test part's utterances."""
    layout = experiment.parts.layouts["test"]
    labels = batching.gather(layout, experiment.labels[task.name]["test"])
    logits = experiment.trainer.answers(params)["test"]
    return labels, batching.gather(layout, logits, axis=1)


def _together(logits: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Counts [C, C] of the answers by the mean of the seeds' probabilities."""
    mean = scipy.special.softmax(logits, axis=-1).mean(0)
    return np.asarray(confusion(mean[None], labels[None]))


def _options() -> dict[str, Any]:
    return mesh.compiler_options(jax.default_backend())


def _attention(
    experiment: Experiment, task: Task, params: Any, labels: np.ndarray, given: np.ndarray
) -> dict[str, Any] | None:
    layout, rows = experiment.parts.layouts["test"], experiment.parts.rows["test"]
    system = experiment.trainer.system
    looked = attention_weights(system, params, rows.features, rows.present, _options())
    if looked is None:
        return None
    modalities, weights = looked
    means = mean_weights(weights, experiment.labels[task.name]["test"], len(task.classes))
    drawn = int(np.abs(layout.lengths - _DRAWN).argmin())
    spot = slice(layout.start[drawn], layout.start[drawn] + layout.lengths[drawn])
    of_it = np.repeat(np.arange(len(layout.lengths)), layout.lengths) == drawn

    def names(values):
        return [task.classes[v] if v != UNSCORED else "" for v in values]

    return {
        "modalities": list(modalities),
        "mean": means[0].tolist(),
        "by_class": {c: means[i + 1].tolist() for i, c in enumerate(task.classes)},
        "conversation": {
            "id": f"number {drawn + 1} of the test part",
            "labels": names(labels[of_it]),
            "answers": names(given[0, of_it]),
            "weights": weights[0, layout.row[drawn], spot].tolist(),
        },
    }


def _missing(experiment: Experiment, params: Any, labels: np.ndarray) -> dict[str, Any]:
    """Test accuracy of each seed where one modality is missing, by modality."""
    parts, system = experiment.parts, experiment.trainer.system
    if len(parts.cells.features) < 2:
        return {}
    scored = labels != UNSCORED
    found = answers_without(system, params, parts.rows["test"], _options())
    right = {
        name: batching.gather(parts.layouts["test"], answers, axis=1)[:, scored] == labels[scored]
        for name, answers in found.items()
    }
    return {name: {"accuracy": results.spread(x.mean(1))} for name, x in right.items()}
