"""Signals as requests to save and end."""

import signal
import sys

PREEMPTED = 75
"""Exit status after SIGTERM, once the work is saved: the same command resumes it."""

_STATUS = {"SIGTERM": PREEMPTED, "Ctrl-C": 128 + signal.SIGINT}


class Preemption:
    """Whether a signal asked this process to end; training checks it after each epoch.

    Attributes:
        asked: by what, `SIGTERM` or `Ctrl-C`; empty: not.
        waiting: whether nothing needs to be saved, so that the request is met at once.
    """

    asked = ""
    waiting = False

    @classmethod
    def listen(cls, interrupts: bool = False) -> None:
        """Turns SIGTERM from a signal that ends the process into a request.

        Args:
            interrupts: whether the first Ctrl-C is one, too; the second ends the process.
        """

        def ask(number, _):
            cls.asked = "Ctrl-C" if number == signal.SIGINT else "SIGTERM"
            signal.signal(signal.SIGINT, signal.default_int_handler)
            if cls.waiting:
                cls.check()

        signal.signal(signal.SIGTERM, ask)
        if interrupts:
            signal.signal(signal.SIGINT, ask)

    @classmethod
    def check(cls) -> None:
        """Ends the process with status `PREEMPTED`, or 130 after Ctrl-C, if it was asked to end."""
        if cls.asked:
            print(f"stopped by {cls.asked}; the same command resumes from here", file=sys.stderr)
            sys.exit(_STATUS[cls.asked])
