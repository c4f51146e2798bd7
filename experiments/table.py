"""The table of several runs: `python -m experiments.table --results=experiments/results/mosi`.

Reads every `<system>.json` (a run's `results.json`) of a folder and prints Markdown.
"""

import pathlib
from typing import Any

from experiments import command, stored
from mman_jax.errors import InputError

_RESULTS = command.path_flag("results", "A folder of results.")
ORDER = (
    "clstm_speech",
    "clstm_visual",
    "clstm_text",
    "clstm_ef",
    "clstm_lf",
    "clstm_mma",
    "mman",
)


def read(folder: pathlib.Path) -> list[dict[str, Any]]:
    """The results in a folder, in the paper's order of systems.

    Raises:
        InputError: if there are none.
    """
    paths = [folder / f"{name}.json" for name in ORDER]
    found = [stored.read_results(path) for path in paths if path.is_file()]
    if not found:
        raise InputError(folder, "no results", "files such as mman.json")
    return found


def markdown(results: list[dict[str, Any]]) -> str:
    """A row a system: per cent, mean ± deviation over the seeds."""
    lines = [
        "| system | parameters | test accuracy | unweighted recall | weighted F1 | validation "
        "| if selected on test |",
        "|---|---:|---:|---:|---:|---:|---:|",
    ]
    for run in results:
        cells = [
            _cell(run["test"]["accuracy"]),
            _cell(run["test"]["unweighted_recall"]),
            _cell(run["test"]["weighted_f1"]),
            _cell(run["validation"]["accuracy"]),
            _cell(run["test_oracle"]["accuracy"]),
        ]
        total = f"{run['parameters']['total']:,}".replace(",", " ")
        lines.append(f"| `{run['system']}` | {total} | {' | '.join(cells)} |")
    majority = 100 * results[0]["test"]["majority_accuracy"]
    lines.append(f"| majority answer | | {majority:.1f} | | | | |")
    return "\n".join(lines) + "\n"


def _cell(score: dict[str, Any]) -> str:
    return f"{100 * score['mean']:.1f} ± {100 * score['std']:.1f}"


def main() -> None:
    """Prints the table."""
    print(markdown(read(pathlib.Path(_RESULTS.value))), end="")


if __name__ == "__main__":
    command.run(main)
