"""Public layouts that are known by their content but not read: what they are, and what to do."""

import re
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np

from mman_jax.errors import InputError

ADVICE = (
    "a corpus as .npz, which a few lines of Python write (see docs/arrays.md): one vector a "
    "modality and utterance, class labels from 0; reading this layout is not built yet"
)

_MELD = "MELD's pickles of conv-emotion, MMGCN and MM-DFN (MELD_features_raw)"
_BY_SHAPE = {
    # A letter a part, see `_letter`.
    r"s[sv]nvvsiin": _MELD,
    r"s[sv]nvvvsiin": _MELD,
    r"s[sv]nvvvvvvsii.?": "SDT (RoBERTa in four parts, audio, visual)",
    r"[sv]nn?vvvvsiii": "COSMIC and M3NET (RoBERTa in four parts, no audio or visual)",
    r"[sv]nn?siii": "COSMIC without features",
    r"s[sv]fvvvsii": "AVEC with float labels (regression is not supported: bin them into classes)",
    r"[sv]..[nv][nv]?n?iii": "DailyDialog's pickle of conv-emotion",
}


def refuse(path: Path, loaded: object) -> None:
    """Nothing, unless what a pickle holds is of a layout that is known and not read.

    Raises:
        InputError: naming the layout and what to do.
    """
    name = name_of(loaded)
    if name:
        raise InputError(path, f"the layout of {name}", ADVICE)


def refuse_folder(folder: Path) -> None:
    """The same of a folder, by what lies in it.

    Raises:
        InputError: naming the layout and what to do.
    """
    name = ""
    if _has(folder, "features/*-UTT", "features/*-FRA"):
        name = "MERBench (features/<encoder>-UTT and label*.npz)"
    elif _has(folder, *(up + "*_fold_*.json*" for up in ("", "fold_*/", "*/fold_*/"))):
        name = "EmoBox (fold_<k> with JSON lists of clips, no features)"
    elif _has(folder, "*.npy"):
        name = "emotion2vec (.npy, a row a frame or a file an utterance)"
    if name:
        raise InputError(folder, f"the layout of {name}", ADVICE)


def name_of(loaded: object) -> str:
    """The layout of what a pickle holds, or an empty string where it is none of these."""
    if isinstance(loaded, dict):
        return _of_dict(loaded)
    if not isinstance(loaded, list | tuple) or not loaded:
        return ""
    if len(loaded) == 7 and isinstance(loaded[0], np.ndarray) and loaded[0].ndim == 3:
        return "bc-LSTM's padded pickles (*_2way.pickle)"
    if len(loaded) == 3 and all(_vectors_by_id(part) for part in loaded):
        return "MELD.Features.Models (train, validation and test dicts of vectors)"
    first = loaded[0]
    if isinstance(first, list | tuple) and len(first) == 3 and isinstance(first[0], list | tuple):
        return "MISA and MMIM (a list of words, visual and acoustic, label and segment)"
    if not 6 <= len(loaded) <= 13:
        return ""
    letters = "".join(_letter(part) for part in loaded)
    for pattern, name in _BY_SHAPE.items():
        if re.fullmatch(pattern, letters):
            return name
    return ""


def _has(folder: Path, *patterns: str) -> bool:
    return any(True for pattern in patterns for _ in folder.glob(pattern))


def _of_dict(loaded: Mapping[object, object]) -> str:
    for part in (*map(loaded.get, ("train", "valid", "dev", "test")), loaded):
        if not isinstance(part, dict) or not part.keys() & {"vision", "audio", "text"}:
            continue
        if part.keys() & {"regression_labels", "text_bert", "annotations"}:
            return "MMSA (train, valid and test with padded text, audio, vision)"
        if "labels" in part:
            return "Multimodal-Transformer and MultiBench (padded vision, audio, text)"
    return ""


def _vectors_by_id(part: object) -> bool:
    value = next(iter(part.values()), None) if isinstance(part, dict) else None
    return isinstance(value, np.ndarray) and value.ndim in (1, 2) and value.dtype.kind == "f"


def _letter(part: object) -> str:
    """What a part holds: s text, n whole numbers, f others, v vectors by conversation; i ids."""
    if isinstance(part, set | frozenset | list | tuple):
        return "i"
    if not isinstance(part, dict):
        return "."
    kinds = [_kind(item) for item in _some_items(part)]
    # Most of them: one wrong label does not make another layout.
    return max(set(kinds), key=kinds.count) if kinds else "."


def _kind(item: object) -> str:
    if isinstance(item, str | bytes):
        return "s"
    if isinstance(item, int | np.integer):  # of any size, which floating point has not
        return "n"
    if isinstance(item, float | np.floating):
        return "f" if item != np.floor(item) else "n"
    return "v" if isinstance(item, np.ndarray | list | tuple) else "."


def _some_items(part: Mapping[object, object]) -> Iterator[object]:
    """The first few items of the first few conversations."""
    for _, values in zip(range(5), part.values(), strict=False):
        if isinstance(values, list | tuple) or (isinstance(values, np.ndarray) and values.ndim):
            yield from values[:5]
