"""The command `mman`: finds the subcommand and runs it."""

import ast
import importlib
import os
import pathlib
import sys

from mman_jax.cli.terminal import command
from mman_jax.errors import nearest
from mman_jax.version import __version__

_FOLDER = pathlib.Path(__file__).parent
COMMANDS = tuple(
    sorted(path.stem for path in _FOLDER.glob("*.py") if path.stem not in ("__init__", "main"))
)
"""Names of the subcommands, each a module of this package."""


def main() -> None:
    """Runs `mman COMMAND --flag=value ...`, the entry point of the installed package."""
    name, *rest = sys.argv[1:] or ["--help"]
    if name in ("--help", "-h", "help") and not rest:
        print(_overview())
    elif name == "--version":
        with command.failing_in_one_line():
            command.check_platform()
            print(_versions())
    elif name not in COMMANDS:
        command.fail(f"mman {name}: no such command; expected {nearest(name, COMMANDS)}")
    else:
        sys.argv = [f"{sys.argv[0]} {name}", *rest]
        start(name)


def start(name: str) -> None:
    """Runs one of `COMMANDS` with the flags in `sys.argv[1:]`."""
    if os.getcwd() not in sys.path:
        sys.path.append(os.getcwd())  # for systems outside the library
    try:
        module = importlib.import_module(f"mman_jax.cli.{name}")
    except ModuleNotFoundError as error:
        package = (error.name or "").partition(".")[0]
        if package == "mman_jax":
            raise
        command.fail(f"mman {name}: the package {package} is missing; expected an environment "
                     "in which `pip install mman_jax` was run")  # fmt: skip
    command.run(module)


def _overview() -> str:
    lines = ["Emotion recognition in conversations from speech, face and words.", ""]
    lines += ["usage: mman COMMAND --flag=value ...", ""]
    for name in COMMANDS:
        # The file is not imported, because a command's libraries take seconds to load.
        source = (_FOLDER / f"{name}.py").read_text(encoding="utf-8")
        line = (ast.get_docstring(ast.parse(source)) or "").partition("\n")[0]
        lines.append(f"  {name:<8} {line.partition(': `')[0].rstrip('.')}.")
    lines += ["", "mman COMMAND --help describes a command; mman --version prints versions."]
    return "\n".join(lines)


def _versions() -> str:
    import jax

    device = jax.devices()[0]
    python = ".".join(map(str, sys.version_info[:3]))
    devices = f"{jax.device_count()} {device.platform} ({device.device_kind})"
    return f"mman_jax {__version__}, jax {jax.__version__}, Python {python}, devices: {devices}"
