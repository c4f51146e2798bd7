"""Tables of results that README.md and docs/results.md repeat, from a report's `results.json`."""

from collections.abc import Mapping
from typing import Any

from mman_jax.tasks import from_results


def overview(results: Mapping[str, Any]) -> str:
    """A row a system, as README.md shows them: per cent, mean ± deviation over the seeds.

    The paper's systems come first, then the ablations.

    Args:
        results: a report's `results.json`.
    """
    systems = results["systems"].values()
    names = from_results(results).score_names()
    scores = f"test {names['accuracy']} | {names['unweighted_recall']} | {names['weighted_f1']}"
    lines = [
        f"| system | parameters | {scores} | ensemble | validation | if selected on test |",
        "|---|---:|---:|---:|---:|---:|---:|---:|",
    ]
    lines += [_system(system) for system in systems if system["group"] == "paper"]
    majority = 100 * results["majority_accuracy"]
    lines.append(f"| majority answer | | {majority:.1f} | | | | | |")
    lines += [_system(system) for system in systems if system["group"] == "ablation"]
    return "\n".join(lines) + "\n"


def claims(results: Mapping[str, Any]) -> str:
    """A row a claim, as README.md shows them: verdict, difference, its interval and p-value.

    Args:
        results: a report's `results.json`.
    """
    lines = [
        "| the paper's claim | here | difference in points | 95 % interval | p |",
        "|---|---|---:|---:|---:|",
    ]
    for claim in results["claims"]:
        low, high = (f"{100 * x:+.1f}" for x in claim["interval"])
        p = f"{claim['p']:.3f}" if claim["p"] >= 0.001 else "< 0.001"
        lines.append(
            f"| {claim['claim']} | {claim['verdict']} | {100 * claim['difference']:+.1f} "
            f"| {low} to {high} | {p} |"
        )
    return "\n".join(lines) + "\n"


def _system(system: Mapping[str, Any]) -> str:
    scores = [system["test"][name] for name in ("accuracy", "unweighted_recall", "weighted_f1")]
    scores += [system["validation"]["accuracy"], system["test_oracle"]["accuracy"]]
    cells = [f"{100 * score['mean']:.1f} ± {100 * score['std']:.1f}" for score in scores]
    together = system.get("ensemble")
    accuracy = f"{100 * together['test']['accuracy']['mean']:.1f}" if together else ""
    cells.insert(len(scores) - 2, accuracy)
    name = system["title"]
    if system["group"] == "ablation":
        name = f"*{name}: {system['about']}*"
    total = f"{system['parameters']['total']:,}".replace(",", " ")
    return f"| {name} | {total} | {' | '.join(cells)} |"
