"""`analysis.json`: what a trained system did, beyond its scores."""

from collections.abc import Mapping, Sequence
from typing import Any

import jax
import numpy as np

from mman_jax.data import batching
from mman_jax.data.protocols import Task
from mman_jax.evaluation import ratings
from mman_jax.evaluation.attention import attention_weights, mean_weights
from mman_jax.evaluation.metrics import confusion
from mman_jax.evaluation.missing import logits_without
from mman_jax.training import mesh
from mman_jax.training.outcome import Outcome, Snapshot, of_seeds
from mman_jax.trial import grouped, results
from mman_jax.trial.calibration import Answered
from mman_jax.trial.trial import Trial
from mman_jax.types import UNSCORED, is_scored

_DRAWN = 20
"""Utterances that the conversation drawn through time should have, about."""


NAME = "analysis.json"


def answered(experiment: Trial, task: Task, params: Any, kept: np.ndarray) -> dict[str, Answered]:
    """Labels [N] and logits [S, N, C] of the utterances of `valid` and `test`.

    Args:
        experiment: that was trained.
        task: that was trained.
        params: of all seeds. Several processes must all call this.
        kept: bool, the seeds that are told of: S of them.
    """
    found = {}
    for part, logits in experiment.trainer.answers(params).items():
        layout = experiment.parts.layouts[part]
        labels = batching.gather(layout, experiment.labels[task.name][part])
        found[part] = labels, batching.gather(layout, logits[kept], axis=1)
    return found


def of_task(
    experiment: Trial,
    task: Task,
    snapshot: Snapshot,
    kept: np.ndarray,
    looks: bool,
    test: Answered,
) -> dict[str, Any]:
    """What the file holds of one task, of the seeds that converged.

    `answers` [S, N] to the scored test utterances, and which `utterances` these are (of C targets
    both have a last axis C, None where one is not rated); `counts` [S, C, C] of validation and
    test, of the system and each tower, and [1, C, C] of test, of the `ensemble` that answers by the
    mean of the seeds' probabilities; `curves` by head; how many parameters were `trainable` in the
    last stage; and if asked for `attention` and `missing`.

    Args:
        experiment: that was trained.
        task: that was trained.
        snapshot: its last one. Several processes must all call this.
        kept: [S] bool, the seeds that converged.
        looks: whether attention and missing modalities are analysed, where there is one task.
        test: labels and logits of the test part, of those seeds, see `answered`.
    """
    labels, logits = test
    finished = of_seeds(snapshot.finished, kept)
    targets = experiment.targets
    if targets:
        mean, deviation = experiment.reference(task)
        given = mean + deviation * logits
        together = np.asarray(ratings.sums(given.mean(0), labels, mean, targets))
    else:
        given, together = logits.argmax(-1), _together(logits, labels)
    found = {
        **_answers(experiment, labels, given),
        "counts": results.counts(finished, experiment.heads)
        | {"ensemble": {"test": [together.tolist()]}},
        "curves": curves(experiment.heads, finished, results.shown(targets)),
        "trainable": experiment.trainer.trainable(snapshot.state.best),
    }
    # Of one-vs-rest tasks the report tells scores alone.
    if looks and len(experiment.tasks) == 1:
        params = jax.tree.map(lambda x: np.asarray(x)[kept], snapshot.state.best)
        found["attention"] = _attention(experiment, task, params, labels, given)
        found["missing"] = _missing(experiment, task, params, labels)
    return found


def _answers(experiment: Trial, labels: np.ndarray, given: np.ndarray) -> dict[str, Any]:
    scored, corpus = is_scored(labels), experiment.parts.corpus
    scored = scored.any(-1) if experiment.targets else scored
    which, position = experiment.parts.whose("test")
    groups = grouped.of_utterances(corpus, corpus.offsets[which] + position)
    return {
        "answers": _plain(given[:, scored]),
        "utterances": {
            "conversation": [corpus.conversation_ids[c] for c in which[scored]],
            "position": position[scored].tolist(),
            "label": _plain(labels[scored]),
            **{name: of[scored].tolist() for name, of in groups.items()},
        },
    }


def _plain(values: np.ndarray) -> list[Any]:
    """As JSON holds it: numbers to six digits, and None for those that there are not."""
    if values.dtype.kind != "f":
        return values.tolist()
    told = [None if x != x else float(f"{x:.6g}") for x in values.reshape(-1).tolist()]
    return np.array(told, object).reshape(values.shape).tolist()


def curves(
    heads: Mapping[str, Sequence[str]], finished: Mapping[str, Outcome], score: str = "accuracy"
) -> dict[str, Any]:
    """By head and epoch, the mean over the seeds that still trained.

    Args:
        heads: names of the heads of every stage.
        finished: what every stage gave.
        score: what the score that was shown is, `accuracy` or `ccc`.
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
            f"valid_{score}": mean(history.valid_accuracy),
        }
    return found


def _together(logits: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Counts [C, C] of the answers by the mean of the seeds' probabilities."""
    from scipy.special import softmax  # takes long: after training

    mean = softmax(logits, axis=-1).mean(0)
    # One program: called as it is, each of its operations would be compiled by itself.
    return np.asarray(jax.jit(confusion)(mean[None], labels[None]))


def _options() -> dict[str, Any]:
    return mesh.compiler_options(jax.default_backend())


def _attention(
    experiment: Trial, task: Task, params: Any, labels: np.ndarray, given: np.ndarray
) -> dict[str, Any] | None:
    layout, rows = experiment.parts.layouts["test"], experiment.parts.rows["test"]
    system = experiment.trainer.system
    looked = attention_weights(system, params, rows.features, rows.present, _options())
    if looked is None:
        return None
    modalities, weights = looked
    own, classes = experiment.labels[task.name]["test"], task.classes
    if experiment.targets:
        own, classes = np.where(is_scored(own).any(-1), 0, UNSCORED), ()
    means = mean_weights(weights, own, len(classes))
    drawn = int(np.abs(layout.lengths - _DRAWN).argmin())
    spot = slice(layout.start[drawn], layout.start[drawn] + layout.lengths[drawn])
    of_it = np.repeat(np.arange(len(layout.lengths)), layout.lengths) == drawn

    def names(values):
        if experiment.targets:  # the first of several
            return _plain(values[:, 0])
        return [classes[v] if v != UNSCORED else "" for v in values]

    return {
        "modalities": list(modalities),
        "mean": means[0].tolist(),
        "by_class": {c: means[i + 1].tolist() for i, c in enumerate(classes)},
        "conversation": {
            "id": f"number {drawn + 1} of the test part",
            "labels": names(labels[of_it]),
            "answers": names(given[0, of_it]),
            "weights": weights[0, layout.row[drawn], spot].tolist(),
        },
    }


def _missing(experiment: Trial, task: Task, params: Any, labels: np.ndarray) -> dict[str, Any]:
    """The test score of each seed where one modality is missing, by modality."""
    parts, system = experiment.parts, experiment.trainer.system
    if len(parts.cells.dims) < 2:
        return {}
    every = logits_without(system, params, parts.rows["test"], _options())
    every = {m: batching.gather(parts.layouts["test"], x, axis=1) for m, x in every.items()}
    if experiment.targets:
        return {m: {"mae": results.spread(_mae(experiment, task, x, labels))}
                for m, x in every.items()}  # fmt: skip
    scored = labels != UNSCORED
    right = {m: x.argmax(-1)[:, scored] == labels[scored] for m, x in every.items()}
    return {m: {"accuracy": results.spread(x.mean(1))} for m, x in right.items()}


def _mae(experiment: Trial, task: Task, logits: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """The mean absolute error [S] of logits [S, N, T]."""
    (mean, deviation), targets = experiment.reference(task), experiment.targets
    sums = [ratings.sums(mean + deviation * x, labels, mean, targets) for x in logits]
    return ratings.scores(np.stack(sums), targets)["mae"]
