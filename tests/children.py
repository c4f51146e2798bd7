"""Processes that tests start, with quick compilation and the devices that they need."""

import atexit
import functools
import json
import os
import pathlib
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parents[1]


def environment(devices: int = 1, **changed: str) -> dict[str, str]:
    """Environment variables of a process that sees this number of devices."""
    flags = [flag for flag in os.environ["XLA_FLAGS"].split() if "device_count" not in flag]
    if devices > 1:
        flags.append(f"--xla_force_host_platform_device_count={devices}")
    return {**os.environ, "XLA_FLAGS": " ".join(flags), **changed}


def run(*arguments: object, given: str = "") -> subprocess.CompletedProcess[str]:
    """What `python -m` of these gives in the checkout's folder, in a process of its own.

    Args:
        arguments: the module, and its flags.
        given: what it reads from stdin.
    """
    return _forked([str(argument) for argument in arguments], ROOT, environment(), given)


def _forked(command: list[str], cwd: pathlib.Path, variables: dict[str, str], given: str = ""):
    with tempfile.TemporaryDirectory(prefix="mman_jax_child_") as place:
        request = {"command": command, "environment": variables, "place": place, "cwd": str(cwd)}
        pathlib.Path(place, "in").write_text(given)
        parent = _parent()
        parent.stdin.write(json.dumps(request) + "\n")
        parent.stdin.flush()
        status = int(parent.stdout.readline())
        out, err = (
            pathlib.Path(place, name).read_text(errors="replace") for name in ("out", "err")
        )
    return subprocess.CompletedProcess(command, status, out, err)


def mman(*arguments: object, cwd: pathlib.Path = ROOT, **variables: str):
    """Returns the result of the installed command in a folder, with these environment variables."""
    if variables.keys() <= {"HOME"}:  # others are read when Python or JAX starts
        return _forked(["mman", *map(str, arguments)], cwd, environment(**variables))
    command = [sys.executable, "-c", "from mman_jax.cli.main import main; main()", *arguments]
    return subprocess.run(
        list(map(str, command)), cwd=cwd, env=environment(PYTHONPATH=str(ROOT), **variables),
        capture_output=True, text=True, errors="replace",
    )  # fmt: skip


def refused(*arguments: object, **how: object) -> str:
    """Returns the one-line error of a command, whose status must be 2."""
    ended = mman(*arguments, **how)
    assert ended.returncode == 2, ended.stdout + ended.stderr
    (line,) = ended.stderr.strip().splitlines()
    return line


@functools.cache
def _parent() -> subprocess.Popen[str]:
    """A process that has imported the dependencies, from which children are forked."""
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    command = [sys.executable, "-m", "tests.parent"]
    process = subprocess.Popen(command, cwd=ROOT, env=environment(), text=True, **pipes)
    atexit.register(process.communicate)
    return process
