"""A stream of utterances to a stream of answers, JSON lines both."""

import json
import os
import pathlib
import sys
import time
from collections.abc import Iterator
from typing import Any, BinaryIO, TextIO

from mman_jax.errors import InputError
from mman_jax.files.whole import regular_file, write_whole
from mman_jax.inference import lines as turns
from mman_jax.inference import states
from mman_jax.inference.answerer import Answer, Answerer


def answer_lines(
    answerer: Answerer,
    source: BinaryIO,
    sink: TextIO,
    kept: pathlib.Path | None = None,
    every: float = 10.0,
) -> None:
    """Answers each line as it comes (see `mman_jax.inference.lines`), in its order.

    Of a conversation that is over nothing is kept, and the line that says so comes back; under the
    same id another one may begin.

    The states of the conversations are saved after an answer, `every` so many seconds, and in any
    case at the end, also at one that an exception brings: those after the last answer. Of a process
    that is killed the last save is left: the answer after a save has the further field `saved`, how
    many lines of this call's answers the file holds.

    Args:
        answerer: of a run.
        source: utterances of any number of conversations, in any order.
        sink: gets a line for each, flushed.
        kept: where the states of the conversations are read from, if the file is there, and saved.
        every: seconds between two saves; 0 saves after each answer.

    Raises:
        InputError: a line that cannot be used, after the answers to those before it; or states that
            cannot be.
    """
    of: dict[str, Any] = {}
    owner = states.identity(answerer.models) if kept else ""

    def save():
        if kept:
            write_whole(kept, states.to_bytes(of, owner))

    if kept and regular_file(kept):
        of = states.read(kept, answerer.begin(), owner).states
    save()  # a place that cannot be written: said now
    count, news, last = 0, {}, time.monotonic()
    try:
        for turn in turns.read(lines(source), answerer.dims, "stdin"):
            name = turn.conversation
            if turn.features is None:
                tell({"conversation": name, "end": True}, sink)
                of.pop(name, None)
            else:
                before = of[name] if name in of else answerer.begin()
                after, answer = answerer.step(before, turn.features)
                tell({"conversation": name} | fields(answer) | news, sink)
                of[name], news = after, {}
            count += 1
            if kept and time.monotonic() - last >= every:
                save()
                news, last = {"saved": count}, time.monotonic()
    finally:
        save()


def lines(source: BinaryIO) -> Iterator[bytes]:
    """Lines as soon as they are there; of one without end, no more than is needed to refuse it."""
    return iter(lambda: source.readline(turns.LONGEST + 1), b"")


def fields(answer: Answer) -> dict[str, Any]:
    """An answer as JSON holds it, six decimals as in a file of answers."""
    if answer.values is not None:
        said = {"values": _rounded(answer.values)}
    else:
        said = {"label": answer.label, "probabilities": _rounded(answer.probabilities)}
    if answer.attention is not None:
        said["attention"] = {query: _rounded(keys) for query, keys in answer.attention.items()}
    return said


def tell(said: dict[str, Any], sink: TextIO) -> None:
    """Prints one line, at once.

    Raises:
        InputError: nobody reads any more, or it cannot be written.
    """
    try:
        print(json.dumps(said), file=sink, flush=True)
    except OSError as error:
        if sink is sys.stdout:  # Python would fail once more when it ends and flushes
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, sys.stdout.fileno())
            os.close(nowhere)
        if isinstance(error, BrokenPipeError):
            expected = "one that reads to the end"
            raise InputError("answers", "their reader has gone", expected) from error
        found = f"cannot be written ({error.strerror or error})"
        raise InputError("answers", found, "room for them") from error


def _rounded(values: dict[str, float]) -> dict[str, float]:
    return {name: round(value, 6) for name, value in values.items()}
