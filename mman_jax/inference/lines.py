"""A stream of utterances and its answers, as JSON lines.

A line is `{"conversation": "id", "features": {"speech": [...], "text": [...]}}`; a modality that it
leaves out is missing. `{"conversation": "id", "end": true}` says that a conversation is over. In
place of a list of numbers there may be the base64 text of their float32 bytes, little-endian.
"""

import array
import binascii
import json
import os
import pathlib
import sys
import time
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, BinaryIO, NamedTuple, TextIO

import numpy as np

from mman_jax.data.corpus import Corpus
from mman_jax.errors import InputError, nearest
from mman_jax.files.whole import regular_file, write_whole
from mman_jax.inference import states
from mman_jax.inference.answerer import Answer, Answerer

LONGEST = 16 << 20
"""Bytes of a line at most."""

_EXPECTED = '{"conversation": "id", "features": {"<modality>": [numbers]}}, or "end": true for them'


class Turn(NamedTuple):
    """One utterance of a conversation.

    Attributes:
        conversation: its id.
        features: [D] float32 of the modalities that are present; None: the conversation is over.
    """

    conversation: str
    features: dict[str, np.ndarray] | None


def answer_lines(
    answerer: Answerer,
    source: BinaryIO,
    sink: TextIO,
    path: pathlib.Path | None = None,
    every: float = 10.0,
) -> None:
    """Answers each line when it arrives, in order.

    When a conversation is over, its state is dropped and the line that says so is echoed; its id
    may be used again.

    The states of the conversations are saved after an answer, at most every `every` seconds, and at
    the end, even if an exception ends the stream: then they are those after the last answer. The
    first answer after a save has the further field `saved`, the number of lines of this call's
    answers that the file covers, so that a stream whose process is killed can resume from there.

    Args:
        answerer: of a run.
        source: utterances of any number of conversations, in any order.
        sink: gets a line for each, flushed.
        path: where the states of the conversations are saved, and read from if the file exists.
        every: seconds between two saves; 0 saves after each answer.

    Raises:
        InputError: a line that cannot be used, after the answers to those before it; or states that
            cannot be.
    """
    known: dict[str, Any] = {}
    owner = states.identity(answerer.models) if path else ""

    def save() -> None:
        if path:
            write_whole(path, states.to_bytes(known, owner))

    if path and regular_file(path):
        known = states.read(path, answerer.begin(), owner).states
    save()  # a path that cannot be written is reported now
    count, last = 0, time.monotonic()
    saved: dict[str, int] = {}
    try:
        # Of an endless line no more is read than is needed to refuse it.
        arriving = iter(lambda: source.readline(LONGEST + 1), b"")
        for turn in read(arriving, answerer.dims, "stdin"):
            name = turn.conversation
            if turn.features is None:
                write({"conversation": name, "end": True}, sink)
                known.pop(name, None)
            else:
                before = known[name] if name in known else answerer.begin()
                after, answer = answerer.step(before, turn.features)
                write({"conversation": name} | fields(answer) | saved, sink)
                known[name], saved = after, {}
            count += 1
            if path and time.monotonic() - last >= every:
                save()
                saved, last = {"saved": count}, time.monotonic()
    finally:
        save()


def fields(answer: Answer) -> dict[str, Any]:
    """Returns an answer as JSON holds it, with six decimals as in a file of answers."""
    if answer.values is not None:
        found: dict[str, Any] = {"values": _rounded(answer.values)}
    else:
        found = {"label": answer.label, "probabilities": _rounded(answer.probabilities)}
    if answer.attention is not None:
        found["attention"] = {query: _rounded(keys) for query, keys in answer.attention.items()}
    return found


def write(values: Mapping[str, Any], sink: TextIO) -> None:
    """Writes one line, and flushes it.

    Raises:
        InputError: the reader has gone, or the line cannot be written.
    """
    try:
        print(json.dumps(values), file=sink, flush=True)
    except OSError as error:
        if sink is sys.stdout:  # Python would fail once more when it exits and flushes
            null = os.open(os.devnull, os.O_WRONLY)
            os.dup2(null, sys.stdout.fileno())
            os.close(null)
        if isinstance(error, BrokenPipeError):
            expected = "one that reads to the end"
            raise InputError("answers", "their reader has gone", expected) from error
        found = f"cannot be written ({error.strerror or error})"
        raise InputError("answers", found, "room for them") from error


def read(lines: Iterable[bytes], dims: Mapping[str, int], source: str) -> Iterator[Turn]:
    """Yields the utterances of a file or a pipe as their lines arrive; skips empty lines.

    Args:
        lines: bytes, a line each.
        dims: D of each modality that the model was trained on.
        source: its name in messages.

    Raises:
        InputError: the number of the line, and what in it is wrong.
    """
    for number, line in enumerate(lines, 1):
        if line.strip():
            yield parse(line, dims, f"{source}: line {number}")


def lines(corpus: Corpus) -> Iterator[str]:
    """Yields the utterances of a corpus as such lines, without the modalities that one lacks."""
    for index, conversation in enumerate(corpus.conversation_ids):
        utterances = corpus.utterances(index)
        for u in range(utterances.start, utterances.stop):
            there = [m for m in corpus.features if m not in corpus.present or corpus.present[m][u]]
            features = {m: corpus.features[m][u].tolist() for m in there}
            yield json.dumps({"conversation": conversation, "features": features}) + "\n"


def parse(line: bytes, dims: Mapping[str, int], place: str) -> Turn:
    """Returns one utterance, or the end of a conversation.

    Raises:
        InputError: another form, modality or number of features, or one that is not finite.
    """
    if len(line) > LONGEST:
        raise InputError(place, f"{len(line)} bytes", f"at most {LONGEST}")
    try:
        value = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise InputError(place, f"no JSON ({error})", _EXPECTED) from error
    forms = ({"conversation", "features"}, {"conversation", "end"})
    if not isinstance(value, dict) or value.keys() not in forms:
        raise InputError(place, _shape(value), _EXPECTED)
    conversation = value["conversation"]
    if not isinstance(conversation, str):
        raise InputError(f"{place}: conversation", _shape(conversation), "printable text")
    if not conversation or not conversation.isprintable():
        raise InputError(f"{place}: conversation", f"{conversation!r:.60}", "printable text")
    if "features" in value:
        return Turn(conversation, vectors(value["features"], dims, place))
    if value["end"] is not True:
        raise InputError(f"{place}: end", f"{value['end']!r:.60}", "true")
    return Turn(conversation, None)


def vectors(values: Any, dims: Mapping[str, int], place: str) -> dict[str, np.ndarray]:
    """Returns the [D] float32 features of one utterance, in the order of `dims`.

    Args:
        values: what JSON held: lists of numbers, or base64 text, by modality.
        dims: D of each modality that the model was trained on.
        place: for messages.

    Raises:
        InputError: another form, modality or number of features, or one that is not finite.
    """
    if not isinstance(values, dict):
        expected = '{"<modality>": [numbers]}'
        raise InputError(f"{place}: features", f"a {type(values).__name__}", expected)
    for name in values:
        if name not in dims:
            raise InputError(f"{place}: features", f"unknown {name!r:.60}", nearest(name, dims))
    there = {name: size for name, size in dims.items() if name in values}
    return {name: _vector(values[name], name, size, place) for name, size in there.items()}


def _rounded(values: Mapping[str, float]) -> dict[str, float]:
    return {name: round(value, 6) for name, value in values.items()}


def _vector(values: Any, name: str, size: int, place: str) -> np.ndarray:
    where = f"{place}: modality {name}"
    if isinstance(values, str):
        vector = _decoded(values, where)
    elif not isinstance(values, list):
        raise InputError(where, _shape(values), f"a list of {size} numbers")
    else:
        vector = _numbers(values, size, where)
    if len(vector) != size:
        raise InputError(where, f"{len(vector)} features", f"the {size} of the model")
    if np.count_nonzero(np.isfinite(vector)) < size:  # as `all`, in a third of its time
        column = int(np.flatnonzero(~np.isfinite(vector))[0])
        raise InputError(where, f"{vector[column]} in column {column}", "finite features")
    return vector


def _numbers(values: list[Any], size: int, where: str) -> np.ndarray:
    try:
        if bool in map(type, values):  # which an array would take for 0 or 1
            raise TypeError
        # Numbers that are too large become infinite, and are refused later.
        return np.frombuffer(array.array("f", values), np.float32)
    except TypeError:
        raise InputError(where, _shape(values), f"a list of {size} numbers") from None
    except OverflowError:
        raise InputError(where, "an integer too large", "float32 features") from None


def _decoded(text: str, where: str) -> np.ndarray:
    try:
        return np.frombuffer(binascii.a2b_base64(text, strict_mode=True), "<f4")
    except (binascii.Error, ValueError) as error:
        raise InputError(where, f"no base64 of float32 ({error})", "numbers") from error


def _shape(value: Any) -> str:
    if isinstance(value, dict):
        return f"an object of {', '.join(map(repr, list(value)[:4]))}"[:200] or "{}"
    return "nothing" if value is None else f"a {type(value).__name__}"
