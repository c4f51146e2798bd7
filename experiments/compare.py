"""Paired tests between finished trials: `python -m experiments.compare RUN RUN ...`.

A RUN is the folder of `experiments.run`, with folds or without, or of a system of a
`experiments.paper`, `DIR/systems/NAME`. All must be of one corpus, protocol and split; what differs
is the system, its settings, its seeds or its modalities. `--output=DIR` gets `comparison.json` and
`comparison.md`.
"""

import json
import pathlib
import shlex

from absl import flags

from experiments.report import comparison, markdown
from experiments.study import compared
from experiments.terminal import command
from experiments.terminal.screen import Screen
from mman_jax.files.whole import write_whole

_OUTPUT = command.path_flag("output", "Folder that gets JSON and Markdown.", must=False)
_AGAINST = flags.DEFINE_string(
    "against", "", "The trial that each other one is compared with; empty: all pairs."
)
_SCORE = flags.DEFINE_string(
    "score",
    "",
    "By which trials are compared, as results.json calls it (weighted_f1, ccc, acc7); empty: "
    "accuracy, or of numbers mae.",
)


def main(given: list[str]) -> None:
    """Compares the trials that the command line names."""
    runs = [pathlib.Path(path) for path in given]
    against = pathlib.Path(_AGAINST.value) if _AGAINST.value else None
    words = [*given, *(["--against=" + _AGAINST.value] if against else [])]
    words += ["--score=" + _SCORE.value] if _SCORE.value else []
    again = f"python -m experiments.compare {shlex.join(words)}"
    found = compared.compare(runs, against, again, _SCORE.value)
    screen = Screen()
    for table in (comparison.scores(found), comparison.tests(found)):
        screen.listing(table.caption, table.head, table.plain)
    for note in found["notes"]:
        screen.line(note)
    if _OUTPUT.value:
        folder = pathlib.Path(_OUTPUT.value)
        written = markdown.render(comparison.document(found)).encode()
        write_whole(folder / "comparison.md", written)
        content = json.dumps(found, indent=1, allow_nan=False) + "\n"
        write_whole(folder / "comparison.json", content.encode())
        screen.line(f"{folder / 'comparison.md'} is written")


if __name__ == "__main__":
    command.run(main, paths=True)
