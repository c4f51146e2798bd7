"""Names of utterances, by which layouts tell the conversation, the order and the speaker."""

import re
from typing import NamedTuple

_IEMOCAP = re.compile(r"((Ses\d\d)[FM]_\w+?)_([FM])(\d{3})")
_MELD = re.compile(r"(?:meld-)?(?:(train|dev|val|valid|test)_)?dia(\d{1,6})_utt(\d{1,6})")
_SEGMENT = re.compile(r"(.+)\[(\d{1,9})\]")
_CLIP = re.compile(r"(.+?)\$_\$(\d{1,9})")
_NUMBERED = re.compile(r"(.+)_(\d{1,9})")
_SAMPLE = re.compile(r"sample[a-z]*\d*_\d+")  # of the MER challenges: clips of anything

MELD_PARTS = {"train": 0, "valid": 1039, "test": 1153}
"""Where the dialogues of MELD's three parts begin in the pickles that number them all."""

PARTS = {"train": "train", "dev": "valid", "val": "valid", "valid": "valid", "test": "test"}
"""The names of parts in public layouts, and what they are called here."""


class Name(NamedTuple):
    """What a name tells.

    Attributes:
        conversation: its id.
        order: the number of the utterance in it, or None where the name has none that orders.
        speaker: or None.
        session: or None.
    """

    conversation: str
    order: int | None
    speaker: str | None = None
    session: str | None = None


def parse(name: str, part: str | None = None, numbered: bool = True) -> Name | None:
    """What a name tells, or None where it is of no known form.

    Known are IEMOCAP's `Ses01F_impro01_F000`, MELD's `dia0_utt0` (with the part before it or as
    an argument), `video$_$clip`, `video[segment]` and, where `numbered`, `video_clip`, split at the
    last `_`. Elsewhere than in corpora of videos a speaker or a sentence may stand before it.
    """
    if match := _IEMOCAP.fullmatch(name):
        conversation, session, speaker, _ = match.groups()
        return Name(conversation, None, f"{session}_{speaker}", session)
    if match := _MELD.fullmatch(name):
        own, dialogue, utterance = match.groups()
        part = PARTS[own] if own else part
        return Name(meld_dialogue(int(dialogue), part), int(utterance))
    match = _CLIP.fullmatch(name) or _SEGMENT.fullmatch(name)
    if match is None and numbered and not _SAMPLE.fullmatch(name):
        match = _NUMBERED.fullmatch(name)
    return Name(match[1], int(match[2])) if match else None


def meld_dialogue(dialogue: int, part: str | None = None) -> str:
    """The id of a dialogue, by its number in a part, or in all where no part is given."""
    return f"{dialogue + MELD_PARTS.get(part or 'train', 0):04d}"
