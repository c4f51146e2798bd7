"""Utterances as JSON lines: what somebody who streams a conversation sends, read with care.

A line is `{"conversation": "id", "features": {"speech": [...], "text": [...]}}`; a modality that it
leaves out is missing. `{"conversation": "id", "end": true}` says that a conversation is over. In
place of a list of numbers there may be the base64 text of their float32 bytes, little-endian.
"""

import array
import binascii
import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np

from mman_jax.data.corpus import Corpus
from mman_jax.errors import InputError, nearest

LONGEST = 16 << 20
"""Bytes of a line at most."""

_EXPECTED = '{"conversation": "id", "features": {"<modality>": [numbers]}}, or "end": true for them'


class Turn(NamedTuple):
    """One utterance of a conversation: its [D] float32 features, of the modalities that it has.

    None in their place: the conversation is over.
    """

    conversation: str
    features: dict[str, np.ndarray] | None


def read(lines: Iterable[bytes], dims: Mapping[str, int], source: str) -> Iterator[Turn]:
    """The utterances of a file or a pipe, each as soon as its line is there; empty lines skipped.

    Args:
        lines: bytes, a line each.
        dims: D of each modality that the model was trained on.
        source: what to call them in messages.

    Raises:
        InputError: the number of the line, and what in it is wrong.
    """
    for number, line in enumerate(lines, 1):
        if line.strip():
            yield parse(line, dims, f"{source}: line {number}")


def lines(corpus: Corpus) -> Iterator[str]:
    """The utterances of a corpus as such lines; a modality that one lacks is left out."""
    for index, conversation in enumerate(corpus.conversation_ids):
        whole = corpus.utterances(index)
        for u in range(whole.start, whole.stop):
            there = [m for m in corpus.features if m not in corpus.present or corpus.present[m][u]]
            features = {m: corpus.features[m][u].tolist() for m in there}
            yield json.dumps({"conversation": conversation, "features": features}) + "\n"


def parse(line: bytes, dims: Mapping[str, int], place: str) -> Turn:
    """One utterance, or the end of a conversation.

    Raises:
        InputError: another form, modality or number of features, or one that is not finite.
    """
    if len(line) > LONGEST:
        raise InputError(place, f"{len(line)} bytes", f"at most {LONGEST}")
    try:
        found = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise InputError(place, f"no JSON ({error})", _EXPECTED) from error
    forms = ({"conversation", "features"}, {"conversation", "end"})
    if not isinstance(found, dict) or found.keys() not in forms:
        raise InputError(place, _shape(found), _EXPECTED)
    conversation, given = found["conversation"], found.get("features")
    if not isinstance(conversation, str):
        raise InputError(f"{place}: conversation", _shape(conversation), "printable text")
    if not conversation or not conversation.isprintable():
        raise InputError(f"{place}: conversation", f"{conversation!r:.60}", "printable text")
    if "end" in found:
        if found["end"] is not True:
            raise InputError(f"{place}: end", f"{found['end']!r:.60}", "true")
        return Turn(conversation, None)
    return Turn(conversation, vectors(given, dims, place))


def vectors(given: Any, dims: Mapping[str, int], place: str) -> dict[str, np.ndarray]:
    """The [D] float32 features of one utterance, in the order of `dims`, from what JSON held.

    Args:
        given: lists of numbers, or base64 text, by modality.
        dims: D of each modality that the model was trained on.
        place: for messages.

    Raises:
        InputError: another form, modality or number of features, or one that is not finite.
    """
    if not isinstance(given, dict):
        expected = '{"<modality>": [numbers]}'
        raise InputError(f"{place}: features", f"a {type(given).__name__}", expected)
    for name in given:
        if name not in dims:
            raise InputError(f"{place}: features", f"unknown {name!r:.60}", nearest(name, dims))
    there = {name: size for name, size in dims.items() if name in given}
    return {name: _vector(given[name], name, size, place) for name, size in there.items()}


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
        # Of what is too large infinity, which is refused later.
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
