"""Kills and resumes a command: `python -m tests.robustness.torture --rounds=50`.

A small MMAN, or with `--command=paper` every system of the paper, is first trained on the synthetic
corpus without interruption. Each round then trains in a new folder, kills the command (SIGKILL, or
SIGTERM every second round) at a random moment and starts it again. The learning curves and
`results.json` must equal those of the uninterrupted training, except for seconds and the code's
revision. Prints one JSON line per round; the exit status is 1 if a round differs.
"""

import json
import pathlib
import random
import signal
import subprocess
import sys
import tempfile
import time
from typing import Any

from absl import flags

from mman_jax.cli.terminal import command
from mman_jax.trial.progress import PREEMPTED

_COMMAND = flags.DEFINE_enum("command", "run", ["run", "paper"], "Command to kill.")
_ROUNDS = flags.DEFINE_integer("rounds", 50, "Number of rounds.", 1)
_SEED = command.seed_flag("Random seed of the moments.")

_IGNORED = {"seconds", "revision"}  # the checkout may change during the rounds

SMALL = (
    "--config.seeds=2",
    "--config.checkpoint_seconds=0.0",
    "--config.train.towers.epochs=6",
    "--config.train.fusion.epochs=40",
    "--config.network.unimodal.default.hidden=(24,)",
    "--config.network.unimodal.visual.hidden=(24,)",
    "--config.network.early.hidden=(24,)",
)


def start(workdir: pathlib.Path, cache: str) -> subprocess.Popen:
    """Starts the command as a user does."""
    arguments = [f"--workdir={workdir}", f"--compilation_cache={cache}", *SMALL]
    return subprocess.Popen(
        [sys.executable, "-m", f"experiments.{_COMMAND.value}", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def finish(workdir: pathlib.Path, cache: str) -> dict[str, Any]:
    """Runs the command to its end; returns the results without seconds, and the curves."""
    run = start(workdir, cache)
    printed, _ = run.communicate()
    if run.returncode:
        raise RuntimeError(f"status {run.returncode}:\n{printed}")
    curves = {str(p.relative_to(workdir)): p.read_text() for p in workdir.rglob("curves*.csv")}
    return _timeless(json.loads((workdir / "results.json").read_text())) | {"curves": curves}


def _timeless(results: Any) -> Any:
    if isinstance(results, dict):
        return {name: _timeless(part) for name, part in results.items() if name not in _IGNORED}
    return [_timeless(part) for part in results] if isinstance(results, list) else results


def disturb(workdir: pathlib.Path, cache: str, after: float, how: signal.Signals) -> int:
    """Sends a signal after some seconds; returns the status, which is 0 if the run had ended."""
    run = start(workdir, cache)
    try:
        run.communicate(timeout=after)
    except subprocess.TimeoutExpired:
        run.send_signal(how)
        run.communicate()
    return run.returncode


def main() -> None:
    """Runs the rounds."""
    moments, survived = random.Random(_SEED.value), 0
    with tempfile.TemporaryDirectory() as temporary:
        folder = pathlib.Path(temporary)
        cache = str(folder / "cache")
        finish(folder / "first", cache)  # compiles
        began = time.monotonic()
        expected = finish(folder / "undisturbed", cache)
        seconds = time.monotonic() - began
        for number in range(_ROUNDS.value):
            how = signal.SIGTERM if number % 2 else signal.SIGKILL
            after = moments.uniform(0, seconds)
            workdir = folder / str(number)
            status = disturb(workdir, cache, after, how)
            expected_status = status in (0, -signal.SIGKILL, -signal.SIGTERM, PREEMPTED)
            same = expected_status and finish(workdir, cache) == expected
            survived += same
            found = {"round": number, "signal": how.name, "after": round(after, 2)}
            print(json.dumps(found | {"status": status, "same": same}), flush=True)
    print(json.dumps({"rounds": _ROUNDS.value, "survived": survived}))
    sys.exit(0 if survived == _ROUNDS.value else 1)


if __name__ == "__main__":
    command.run(sys.modules[__name__])
