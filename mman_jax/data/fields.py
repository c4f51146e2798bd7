"""Declarations of a corpus's fields, with the type and the axis of each.

Code that treats all fields alike (checks, selection, digests, the `.npz` form, tables of readers)
uses these declarations, so that a new field needs only one line in `Corpus`.
"""

import dataclasses
from collections.abc import Iterator
from typing import Any

import numpy as np

UTTERANCES, CONVERSATIONS = "utterances", "conversations"
"""Axes along which a field may have one entry each."""

MODALITY, LABEL, NAME = "modality", "label", "name"
"""Kinds of keys of a field with several arrays: modalities, labels, or arbitrary names."""


@dataclasses.dataclass(frozen=True)
class Kind:
    """The declaration of a field.

    Attributes:
        dtype: NumPy type of an array; or str: a tuple of texts; or another class.
        axis: `UTTERANCES`, `CONVERSATIONS`, or empty: another axis.
        rank: Number of axes of an array.
        by: Meaning of the keys, if the field is a dict of such arrays or tuples; otherwise empty.
        unknown: Entry of an utterance or conversation whose value is unknown.
        merged: Whether joining corpora keeps the keys of both, instead of only those of the first.
        column: Name of its column in tables with a row per utterance; empty if there is none.
        trait: Whether scores are grouped by it.
        digested: Whether a missing field is part of the digest; False for fields that were added
            later, so that earlier digests stay valid.
    """

    dtype: type
    axis: str = ""
    rank: int = 1
    by: str = ""
    unknown: Any = None
    merged: bool = False
    column: str = ""
    trait: bool = False
    digested: bool = False

    @property
    def is_text(self) -> bool:
        """Whether the field contains texts."""
        return self.dtype is str

    @property
    def is_array(self) -> bool:
        """Whether the field contains NumPy arrays."""
        return issubclass(self.dtype, np.generic)

    def fill(self, count: int) -> Any:
        """Returns `count` unknown entries."""
        if self.is_text:
            return (self.unknown,) * count
        return np.full(count, self.unknown, self.dtype)

    def concatenate(self, first: Any, second: Any) -> Any:
        """Concatenates two arrays or tuples."""
        return first + second if self.is_text else np.concatenate([first, second])


def declared(dtype: type, axis: str = "", rank: int = 1, by: str = "", **more: Any) -> Any:
    """Returns a required dataclass field; the arguments are those of `Kind`."""
    kind = Kind(dtype, axis, rank, by, digested=True, **more)
    return dataclasses.field(metadata={"kind": kind})


def optional(dtype: type, axis: str = "", rank: int = 1, by: str = "", **more: Any) -> Any:
    """Returns a dataclass field that is None, or an empty dict, by default; see `declared`."""
    metadata = {"kind": Kind(dtype, axis, rank, by, **more)}
    if by:
        return dataclasses.field(default_factory=dict, metadata=metadata)
    return dataclasses.field(default=None, metadata=metadata)


def kinds(owner: Any) -> dict[str, Kind]:
    """Returns the kind of each declared field of a dataclass or of one of its objects."""
    return {x.name: x.metadata["kind"] for x in dataclasses.fields(owner) if "kind" in x.metadata}


def columns(owner: Any) -> dict[str, str]:
    """Returns the name of each declared field with a column, by the name of that column."""
    return {kind.column: name for name, kind in kinds(owner).items() if kind.column}


def entries(owner: Any, name: str, kind: Kind) -> Iterator[tuple[str, Any]]:
    """Iterates over a field's keys with their arrays or tuples; a single array has an empty key."""
    value = getattr(owner, name)
    if kind.by:
        yield from value.items()
    elif value is not None:
        yield "", value


def taken(values: Any, index: Any) -> Any:
    """Selects entries of an array, a tuple or a list, in the order of `index`."""
    if isinstance(values, np.ndarray):
        return values[index]
    return type(values)(values[i] for i in index)
