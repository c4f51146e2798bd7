"""Forks the commands that tests run, after importing the slow dependencies.

A request is a line of JSON on stdin: the command's module and flags, its variables, and the folder
of the files `in`, its stdin, and `out` and `err`, which take what it prints. The answer
is its status, a line on stdout. The module `mman` is the installed command.
"""

import atexit
import gc
import json
import os
import pathlib
import runpy
import signal
import sys
import threading
import traceback
import warnings

import chex
import flax.linen
import jax.export
import matplotlib.backends.backend_agg
import matplotlib.figure
import ml_collections.config_flags
import optax
import orbax.checkpoint
import rich.progress
import scipy.optimize
import scipy.sparse.linalg
import scipy.stats

import mman_jax.features.measuring
import mman_jax.recording.page
import mman_jax.recording.turns
import mman_jax.study.paper
import mman_jax.study.sweep

IMPORTED = (
    *(chex, flax.linen, jax.export, matplotlib, ml_collections, optax, orbax.checkpoint),
    *(rich.progress, scipy, mman_jax),
)
SECONDS = 300


def run(request: dict) -> int:
    """Runs the command in this process, as `python -m` would; returns its exit status.

    Python's own end of a process would take half of a short command's time.
    """
    status = 0
    try:
        become(request)
    except SystemExit as error:
        status = error.code or 0
        if not isinstance(status, int):
            print(status, file=sys.stderr)
            status = 1
    except BaseException:
        traceback.print_exc()
        status = 1
    threading._shutdown()
    atexit._run_exitfuncs()
    sys.stdout.flush()
    return status


def become(request: dict) -> None:
    signal.alarm(SECONDS)
    os.environ.clear()
    os.environ.update(request["environment"])
    place = pathlib.Path(request["place"])
    for number, path in enumerate((place / "in", place / "out", place / "err")):
        opened = os.open(path, os.O_CREAT | os.O_RDWR)
        os.dup2(opened, number)
        os.close(opened)
    module, *flags = request["command"]
    sys.argv[1:] = flags
    os.chdir(request["cwd"])
    if module == "mman":
        from mman_jax.cli.main import main as mman

        return mman()
    runpy.run_module(module, run_name="__main__", alter_sys=True)


def main() -> None:
    gc.collect()
    gc.freeze()
    with open(0, "rb", buffering=0, closefd=False) as requests:
        while line := requests.readline():
            with warnings.catch_warnings(action="ignore"):  # jax, of its threads: none runs yet
                child = os.fork()
            if not child:
                os._exit(run(json.loads(line)))
            _, status = os.waitpid(child, 0)
            os.write(1, b"%d\n" % os.waitstatus_to_exitcode(status))


if __name__ == "__main__":
    main()
