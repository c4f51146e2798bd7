"""Check that results follow from a run's own files: `mman verify RUN [RUN ...]`.

RUN is the folder of a finished `mman run`, with or without folds, or of `mman paper`. It prints one
line for each check: the seal in `results.json` is intact; the corpus, its features, labels and
split are the sealed ones; the stored answers give the stored scores; the selected epochs follow
from the validation curves; and the model gives the stored answers. A check whose file is missing is
`not checked`. The exit status is 0 only if none failed.
"""

import pathlib
import sys

from absl import flags

from mman_jax.cli.terminal import command
from mman_jax.cli.terminal.config import local_path
from mman_jax.errors import InputError
from mman_jax.study import verify

_DATA = command.path_flag(
    "config.data.path", "Path of the corpus, if it has been moved since the run.", must=False
)
_COMPLETE = flags.DEFINE_bool("complete", False, "Whether an impossible check counts as failed.")


def main(arguments: list[str]) -> None:
    """Checks the runs that the command line names."""
    if not arguments:
        raise InputError("command line", "no run", "the folder of a finished run")
    if _DATA.value and not pathlib.Path(_DATA.value).exists():
        raise InputError("--config.data.path", f"no file {_DATA.value}", "a corpus")
    bad = {verify.FAILED, *([verify.NOT_CHECKED] if _COMPLETE.value else [])}
    failed = False
    for argument in arguments:
        path = pathlib.Path(local_path(argument, "command line"))
        for check in verify.verify(path, _DATA.value):
            print(f"{argument}: {check}" if len(arguments) > 1 else check, flush=True)
            failed |= check.state in bad
    sys.exit(int(failed))
