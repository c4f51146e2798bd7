"""A watched process that reads untrusted files, shared by the tests of archives and pickles."""

import pytest

from tests.robustness import guard, openers

SECONDS = 5.0


@pytest.fixture(scope="package")
def guarded():
    with guard.Guard(openers.corpus, "case.npz", SECONDS) as watched:
        yield watched


@pytest.fixture(scope="package")
def baseline(guarded):
    """Memory of the watched process without a case, in bytes."""
    return guarded.check({"case.npz": b"x"}).memory
