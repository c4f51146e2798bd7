"""SIGTERM as a request to save and end."""

import signal
import sys

PREEMPTED = 75
"""Exit status after SIGTERM, once the work is saved: the same command resumes it."""


class Preemption:
    """Whether SIGTERM asked this process to end; training checks it after each epoch."""

    asked = False
    waiting = False

    @classmethod
    def listen(cls) -> None:
        """Turns SIGTERM from a signal that ends the process into a request."""

        def ask(*_):
            cls.asked = True
            if cls.waiting:
                cls.check()

        signal.signal(signal.SIGTERM, ask)

    @classmethod
    def check(cls) -> None:
        """Ends the process with status `PREEMPTED` if it was asked to end."""
        if cls.asked:
            print("stopped by SIGTERM; the same command resumes from here", file=sys.stderr)
            sys.exit(PREEMPTED)
