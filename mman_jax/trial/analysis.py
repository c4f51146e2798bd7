"""The content of `analysis.json`: predictions, tallies, curves, calibration, attention."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any, cast

import jax
import numpy as np

from mman_jax.data import batching, speakers
from mman_jax.data.scaling import Scaling
from mman_jax.evaluation import calibration, context
from mman_jax.evaluation.modalities import attention_weights, logits_without, mean_weights
from mman_jax.inference.model import pieces
from mman_jax.systems.base import System
from mman_jax.systems.step import step_seeds
from mman_jax.tasks import Task
from mman_jax.tasks.score import over_seeds
from mman_jax.tasks.task import any_scored, to_json
from mman_jax.training import mesh, processes
from mman_jax.training.state import Outcome, Snapshot, of_seeds
from mman_jax.trial import results, seal
from mman_jax.trial.trial import Trial
from mman_jax.types import Inputs

NAME = "analysis.json"

PARTS = ("validation", "test")
"""The parts whose calibration is measured."""

Answered = tuple[np.ndarray, np.ndarray]
"""Labels [N] and logits [S, N, C] of utterances."""

_LENGTH = 20
"""Approximate length of the conversation in the attention picture."""


def answered(
    trial: Trial, task: Task, params: Any, kept: np.ndarray
) -> dict[str, dict[str, Answered]]:
    """Computes labels [N] and logits [S, N, C] of each head on `valid` and `test`.

    If there are several processes, all of them must call this. The parameters are those of all
    seeds, and `kept` [S] bool selects the seeds to return.

    Returns:
        Labels and logits by head (the system's and its towers') and part.
    """
    layouts = trial.parts.layouts
    labels = {
        part: batching.gather(layouts[part], trial.labels[task.name][part])
        for part in ("valid", "test")
    }
    return {
        head: {
            part: (labels[part], batching.gather(layouts[part], logits[kept], axis=1))
            for part, logits in by_part.items()
        }
        for head, by_part in trial.trainer.answers(params).items()
    }


def towers_mean(
    trial: Trial, task: Task, heads: Mapping[str, Mapping[str, Answered]], part: str
) -> tuple[list[Any], list[Any]] | None:
    """Computes the predictions of the mean of the towers' probabilities, or of their numbers.

    Args:
        heads: the result of `answered`.
        part: `valid` or `test`.

    Returns:
        The tallies [S, ...], and the predictions [S, N] for the scored utterances; None if the
        first stage has a single head, or is the only one.
    """
    towers, *later = trial.heads.values()
    if len(towers) == 1 or not later:
        return None
    reference, (labels, _) = trial.reference(task), heads[towers[0]][part]
    by_seed = np.stack([heads[tower][part][1] for tower in towers], axis=1)  # [S, T, N, C]
    answers = np.stack([task.ensemble(x, reference) for x in by_seed])
    tallies = np.stack([task.tally(x, labels, reference) for x in answers])
    return tallies.tolist(), to_json(answers[:, any_scored(labels)])


def choose_turns(trial: Trial, task: Task, params: Any) -> float | None:
    """Returns the `Scaling.turns` of lowest validation loss; None if scaling is not by speaker."""
    objective, labels = task.objective(trial.config.train).plain(), trial.labels[task.name]
    reference = objective.reference(labels["train"])

    def loss(scaling: Scaling) -> float:
        logits = _logits(trial, "valid", params, scaling)
        losses = [objective.loss(x, labels["valid"], reference, lambda x: x)[0] for x in logits]
        return float(sum(losses))

    scaling = trial.parts.scaling
    return min(scaling.in_turn(), key=loss, default=scaling).turns


def in_turn(trial: Trial, task: Task, params: Any, turns: float | None) -> dict[str, Any]:
    """Returns the test scores with scaling by speaker as in a stream, and `turns`."""
    scaling = dataclasses.replace(trial.parts.scaling, turns=turns, causal=True)
    reference, labels = trial.reference(task), trial.labels[task.name]["test"]
    answers = task.answers(_logits(trial, "test", params, scaling), reference)
    tallies = np.stack([task.tally(x, labels, reference) for x in answers])
    return {"turns": turns, "test": task.scores(tallies)}


def _logits(trial: Trial, part: str, params: Any, scaling: Scaling) -> np.ndarray:
    """Returns logits [S, R + 1, U, C] of a part that is scaled in another way."""
    parts, system = trial.parts, trial.trainer.system
    rows = parts.cells.rows(parts.layouts[part], scaling, parts.context)
    logits = [np.asarray(system.predict_seeds(params, piece.inputs)) for piece in pieces(rows)]
    return np.concatenate(logits, axis=1)[:, : len(rows.mask)]


def of_task(
    trial: Trial,
    task: Task,
    snapshot: Snapshot,
    kept: np.ndarray,
    looks: bool,
    heads: Mapping[str, Mapping[str, Answered]],
) -> dict[str, Any]:
    """Returns the content of the file for one task, of the seeds that converged.

    `answers` [S, N] are the predictions for the scored test utterances, and `utterances` describes
    these; `tower_answers` are those of the towers, and `mean_answers`, if any, those of their mean.
    With C targets, answers and labels have a last axis C, and None if a target is not rated. With
    votes, `utterances` also has the shares of `raters` [N, C], and `distances` [S, N] are those of
    the predictions to them by score.
    `counts` are the tallies of validation and test for the system and each tower, and for the
    `ensemble` of all seeds on the test part. `curves` are by head, and `trainable` is the number of
    trained parameters in the last stage. With `looks`, there are also `attention`, `missing` and,
    for causal systems that stream, `context_answers` [S, N] by the number of utterances of context.

    If there are several processes, all of them must call this.

    Args:
        kept: mask [S] bool of the seeds that converged.
        looks: whether to analyse networks in this way, if there is one task.
    """
    labels, logits = heads[trial.trainer.system.head]["test"]
    finished = of_seeds(snapshot.finished, kept)
    reference = trial.reference(task)
    answers = task.answers(logits, reference)
    ensemble = task.tally(task.ensemble(logits, reference), labels, reference)
    scored, corpus = any_scored(labels), trial.parts.corpus
    utterances = seal.scored_utterances(trial.parts, trial.labels[task.name])
    which, position = trial.parts.whose("test")
    groups = results.groups_of(corpus, corpus.offsets[which] + position)
    raters, of_raters, distances = task.raters(corpus), {}, {}
    if raters is not None:
        raters = raters[(corpus.offsets[which] + position)[scored]]
        probabilities = np.asarray(task.predict(logits[:, scored]))
        distances = task.distances(raters, answers[:, scored], probabilities)
        of_raters = {"raters": to_json(raters)}
    content = {
        "answers": to_json(answers[:, scored]),
        "utterances": {
            **utterances,
            **{name: members[scored].tolist() for name, members in groups.items()},
            **of_raters,
        },
        "distances": {name: to_json(values) for name, values in distances.items()},
        "tower_answers": {
            tower: scored_answers(task, heads[tower]["test"], reference)
            for tower in trial.heads[trial.trainer.stages[0]]
            if tower in heads
        },
        "counts": results.tallies(finished, trial.heads)
        | {"ensemble": {"test": [ensemble.tolist()]}},
        "curves": curves(trial.heads, finished, task.progress.key),
        "trainable": trial.trainer.trainable(snapshot.state.best),
    }
    # Reports of one-vs-rest tasks have only scores.
    if looks and len(trial.tasks) == 1 and trial.trainer.system.learns_by == "gradients":
        params = jax.tree.map(lambda x: x[kept], processes.gather(snapshot.state.best))
        content["attention"] = _attention(trial, task, params, labels, answers)
        content["missing"] = _missing(trial, task, params, labels)
        content["context_answers"] = {
            str(size): scored_answers(task, (labels, shortened), reference)
            for size, shortened in _within(trial, params, logits).items()
        }
    return content


def scored_answers(task: Task, answered: Answered, reference: np.ndarray | None) -> list[Any]:
    """Returns the predictions [S, N] for the scored utterances, in the form of the file."""
    labels, logits = answered
    return to_json(task.answers(logits, reference)[:, any_scored(labels)])


def curves(
    heads: Mapping[str, Sequence[str]], finished: Mapping[str, Outcome], score: str = "accuracy"
) -> dict[str, Any]:
    """Computes learning curves by head: means over the seeds still training in an epoch."""
    by_head: dict[str, Any] = {}
    columns = ("train_loss", "valid_loss", f"valid_{score}")
    for stage, names in heads.items():
        history = finished[stage].history
        values = (history.train_loss, history.valid_loss, history.valid_accuracy)
        for head, name in enumerate(names):
            training = history.training[:, :, head].astype(bool)  # [E, S]
            alive = training.any(1)
            count = training.sum(1)[alive]
            sums = (np.where(training, x[:, :, head], 0).sum(1)[alive] for x in values)
            by_head[name] = {c: (x / count).tolist() for c, x in zip(columns, sums, strict=True)}
    return by_head


def _attention(
    trial: Trial, task: Task, params: Any, labels: np.ndarray, answers: np.ndarray
) -> dict[str, Any] | None:
    layout, rows = trial.parts.layouts["test"], trial.parts.rows["test"]
    system = cast(System, trial.trainer.system)  # only networks have attention
    options = mesh.compiler_options(jax.default_backend())
    attention = attention_weights(system, params, rows.inputs, options)
    if attention is None:
        return None
    modalities, weights = attention
    groups, names = task.attention_groups(trial.labels[task.name]["test"])
    means = mean_weights(weights, groups, len(names))
    example = int(np.abs(layout.lengths - _LENGTH).argmin())
    positions = slice(layout.start[example], layout.start[example] + layout.lengths[example])
    mask = np.repeat(np.arange(len(layout.lengths)), layout.lengths) == example
    return {
        "modalities": list(modalities),
        "mean": means[0].tolist(),
        "by_class": {name: means[i + 1].tolist() for i, name in enumerate(names)},
        "conversation": {
            "id": f"number {example + 1} of the test part",
            "labels": task.texts(labels[mask]),
            "answers": task.texts(answers[0, mask]),
            "weights": weights[0, layout.row[example], positions].tolist(),
        },
    }


def _missing(trial: Trial, task: Task, params: Any, labels: np.ndarray) -> dict[str, Any]:
    """Returns the test score of each seed with one modality missing, by modality."""
    parts, system = trial.parts, cast(System, trial.trainer.system)
    if len(parts.cells.dims) < 2:
        return {}
    reference, key = trial.reference(task), task.headline.key
    scores = {}
    inputs, options = parts.rows["test"].inputs, mesh.compiler_options(jax.default_backend())
    for modality, rows in logits_without(system, params, inputs, options).items():
        logits = batching.gather(parts.layouts["test"], rows, axis=1)
        tallies = [task.tally(task.answers(x, reference), labels, reference) for x in logits]
        scores[modality] = {key: over_seeds(task.score(key, np.stack(tallies)))}
    return scores


def _within(trial: Trial, params: Any, logits: np.ndarray) -> dict[int, np.ndarray]:
    """Returns the logits [S, N, C] of the test part from K utterances of context, by K.

    Empty if the system is not causal, does not stream, or does not read utterances in context.
    """
    parts, system = trial.parts, cast(System, trial.trainer.system)
    in_context = system.in_context and parts.context and parts.cells.vectors
    if not (in_context and system.causal and system.streams):
        return {}
    layout, inputs = parts.layouts["test"], parts.rows["test"].inputs
    # A mask for every modality, as in `_missing`, so that both share a compiled function.
    present = {m: np.ones(inputs.mask.shape, bool) for m in inputs.features} | dict(inputs.present)
    inputs, params = inputs._replace(present=present), jax.device_put(params)
    names = speakers.names(parts.corpus, slice(None))
    ordered = [names[i] for i in parts.corpus.utterances_of(layout.conversations)]
    options = mesh.compiler_options(jax.default_backend())

    def answer(rows: Inputs) -> np.ndarray:
        return np.asarray(step_seeds(system, params, rows, options=options).logits)

    return {
        size: context.logits_within(answer, inputs, layout, logits, size, ordered, system.places)
        for size in context.SIZES
    }


def calibrated(valid: Answered, test: Answered) -> dict[str, Any]:
    """Fits the temperature to the validation part, and computes the reliability of both parts.

    Args:
        valid: labels [N] and logits [S, N, C] of the validation part, by networks that were not
            trained on it.
        test: labels and logits of the test part.

    Returns:
        `temperature`; and for `validation` and `test` the bins [K, 3] of the seeds' mean
        probabilities `before` and `after` tempering, see
        `mman_jax.evaluation.calibration.reliability`.
    """
    from scipy.special import softmax  # takes long to import

    parts = dict(zip(PARTS, (valid, test), strict=True))
    means = {
        part: (labels, softmax(logits.astype(np.float64), axis=-1).mean(0))
        for part, (labels, logits) in parts.items()
    }
    labels, mean = means["validation"]
    temperature = calibration.fit_temperature(mean, labels)
    result: dict[str, Any] = {"temperature": temperature}
    for part, (labels, mean) in means.items():
        tempered = calibration.temper(mean, temperature)
        result[part] = {
            "before": calibration.reliability(mean, labels).tolist(),
            "after": calibration.reliability(tempered, labels).tolist(),
        }
    return result


def pool_calibration(folds: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Pools the results of `calibrated` over folds: summed bins and the mean temperature."""
    temperatures = [fold["temperature"] for fold in folds]
    result: dict[str, Any] = {"temperature": float(np.mean(temperatures)), "per_fold": temperatures}
    for part in PARTS:
        result[part] = {
            when: np.sum([fold[part][when] for fold in folds], axis=0).tolist()
            for when in ("before", "after")
        }
    return result


def calibration_errors(measured: Mapping[str, Any], part: str) -> dict[str, Any]:
    """Computes a part's expected calibration errors `before` and `after` the `temperature`."""
    result = {
        when: calibration.expected_calibration_error(bins) for when, bins in measured[part].items()
    }
    result["temperature"] = measured["temperature"]
    return result | ({"per_fold": measured["per_fold"]} if "per_fold" in measured else {})
