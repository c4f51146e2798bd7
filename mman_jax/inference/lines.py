"""Streams of utterances and of predictions, as JSON lines.

A line is `{"conversation": "id", "features": {"speech": [...], "text": [...]}}`; omitted modalities
are missing. `"speaker": "name"` may be added: a model that scales features by speaker uses the past
turns of the speaker in the conversation; without it, a conversation has one speaker.
`{"conversation": "id", "end": true}` ends a conversation. Features are lists of numbers, or base64
text of their little-endian float32 bytes.
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

import jax
import numpy as np

from mman_jax.data import speakers
from mman_jax.data.corpus import Corpus
from mman_jax.errors import InputError, nearest
from mman_jax.files.whole import regular_file
from mman_jax.inference.answerer import Answer, Answerer, read_states, write_states

LONGEST = 16 << 20
"""Largest number of bytes of a line."""

_EXPECTED = '{"conversation": "id", "features": {"<modality>": [numbers]}}, or "end": true for them'


class Turn(NamedTuple):
    """One utterance of a conversation; without features, its end."""

    conversation: str
    features: dict[str, np.ndarray] | None  # [D] float32 of each present modality
    speaker: str = ""  # empty if the conversation has one speaker


def answer_lines(
    answerer: Answerer,
    source: BinaryIO,
    sink: TextIO,
    path: pathlib.Path | None = None,
    every: float = 10.0,
) -> None:
    """Predicts each line as it arrives, in order.

    The end of a conversation discards its state, and its line is echoed; the id may be reused.

    The states of the conversations are saved after a prediction, at most every `every` seconds, and
    at the end, even if an exception ends the stream; they are then those after the last prediction.
    The first output line after a save has an additional field `saved`, the number of output lines
    of this call that the file covers, from which the stream can resume if its process is killed.

    Args:
        answerer: the models of a run.
        source: utterances of any number of conversations, in any order.
        sink: receives one line per input line, flushed.
        path: file of the conversations' states, which are read from it if it exists.
        every: seconds between two saves; 0 saves after each prediction.

    Raises:
        InputError: a line (all lines before it are predicted) or the file of states is invalid.
    """
    known: dict[str, Any] = {}

    def save() -> None:
        if path:
            states = [jax.tree.map(np.asarray, state) for state in known.values()]
            stacked = jax.tree.map(lambda *x: np.stack(x), *states) if states else None
            write_states(path, list(known), stacked, answerer.identity)

    if path and regular_file(path):
        names, states, _ = read_states(path, answerer.begin(), answerer.identity)
        known = {n: jax.tree.map(lambda x, i=i: x[i], states) for i, n in enumerate(names)}
    save()  # a path that cannot be written is reported now
    count, last = 0, time.monotonic()
    saved: dict[str, int] = {}
    try:
        # Only as much of an endless line is read as is needed to reject it.
        arriving = iter(lambda: source.readline(LONGEST + 1), b"")
        for turn in read(arriving, answerer.dims, "stdin"):
            name = turn.conversation
            if turn.features is None:
                write({"conversation": name, "end": True}, sink)
                known.pop(name, None)
            else:
                before = known[name] if name in known else answerer.begin()
                after, answer = answerer.step(before, turn.features, turn.speaker)
                write({"conversation": name} | fields(answer) | saved, sink)
                known[name], saved = after, {}
            count += 1
            if path and time.monotonic() - last >= every:
                save()
                saved, last = {"saved": count}, time.monotonic()
    finally:
        save()


def fields(answer: Answer) -> dict[str, Any]:
    """Converts an answer to JSON fields, with six decimals as in a file of predictions."""
    empty = {"label": answer.label or None, "unfamiliar": answer.unfamiliar or None}
    return _rounded(answer._asdict() | empty)


def _rounded(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _rounded(x) for name, x in value.items() if x is not None}
    return round(value, 6) if isinstance(value, float) else value


def write(values: Mapping[str, Any], sink: TextIO) -> None:
    """Writes one line and flushes it, or raises an InputError if this fails."""
    try:
        print(json.dumps(values), file=sink, flush=True)
    except OSError as error:
        if sink is sys.stdout:  # otherwise Python fails again when it flushes at exit
            null = os.open(os.devnull, os.O_WRONLY)
            os.dup2(null, sys.stdout.fileno())
            os.close(null)
        if isinstance(error, BrokenPipeError):
            expected = "one that reads to the end"
            raise InputError("answers", "their reader has closed the pipe", expected) from error
        found = f"cannot be written ({error.strerror or error})"
        raise InputError("answers", found, "room for them") from error


def read(lines: Iterable[bytes], dims: Mapping[str, int], source: str) -> Iterator[Turn]:
    """Yields the utterances of the lines of a source as they arrive, see `parse`."""
    for number, line in enumerate(lines, 1):
        if line.strip():
            yield parse(line, dims, f"{source}: line {number}")


def lines(corpus: Corpus) -> Iterator[str]:
    """Yields the utterances of a corpus as input lines, without missing modalities."""
    for index, conversation in enumerate(corpus.conversation_ids):
        utterances = corpus.utterances(index)
        for u in range(utterances.start, utterances.stop):
            there = [m for m in corpus.features if m not in corpus.present or corpus.present[m][u]]
            line: dict[str, Any] = {"conversation": conversation}
            line |= {"features": {m: corpus.features[m][u].tolist() for m in there}}
            (speaker,) = speakers.names(corpus, slice(u, u + 1))
            yield json.dumps(line | ({"speaker": speaker} if speaker else {})) + "\n"


def parse(line: bytes, dims: Mapping[str, int], place: str) -> Turn:
    """Parses an utterance, or the end of a conversation.

    Args:
        dims: D of each modality that the model was trained on.
        place: place of the line, for messages.

    Raises:
        InputError: the form, a modality or the number of features is invalid, or a feature is not
            finite.
    """
    if len(line) > LONGEST:
        raise InputError(place, f"{len(line)} bytes", f"at most {LONGEST}")
    try:
        value = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise InputError(place, f"no JSON ({error})", _EXPECTED) from error
    forms = ({"conversation", "features"}, {"conversation", "end"})
    if not isinstance(value, dict) or value.keys() - {"speaker"} not in forms:
        raise InputError(place, _shape(value), _EXPECTED)
    conversation = check_name(value["conversation"], f"{place}: conversation")
    if "features" in value:
        speaker = ""
        if "speaker" in value:
            speaker = check_name(value["speaker"], f"{place}: speaker")
        return Turn(conversation, vectors(value["features"], dims, place), speaker)
    if value["end"] is not True:
        raise InputError(f"{place}: end", f"{value['end']!r:.60}", "true")
    return Turn(conversation, None)


def check_name(value: Any, place: str) -> str:
    """Returns the name of a conversation or a speaker, if it is printable text."""
    if not isinstance(value, str) or not value or not value.isprintable():
        found = f"{value!r:.60}" if isinstance(value, str) else _shape(value)
        raise InputError(place, found, "printable text")
    return value


def vectors(values: Any, dims: Mapping[str, int], place: str) -> dict[str, np.ndarray]:
    """Returns the [D] float32 features of one utterance, in the order of `dims`; see `parse`.

    `values` is parsed JSON: lists of numbers, or base64 text, by modality.
    """
    if not isinstance(values, dict):
        expected = '{"<modality>": [numbers]}'
        raise InputError(f"{place}: features", f"a {type(values).__name__}", expected)
    for name in values:
        if name not in dims:
            raise InputError(f"{place}: features", f"unknown {name!r:.60}", nearest(name, dims))
    there = {name: size for name, size in dims.items() if name in values}
    return {name: _vector(values[name], name, size, place) for name, size in there.items()}


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
    if np.count_nonzero(np.isfinite(vector)) < size:  # three times as fast as `all`
        column = int(np.flatnonzero(~np.isfinite(vector))[0])
        raise InputError(where, f"{vector[column]} in column {column}", "finite features")
    return vector


def _numbers(values: list[Any], size: int, where: str) -> np.ndarray:
    try:
        if bool in map(type, values):  # which `array` would convert to 0 or 1
            raise TypeError
        # Numbers that are too large become infinite, and are rejected later.
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
