"""Test the differences between finished runs: `mman compare RUN RUN ...`.

A RUN is a folder of `mman run`, with or without folds, or a system's folder of `mman paper`,
`DIR/systems/NAME`; `RUN:NAME` is the tower NAME of a run, and `RUN:linear` its linear baseline. All
runs must have the same corpus, protocol and split; systems, settings, seeds and modalities may
differ. `--output=DIR` gets `comparison.json` and `comparison.md`.
"""

import pathlib
import shlex

from absl import flags

from mman_jax.cli.terminal import command
from mman_jax.cli.terminal.config import local_path
from mman_jax.cli.terminal.screen import Screen
from mman_jax.files.whole import write_whole
from mman_jax.report import comparison, markdown
from mman_jax.study import compared
from mman_jax.trial.folder import to_json

_OUTPUT = command.path_flag("output", "Folder for JSON and Markdown.", must=False)
_AGAINST = command.path_flag(
    "against", "Run that each other run is compared with; by default, all pairs.", must=False
)
_SCORE = flags.DEFINE_string(
    "score",
    "",
    "Score in results.json (weighted_f1, ccc, ...); by default accuracy, or mae for numbers.",
)


def main(arguments: list[str]) -> None:
    """Compares the runs that the command line names."""
    runs = [pathlib.Path(local_path(path, "command line")) for path in arguments]
    against = pathlib.Path(_AGAINST.value) if _AGAINST.value else None
    words = [*arguments, *(["--against=" + _AGAINST.value] if against else [])]
    words += ["--score=" + _SCORE.value] if _SCORE.value else []
    command_line = f"mman compare {shlex.join(words)}"
    with command.named_flags("score"):
        results = compared.compare(runs, against, command_line, _SCORE.value)
    screen = Screen()
    for table in (comparison.scores(results), comparison.tests(results)):
        screen.listing(table.caption, table.head, table.plain)
    for note in results["notes"]:
        screen.line(note)
    if _OUTPUT.value:
        folder = pathlib.Path(_OUTPUT.value)
        page = markdown.render(comparison.document(results)).encode()
        write_whole(folder / "comparison.md", page)
        write_whole(folder / "comparison.json", to_json(results))
        screen.line(f"{folder / 'comparison.md'} is written")
