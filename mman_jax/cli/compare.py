"""Test the differences between finished runs: `mman compare RUN RUN ...`.

A RUN is the folder of `mman run`, with folds or without, or of a system of a
`mman paper`, `DIR/systems/NAME`. All must be of one corpus, protocol and split; what differs
is the system, its settings, its seeds or its modalities. `--output=DIR` gets `comparison.json` and
`comparison.md`.
"""

import json
import pathlib
import shlex

from absl import flags

from mman_jax.cli.terminal import command
from mman_jax.cli.terminal.config import local_path
from mman_jax.cli.terminal.screen import Screen
from mman_jax.files.whole import write_whole
from mman_jax.report import comparison, markdown
from mman_jax.study import compared

_OUTPUT = command.path_flag("output", "Folder that gets JSON and Markdown.", must=False)
_AGAINST = command.path_flag(
    "against", "The trial that each other one is compared with; by default all pairs.", must=False
)
_SCORE = flags.DEFINE_string(
    "score",
    "",
    "By which trials are compared, as results.json calls it (weighted_f1, ccc, acc7); empty: "
    "accuracy, or of numbers mae.",
)


def main(given: list[str]) -> None:
    """Compares the trials that the command line names."""
    runs = [pathlib.Path(local_path(path, "command line")) for path in given]
    against = pathlib.Path(_AGAINST.value) if _AGAINST.value else None
    words = [*given, *(["--against=" + _AGAINST.value] if against else [])]
    words += ["--score=" + _SCORE.value] if _SCORE.value else []
    again = f"mman compare {shlex.join(words)}"
    with command.named_flags("score"):
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
