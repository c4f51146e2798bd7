"""Train one system on each of N corpora and test it on each, in an N by N table.

    mman cross --workdir=DIR --corpora=A.npz,B.npz --config=configs/clstm_text.py

The corpora must have the same modalities and, after `--config.data.label_map=joy=happy,contempt=`,
the same labels. `DIR` gets `cross.json`, `cross.md`, `cross.html` and one trial per corpus,
`trained/NAME`. The same command resumes an interrupted one; if a corpus is added, it trains only on
that corpus.
"""

import pathlib
import shlex
import sys

from absl import flags

from mman_jax.cli.terminal import command, config
from mman_jax.cli.terminal.config import local_path
from mman_jax.cli.terminal.screen import Screen
from mman_jax.files.lock import alone
from mman_jax.files.whole import write_whole
from mman_jax.report import comparison, html, markdown
from mman_jax.study import crossed, jobs
from mman_jax.training.mesh import use_cache
from mman_jax.trial.folder import to_json
from mman_jax.trial.progress import Preemption

_CONFIG = command.config_flag("The system to train.")
_WORKDIR = command.path_flag(
    "workdir", "Folder for the table and the trials.", expected="a folder for results"
)
_CORPORA = flags.DEFINE_list("corpora", [], "Paths of two or more corpora, in any known layout.")
_PROCESSES = command.processes_flag("Corpora")
_CACHE = command.cache_flag()


def main() -> None:
    """Trains and tests the system, and writes the table."""
    settings, workdir = config.read(_CONFIG), pathlib.Path(_WORKDIR.value)
    corpora = [pathlib.Path(local_path(path.strip(), "--corpora")) for path in _CORPORA.value]
    Preemption.listen()
    cache = use_cache(_CACHE.value)
    processes = _PROCESSES.value or jobs.default_processes()
    command_line = shlex.join(["mman", "cross", *sys.argv[1:]])
    with alone(workdir), Screen() as screen:
        with command.named_flags("corpora"):
            results = crossed.run(
                settings, corpora, workdir, screen, processes, cache, command_line
            )
        for metric in ("accuracy", "unweighted_recall"):
            table = comparison.cross_table(results, metric)
            screen.listing(table.caption, table.head, table.plain)
        document = comparison.cross_document(results)
        write_whole(workdir / "cross.html", html.render(document).encode())
        write_whole(workdir / "cross.md", markdown.render(document).encode())
        write_whole(workdir / "cross.json", to_json(results))
        screen.line(f"{workdir / 'cross.html'} is written")
