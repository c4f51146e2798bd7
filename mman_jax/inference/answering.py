"""A stream of utterances to a stream of answers, JSON lines both."""

import json
import os
import pathlib
import sys
from collections.abc import Iterator
from typing import Any, BinaryIO, TextIO

from mman_jax.errors import InputError
from mman_jax.files.whole import write_whole
from mman_jax.inference import lines as turns
from mman_jax.inference import states
from mman_jax.inference.answerer import Answer, Answerer


def answer_lines(
    answerer: Answerer,
    source: BinaryIO,
    sink: TextIO,
    kept: pathlib.Path | None = None,
) -> None:
    """Answers each line as it comes (see `mman_jax.inference.lines`), in its order.

    Of a conversation that is over nothing is kept, and the line that says so comes back; under the
    same id another one may begin.

    Args:
        answerer: of a run.
        source: utterances of any number of conversations, in any order.
        sink: gets a line for each, flushed.
        kept: where the states of the conversations are read from, if the file is there, and written
            to at the end, also one that a bad line brings: those after the last answer.

    Raises:
        InputError: a line that cannot be used, after the answers to those before it; or states that
            cannot be.
    """
    of: dict[str, Any] = {}
    owner = states.identity(answerer.models) if kept else ""
    if kept:
        of = states.read(kept, answerer.begin(), owner) if kept.exists() else {}
        write_whole(kept, states.to_bytes(of, owner))  # a place that cannot be written: said now
    try:
        for turn in turns.read(lines(source), answerer.dims, "stdin"):
            if turn.features is None:
                of.pop(turn.conversation, None)
                tell({"conversation": turn.conversation, "end": True}, sink)
                continue
            before = of[turn.conversation] if turn.conversation in of else answerer.begin()
            after, answer = answerer.step(before, turn.features)
            tell({"conversation": turn.conversation} | fields(answer), sink)
            of[turn.conversation] = after
    finally:
        if kept:
            write_whole(kept, states.to_bytes(of, owner))


def lines(source: BinaryIO) -> Iterator[bytes]:
    """Lines as soon as they are there; of one without end, no more than is needed to refuse it."""
    return iter(lambda: source.readline(turns.LONGEST + 1), b"")


def fields(answer: Answer) -> dict[str, Any]:
    """An answer as JSON holds it, six decimals as in a file of answers."""
    said = {"label": answer.label, "probabilities": _rounded(answer.probabilities)}
    if answer.attention is not None:
        said["attention"] = {query: _rounded(keys) for query, keys in answer.attention.items()}
    return said


def tell(said: dict[str, Any], sink: TextIO) -> None:
    """Prints one line, at once.

    Raises:
        InputError: nobody reads any more.
    """
    try:
        print(json.dumps(said), file=sink, flush=True)
    except BrokenPipeError as error:
        if sink is sys.stdout:  # Python would fail once more when it ends and flushes
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise InputError("answers", "their reader has gone", "one that reads to the end") from error


def _rounded(values: dict[str, float]) -> dict[str, float]:
    return {name: round(value, 6) for name, value in values.items()}
