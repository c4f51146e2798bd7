"""The flag `--config`, the flags of the config's fields, and flags of local paths."""

import difflib
import functools
import inspect
import itertools
import operator
import os
import pathlib
import re
import runpy
import sys
from collections.abc import Iterator, Sequence
from typing import Any

from absl import flags
from ml_collections import ConfigDict, config_flags

from mman_jax import configs
from mman_jax.configs import mman
from mman_jax.configs.mman import Recipes
from mman_jax.errors import InputError, nearest
from mman_jax.trial.config import derive, describe_field

_PACKAGED = pathlib.Path(configs.__file__).parent
_DEFAULT = configs.DEFAULT
_FIELD = re.compile(r"--?(?:no)?config\.([^=]+)")
_REDUCE = re.compile(r"--?config\.data\.reduce\.([^=.]+)")
_REMOTE = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+://")
_LONGEST = 255
"""Largest number of bytes of a name in a path, on common file systems of Linux."""


class PathParser(flags.ArgumentParser):
    """Parses a flag whose value is a local path."""

    syntactic_help = "a path"

    def __init__(self, name: str):
        self._name = name

    def parse(self, argument: str) -> str:
        """Returns the path; see `local_path`."""
        return local_path(argument, f"--{self._name}")

    def flag_type(self) -> str:
        """Returns the type that `--help` shows."""
        return "path"


def local_path(text: str, place: str) -> str:
    """Expands `~` in a path; URLs and names that are too long for file systems raise an InputError.

    `place` is the flag or field, for messages.
    """
    if _REMOTE.match(text):
        expected = "a local path; mount the bucket, or copy its content"
        raise InputError(f"{place}={text}", "a remote location", expected)
    expanded = os.path.expanduser(text)
    for part in expanded.split(os.sep):
        size = len(os.fsencode(part))
        if size > _LONGEST:
            expected = f"at most {_LONGEST} bytes"
            raise InputError(f"{place}={text}", f"a name of {size} bytes", expected)
    return expanded


def define(help_text: str) -> flags.FlagHolder:
    """Defines the flag `--config`; the fields on the command line are read immediately."""
    try:
        holder = config_flags.DEFINE_config_file("config", None, help_text)
        parser: Any = flags.FLAGS["config"].parser
        read_file = parser.parse
        parser.parse = lambda name: _of_system(
            read_file(find(name) if isinstance(name, str) else name), sys.argv
        )
        flags.set_default(holder, find(_DEFAULT))
        return holder
    except flags.IllegalFlagValueError as error:
        # Absl wraps whatever a parser raises.
        raise error.__context__ if isinstance(error.__context__, InputError) else error from None
    except (AttributeError, KeyError, TypeError, ValueError):
        explain(sys.argv)
        raise


def find(name: str) -> str:
    """Returns the file of a config, followed by a colon and a recipe if it has one.

    `name` is a path, or the name of a packaged config, such as `mult`.
    """
    path, colon, recipe = name.partition(":")
    packaged = _PACKAGED / f"{path}.py"
    if not pathlib.Path(path).is_file() and not path.endswith(".py") and packaged.is_file():
        path = str(packaged)
    return path + colon + recipe


def read(flag: flags.FlagHolder) -> ConfigDict:
    """Reads the config from the flags, locked and with its references resolved."""
    try:
        settings = flag.value.copy_and_resolve_references()
    except OSError as error:  # reported only now, so that --help works without the file
        explain(sys.argv)
        raise InputError(f"--config={named(sys.argv)}", str(error), "a config") from error
    for name in ("path", "test"):
        if settings.data[name]:
            settings.data[name] = local_path(settings.data[name], f"--config.data.{name}")
    return settings


def recipes() -> Recipes:
    """Returns the recipes of the paper's systems from the file of `--config`, or MMAN's."""
    path = find(named(sys.argv)).partition(":")[0]
    get_config = runpy.run_path(path)["get_config"]
    return get_config if inspect.signature(get_config).parameters else mman.get_config


def shown(config: ConfigDict, argv: Sequence[str]) -> str:
    """Describes a config by its file and the fields that differ from it."""
    original = dict(_fields(_load(argv)))
    changed = [
        f"{field}={value}"
        for field, value in _fields(config)
        if not isinstance(value, ConfigDict) and value != original.get(field)
    ]
    return named(argv) + (f" with {' '.join(changed)}" if changed else "")


def named(argv: Sequence[str]) -> str:
    """Returns the value of `--config` on a command line, or the default config."""
    name = _DEFAULT
    for number, argument in enumerate(argv):
        flag, equals, value = argument.partition("=")
        if flag in ("--config", "-config"):
            name = value if equals else "".join(argv[number + 1 : number + 2])
    return name


def explain(argv: Sequence[str]) -> None:
    """Raises an InputError if the file, the recipe or a field of `--config` does not exist."""
    name = named(argv)
    path, _, recipe = find(name).partition(":")
    if not pathlib.Path(path).is_file():
        kind = "file" if path.endswith(".py") else "config"
        raise InputError(f"--config={name}", f"no such {kind}; {_near_config(path)}")
    try:
        config = _load(argv)
    except ModuleNotFoundError as error:
        if not recipe or error.name != f"mman_jax.configs.{recipe}":
            raise
        known = [file.stem for file in _files(_PACKAGED)]
        found = f"no such recipe as {recipe!r}"
        raise InputError(f"--config={name}", found, nearest(recipe, known)) from error
    for argument in argv[1:]:
        field = _FIELD.match(argument)
        if field and "[" not in field[1]:
            _check_field(config, field[1])


def _check_field(config: ConfigDict, field: str) -> None:
    place = "config"
    value: Any = config
    for part in field.split("."):
        if isinstance(value, ConfigDict) and part in value:
            value, place = value[part], f"{place}.{part}"
            continue
        found = f"no such field; {_near_field(config, field)}"
        if isinstance(value, ConfigDict) and "default" in value:
            entries = ", ".join(value)
            found = f"{place} has no entry {part!r}, which uses `default`; there are {entries}"
        raise InputError(f"--config.{field}", found)
    if isinstance(value, ConfigDict):
        first = _first(config, field)
        found = f"a group of fields ({', '.join(value)}); did you mean config.{first}?"
        raise InputError(f"--config.{field}", found)


def _near_field(config: ConfigDict, field: str) -> str:
    """Suggests the fields whose last part is that of `field`, or similar; the closest first."""
    last = field.rpartition(".")[2]
    fields = [name for name, _ in _fields(config)]
    names = difflib.get_close_matches(last, {f.rpartition(".")[2] for f in fields}, n=1)
    near = [f for f in fields if names and f.rpartition(".")[2] == names[0]]
    if not near:
        return nearest(last, config)

    def rank(name: str) -> tuple[int, str]:
        same = map(operator.eq, name.split("."), field.split("."))
        return sum(itertools.takewhile(bool, same)), name  # leading parts in common

    near.sort(key=rank, reverse=True)
    first, *others = (f"config.{_first(config, name)}" for name in near[:3])
    return f"did you mean {first}?" + (f" (or {', '.join(others)})" if others else "")


def _first(config: ConfigDict, field: str) -> str:
    """Returns the path of a field; for a group, of its `default` or its first field."""
    value = functools.reduce(lambda group, part: group[part], field.split("."), config)
    if not isinstance(value, ConfigDict) or not value:
        return field
    return f"{field}.{'default' if 'default' in value else next(iter(value))}"


def _fields(config: ConfigDict, place: str = "") -> Iterator[tuple[str, Any]]:
    """Yields every field and every group of fields with its path."""
    for name, value in config.items():
        yield f"{place}{name}", value
        if isinstance(value, ConfigDict):
            yield from _fields(value, f"{place}{name}.")


def _load(argv: Sequence[str]) -> ConfigDict:
    name = named(argv)
    path, colon, recipe = find(name).partition(":")
    get_config = runpy.run_path(path)["get_config"]
    if colon and not inspect.signature(get_config).parameters:
        raise InputError(f"--config={name}", f"{path} takes no recipe", f"--config={path}")
    return _of_system(get_config(recipe) if colon else get_config(), argv)


def _of_system(config: ConfigDict, argv: Sequence[str]) -> ConfigDict:
    """Returns the config of the system that `--config.system` names, with the same data.

    The fields of `data.reduce` are named by modalities; those of the command line are added.
    """
    with config.unlocked():
        for field in filter(None, map(_REDUCE.match, argv[1:])):
            config.data.reduce[field[1]] = config.data.reduce.get(field[1], 0)
    prefix = "config.system="
    names = [arg.lstrip("-") for arg in argv[1:] if arg.lstrip("-").startswith(prefix)]
    name = names[-1].removeprefix(prefix) if names else config.system
    return config if name == config.system else derive(config, name)


def _near_config(name: str) -> str:
    """Suggests the config with the most similar name, from the package or from its folder."""
    folder = pathlib.Path(name).parent
    known = [str(path.relative_to(_PACKAGED).with_suffix("")) for path in _files(_PACKAGED)]
    known += [str(path) for path in _files(folder)] if name.endswith(".py") else []
    stem = pathlib.Path(name).stem  # for another folder, or a missing suffix
    matches = difflib.get_close_matches
    close = matches(name, known, n=1) or matches(stem, known, n=1)
    packaged = [name for name in known if not name.endswith(".py")]
    listed = f"one of {', '.join(packaged)}, or a file such as configs/mman.py"
    return f"did you mean {close[0]}?" if close else f"expected {listed}"


def _files(folder: pathlib.Path) -> list[pathlib.Path]:
    files = [*folder.glob("*.py"), *(folder / "ablations").glob("*.py")]
    return sorted(path for path in files if path.is_file() and path.stem != "__init__")


def describe(argv: Sequence[str]) -> str:
    """Lists the fields of the config of a command line, with defaults and descriptions."""
    name, config = named(argv), _load(argv)
    lines = [f"Fields of --config={name}, each a flag (--config.FIELD=VALUE):"]
    for field, value in _fields(config):
        if not isinstance(value, ConfigDict):
            lines += [f"  {field}={value}", f"      {describe_field(field, config.system)}"]
    return "\n".join(lines)
