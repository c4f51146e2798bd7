"""Checked conversions of values in public files: names, labels, numbers and vectors."""

import re
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from mman_jax.errors import InputError
from mman_jax.files.arrays import OnDisk

Array = np.ndarray | OnDisk

LARGEST_LABEL = 999

MELD_PARTS = {"train": 0, "valid": 1039, "test": 1153}
"""Number of the first dialogue of each of MELD's parts, in pickles that number all dialogues."""

PARTS = {"train": "train", "dev": "valid", "val": "valid", "valid": "valid", "test": "test"}
"""Parts of a corpus, by their names in public layouts."""

_LONGEST_ID = 1000
_NUMBERS = (int, float, bool)

_IEMOCAP = re.compile(r"((Ses\d\d)[FM]_\w+?)_([FM])(\d{3})")
_MELD = re.compile(r"(?:meld-)?(?:(train|dev|val|valid|test)_)?dia(\d{1,6})_utt(\d{1,6})")
_SEGMENT = re.compile(r"(.+)\[(\d{1,9})\]")
_CLIP = re.compile(r"(.+?)\$_\$(\d{1,9})")
_NUMBERED = re.compile(r"(.+)_(\d{1,9})")
_SAMPLE = re.compile(r"sample[a-z]*\d*_\d+")  # unrelated clips of the MER challenges


class Name(NamedTuple):
    """Information in the name of an utterance.

    Attributes:
        conversation: Id of the conversation.
        order: Number of the utterance in the conversation; None if the name has no such number.
        speaker: Id of the speaker, or None.
        session: Id of the session, or None.
    """

    conversation: str
    order: int | None
    speaker: str | None = None
    session: str | None = None


def parse_name(name: str, part: str | None = None, numbered: bool = True) -> Name | None:
    """Parses the name of an utterance; returns None if its form is unknown.

    Known forms are IEMOCAP's `Ses01F_impro01_F000`, MELD's `dia0_utt0` (with the part as a prefix
    or an argument), `video$_$clip`, `video[segment]` and, if `numbered`, `video_clip`, split at the
    last `_`, which is ambiguous in other corpora than those of videos.
    """
    if match := _IEMOCAP.fullmatch(name):
        conversation, session, speaker, _ = match.groups()
        return Name(conversation, None, f"{session}_{speaker}", session)
    if match := _MELD.fullmatch(name):
        prefix, dialogue, utterance = match.groups()
        part = PARTS[prefix] if prefix else part
        return Name(meld_dialogue(int(dialogue), part), int(utterance))
    match = _CLIP.fullmatch(name) or _SEGMENT.fullmatch(name)
    if match is None and numbered and not _SAMPLE.fullmatch(name):
        match = _NUMBERED.fullmatch(name)
    return Name(match[1], int(match[2])) if match else None


def meld_dialogue(dialogue: int, part: str | None = None) -> str:
    """Returns the id of a dialogue from its number in a part, or across all parts without one."""
    return f"{dialogue + MELD_PARTS.get(part or 'train', 0):04d}"


def clip(value: object, place: str) -> tuple[str, str, int]:
    """Parses a clip's name; returns the name, the video, and the clip's number in it."""
    name = text(next(iter(first_values(value, 1)), None), place)
    parsed = parse_name(name)
    if parsed is None or parsed.order is None:
        raise InputError(place, f"id {name!r:.60}", "video$_$number or video[number]")
    return name, parsed.conversation, parsed.order


class Budget:
    """Limit on the number of values of a pickle, of at least one byte each.

    Without it, a pickle of a few bytes could refer to the same vector any number of times.
    """

    def __init__(self, path: str):
        self._left = Path(path).stat().st_size

    def spend(self, amount: int, place: str) -> None:
        """Raises an InputError if the file is too small for this many more values."""
        self._left -= amount
        if self._left < 0:
            raise InputError(place, "more values than the file holds", "a whole pickle")


def text(value: object, place: str, what: str = "an id") -> str:
    """Converts a text, bytes or an integer to text."""
    if isinstance(value, bytes):
        try:
            value = value.decode()
        except UnicodeDecodeError as error:
            value = error.object.decode("latin1")
    if type(value) not in (str, int) and not isinstance(value, np.str_ | np.integer):
        raise InputError(place, f"a {type(value).__name__} as {what}", "text")
    if isinstance(value, int) and value.bit_length() > 64:
        raise InputError(place, f"an integer of {value.bit_length()} bits as {what}", "64 at most")
    # Names are concatenated, so that a long one would be copied for every utterance.
    if isinstance(value, str) and len(value) > _LONGEST_ID:
        raise InputError(place, f"{what} of {len(value)} characters", f"at most {_LONGEST_ID}")
    return str(value)


def label(value: object, place: str) -> int:
    """Converts a class (from 0, or -1 for none), which may be an integral float, to an integer."""
    expected = f"0 to {LARGEST_LABEL}, or -1"
    if not isinstance(value, int | float | np.integer | np.floating):
        raise InputError(place, f"a {type(value).__name__} as a label", expected)
    if not -1 <= value <= LARGEST_LABEL or value != np.round(value):
        huge = isinstance(value, int) and value.bit_length() > 64  # too long to print
        printable = "int" if huge else value
        raise InputError(place, f"label {printable!s:.40} out of range", expected)
    return int(value)


def vector(value: Any, place: str) -> np.ndarray:
    """Converts an array or a list of numbers to [D] float32."""
    if isinstance(value, np.ndarray):
        valid = value.ndim == 1 and value.dtype.kind in "fiub"
        found = f"{value.dtype} of shape {value.shape}"
    else:
        valid = isinstance(value, list | tuple) and all(type(v) in _NUMBERS for v in value)
        found = f"a {type(value).__name__} of something other than numbers"
    if not valid:
        raise InputError(place, found, "a vector of numbers")
    try:
        with np.errstate(over="ignore"):  # the corpus refuses infinity, and says where
            return np.asarray(value, np.float64).astype(np.float32)
    except OverflowError:
        raise InputError(place, "an integer too large", "float32 features") from None


def array(value: object, place: str, count: int | None = None) -> Array:
    """Checks and returns an array of numbers, [N, T, D] or [N, D]."""
    expected = "an array [N, T, D] of numbers"
    if not isinstance(value, Array):
        raise InputError(place, f"a {type(value).__name__}", expected)
    if value.ndim not in (2, 3) or value.dtype.kind not in "fiu" or not value.shape[-1]:
        raise InputError(place, f"{value.dtype} of shape {value.shape}", expected)
    if count is not None and len(value) != count:
        raise InputError(place, f"{len(value)} utterances", f"{count}, as in the other arrays")
    return value


def sequence(value: Any, place: str, expected: str) -> np.ndarray | list[Any] | tuple[Any, ...]:
    """Checks and returns a list, a tuple or an array with an axis."""
    if not isinstance(value, list | tuple) and not (isinstance(value, np.ndarray) and value.ndim):
        raise InputError(place, f"a {type(value).__name__}", expected)
    return value


def numbers(values: Any, place: str, count: int | None = None) -> np.ndarray:
    """Converts N numbers to [N] float32; without a count, their shape is kept."""
    expected = "one number per utterance"
    wrong = InputError(place, f"a {type(values).__name__} of values that are not numbers", expected)
    # Lists of arrays are excluded, since they may contain one object any number of times.
    if isinstance(values, list | tuple) and not all(type(v) in _NUMBERS for v in values):
        raise wrong
    try:
        wide = np.asarray(values)
        if wide.dtype.kind not in "fiubO":
            raise wrong
        wide = wide.astype(np.float64)
    except (ValueError, TypeError, OverflowError):
        raise wrong from None
    if count is not None and (wide.size != count or wide.shape[:1] != (count,)):
        raise InputError(place, f"shape {wide.shape}", f"{count} numbers, one per utterance")
    with np.errstate(over="ignore"):
        narrow = wide.astype(np.float32)
    if np.isinf(narrow).any():
        raise InputError(place, "an infinite number", "finite numbers, or NaN for none")
    return narrow.reshape(-1) if count is not None else narrow


def lengths(values: object, place: str, count: int, most: int) -> np.ndarray:
    """Converts lengths to [N] int64."""
    sizes = numbers(values, place, count)
    wrong = np.flatnonzero(~((sizes >= 0) & (sizes <= most) & (sizes == np.round(sizes))))
    if len(wrong):
        row = int(wrong[0])
        expected = f"a whole number from 0 to {most}, the padded length"
        raise InputError(f"{place}: row {row}", f"length {sizes[row]:g}", expected)
    return sizes.astype(np.int64)


def first_values(value: Any, most: int) -> list[Any]:
    """Returns the first values of an array or a list, or a single value as a list."""
    if isinstance(value, np.ndarray):
        return value.reshape(-1)[:most].tolist()
    return list(value[:most]) if isinstance(value, list | tuple) else [value]
