"""What all commands share: flags, and a user's mistake as one line and exit status 2."""

import math
import os
import re
import signal
import sys
from collections.abc import Callable, Sequence
from typing import BinaryIO

from absl import app, flags, logging

from experiments.terminal import config
from mman_jax.errors import InputError

flags.disclaim_key_flags()  # what is defined below belongs to the command: its --help lists it

MISTAKE = 2
PREEMPTED = 75
"""The status after SIGTERM, once what was done is saved: the same command goes on from there."""

_MISSING = re.compile(r"Flag --(\w+) must have a value other than None")
_EXPECTED: dict[str, str] = {}
"""Of each flag that takes a path: what is missing where it is not given."""


def fail(message: object) -> None:
    """Prints one line and ends the process with status 2."""
    print("error:", " ".join(str(message).split()), file=sys.stderr)
    sys.exit(MISTAKE)


class Preemption:
    """Whether SIGTERM asked this process to end; what trains looks here after each epoch."""

    asked = False
    waiting = False

    @classmethod
    def listen(cls) -> None:
        """From now on SIGTERM asks, and does not end the process at once."""

        def ask(*_):
            cls.asked = True
            if cls.waiting:
                cls.obey()

        signal.signal(signal.SIGTERM, ask)

    @classmethod
    def obey(cls) -> None:
        """Ends the process, if it was asked to."""
        if cls.asked:
            print("stopped by SIGTERM; the same command goes on from here", file=sys.stderr)
            sys.exit(PREEMPTED)


class Interruptible:
    """A pipe at which SIGTERM ends the process: where it waits for a line, or before it does."""

    def __init__(self, source: BinaryIO):
        self._source = source

    def readline(self, most: int) -> bytes:
        """The next line, or as much of it."""
        Preemption.waiting = True
        try:
            Preemption.obey()  # it may have been asked while the line before was at work
            return self._source.readline(most)
        finally:
            Preemption.waiting = False


def run(main: Callable[..., None], paths: bool = False) -> None:
    """Runs a command: parses its flags, then calls `main`.

    Args:
        main: the command.
        paths: whether it takes what else was typed, as a list; otherwise nothing else may be.
    """

    def parse(argv):
        try:
            left = flags.FLAGS(["--help" if argument == "-h" else argument for argument in argv])
            _refuse_no_numbers()
            return left
        except SystemExit:
            sys.exit()  # after a page of help, which absl ends with 1
        except (
            *(flags.Error, AttributeError, ImportError, KeyError),
            *(TypeError, ValueError, OSError),
        ) as error:
            # All of these come from what was typed: an unknown flag or config field, a value of
            # another type, a config file that is not there.
            _refuse(error, argv)

    def guarded(argv):
        # Below this level the libraries tell what they do, a page at every checkpoint.
        logging.set_verbosity(logging.ERROR)
        if len(argv) > 1 and not paths:
            fail(f"command line: {argv[1]!r}; expected flags alone (--name=value)")
        try:
            main(*([argv[1:]] if paths else []))
        except InputError as error:
            fail(error)

    app.run(guarded, flags_parser=parse)


def _refuse_no_numbers() -> None:
    """Raises ValueError where a flag's number is NaN, which is below no bound and above none.

    Fields of a config are looked at with all others of it.
    """
    for name in flags.FLAGS:
        value = flags.FLAGS[name].value
        if isinstance(value, float) and math.isnan(value) and "." not in name:
            raise ValueError(f"flag --{name}={value}: expected a number")


def config_flag(help_text: str) -> flags.FlagHolder:
    """The flag `--config`; a field or value that it lacks is a mistake, told in one line."""
    try:
        return config.define(help_text)
    except (AttributeError, ImportError, KeyError, TypeError, ValueError) as error:
        _refuse(error, sys.argv)


def _refuse(error: Exception, argv: Sequence[str]) -> None:
    """Ends the process with what was wrong with a command line; raises what is a bug."""
    if isinstance(error, InputError):
        fail(error)
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
    while error.args and isinstance(error.args[0], BaseException):  # what others wrapped it in
        error = error.args[0]
    told = str(error.args[0]) if isinstance(error, KeyError) and error.args else str(error)
    fail(f"command line: {told}")


def path_flag(
    name: str, help_text: str, must: bool = True, expected: str = "a path"
) -> flags.FlagHolder:
    """A flag that takes a path; tests import several commands, each with an `input`.

    Args:
        name: of the flag.
        help_text: of `--help`.
        must: whether it must be given.
        expected: what is missing where it is not given.
    """
    _EXPECTED[name] = expected
    return flags.DEFINE_string(name, None, help_text, required=must, allow_override=True)


def refuse(flag: flags.FlagHolder, found: str, expected: str, *, default_too: bool = False) -> None:
    """Raises InputError where a flag was given that nothing would read.

    Args:
        flag: which.
        found: why nothing reads it.
        expected: what to do instead.
        default_too: refuse its default, too, which elsewhere asks for what is done anyway; for a
            flag whose value is settled otherwise.
    """
    given = flags.FLAGS[flag.name]
    if given.present and (default_too or given.value != given.default):
        raise InputError(f"--{flag.name}", found, expected)


def seed_flag(help_text: str) -> flags.FlagHolder:
    """What all that is random is drawn from; tests import several commands, each with one."""
    return flags.DEFINE_integer("seed", 0, help_text, 0, allow_override=True)


def processes_flag(what: str) -> flags.FlagHolder:
    """How many processes work side by side; tests import several commands, each with one.

    Args:
        what: each of them works on.
    """
    about = f"{what} trained side by side; 0: one a core on CPUs, else one."
    return flags.DEFINE_integer("processes", 0, about, 0, allow_override=True)


def cache_flag() -> flags.FlagHolder:
    """Where compiled programs are kept; a folder, or empty."""
    return flags.DEFINE_string(
        "compilation_cache",
        os.path.join(os.environ.get("XDG_CACHE_HOME", "~/.cache"), "mman_jax"),
        "Where compiled programs are kept, so that the next start is faster; empty: nowhere.",
    )


def use_cache(folder: str) -> str:
    """Keeps compiled programs in a folder, if one is given; its path, or empty."""
    import jax

    folder = os.path.expanduser(folder)
    if folder:
        jax.config.update("jax_compilation_cache_dir", folder)
        if "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS" not in os.environ:
            jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.2)
    return folder
