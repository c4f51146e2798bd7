"""Tables of a report in Markdown: `python -m experiments.report.table --results=DIR/results.json`.

The paper's systems, then the ablations, as docs/results.md shows them.
"""

import pathlib
from typing import Any

from experiments.terminal import command
from mman_jax.errors import InputError
from mman_jax.files.whole import read_json

_RESULTS = command.path_flag("results", "A report's results.json.")


def markdown(results: dict[str, Any]) -> str:
    """A row a system: per cent, mean ± deviation over the seeds."""
    systems = results["systems"].values()
    lines = [
        "| system | parameters | test accuracy | unweighted recall | weighted F1 | validation "
        "| if selected on test |",
        "|---|---:|---:|---:|---:|---:|---:|",
    ]
    lines += [_row(system) for system in systems if system["group"] == "paper"]
    majority = 100 * results["majority_accuracy"]
    lines.append(f"| majority answer | | {majority:.1f} | | | | |")
    lines += [_row(system) for system in systems if system["group"] == "ablation"]
    return "\n".join(lines) + "\n"


def claims(results: dict[str, Any]) -> str:
    """A row a claim: the verdict and the difference, with its interval and its p-value."""
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


def _row(system: dict[str, Any]) -> str:
    scores = [system["test"][name] for name in ("accuracy", "unweighted_recall", "weighted_f1")]
    scores += [system["validation"]["accuracy"], system["test_oracle"]["accuracy"]]
    cells = [f"{100 * score['mean']:.1f} ± {100 * score['std']:.1f}" for score in scores]
    name = system["title"]
    if system["group"] == "ablation":
        name = f"*{name}: {system['about']}*"
    total = f"{system['parameters']['total']:,}".replace(",", " ")
    return f"| {name} | {total} | {' | '.join(cells)} |"


def main() -> None:
    """Prints the tables."""
    path = pathlib.Path(_RESULTS.value)
    results = read_json(path)
    try:
        print(markdown(results), claims(results), sep="\n", end="")
    except (AttributeError, LookupError, TypeError, ValueError) as error:
        raise InputError(path, f"no report's results ({error!r:.80})", "a report's") from error


if __name__ == "__main__":
    command.run(main)
