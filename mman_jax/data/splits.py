"""Splits: which conversations train, which pick the epoch, and which are scored."""

import dataclasses
import re

import numpy as np

from mman_jax.data import groups, leaks
from mman_jax.data.corpus import Corpus
from mman_jax.errors import InputError, nearest

FRACTION = 5
"""One conversation in this many is held out, where nothing better than chance decides."""

SPLITS = ("raven",)
"""Splits that are known by a name."""

_RAVEN = {"train": ("Ses03", "Ses04", "Ses05"), "valid": ("Ses02",), "test": ("Ses01",)}


@dataclasses.dataclass(frozen=True, eq=False)
class Split:
    """Conversation indices of the three parts, int64, ascending and disjoint.

    Attributes:
        train: what is learnt from; statistics too.
        valid: what picks the epoch.
        test: what is scored; empty in the folds inside a training part (see `folds.inner`).
        how: one sentence for people: how each part was chosen.
        notices: sentences for people: what stands in two parts (see `leaks`).
    """

    train: np.ndarray
    valid: np.ndarray
    test: np.ndarray
    how: str
    notices: tuple[str, ...] = ()


def split(corpus: Corpus, name: str = "") -> Split:
    """The corpus's own split, with what it lacks held out by a fixed rule.

    Held out is the last of the sessions; or, without sessions, whole groups of conversations
    that share speakers; or a fixed fifth. The rules look at ids alone, so neither the order of
    a file nor a seed changes the outcome.

    Args:
        corpus: what is split.
        name: of `SPLITS`, in place of the corpus's own. `raven` is for IEMOCAP: sessions 3 to 5
            train, 2 validates and 1 tests, as for the systems that the paper's Table 3 cites.

    Raises:
        InputError: a part would be empty, or whole conversations lie in two parts (see `leaks`); a
            name that is unknown, or a corpus that is not what the name is for.
    """
    if name:
        return _named(corpus, name)
    place = f"{corpus.source or 'corpus'}: split"
    everything = np.arange(len(corpus.lengths))
    if corpus.split is None:
        sessions = set(corpus.sessions or ())
        test, why = _hold_out(corpus, everything, by_session=len(sessions) >= 3)
        rest = np.setdiff1d(everything, test)
        valid, how = _hold_out(corpus, rest)
        train = np.setdiff1d(rest, valid)
        how = f"test: {why}; validation: {how}"
    else:
        parts = np.array(corpus.split)
        train, valid, test = (np.flatnonzero(parts == p) for p in ("train", "valid", "test"))
        how = "train, validation and test as the corpus gives them"
        if not len(valid) and len(train):
            whole = train
            valid, why = _hold_out(corpus, whole)
            train = np.setdiff1d(whole, valid)
            how = f"train and test as the corpus gives them; validation: {why}"
    for name, part in (("train", train), ("valid", valid), ("test", test)):
        if not len(part):
            found = f"an empty split: no conversation in {name}"
            raise InputError(place, found, "at least one in each of train, valid and test")
    notices = leaks.check(corpus, {"train": train, "valid": valid, "test": test})
    return Split(train, valid, test, how, notices)


def _named(corpus: Corpus, name: str) -> Split:
    if name not in SPLITS:
        raise InputError("data.split", f"unknown {name!r}", nearest(name, SPLITS))
    five = sorted(session for sessions in _RAVEN.values() for session in sessions)
    sessions = list(corpus.sessions or ())
    if sorted(set(sessions)) != five:
        # As in the public files, whose sessions are the beginnings of these ids.
        found = [re.match(r"Ses0\d(?=[FM_])", name) for name in corpus.conversation_ids]
        sessions = [match[0] for match in found if match]
    if sorted(set(sessions)) != five or len(sessions) != len(corpus.lengths):
        what = f"{name}, for {corpus.source or 'a corpus'} of other sessions than IEMOCAP's"
        raise InputError("data.split", what, f"conversations of {', '.join(five)}")
    parts = {part: np.flatnonzero(np.isin(sessions, chosen)) for part, chosen in _RAVEN.items()}
    how = f"{name}: sessions 3 to 5 train, session 2 validates, session 1 tests"
    return Split(**parts, how=how, notices=leaks.check(corpus, parts))


def _hold_out(corpus: Corpus, among: np.ndarray, by_session: bool = True) -> tuple[np.ndarray, str]:
    """Some of these conversations and the reason in words; none where there is but one."""
    if len(among) < 2:
        return among[:0], "nothing to hold out"
    if by_session and corpus.sessions is not None:
        sessions = [corpus.sessions[c] for c in among]
        if len(set(sessions)) >= 2:
            last = max(sessions)
            held = among[[session == last for session in sessions]]
            return held, f"session {last} held out of training"
    ordered = sorted(among.tolist(), key=lambda c: groups.digest(corpus.conversation_ids[c]))
    target = max(1, round(len(among) / FRACTION))
    if corpus.speakers is None:
        return np.sort(ordered[:target]), f"a fixed fifth, {target} conversations, held out"
    apart = groups.joined_by_speakers(corpus, ordered)
    if len(apart) < 2:
        reason = f"a fixed fifth, {target} conversations, held out, their speakers in training too"
        return np.sort(ordered[:target]), reason
    held: list[int] = []
    for group in apart:
        if len(held) + len(group) <= target:
            held += group
    held = held or min(apart, key=len)
    reason = f"{len(held)} conversations held out, with speakers that are not in training"
    return np.sort(held), reason
