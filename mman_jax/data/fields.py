"""Fields of a corpus: what each one holds and along which axis, declared once in `Corpus`.

Whatever treats all fields alike (checks, selection, digests, the `.npz` form, tables of readers)
reads these declarations, so a new field is one line.
"""

import dataclasses
from collections.abc import Callable, Collection, Iterator, Sequence
from typing import Any

import numpy as np

UTTERANCES, CONVERSATIONS = "utterances", "conversations"
"""Axes along which a field may have an entry each."""

MODALITY, LABEL, NAME = "modality", "label", "name"
"""What the keys of a field with several arrays are: a modality, a label, or a name of its own."""


@dataclasses.dataclass(frozen=True)
class Kind:
    """The declaration of a field.

    Attributes:
        dtype: Of an array, or str: a tuple of texts; or another class.
        axis: `UTTERANCES`, `CONVERSATIONS`, or empty: an axis of its own.
        rank: Number of axes of an array.
        by: What its keys are if it is a dict of such arrays (or tuples), one for each; else empty.
        unknown: Entry of an utterance or conversation of which nothing is known.
    """

    dtype: type
    axis: str = ""
    rank: int = 1
    by: str = ""
    unknown: Any = None

    @property
    def is_text(self) -> bool:
        """Whether it holds texts."""
        return self.dtype is str

    @property
    def is_array(self) -> bool:
        """Whether it holds NumPy arrays."""
        return issubclass(self.dtype, np.generic)


def declared(dtype: type, axis: str = "", rank: int = 1, by: str = "", unknown: Any = None) -> Any:
    """Returns a dataclass field of this `Kind` that must be given."""
    return dataclasses.field(metadata={"kind": Kind(dtype, axis, rank, by, unknown)})


def optional(dtype: type, axis: str = "", rank: int = 1, by: str = "", unknown: Any = None) -> Any:
    """Returns a dataclass field of this `Kind`; by default it is None, or an empty dict."""
    metadata = {"kind": Kind(dtype, axis, rank, by, unknown)}
    if by:
        return dataclasses.field(default_factory=dict, metadata=metadata)
    return dataclasses.field(default=None, metadata=metadata)


def kinds(of: Any) -> dict[str, Kind]:
    """Returns the kind of each declared field of a dataclass or of one of its objects."""
    return {x.name: x.metadata["kind"] for x in dataclasses.fields(of) if "kind" in x.metadata}


def entries(owner: Any, name: str, kind: Kind) -> Iterator[tuple[str, Any]]:
    """Iterates over a field's arrays (or tuples), each with its key, empty where there is one."""
    value = getattr(owner, name)
    if kind.by:
        yield from value.items()
    elif value is not None:
        yield "", value


def mapped(
    owner: Any, function: Callable[[Kind, Any], Any], without: Collection[str] = ()
) -> dict[str, Any]:
    """Applies a function to each array (or tuple) of all declared fields.

    Args:
        owner: A corpus, or another dataclass of declared fields.
        function: From a kind and an array to what takes its place.
        without: Names of fields that are left out of the result.

    Returns:
        Values of fields by name, for `dataclasses.replace`.
    """
    found: dict[str, Any] = {}
    for name, kind in kinds(owner).items():
        if name in without:
            continue
        made = {key: function(kind, value) for key, value in entries(owner, name, kind)}
        found[name] = made if kind.by else made.get("")
    return found


def taken(values: Any, index: Sequence[int] | np.ndarray) -> Any:
    """Selects entries of an array, a tuple or a list, in this order."""
    if isinstance(values, np.ndarray):
        return values[index]
    return type(values)(values[i] for i in index)
