"""One system or tower of the paper command: trained, and all that the report says of it."""

import dataclasses
import fcntl
import json
import pathlib
import shutil
from collections.abc import Mapping
from typing import Any

import jax
import numpy as np
from ml_collections import ConfigDict

from experiments import results
from experiments.command import read_json, write_whole
from experiments.experiment import Experiment, prepare_experiment
from experiments.screen import Screen
from mman_jax.data import batching
from mman_jax.data.protocols import Task
from mman_jax.evaluation.attention import attention_weights, mean_weights
from mman_jax.evaluation.missing import answers_without
from mman_jax.training import checkpoints, freezing
from mman_jax.training.outcome import Outcome, Snapshot, of_seeds
from mman_jax.types import UNSCORED

FITTED = "fitted.json"
TRAINED = "trained"
_DRAWN = 20
"""Utterances that the conversation drawn through time should have, about."""


@dataclasses.dataclass(frozen=True)
class Job:
    """What is trained by itself.

    Attributes:
        name: for the screen.
        config: of a system, or of a tower as one.
        folder: where all of it is kept.
        towers: the folders of the towers that it fuses; none for a tower.
    """

    name: str
    config: ConfigDict
    folder: pathlib.Path
    towers: Mapping[str, pathlib.Path] = dataclasses.field(default_factory=dict)


def fit(job: Job, screen: Screen) -> None:
    """Trains a job and writes `fitted.json` into its folder; does nothing where it is there.

    Goes on where it was interrupted. A second process on the same folder waits for the first.
    """
    job.folder.mkdir(parents=True, exist_ok=True)
    with (job.folder / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if (job.folder / FITTED).is_file():
            return
        experiment = prepare_experiment(job.config)
        for notice in experiment.notices:
            screen.notice(notice)
        found = {task.name: _fit_task(job, experiment, task, screen) for task in experiment.tasks}
        write_whole(job.folder / FITTED, (json.dumps(found) + "\n").encode())
        shutil.rmtree(job.folder / "checkpoints", ignore_errors=True)


def read(folder: pathlib.Path) -> dict[str, Any]:
    """What `fit` wrote, by task."""
    return read_json(folder / FITTED)


def _fit_task(job: Job, experiment: Experiment, task: Task, screen: Screen) -> dict[str, Any]:
    trainer = experiment.trainer

    def begin() -> Snapshot:
        params, outcomes = {}, {}
        for name, folder in job.towers.items():
            arrays, _ = checkpoints.restore(folder / TRAINED / task.name)
            params |= arrays["params"]
            outcomes[name] = checkpoints.unpack_outcome(arrays["outcome"])
        return trainer.join(params, outcomes, experiment.seeds)

    snapshot, seconds = experiment.fit(
        task, job.folder, screen, begin if job.towers else None, keep_last=not job.towers
    )
    params = jax.tree.map(np.asarray, snapshot.state.best)
    if not job.towers:
        outcome = checkpoints.pack_outcome(snapshot.finished["towers"])
        trained = {"params": params, "outcome": outcome}
        checkpoints.save(job.folder / TRAINED / task.name, trained, {})
    kept, failed = experiment.survivors(snapshot, screen)
    params = jax.tree.map(lambda x: x[kept], params)
    finished = of_seeds(snapshot.finished, kept)
    scores = results.of_task(task, finished, list(trainer.network.towers))
    sizes = experiment.parameters(params)
    groups = trainer.stage(trainer.stages[-1]).groups
    trainable = jax.tree.map(
        lambda name, x: 0 if name == freezing.FROZEN else x[0].size, groups, params
    )
    return scores | {
        "seconds": sum(seconds.values()),
        "parameters": sizes | {"trainable": int(sum(jax.tree.leaves(trainable)))},
        "failed": failed,
        "curves": _curves(trainer.network.towers, finished),
        **_answers(experiment, task, params),
    }


def _answers(experiment: Experiment, task: Task, params: Any) -> dict[str, Any]:
    """Every seed's answer to every scored test utterance, and what its attention looked at."""
    parts, trainer = experiment.parts, experiment.trainer
    layout, corpus = parts.layouts["test"], parts.corpus
    laid = experiment.labels[task.name]["test"]
    labels = batching.gather(layout, laid)
    scored = labels != UNSCORED
    logits = batching.gather(layout, trainer.answers(params)["test"], axis=1)
    answers = logits.argmax(-1)
    position = np.concatenate([np.arange(n) for n in layout.lengths])
    which = np.repeat(layout.conversations, layout.lengths)
    found = {
        "answers": answers[:, scored].tolist(),
        "utterances": {
            "conversation": [corpus.conversation_ids[c] for c in which[scored]],
            "position": position[scored].tolist(),
            "label": labels[scored].tolist(),
        },
        "attention": None,
    }
    found["missing"] = _missing(experiment, params, scored, labels)
    rows = parts.rows["test"].features
    looked = attention_weights(trainer.network, params, {m: np.asarray(x) for m, x in rows.items()})
    if looked is None:
        return found
    modalities, weights = looked
    means = mean_weights(weights, laid, len(task.classes))
    drawn = int(np.abs(layout.lengths - _DRAWN).argmin())
    spot = slice(layout.start[drawn], layout.start[drawn] + layout.lengths[drawn])
    of_it = which == layout.conversations[drawn]

    def names(values):
        return [task.classes[v] if v != UNSCORED else "" for v in values]

    return found | {
        "attention": {
            "modalities": list(modalities),
            "mean": means[0].tolist(),
            "by_class": {c: means[i + 1].tolist() for i, c in enumerate(task.classes)},
            "conversation": {
                "id": f"number {drawn + 1} of the test part",
                "labels": names(labels[of_it]),
                "answers": names(answers[0, of_it]),
                "weights": weights[0, layout.row[drawn], spot].tolist(),
            },
        }
    }


def _missing(
    experiment: Experiment, params: Any, scored: np.ndarray, labels: np.ndarray
) -> dict[str, Any]:
    """Test accuracy of each seed where one modality is missing, by modality."""
    parts, network = experiment.parts, experiment.trainer.network
    if len(parts.corpus.features) < 2:
        return {}
    found = answers_without(network, params, parts.rows["test"])
    right = {
        name: batching.gather(parts.layouts["test"], answers, axis=1)[:, scored] == labels[scored]
        for name, answers in found.items()
    }
    return {name: {"accuracy": results.spread(x.mean(1))} for name, x in right.items()}


def _curves(towers: Mapping[str, Any], finished: Mapping[str, Outcome]) -> dict[str, Any]:
    """By head and epoch, the mean over the seeds that still trained."""
    heads = {name: ("towers", i) for i, name in enumerate(towers)}
    if "fusion" in finished:
        heads["fusion"] = ("fusion", 0)
    found = {}
    for name, (stage, head) in heads.items():
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
