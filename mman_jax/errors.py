"""The only error that a user's input can cause; every other exception is a bug."""

import contextlib
import difflib
import importlib
import pathlib
from collections.abc import Iterable, Iterator
from typing import Any

_LONGEST = 600
"""Largest number of characters of each part of a message."""

_POINTER = b"version https://git-lfs.github.com/spec/"


class InputError(ValueError):
    """Input that cannot be used: its place, what was found there, and what was expected.

    Commands print the message as one line and exit with status 2. It is printable and short:
    control characters are escaped, and long parts are cut.

    Args:
        place: The file, and the conversation, utterance, modality or field in it.
        found: Description of the input.
        expected: What should be there; empty if that is unknown.

    Examples:
        >>> raise InputError("talks.npz: labels", "3 entries", "4, as many as utterance_ids")
        Traceback (most recent call last):
        mman_jax.errors.InputError: talks.npz: labels: 3 entries;
        expected 4, as many as utterance_ids
    """

    def __init__(self, place: object, found: str, expected: str = ""):
        message = f"{_short(place)}: {_short(found)}"
        if expected:
            message += f"; expected {_short(expected)}"
        super().__init__(" ".join(message.split()))
        self.place, self._found, self._expected = str(place), found, expected

    def __reduce__(self):
        """Returns the constructor and its arguments, for pickle."""
        return type(self), (self.place, self._found, self._expected)

    def moved(self, place: str) -> "InputError":
        """Returns the same error at another place."""
        return InputError(place, self._found, self._expected)


@contextlib.contextmanager
def within(outer: str) -> Iterator[None]:
    """Puts the name of the input, such as `config`, before the place of an error.

    Examples:
        >>> with within("config"):
        ...     raise InputError("mesh.seeds", "3 shards", "a divisor of the 4 seeds")
        Traceback (most recent call last):
        mman_jax.errors.InputError: config.mesh.seeds: 3 shards; expected a divisor of the 4 seeds
    """
    try:
        yield
    except InputError as error:
        raise error.moved(f"{outer}.{error.place}") from error


@contextlib.contextmanager
def reading(
    place: object, expected: str, failures: tuple[type[Exception], ...] = (Exception,)
) -> Iterator[None]:
    """Converts exceptions while reading into an `InputError`.

    Untrusted bytes of another format can raise anything, which is no bug of this library. If the
    place is the path of a Git LFS pointer, the error says so.

    Args:
        place: Place of the error.
        expected: What should be there.
        failures: Exceptions that are converted; all others propagate.
    """
    caught: tuple[type[Exception], ...] = (InputError, *failures)
    try:
        yield
    except caught as error:
        check_pointer(place)
        if isinstance(error, InputError):
            raise
        reason = getattr(error, "strerror", None) or error
        raise InputError(place, f"unreadable ({reason!s:.200})", expected) from error


def check_pointer(path: object) -> None:
    """Refuses a Git LFS pointer: three lines that Git leaves in place of a file."""
    try:
        with pathlib.Path(str(path)).open("rb") as file:
            start = file.read(len(_POINTER))
    except (OSError, ValueError):  # no path
        return
    if start == _POINTER:
        found = "a Git LFS pointer in place of the file"
        raise InputError(path, found, "the file itself: run `git lfs pull` in its repository")


def require(module: str, extra: str, place: str, name: str = "") -> Any:
    """Imports a module of an optional package.

    Args:
        module: Name of the module.
        extra: Extra of this package that installs it.
        place: What needs it.
        name: Name of the package in the message; by default, that of the module.

    Raises:
        InputError: The package is not installed.
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        expected = f"pip install 'mman_jax[{extra}]'"
        raise InputError(place, f"{name or module} is missing", expected) from error


def _short(part: object) -> str:
    text = str(part)
    if len(text) > _LONGEST:
        half = _LONGEST // 2
        text = f"{text[:half]} ... {text[-half:]}"
    escaped = (c if c.isprintable() or c.isspace() else ascii(c)[1:-1] for c in text)
    return "".join(escaped)


def nearest(name: str, known: Iterable[str]) -> str:
    """Returns the known names as a phrase that starts with the best match of `name`.

    Examples:
        >>> nearest("speach", ["speech", "text"])
        "'speech'? (one of speech, text)"
    """
    names = [str(k) for k in known]
    close = difflib.get_close_matches(name, names, n=1)
    listed = "one of " + ", ".join(names) if names else "nothing"
    return f"{close[0]!r}? ({listed})" if close else listed
