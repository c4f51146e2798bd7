"""One system trained on each of several corpora and tested on each: an N by N table.

    python -m experiments.cross --workdir=DIR --corpora=A.npz,B.npz --config=configs/clstm_text.py

The corpora need the same modalities and, after `--config.data.label_map=joy=happy,contempt=`, the
same labels. `DIR` gets `cross.json`, `cross.md`, `cross.html` and a trial a corpus, `trained/NAME`.
The same command goes on where it was interrupted; with a corpus more it trains on that alone.
"""

import json
import pathlib
import shlex
import sys

from absl import flags

from experiments.report import crossing, html, markdown
from experiments.study import crossed, workers
from experiments.terminal import command, config
from experiments.terminal.lock import alone
from experiments.terminal.screen import Screen
from mman_jax.files.whole import write_whole

_CONFIG = command.config_flag("The system to train.")
_WORKDIR = command.path_flag(
    "workdir", "Where the table and the trials go.", expected="a folder for results"
)
_CORPORA = flags.DEFINE_list("corpora", [], "Paths of two corpora or more, in any known layout.")
_PROCESSES = command.processes_flag("Corpora")
_CACHE = command.cache_flag()


def main() -> None:
    """Trains, tests and writes the table."""
    settings, workdir = config.read(_CONFIG), pathlib.Path(_WORKDIR.value)
    corpora = [pathlib.Path(path.strip()) for path in _CORPORA.value]
    command.Preemption.listen()
    cache = command.use_cache(_CACHE.value)
    processes = _PROCESSES.value or workers.default_processes()
    again = shlex.join(["python", "-m", "experiments.cross", *sys.argv[1:]])
    with alone(workdir), Screen() as screen:
        found = crossed.run(settings, corpora, workdir, screen, processes, cache, again)
        for metric in ("accuracy", "unweighted_recall"):
            shown = crossing.table(found, metric)
            screen.listing(shown.caption, shown.head, shown.plain)
        document = crossing.document(found)
        write_whole(workdir / "cross.html", html.render(document).encode())
        write_whole(workdir / "cross.md", markdown.render(document).encode())
        content = json.dumps(found, indent=1, allow_nan=False) + "\n"
        write_whole(workdir / "cross.json", content.encode())
        screen.line(f"{workdir / 'cross.html'} is written")


if __name__ == "__main__":
    command.run(main)
