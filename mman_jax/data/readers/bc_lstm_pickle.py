"""bc-LSTM's padded pickles of one modality (`*_2way.pickle`): conversations in rows."""

from typing import Any

import numpy as np

from mman_jax.data.readers import items, padded, pooling, table
from mman_jax.errors import InputError

LAYOUT = "bc-LSTM's padded pickle (seven parts)"
FIELDS = ("train", "train labels", "test", "test labels", "most", "train lengths", "test lengths")

_POLARITY = ("negative", "positive")


def recognises(loaded: object) -> bool:
    """Whether a pickle holds this layout."""
    if not isinstance(loaded, list | tuple) or len(loaded) != len(FIELDS):
        return False
    return any(isinstance(loaded[i], padded.Array) and loaded[i].ndim == 3 for i in (0, 2))


def read(place: str, loaded: Any, pool: pooling.How) -> table.Table:
    """The utterances of a loaded pickle; padding stands behind them.

    The file has no ids: a conversation is its part and row, an utterance its position. Its one
    modality is `features`, as nothing in it says which it is.

    Args:
        place: the file.
        loaded: what it holds.
        pool: of no use here: utterances have one vector.

    Raises:
        InputError: the part and row of whatever does not fit.
    """
    del pool
    blocks, labels, conversations, ids, parts = [], [], [], [], []
    for part, (at, labels_at, lengths_at) in {"train": (0, 1, 5), "test": (2, 3, 6)}.items():
        where = f"{place}: part {at} ({FIELDS[at]})"
        array = padded.array(where, loaded[at])
        if array.ndim != 3:
            raise InputError(where, f"shape {array.shape}", "[conversations, utterances, D]")
        count, most = array.shape[:2]
        where = f"{place}: part {labels_at} ({FIELDS[labels_at]})"
        marks = items.numbers(loaded[labels_at], where)
        if marks.ndim == 3 and marks.shape[2] > 1:
            marks = marks.argmax(-1)  # one-hot, as its README says
        if marks.size != count * most:
            found = f"shape {np.shape(loaded[labels_at])}"
            raise InputError(where, found, f"{(count, most)}, as the features")
        marks = marks.reshape(count, most)
        where = f"{place}: part {lengths_at} ({FIELDS[lengths_at]})"
        lengths = padded.lengths(where, loaded[lengths_at], count, most)
        values = np.asarray(array[:])
        for row, length in enumerate(lengths.tolist()):
            name = f"{part}{row:03d}"
            if not length:
                found = "a conversation without utterances"
                raise InputError(f"{where}: row {row}", found, "at least one")
            with np.errstate(over="ignore"):  # the corpus refuses infinity, and says where
                blocks.append(values[row, :length].astype(np.float32))
            conversations += [name] * length
            ids += [str(position) for position in range(length)]
            parts += [part] * length
            labels += [
                items.label(mark, f"{place}: conversation {name}, utterance {position}")
                for position, mark in enumerate(marks[row, :length].tolist())
            ]
    widths = sorted({block.shape[1] for block in blocks})
    if len(widths) > 1:
        found = f"{' and '.join(map(str, widths))} features in train and test"
        raise InputError(place, found, "as many in both")
    classes, names = table.numbered(np.array(labels), f"{place}: labels")
    return table.Table(
        place=place,
        layout=LAYOUT,
        conversation_ids=conversations,
        utterance_ids=ids,
        labels=classes,
        label_names=_POLARITY if len(names) <= len(_POLARITY) else names,
        features={"features": np.concatenate(blocks)},
        split=parts,
        notes=["no ids in the file: conversations are named by part and row"],
    )
