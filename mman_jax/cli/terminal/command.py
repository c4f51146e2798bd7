"""Flags and exit statuses that commands share."""

import contextlib
import inspect
import io
import math
import os
import re
import signal
import sys
import types
from collections.abc import Iterator, Sequence
from typing import BinaryIO, NoReturn

from absl import app, flags, logging

from mman_jax.cli.terminal import config
from mman_jax.cli.terminal.config import PathParser
from mman_jax.errors import InputError
from mman_jax.trial.progress import Preemption

flags.disclaim_key_flags()  # a flag defined here belongs to the command, whose --help lists it

MISTAKE = 2
"""Exit status after an error of the user."""

_MISSING = re.compile(r"Flag --(\w+) must have a value other than None")
_HELP = ("--help", "-help", "-h", "--helpfull", "--helpshort")
_CONFIG_ERRORS = (AttributeError, KeyError, TypeError, ValueError)
_EXPECTED: dict[str, str] = {}
"""The expected value of each path flag by name, for the message if it is missing."""


def fail(message: object) -> NoReturn:
    """Prints one line and ends the process with status 2."""
    print("error:", " ".join(str(message).split()), file=sys.stderr)
    sys.exit(MISTAKE)


class Interruptible:
    """A pipe; SIGTERM ends the process while it waits for a line."""

    def __init__(self, source: BinaryIO):
        self._source = source

    def readline(self, most: int) -> bytes:
        """Returns the next line, or its first `most` bytes."""
        with Preemption.at_once():
            return self._source.readline(most)


def run(module: types.ModuleType) -> None:
    """Runs a command: parses its flags, then calls its `main`.

    If `main` of the module has a parameter, it gets the list of arguments that are not flags;
    otherwise such arguments are an error.
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # tests replace them
            stream.reconfigure(errors="replace")  # on terminals that are not UTF-8
    takes_arguments = bool(inspect.signature(module.main).parameters)

    def parse(argv):
        try:
            arguments = flags.FLAGS([argument for argument in argv if argument not in _HELP])
            _refuse_no_numbers()
        except (flags.Error, ImportError, OSError, *_CONFIG_ERRORS) as error:
            # All of these come from the command line: an unknown flag or config field, a value of
            # another type, a config file that does not exist.
            if not _asks_for_help(argv):
                _refuse(error, argv)
        if _asks_for_help(argv):
            print(_help(module))
            sys.exit()
        return arguments

    def guarded(argv):
        # At a lower level the libraries print a page of text for every checkpoint.
        logging.set_verbosity(logging.ERROR)
        if len(argv) > 1 and not takes_arguments:
            fail(f"command line: {argv[1]!r}; expected only flags (--name=value)")
        try:
            with failing_in_one_line():
                _use_plain_numbers()
                if "system" in flags.FLAGS:
                    use_system()
                    use_hub()
                module.main(*([argv[1:]] if takes_arguments else []))
        except (AssertionError, RuntimeError):
            # Not earlier: with several machines, processes must join before JAX starts.
            with failing_in_one_line():
                check_platform()
            raise

    try:
        try:
            app.run(guarded, flags_parser=parse)
        finally:
            if sys.stdout:  # None if it is closed
                sys.stdout.flush()
    except BrokenPipeError:  # the reader of the output, such as `head`, has ended
        # Otherwise Python would fail again, when it flushes at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(128 + signal.SIGPIPE)


@contextlib.contextmanager
def named_flags(*names: str) -> Iterator[None]:
    """Prefixes `--` to the place of an error that names one of these arguments."""
    try:
        yield
    except InputError as error:
        if re.split(r"[=:\s]", error.place)[0] in names:
            raise error.moved(f"--{error.place}") from error
        raise


@contextlib.contextmanager
def failing_in_one_line() -> Iterator[None]:
    """Ends the process with one line and status 2 after an InputError."""
    try:
        yield
    except InputError as error:
        fail(error)


def _asks_for_help(argv: Sequence[str]) -> bool:
    return not set(_HELP).isdisjoint(argv)


def _help(module: types.ModuleType) -> str:
    if "config" in flags.FLAGS:
        flags.FLAGS.register_key_flag_for_module(module.__name__, flags.FLAGS["config"])
    text = [inspect.getdoc(module), "Flags:", flags.FLAGS.module_help(module)]
    if "config" in flags.FLAGS:
        text.append(config.describe(sys.argv))
    return "\n\n".join(part.strip("\n") for part in text if part) + "\n"


def _use_plain_numbers() -> None:
    """Makes JAX compute in 32 bits with NumPy's promotion, regardless of the environment."""
    import jax

    jax.config.update("jax_enable_x64", False)
    jax.config.update("jax_numpy_dtype_promotion", "standard")
    jax.config.update("jax_numpy_rank_promotion", "allow")


def check_platform() -> None:
    """Starts JAX's devices; an InputError if the platforms of `JAX_PLATFORMS` have none."""
    import jax

    try:
        jax.devices()
    except (AssertionError, RuntimeError) as error:
        place = f"JAX_PLATFORMS={os.environ.get('JAX_PLATFORMS', '')}"
        expected = "a platform of this machine, such as cpu, or no such variable"
        found = str(error) or "no device of these platforms"
        raise InputError(place, found, expected) from error


def _refuse_no_numbers() -> None:
    """Raises ValueError if a flag's number is NaN, which bounds do not exclude.

    Fields of the config are checked elsewhere.
    """
    for name in flags.FLAGS:
        value = flags.FLAGS[name].value
        if isinstance(value, float) and math.isnan(value) and "." not in name:
            raise ValueError(f"flag --{name}={value}: expected a number")


def config_flag(help_text: str) -> flags.FlagHolder:
    """Defines the flag `--config`; a wrong field or value ends the process with one line."""
    try:
        return config.define(help_text)
    except (ImportError, *_CONFIG_ERRORS) as error:
        if not _asks_for_help(sys.argv):
            _refuse(error, sys.argv)
        raise


def _refuse(error: BaseException, argv: Sequence[str]) -> NoReturn:
    """Ends the process with the error in a command line; raises a bug again."""
    for reason in (error, error.__context__):
        if isinstance(reason, InputError):
            fail(reason)
    missing = _MISSING.search(str(error))
    if isinstance(error, flags.Error) and missing:
        name = missing[1]
        fail(f"--{name} is missing; expected {_EXPECTED.get(name, 'a value')}")
    if "config" in flags.FLAGS or any("--config" in argument for argument in argv):
        try:
            config.explain(argv)
        except InputError as explained:
            fail(explained)
    if isinstance(error, ImportError):
        raise error
    while error.args and isinstance(error.args[0], BaseException):  # libraries wrapped it
        error = error.args[0]
    message = str(error.args[0]) if isinstance(error, KeyError) and error.args else str(error)
    fail(f"command line: {message}")


def path_flag(
    name: str, help_text: str, must: bool = True, expected: str = "a path"
) -> flags.FlagHolder:
    """Defines a flag that takes a local path, with `~` expanded; several commands may define it.

    `expected` is the expected value, for the message if the flag is required and missing.
    """
    _EXPECTED[name] = expected
    return flags.DEFINE(
        PathParser(name), name, None, help_text, serializer=flags.ArgumentSerializer(),
        required=must, allow_override=True,
    )  # fmt: skip


def refuse(flag: flags.FlagHolder, found: str, expected: str, *, default_too: bool = False) -> None:
    """Raises an InputError if a flag was given that has no effect; `found` is the reason.

    With `default_too`, this includes its default value, because another flag determines the value.
    """
    parsed = flags.FLAGS[flag.name]
    if parsed.present and (default_too or parsed.value != parsed.default):
        raise InputError(f"--{flag.name}", found, expected)


def checkpoint_flag(must: bool = True) -> flags.FlagHolder:
    """Defines `--checkpoint`, its `--download`, and `--system` for a class outside the library."""
    about = "The run's system as module:Class, for a class of your own; its module is imported."
    flags.DEFINE_string("system", "", about, allow_override=True)
    about = "Whether files that are not in the Hugging Face cache may be downloaded."
    flags.DEFINE_bool("download", False, about, allow_override=True)
    about = "The folder of a finished run, or hf:USER/NAME[@REVISION]."
    return path_flag("checkpoint", about, must)


def context_flag() -> flags.FlagHolder:
    """Defines the flag `--context`; by default as in training."""
    kinds = ["conversation", "utterance"]
    about = (
        "Whether an utterance is predicted after those before it in its conversation, or by "
        "itself; by default as the model was trained."
    )
    return flags.DEFINE_enum("context", None, kinds, about, allow_override=True)


def attention_flag() -> flags.FlagHolder:
    """Defines the flag `--attention`."""
    about = "Add the attention weights between modalities."
    return flags.DEFINE_bool("attention", False, about, allow_override=True)


def state_flags() -> tuple[flags.FlagHolder, flags.FlagHolder]:
    """Defines the flags `--state` and `--state_seconds`."""
    state = path_flag("state", "File that stores the conversations between calls.", False)
    about = "Seconds between two saves of --state; 0: save with each answer."
    return state, flags.DEFINE_float("state_seconds", 10.0, about, 0.0, allow_override=True)


def use_system() -> None:
    """Registers the class that `--system` names, or raises an InputError."""
    from mman_jax import systems

    if name := flags.FLAGS["system"].value:
        with named_flags("system"):
            systems.use(name)


def use_hub() -> None:
    """Replaces `--checkpoint=hf:USER/NAME` by the folder of the repository's files."""
    from mman_jax.files import hub

    checkpoint = flags.FLAGS["checkpoint"]
    if (checkpoint.value or "").startswith(hub.PREFIX):
        with named_flags("checkpoint"):
            download = bool(flags.FLAGS["download"].value)
            checkpoint.value = str(hub.snapshot(str(checkpoint.value), download))
    elif flags.FLAGS["download"].value:
        expected = f"--checkpoint={hub.PREFIX}USER/NAME"
        raise InputError("--download", "given without a model of the hub", expected)


def seed_flag(help_text: str) -> flags.FlagHolder:
    """Defines the flag `--seed`; one process may import several commands."""
    return flags.DEFINE_integer("seed", 0, help_text, 0, allow_override=True)


def processes_flag(what: str) -> flags.FlagHolder:
    """Defines the flag `--processes`; `what` is the plural noun for their work items."""
    about = f"{what} processed at the same time; 0: one per core on CPUs, one otherwise."
    return flags.DEFINE_integer("processes", 0, about, 0, allow_override=True)


def baseline_flag() -> flags.FlagHolder:
    """Defines the flag `--baseline`."""
    about = "Whether to also fit and score a linear baseline."
    return flags.DEFINE_bool("baseline", True, about, allow_override=True)


def cache_flag() -> flags.FlagHolder:
    """Defines the flag `--compilation_cache`."""
    folder = os.path.join(os.environ.get("XDG_CACHE_HOME", "~/.cache"), "mman_jax")
    about = "Folder of compiled programs, which make the next start faster; empty for none."
    return flags.DEFINE_string("compilation_cache", folder, about)
