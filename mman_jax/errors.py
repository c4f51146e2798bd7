"""The one error that a user's input can cause; every other exception is a bug."""

import contextlib
import difflib
from collections.abc import Iterable, Iterator

_LONGEST = 600
"""Characters of the place, of what was found and of what was expected, each."""


class InputError(ValueError):
    """What a user gave cannot be used: where it is, what was found there, what was expected.

    Commands print the message as one line and exit with status 2. It is printable and not long,
    whatever names a file gave: what would steer a terminal is escaped, and long parts are cut.

    Args:
        place: the file, and in it the conversation, the utterance, the modality or the field.
        found: what is there.
        expected: what should be; empty where nothing can be said.

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
        self._given = (str(place), found, expected)

    def __reduce__(self):
        """The error as another process gets it."""
        return type(self), self._given

    @property
    def place(self) -> str:
        """The place, as it was given."""
        return self._given[0]

    def moved(self, place: str) -> "InputError":
        """The same error at another place."""
        return InputError(place, *self._given[1:])


@contextlib.contextmanager
def within(outer: str) -> Iterator[None]:
    """Puts the name of what was read, such as `config`, before the place of an error.

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


def _short(part: object) -> str:
    text = str(part)
    if len(text) > _LONGEST:
        half = _LONGEST // 2
        text = f"{text[:half]} ... {text[-half:]}"
    shown = (c if c.isprintable() or c.isspace() else ascii(c)[1:-1] for c in text)
    return "".join(shown)


def nearest(name: str, known: Iterable[str]) -> str:
    """The known names as a phrase, led by the one that `name` probably meant.

    Examples:
        >>> nearest("speach", ["speech", "text"])
        "'speech'? (one of speech, text)"
    """
    known = [str(k) for k in known]
    close = difflib.get_close_matches(name, known, n=1)
    listed = "one of " + ", ".join(known) if known else "nothing"
    return f"{close[0]!r}? ({listed})" if close else listed
