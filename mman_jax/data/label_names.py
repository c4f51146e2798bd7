"""Names of labels: IEMOCAP's emotions, their synonyms and counts, and maps to other names."""

import dataclasses
import re
import unicodedata
from collections.abc import Iterable, Iterator, Mapping, Sequence

import numpy as np

from mman_jax.data.corpus import Corpus
from mman_jax.errors import InputError, nearest
from mman_jax.types import UNSCORED

EMOTIONS = ("happy", "sad", "neutral", "angry", "excited", "frustrated")
"""IEMOCAP's six labels, in the order of the public pickles."""

TABLE_1 = {"train": (504, 839, 1324, 933, 742, 1468), "test": (144, 245, 384, 170, 299, 381)}
"""Utterances of each emotion in the paper's Table 1."""

_CONVERSATIONS = {"train": 120, "test": 31}
_SYNONYMS = {
    "hap": "happy", "happiness": "happy", "sadness": "sad", "neu": "neutral", "ang": "angry",
    "anger": "angry", "exc": "excited", "excitement": "excited", "fru": "frustrated",
    "frustration": "frustrated",
}  # fmt: skip
_PLACE = "data.label_map"
_MISSING = frozenset({
    "#N/A", "#NA", "-NaN", "-nan", "<NA>", "N/A", "NA", "NULL", "NaN", "None", "n/a", "nan", "null",
})  # fmt: skip
"""Texts that say that a value is missing, as pandas reads them."""


def emotion(label_name: str) -> str:
    """Returns a label's name in lower case; one of `EMOTIONS` for their synonyms.

    Examples:
        >>> emotion("Sadness"), emotion("Joy")
        ('sad', 'joy')
    """
    lowered = label_name.strip().lower()
    return _SYNONYMS.get(lowered, lowered)


def is_iemocap(corpus: Corpus) -> bool:
    """Returns whether the corpus has IEMOCAP's six labels."""
    return sorted(emotion(name) for name in corpus.label_names) == sorted(EMOTIONS)


def check_table_1(corpus: Corpus) -> str | None:
    """Compares IEMOCAP's standard corpus with the counts of the paper's Table 1.

    The standard corpus has the six labels, ids that start with Ses0, and 120 training and 31 test
    conversations.

    Returns:
        A notice if a count differs; None if all counts agree, or for any other corpus.
    """
    if not is_iemocap(corpus) or corpus.split is None:
        return None
    if not all(name.startswith("Ses0") for name in corpus.conversation_ids):
        return None
    # A validation part is cut from the paper's training set.
    parts = np.array([{"valid": "train"}.get(part, part) for part in corpus.split])
    if any((parts == part).sum() != count for part, count in _CONVERSATIONS.items()):
        return None
    part_of_utterance = np.repeat(parts, corpus.lengths)
    names, wrong = [emotion(name) for name in corpus.label_names], []
    for part, counts in TABLE_1.items():
        labels = corpus.labels[part_of_utterance == part]
        for name, expected in zip(EMOTIONS, counts, strict=True):
            count = int((labels == names.index(name)).sum())
            if count != expected:
                wrong.append(f"{part} {name} {count}, not {expected}")
    if not wrong:
        return None
    place = corpus.source or "corpus"
    return f"{place}: the utterances differ from the paper's Table 1: " + "; ".join(wrong)


def read_map(text: str) -> dict[str, str]:
    """Parses new names of labels such as `joy=happy,contempt=`; an empty name means context only.

    Raises:
        InputError: An entry has no equals sign or no name before it, or a name occurs twice.

    Examples:
        >>> read_map("joy=happy, contempt=")
        {'joy': 'happy', 'contempt': ''}
    """
    names: dict[str, str] = {}
    for entry in filter(None, map(str.strip, text.split(","))):
        name, equals, new = (part.strip() for part in entry.partition("="))
        if not equals or not name:
            raise InputError(_PLACE, f"{entry!r:.60}", "LABEL=CLASS, or LABEL= for context only")
        if name.lower() in map(str.lower, names):
            raise InputError(_PLACE, f"{name!r:.60} twice", "each label once")
        names[name] = new
    return names


def check_map(names: Mapping[str, str], corpora: Sequence[Corpus]) -> None:
    """Checks that every label of a map is in one of the corpora."""
    known = [name for corpus in corpora for name in corpus.label_names]
    lowered = {name.lower() for name in known}
    for name in names:
        if name.lower() not in lowered:
            raise InputError(_PLACE, f"no label {name!r:.60}", nearest(name, dict.fromkeys(known)))


def relabel(corpus: Corpus, names: Mapping[str, str]) -> Corpus:
    """Renames labels, matched without regard to case.

    Labels with the same new name are merged, and their votes are summed. Utterances whose label is
    mapped to an empty name become context only. New names follow the order of the old labels.
    Names that the corpus does not have are ignored (see `check_map`).
    """
    lowered = {name.lower(): new for name, new in names.items()}
    renamed = [lowered.get(name.lower(), name) for name in corpus.label_names]
    if corpus.label_names and not any(renamed):
        place = f"{corpus.source or 'corpus'}: {_PLACE}"
        raise InputError(place, "no label is mapped to a class", "a class for at least one")
    return _renamed(corpus, renamed)


def stated(label_name: str) -> str:
    """Returns a label's name without spaces around it; empty if it says that there is no label.

    Examples:
        >>> stated(" happy"), stated("nan")
        ('happy', '')
    """
    name = label_name.strip()
    return "" if name in _MISSING else name


def cleaned(corpus: Corpus) -> Corpus:
    """Merges labels that differ in surrounding spaces, and removes those that mean "no label".

    The corpus's notes report this, and also labels that differ only in spelling.
    """
    names = [stated(name) for name in corpus.label_names]
    notes = []
    if spaced := [name for name in corpus.label_names if name != name.strip()]:
        notes.append(f"labels: spaces around {_listed(spaced)} are removed")
    if missing := [old for old, new in zip(corpus.label_names, names, strict=True) if not new]:
        notes.append(f"labels: {_listed(missing)} is no label: context only")
    notes += _spellings(dict.fromkeys(filter(None, names)))
    notes = [note for note in notes if note not in corpus.source_notes]
    corpus = _renamed(corpus, names)
    if not notes:
        return corpus
    return dataclasses.replace(corpus, source_notes=(*corpus.source_notes, *notes))


def _spellings(names: Iterable[str]) -> Iterator[str]:
    """Yields notices about names that probably mean the same label, or no label."""
    groups: dict[str, list[str]] = {}
    for name in names:
        folded = re.sub(r"[\s_-]+", " ", unicodedata.normalize("NFKC", name).casefold())
        groups.setdefault(folded if folded.strip(" 0123456789.") else name, []).append(name)
    missing = {name.casefold() for name in _MISSING}
    for folded, several in groups.items():
        if len(several) > 1:
            entries = dict.fromkeys(f"{name.lower()}={several[0]}" for name in several)
            flag = f"config.{_PLACE}={','.join(entries)}"
            yield f"labels {_listed(several)} differ only in spelling: {flag!r} merges them"
        elif folded in missing:
            flag = f"config.{_PLACE}={folded}="
            yield f"label {several[0]!r} is a class: {flag} makes it context only"


def _listed(names: Sequence[str]) -> str:
    return ", ".join(map(repr, names[:12])) + ", ..." * (len(names) > 12)


def _renamed(corpus: Corpus, renamed: Sequence[str]) -> Corpus:
    """Returns the corpus with new names of its labels, as in `relabel`."""
    if list(renamed) == list(corpus.label_names):
        return corpus
    classes = tuple(dict.fromkeys(filter(None, renamed)))
    numbers = [classes.index(name) if name else UNSCORED for name in renamed]
    labels = np.array([*numbers, UNSCORED], np.int32)[corpus.labels]  # -1 takes the last entry
    # Utterances that are context only must not have votes either.
    context = (corpus.labels != UNSCORED) & (labels == UNSCORED)
    sums: dict[str, np.ndarray] = {}
    for name, new in zip(corpus.label_names, renamed, strict=True):
        if name in corpus.votes and new:
            sums[new] = sums.get(new, 0) + np.where(context, 0, corpus.votes[name].astype(np.int64))
    largest = np.iinfo(np.int32).max  # a sum may exceed it
    votes = {name: np.minimum(counts, largest).astype(np.int32) for name, counts in sums.items()}
    return dataclasses.replace(corpus, labels=labels, label_names=classes, votes=votes)
