"""What all commands share: flags, and a user's mistake as one line and exit status 2."""

import os
import signal
import sys
from collections.abc import Callable

from absl import app, flags, logging
from ml_collections import config_flags

from mman_jax.errors import InputError

flags.disclaim_key_flags()  # what is defined below belongs to the command: its --help lists it

MISTAKE = 2
PREEMPTED = 75
"""The status after SIGTERM, once what was done is saved: the same command goes on from there."""


def fail(message: object) -> None:
    """Prints one line and ends the process with status 2."""
    print("error:", " ".join(str(message).split()), file=sys.stderr)
    sys.exit(MISTAKE)


class Preemption:
    """Whether SIGTERM asked this process to end; what trains looks here after each epoch."""

    asked = False

    @classmethod
    def listen(cls) -> None:
        """From now on SIGTERM asks, and does not end the process at once."""

        def ask(*_):
            cls.asked = True

        signal.signal(signal.SIGTERM, ask)

    @classmethod
    def obey(cls) -> None:
        """Ends the process, if it was asked to."""
        if cls.asked:
            print("stopped by SIGTERM; the same command goes on from here", file=sys.stderr)
            sys.exit(PREEMPTED)


def run(main: Callable[[], None]) -> None:
    """Runs a command: parses its flags, then calls `main` with nothing left over."""

    def parse(argv):
        try:
            return flags.FLAGS(argv)
        except (flags.Error, AttributeError, KeyError, TypeError, ValueError, OSError) as error:
            # All of these come from what was typed: an unknown flag or config field, a value of
            # another type, a config file that is not there.
            fail(_said(error))

    def guarded(argv):
        # Below this level the libraries tell what they do, a page at every checkpoint.
        logging.set_verbosity(logging.ERROR)
        if len(argv) > 1:
            fail(f"command line: {argv[1]!r}; expected flags alone (--name=value)")
        try:
            main()
        except InputError as error:
            fail(error)

    app.run(guarded, flags_parser=parse)


def config_flag(help_text: str) -> flags.FlagHolder:
    """The flag `--config`; a field or a value that it has not is a mistake, told in one line."""
    try:
        # It reads the command line where it is defined, if no file is named there.
        return config_flags.DEFINE_config_file("config", "configs/mman.py", help_text)
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        fail(_said(error))


def _said(error: BaseException) -> str:
    """What an error says, without those that were wrapped around it."""
    while error.args and isinstance(error.args[0], BaseException):
        error = error.args[0]
    told = str(error.args[0]) if isinstance(error, KeyError) and error.args else str(error)
    return f"command line: {told}"


def path_flag(name: str, help_text: str, must: bool = True) -> flags.FlagHolder:
    """A flag that takes a path; tests import several commands, each with an `input`."""
    return flags.DEFINE_string(name, None, help_text, required=must, allow_override=True)


def seed_flag(help_text: str) -> flags.FlagHolder:
    """What all that is random is drawn from; tests import several commands, each with one."""
    return flags.DEFINE_integer("seed", 0, help_text, allow_override=True)


def cache_flag() -> flags.FlagHolder:
    """Where compiled programs are kept; a folder, or empty."""
    return flags.DEFINE_string(
        "compilation_cache",
        os.path.join(os.environ.get("XDG_CACHE_HOME", "~/.cache"), "mman_jax"),
        "Where compiled programs are kept, so that the next start is faster; empty: nowhere.",
    )
