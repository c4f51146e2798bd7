"""The content of `results.json`: scores of parts and of groups."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import jax
import numpy as np

from mman_jax.data.cells import KINDS
from mman_jax.data.corpus import Corpus
from mman_jax.data.parts import Parts
from mman_jax.data.validation import RESERVED
from mman_jax.evaluation import groups, paired, significance
from mman_jax.evaluation.groups import PREFIX
from mman_jax.systems.base import BaseSystem, owner
from mman_jax.tasks import Task, metrics
from mman_jax.tasks.score import over_seeds
from mman_jax.tasks.task import any_scored
from mman_jax.training.state import Outcome, selected_loss


def of_task(
    task: Task, finished: Mapping[str, Outcome], heads: Mapping[str, Sequence[str]]
) -> dict[str, Any]:
    """Returns the scores of one task: of the system, and of each tower alone.

    Args:
        heads: names of the heads of every stage, in order. The heads of the first stage are the
            towers; the last head of the last stage is the system's.
    """

    def of_head(outcome: Outcome, head: int) -> dict[str, Any]:
        loss = over_seeds(selected_loss(outcome)[:, head])
        return {
            "validation": task.scores(outcome.valid[:, head]) | {"loss": loss},
            "test": task.scores(outcome.test[:, head]),
            "test_oracle": {task.progress.key: over_seeds(outcome.oracle[:, head])},
            "best_epoch": outcome.best_epoch[:, head].tolist(),
        }

    system, towers = _of_heads(finished, heads, of_head)
    return {**task.describe(), **system, "towers": towers}


def tallies(finished: Mapping[str, Outcome], heads: Mapping[str, Sequence[str]]) -> dict[str, Any]:
    """Returns the tallies [S, ...] that `of_task` scores: of `system`, and of `towers` by name."""

    def of_head(outcome: Outcome, head: int) -> dict[str, Any]:
        parts = {"validation": outcome.valid, "test": outcome.test}
        return {part: np.asarray(x[:, head]).tolist() for part, x in parts.items()}

    system, towers = _of_heads(finished, heads, of_head)
    return {"system": system, "towers": towers}


def _of_heads(
    finished: Mapping[str, Outcome],
    heads: Mapping[str, Sequence[str]],
    of_head: Callable[[Outcome, int], dict[str, Any]],
) -> tuple[dict[str, Any], dict[str, dict[str, Any]]]:
    """Applies a function to the system's head, and to each tower's by its name."""
    first, *_, last = (next(iter(heads)), *heads)
    towers = {name: of_head(finished[first], i) for i, name in enumerate(heads[first])}
    return of_head(finished[last], len(heads[last]) - 1), towers


def add_intervals(task: Task, scores: dict[str, Any], analyses: Mapping[str, Any]) -> None:
    """Adds the 95 % intervals of test scores, and the difference from the baseline.

    The field `resampled` names the units that the intervals resample.

    Args:
        scores: the result of `of_task`, optionally with the `baseline`; it receives an `interval`
            for each test score, and the `difference` of the baseline.
    """
    heads = {"": (scores, analyses["answers"])}
    for name, answers in analyses.get("tower_answers", {}).items():
        heads[f"tower {name}"] = scores["towers"][name], answers
    if "mean_answers" in analyses:
        heads["mean"] = scores["towers_mean"], analyses["mean_answers"]
    if "baseline" in scores:
        heads["baseline"] = scores["baseline"], analyses["baseline_answers"]
    label = analyses["utterances"]["label"]
    read = {name: task.read_answers(x, label) for name, (_, x) in heads.items()}
    predicted = {name: answers for name, (answers, _) in read.items()}
    utterances = analyses["utterances"] | {"label": read[""][1]}
    scores["resampled"] = paired.units(utterances).about()
    intervals = paired.intervals(task, predicted, utterances)
    for name, ends in intervals.items():
        test = heads[name][0]["test"]
        for key in ends.keys() & test.keys():
            test[key]["interval"] = ends[key]
    if "baseline" in intervals:
        pair = paired.compare(task, predicted[""], predicted["baseline"], utterances)
        difference = {task.headline.key: pair["difference"], "interval": pair["interval"]}
        scores["baseline"]["difference"] = difference | scores["resampled"]


def of_context(task: Task, analyses: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Scores the test answers from K utterances of context alone, by K as a text.

    Args:
        analyses: with `answers`, `utterances` and `context_answers`, see `analysis.of_task`.

    Returns:
        For each K: `test`, the headline score with its `interval`; `cut`, the number of utterances
        with more than K before them; and `difference`, how much better the same seeds are with the
        whole conversation so far. Without intervals if there is a single unit to resample.
    """
    labels, key = analyses["utterances"]["label"], task.headline.key
    whole, rated = task.read_answers(analyses["answers"], labels)
    resampled = paired.units(analyses["utterances"])
    sums = paired.by_unit(task, whole, rated, resampled)
    position, sign = (
        np.asarray(analyses["utterances"]["position"]),
        2 * task.headline.higher_is_better - 1,
    )

    def scored(sums: np.ndarray) -> np.ndarray:
        """Returns the score [...] of sums [..., 2, *K] from K utterances, and the gain of all."""
        short, full = np.moveaxis(task.score(key, sums), -1, 0)
        return np.stack([short, sign * (full - short)], axis=-1)

    scores: dict[str, dict[str, Any]] = {}
    for size, stored in analyses["context_answers"].items():
        short = paired.by_unit(task, task.read_answers(stored, labels)[0], rated, resampled)
        both = np.stack([short, sums], axis=2)
        per_seed, gains = scored(both.sum(1)).T
        test, difference = over_seeds(per_seed), {key: float(gains.mean())}
        scores[size] = {"test": {key: test}, "cut": int((position > int(size)).sum())}
        if resampled.count > 1:
            drawn = significance.Resamples(resampled.count).scores(scored, both)
            test["interval"], difference["interval"] = significance.interval(drawn).T.tolist()
            scores[size]["difference"] = difference
    return scores


def add_distances(scores: Mapping[str, Any], analyses: Mapping[str, Any]) -> None:
    """Adds the mean distances of the test predictions to the raters, if there are any."""
    for key, values in analyses.get("distances", {}).items():
        scores["test"][key] = over_seeds(np.mean(values, axis=1))


def sizes(parts: Parts, labels: Mapping[str, np.ndarray]) -> dict[str, dict[str, int]]:
    """Counts the conversations and the scored utterances of every part for one task."""
    return {
        part: {
            "conversations": len(getattr(parts.split, part)),
            "utterances": int(any_scored(labels[part]).sum()),
        }
        for part in parts.layouts
    }


def failures(
    finished: Mapping[str, Outcome], seeds: Sequence[int], heads: Mapping[str, Sequence[str]]
) -> list[dict[str, Any]]:
    """Returns the first failure of each failed seed, in order of the seeds."""
    places = []
    for index, seed in enumerate(seeds):
        for stage, outcome in finished.items():
            wrong = outcome.failed[index].any(-1) | (outcome.best_epoch[index] == 0)
            if not wrong.any():
                continue
            head = int(np.argmax(wrong))
            epoch, step = outcome.failed[index, head].tolist()
            norm = float(outcome.failed_norm[index, head])
            place = {"seed": seed, "stage": stage, "head": heads[stage][head]}
            place |= {"epoch": epoch, "step": step}
            places.append(place | {"gradient_norm": norm if np.isfinite(norm) else None})
            break
    return places


def failure(place: Mapping[str, Any]) -> str:
    """Describes an entry of `failures` in words."""
    norm = place["gradient_norm"]
    how = "not finite" if norm is None else f"{norm:.3g}"
    when = f"epoch {place['epoch']}, step {place['step']}: loss or gradient not finite"
    when = when if place["epoch"] else "no epoch with a finite validation loss"
    return f"stage {place['stage']}, seed {place['seed']}, {place['head']}, {when} (norm {how})"


def of_corpus(parts: Parts, labels: Mapping[str, np.ndarray] | None, task: Task) -> dict[str, Any]:
    """Describes the corpus and its split, with utterances per class if there are labels."""
    corpus = parts.corpus
    sizes = {
        part: {
            "conversations": len(getattr(parts.split, part)),
            "utterances": int(corpus.lengths[getattr(parts.split, part)].sum()),
            **({"classes": task.counts(labels[part])} if labels else {}),
        }
        for part in parts.layouts
    }
    return {
        "path": corpus.source,
        "conversations": len(corpus.lengths),
        "utterances": len(corpus.labels),
        "dimensions": {name: int(size) for name, size in parts.cells.dims.items()},
        **parts.cells.about(),
        "split": parts.split.how,
        "parts": sizes,
    }


def sees(system: BaseSystem, cells: str) -> dict[str, Any]:
    """Describes what a prediction is computed from: the kind of cells and the turns that it sees.

    Returns:
        `cells`; and whether it reads `speakers`, other turns (`context`) and later ones (`future`).
    """
    context, future = KINDS[cells].vectors and system.in_context, not system.causal
    return {"cells": cells, "context": context, "future": future, "speakers": system.places > 0}


def parameters(params: Mapping[str, Any], heads: Iterable[str]) -> dict[str, int]:
    """Counts the parameters of one network: the total, and those of each head."""
    counts: dict[str, int] = {}
    for group, tree in params.items():
        name = owner(group, heads) or group
        counts[name] = counts.get(name, 0) + sum(int(x.size) for x in jax.tree.leaves(tree))
    return {"total": sum(counts.values()), **counts}


def groups_of(corpus: Corpus, which: np.ndarray) -> dict[str, np.ndarray]:
    """Returns the groups [n] str of selected utterances [n] int, by column with `PREFIX`."""
    groups = {name: np.array(values) for name, values in corpus.groups.items()}
    columns = groups | corpus.traits()
    return {PREFIX + name: values[which] for name, values in sorted(columns.items())}


def group_scores(
    answers: np.ndarray, utterances: Mapping[str, Sequence[Any]], classes: int
) -> dict[str, Any]:
    """Computes the field `groups` of `results.json`: each column's scores by group, and the gap.

    Args:
        answers: predictions [S, N] int for the scored test utterances.
        utterances: the `label` and the `conversation` of each, and its groups by `PREFIX`.

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
        columns[key.removeprefix(PREFIX)] = {
            "groups": {
                name: {"utterances": utterance_count, "conversations": conversation_count}
                | _scores_of_group(answers[:, members == name], labels[members == name], classes)
                for name, (utterance_count, conversation_count) in sizes.items()
            },
            "gap": groups.largest_gap(answers == labels, members, conversations),
            "left_out": [name for name, (_, count) in sizes.items() if count < groups.LEAST],
        }
    return columns


def anonymous(scores: Mapping[str, Any]) -> dict[str, Any]:
    """Replaces the names of speakers and sessions in the result of `group_scores` by numbers.

    Reports may be published, and these names can identify people.
    """
    columns = dict(scores)
    for column in RESERVED:
        if column not in scores:
            continue
        scored = scores[column]
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


def _scores_of_group(answers: np.ndarray, labels: np.ndarray, classes: int) -> dict[str, Any]:
    cells = labels * classes + answers
    counts = np.stack([np.bincount(row, minlength=classes**2) for row in cells])
    counts = counts.reshape(-1, classes, classes)
    return {
        name: over_seeds(metrics.METRICS[name].compute(counts))
        for name in ("accuracy", "unweighted_recall")
    }
