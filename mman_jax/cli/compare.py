"""Test the differences between finished runs: `mman compare RUN RUN PREDICTIONS.csv ...`.

A RUN is a folder of `mman run`, with or without folds, or a system's folder of `mman paper`,
`DIR/systems/NAME`; `RUN:NAME` is the tower NAME of a run, and `RUN:linear` its linear baseline. All
runs must have the same corpus, protocol and split; systems, settings, seeds and modalities may
differ. `--output=DIR` gets `comparison.json` and `comparison.md`.

PREDICTIONS.csv are those of any other system, for the test utterances of the run before it: columns
`conversation_id`, `utterance_id`, and `label` or `p_<class>` of each class, or one of each target;
and optionally `seed`. `--page=FILE.html` writes one page, on which runs of other corpora, protocols
or splits are in sections of their own.
"""

import pathlib
import shlex

from absl import flags

from mman_jax.cli.terminal import command
from mman_jax.cli.terminal.config import local_path
from mman_jax.cli.terminal.screen import Screen
from mman_jax.errors import InputError
from mman_jax.files.whole import write_whole
from mman_jax.report import comparison, html, markdown
from mman_jax.study import compared
from mman_jax.trial.folder import to_json

_OUTPUT = command.path_flag("output", "Folder for JSON and Markdown.", must=False)
_PAGE = command.path_flag("page", "HTML file for the tables, grouped by protocol.", must=False)
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
    words += [f"--page={_PAGE.value}"] if _PAGE.value else []
    options = (runs, against, f"mman compare {shlex.join(words)}", _SCORE.value)
    with command.named_flags("score"):
        groups = compared.compare_groups(*options) if _PAGE.value else [compared.compare(*options)]
    if _OUTPUT.value and len(groups) > 1:
        found = f"runs of {len(groups)} corpora, protocols or splits"
        raise InputError("--output", found, "no output, but a page; or runs of one of them")
    screen = Screen()
    for results in groups:
        for table in (comparison.scores(results), *comparison.tests_and_parts(results)):
            screen.listing(table.caption, table.head, table.plain)
        for note in results["notes"]:
            screen.line(note)
    document = comparison.document(groups)
    if _PAGE.value:
        write_whole(pathlib.Path(_PAGE.value), html.render(document).encode())
        screen.line(f"{_PAGE.value} is written")
    if _OUTPUT.value:
        (results,) = groups
        folder = pathlib.Path(_OUTPUT.value)
        write_whole(folder / "comparison.md", markdown.render(document).encode())
        write_whole(folder / "comparison.json", to_json(results))
        screen.line(f"{folder / 'comparison.md'} is written")
