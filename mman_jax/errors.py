"""The one error that a user's input can cause; every other exception is a bug."""

import difflib
from collections.abc import Iterable


class InputError(ValueError):
    """What a user gave cannot be used: where it is, what was found there, what was expected.

    Commands print the message as one line and exit with status 2.
    """

    def __init__(self, place: object, found: str, expected: str = ""):
        message = f"{place}: {found}"
        if expected:
            message += f"; expected {expected}"
        super().__init__(" ".join(message.split()))
        self._given = (str(place), found, expected)

    def __reduce__(self):
        """The error as another process gets it."""
        return type(self), self._given


def nearest(name: str, known: Iterable[str]) -> str:
    """The known names as a phrase, led by the one that `name` probably meant."""
    known = [str(k) for k in known]
    close = difflib.get_close_matches(name, known, n=1)
    listed = "one of " + ", ".join(known) if known else "nothing"
    return f"{close[0]!r}? ({listed})" if close else listed
