"""The flag `--config`: a file or a name, and flags for the fields of the config."""

import difflib
import inspect
import itertools
import pathlib
import re
import runpy
import sys
from collections.abc import Iterator, Sequence
from typing import Any

from absl import flags
from ml_collections import ConfigDict, config_flags

from mman_jax import configs
from mman_jax.cli.terminal.paths import local_path
from mman_jax.configs import mman
from mman_jax.configs.mman import Recipes
from mman_jax.errors import InputError, nearest
from mman_jax.trial.config import derive, describe_field

_PACKAGED = pathlib.Path(configs.__file__).parent
_DEFAULT = configs.DEFAULT
_FIELD = re.compile(r"--?(?:no)?config\.([^=]+)")


def define(help_text: str) -> flags.FlagHolder:
    """Defines the flag `--config`, which reads fields from the command line at once.

    Raises:
        InputError: a field that the config lacks.
    """
    try:
        holder = config_flags.DEFINE_config_file("config", None, help_text)
        parser = flags.FLAGS["config"].parser
        read_file = parser.parse
        parser.parse = lambda name: _of_system(
            read_file(find(name) if isinstance(name, str) else name), sys.argv
        )
        flags.set_default(holder, find(_DEFAULT))
        return holder
    except flags.IllegalFlagValueError as error:
        # Absl makes one of whatever a parser raises.
        raise error.__context__ if isinstance(error.__context__, InputError) else error from None
    except (AttributeError, KeyError, TypeError, ValueError):
        explain(sys.argv)
        raise


def find(name: str) -> str:
    """The file that `--config` names, and after a colon its recipe.

    Args:
        name: a path, or the name of a config of this package, such as `mult`.
    """
    path, colon, recipe = name.partition(":")
    packaged = _PACKAGED / f"{path}.py"
    if not pathlib.Path(path).is_file() and not path.endswith(".py") and packaged.is_file():
        path = str(packaged)
    return path + colon + recipe


def read(flag: flags.FlagHolder) -> ConfigDict:
    """The config that the flags give, locked, with its references resolved.

    Raises:
        InputError: its file is not there.
    """
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
    """The configs of the paper's systems as the file of `--config` has them, or else MMAN's."""
    path = find(named(sys.argv)).partition(":")[0]
    get_config = runpy.run_path(path)["get_config"]
    return get_config if inspect.signature(get_config).parameters else mman.get_config


def shown(config: ConfigDict, argv: Sequence[str]) -> str:
    """The config's file, and the fields in which it differs from that."""
    before = dict(_fields(_load(argv)))
    changed = [
        f"{field}={value}"
        for field, value in _fields(config)
        if not isinstance(value, ConfigDict) and value != before.get(field)
    ]
    return named(argv) + (f" with {' '.join(changed)}" if changed else "")


def named(argv: Sequence[str]) -> str:
    """The file that a command line names, and behind a colon its recipe if it names one."""
    given = _DEFAULT
    for number, argument in enumerate(argv):
        flag, equals, value = argument.partition("=")
        if flag in ("--config", "-config"):
            given = value if equals else "".join(argv[number + 1 : number + 2])
    return given


def explain(argv: Sequence[str]) -> None:
    """Says what is wrong with `--config` or one of its fields, if that is known to be wrong.

    Raises:
        InputError: no such file, recipe or field.
    """
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
    parts, at = field.split("."), config
    for number, part in enumerate(parts):
        if isinstance(at, ConfigDict) and part in at:
            at = at[part]
            continue
        if isinstance(at, ConfigDict) and "default" in at:
            place = "config." + ".".join(parts[:number])
            raise InputError(
                f"--config.{field}",
                f"{place} has no entry {part!r}, which uses `default`; there are {', '.join(at)}",
            )
        raise InputError(f"--config.{field}", f"no such field; {_near_field(config, field)}")
    if isinstance(at, ConfigDict):
        found = f"a group of fields ({', '.join(at)}); did you mean config.{_first(config, field)}?"
        raise InputError(f"--config.{field}", found)


def _near_field(config: ConfigDict, field: str) -> str:
    """The fields whose last part is that of `field`, or nearly so."""
    last = field.rpartition(".")[2]
    fields = [name for name, _ in _fields(config)]
    names = difflib.get_close_matches(last, {f.rpartition(".")[2] for f in fields}, n=1)
    found = [f for f in fields if names and f.rpartition(".")[2] == names[0]]
    if not found:
        return nearest(last, config)
    # Of equals the last by name: `towers` is meant more often than `fusion`.
    found.sort(key=lambda f: (_shared(f, field), f), reverse=True)
    several = [f"config.{_first(config, f)}" for f in found[:3]]
    return f"did you mean {several[0]}?" + (f" (or {', '.join(several[1:])})" * bool(several[1:]))


def _shared(one: str, other: str) -> int:
    """How many parts two paths begin with in common."""
    pairs = zip(one.split("."), other.split("."), strict=False)
    return sum(1 for _ in itertools.takewhile(lambda pair: pair[0] == pair[1], pairs))


def _first(config: ConfigDict, field: str) -> str:
    """The field itself; of a group its `default`, or its first."""
    at: Any = config
    for part in field.split("."):
        at = at[part]
    if not isinstance(at, ConfigDict) or not at:
        return field
    return f"{field}.{'default' if 'default' in at else next(iter(at))}"


def _fields(config: ConfigDict, place: str = "") -> Iterator[tuple[str, Any]]:
    """Every field and every group of fields by its path."""
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
    """The config of the system that `--config.system` names, on the same data."""
    prefix = "config.system="
    given = [arg.lstrip("-") for arg in argv[1:] if arg.lstrip("-").startswith(prefix)]
    name = given[-1].removeprefix(prefix) if given else config.system
    return config if name == config.system else derive(config, name)


def _near_config(name: str) -> str:
    """The config whose name is nearest: of this package, or a file in the folder that was named."""
    folder = pathlib.Path(name).parent
    known = [str(path.relative_to(_PACKAGED).with_suffix("")) for path in _files(_PACKAGED)]
    known += [str(path) for path in _files(folder)] if name.endswith(".py") else []
    close = difflib.get_close_matches(name, known, n=1)
    if not close:  # another folder, or a missing suffix
        stem = pathlib.Path(name).stem
        close = difflib.get_close_matches(stem, known, n=1)
    packaged = [name for name in known if not name.endswith(".py")]
    listed = f"one of {', '.join(packaged)}, or a file such as configs/mman.py"
    return f"did you mean {close[0]}?" if close else f"expected {listed}"


def _files(folder: pathlib.Path) -> list[pathlib.Path]:
    files = [*folder.glob("*.py"), *(folder / "ablations").glob("*.py")]
    return sorted(path for path in files if path.is_file() and path.stem != "__init__")


def describe(argv: Sequence[str]) -> str:
    """The fields of the config that a command line names, with defaults and descriptions."""
    name, config = named(argv), _load(argv)
    lines = [f"Fields of --config={name}, each a flag (--config.FIELD=VALUE):"]
    for field, value in _fields(config):
        if not isinstance(value, ConfigDict):
            lines += [f"  {field}={value}", f"      {describe_field(field, config.system)}"]
    return "\n".join(lines)
