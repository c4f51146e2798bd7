"""`results.json`: every number of a run, from counts alone; of numbers, from sums.

Of a task of numbers the counts [S, C, C] are the sums [S, C, K] of `evaluation.ratings`.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import jax
import numpy as np

from mman_jax.data.parts import Parts
from mman_jax.data.protocols import Task
from mman_jax.data.scales import Target
from mman_jax.evaluation import ratings
from mman_jax.evaluation.metrics import METRICS, per_class
from mman_jax.systems.base import owner
from mman_jax.training.outcome import Outcome
from mman_jax.types import is_scored


def spread(per_seed: Sequence[float]) -> dict[str, Any]:
    """Mean, sample deviation (0 for one seed) and the values themselves."""
    values = np.asarray(per_seed, np.float64)
    deviation = values.std(ddof=1) if len(values) > 1 else 0.0
    return {"mean": float(values.mean()), "std": float(deviation), "per_seed": values.tolist()}


def scores(counts: np.ndarray, targets: Sequence[Target] = ()) -> dict[str, Any]:
    """All scores of counts [S, C, C], or of the sums [S, C, K] of targets.

    `per_class` is in the order of the classes.
    """
    if targets:
        return _of_numbers(np.asarray(counts, np.float64), targets)
    counts = np.asarray(counts, np.int64)
    true = counts[0].sum(-1)
    found = {name: spread(metric(counts)) for name, metric in METRICS.items()}
    return found | {
        "majority_accuracy": float(true.max() / true.sum()),
        "confusion": counts.sum(0).tolist(),
        "per_class": _per_class(counts),
    }


def _per_class(counts: np.ndarray) -> list[dict[str, Any]]:
    """Precision, recall and F1 over the seeds and the support, a class an entry."""
    found = per_class(counts)
    support = found.pop("support")[0].tolist()
    return [
        {name: spread(values[:, index]) for name, values in found.items()} | {"support": size}
        for index, size in enumerate(support)
    ]


def _of_numbers(sums: np.ndarray, targets: Sequence[Target]) -> dict[str, Any]:
    found = {name: spread(values) for name, values in ratings.scores(sums, targets).items()}
    found["mean_answer_mae"] = float(ratings.mean_answer(sums)[0])
    if len(targets) > 1:
        found["by_target"] = {
            target.name: {
                name: spread(values)
                for name, values in ratings.of_target(sums[:, t], target).items()
            }
            for t, target in enumerate(targets)
        }
    return found


def targets_of(task: Mapping[str, Any]) -> tuple[Target, ...]:
    """The targets that the scores of a task, as `of_task` gave them, are of; of classes none."""
    return tuple(Target(**target) for target in task.get("targets", ()))


def of_task(
    task: Task, finished: Mapping[str, Outcome], heads: Mapping[str, Sequence[str]]
) -> dict[str, Any]:
    """The scores of one task: of the system, and of each tower alone.

    Args:
        task: what was trained.
        finished: what every stage gave.
        heads: names of the heads of every stage, in order; those of the first are the towers, and
            the last one of all is the system's.
    """
    first, *_ = stages = tuple(heads)
    last = stages[-1]
    targets = task.targets

    def of_head(outcome: Outcome, head: int) -> dict[str, Any]:
        losses = outcome.history.valid_loss[:, :, head]  # [E, S]
        kept = np.take_along_axis(losses, outcome.best_epoch[None, :, head] - 1, axis=0)[0]
        return {
            "validation": scores(outcome.valid[:, head], targets) | {"loss": spread(kept)},
            "test": scores(outcome.test[:, head], targets),
            "test_oracle": {shown(targets): spread(outcome.oracle[:, head])},
            "best_epoch": outcome.best_epoch[:, head].tolist(),
        }

    return {
        **task.described(),
        **of_head(finished[last], len(heads[last]) - 1),
        "towers": {name: of_head(finished[first], i) for i, name in enumerate(heads[first])},
    }


def weight(counts: Any, targets: Sequence[Target] = ()) -> float:
    """How much was scored: of one seed's counts [C, C], or of the sums [C, K] of targets."""
    counts = np.asarray(counts)
    return float(counts[:, 0].sum() if targets else counts.sum())


def shown(targets: Sequence[Any]) -> str:
    """The one score that is told while a run goes on, and of which `test_oracle` tells."""
    return "ccc" if targets else "accuracy"


def tests(scored: Mapping[str, Any]) -> dict[str, Any]:
    """Of what `of_task` gave the test scores alone, of the system and of each tower."""
    towers = {name: {"test": one["test"]} for name, one in scored["towers"].items()}
    return {"test": scored["test"], "towers": towers}


def counts(finished: Mapping[str, Outcome], heads: Mapping[str, Sequence[str]]) -> dict[str, Any]:
    """The counts [S, C, C] that `of_task` scores: of the `system`, and of `towers` by name."""
    first, *_ = stages = tuple(heads)

    def of_head(outcome: Outcome, head: int) -> dict[str, Any]:
        several = {"validation": outcome.valid, "test": outcome.test}
        return {part: np.asarray(x[:, head]).tolist() for part, x in several.items()}

    return {
        "system": of_head(finished[stages[-1]], len(heads[stages[-1]]) - 1),
        "towers": {name: of_head(finished[first], i) for i, name in enumerate(heads[first])},
    }


def sizes(parts: Parts, labels: Mapping[str, np.ndarray]) -> dict[str, dict[str, int]]:
    """Conversations and scored utterances of every part under one task."""
    return {
        part: {
            "conversations": len(getattr(parts.split, part)),
            "utterances": int(_scored(labels[part]).sum()),
        }
        for part in parts.layouts
    }


def failures(
    finished: Mapping[str, Outcome], seeds: Sequence[int], heads: Mapping[str, Sequence[str]]
) -> list[dict[str, Any]]:
    """Where seeds failed: each seed's first place, in order of the seeds.

    Args:
        finished: what every stage gave.
        seeds: S seeds.
        heads: names of the heads of every stage.
    """
    found = []
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
            found.append(place | {"gradient_norm": norm if np.isfinite(norm) else None})
            break
    return found


def failure(place: Mapping[str, Any]) -> str:
    """One of `failures`, for people."""
    norm = place["gradient_norm"]
    how = "not finite" if norm is None else f"{norm:.3g}"
    when = f"epoch {place['epoch']}, step {place['step']}: loss or gradient not finite"
    when = when if place["epoch"] else "no epoch with a finite validation loss"
    return f"stage {place['stage']}, seed {place['seed']}, {place['head']}, {when} (norm {how})"


def of_corpus(parts: Parts, labels: Mapping[str, np.ndarray] | None, task: Task) -> dict[str, Any]:
    """What was read and how it was split; counts of utterances a class where one task is run."""
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


def parameters(params: Mapping[str, Any], heads: Iterable[str]) -> dict[str, int]:
    """Numbers of parameters of one network: in all, and of each head's own part."""
    counts: dict[str, int] = {}
    for group, tree in params.items():
        name = owner(group, heads) or group
        counts[name] = counts.get(name, 0) + sum(int(x.size) for x in jax.tree.leaves(tree))
    return {"total": sum(counts.values()), **counts}


def _scored(labels: np.ndarray) -> np.ndarray:
    """[R + 1, U] bool, of labels [R + 1, U, ...]."""
    found = is_scored(labels)
    return found.any(-1) if found.ndim == 3 else found
