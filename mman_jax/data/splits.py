"""Splits of a corpus in three parts, and groups of conversations that stay in one part."""

import dataclasses
import hashlib
import re
from collections.abc import Iterable, Sequence

import numpy as np

from mman_jax.data import leaks
from mman_jax.data.corpus import Corpus, Indices
from mman_jax.data.validation import SPLIT_NAMES
from mman_jax.errors import InputError, nearest

FRACTION = 5
"""One of this many conversations is held out if there are no sessions or speakers."""

SPLITS = ("raven",)
"""Names of the published splits."""

GROUPINGS = ("sessions", "speakers")
"""Ways to group conversations, in addition to a number of groups."""

PLACE = "data.folds"
"""Setting that groups conversations, for messages."""

_RAVEN = {"train": ("Ses03", "Ses04", "Ses05"), "valid": ("Ses02",), "test": ("Ses01",)}
_LEAST = {2: "at least 2: validation and training", 3: "at least 3: test, validation and training"}


@dataclasses.dataclass(frozen=True, eq=False)
class Split:
    """Conversation indices of the three parts, int64, ascending and disjoint.

    Attributes:
        train: Conversations for training and scaling.
        valid: Conversations for selecting the epoch.
        test: Conversations for scoring; empty in folds inside a training part.
        how: A description of how the parts were chosen.
        notices: Notices on conversations and utterances in two parts (see `leaks`).
    """

    train: np.ndarray
    valid: np.ndarray
    test: np.ndarray
    how: str
    notices: tuple[str, ...] = ()


def split(corpus: Corpus, name: str = "") -> Split:
    """Returns the split of the corpus; missing parts are held out by a fixed rule.

    The rule holds out the last session; or, without sessions, groups of conversations that share
    speakers; or a fixed fifth. It uses only ids, so that the result depends neither on the order of
    the file nor on a seed.

    Args:
        name: One of `SPLITS`, in place of the corpus's split. `raven` is for IEMOCAP: training on
            sessions 3 to 5, validation on 2 and test on 1, as for the systems that the paper's
            Table 3 cites.

    Raises:
        InputError: A part would be empty, a conversation is in two parts (see `leaks`), or the name
            is unknown or does not apply to the corpus.
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
        train, valid, test = (np.flatnonzero(np.array(corpus.split) == p) for p in SPLIT_NAMES)
        how = "train, validation and test are those of the corpus"
        if not len(valid) and len(train):
            valid, why = _hold_out(corpus, train)
            train = np.setdiff1d(train, valid)
            how = f"train and test are those of the corpus; validation: {why}"
    parts = {"train": train, "valid": valid, "test": test}
    for part, conversations in parts.items():
        if not len(conversations):
            found = f"an empty split: no conversation in {part}"
            raise InputError(place, found, "at least one in each of train, valid and test")
    return Split(**parts, how=how, notices=leaks.check(corpus, parts))


def grouped(
    corpus: Corpus,
    by: str,
    among: Indices | None = None,
    least: int = 3,
    setting: str = PLACE,
) -> dict[str, np.ndarray]:
    """Groups conversations.

    Args:
        by: `sessions`, `speakers` (groups are named by their first speaker), or a number of groups.
        among: Indices of the conversations; None selects all.
        least: Minimum number of groups, 2 or 3.
        setting: Setting that `by` comes from, for messages.

    Returns:
        Ascending indices, int64, by the name of the group, in the order of names.

    Raises:
        InputError: The grouping is unknown, the corpus has no sessions or speakers, or there are
            too few groups.
    """
    chosen = np.asarray(np.arange(len(corpus.lengths)) if among is None else among, np.int64)
    source = corpus.source or "the corpus"
    if by in GROUPINGS:
        if getattr(corpus, by) is None:
            known = [x for x in GROUPINGS if x != by and getattr(corpus, x) is not None]
            expected = f"{' or '.join([*known, 'a number of groups'])} instead"
            raise InputError(setting, f"{by}, which {source} does not name", expected)
        if by == "sessions":
            sessions = np.array(corpus.sessions)[chosen]
            members = {name: chosen[sessions == name] for name in set(sessions.tolist())}
            counted = "session" + "s" * (len(members) > 1)
        else:
            apart = _apart(corpus, chosen, least, setting)
            members = {min(speakers(corpus, group)): np.sort(group) for group in apart}
            counted = "groups without a common speaker"
        if len(members) < least:
            raise InputError(setting, f"{len(members)} {counted} in {source}", _LEAST[least])
        return {name: members[name] for name in sorted(members)}
    try:
        count = int(by)
    except ValueError:
        expected = f"{nearest(by, GROUPINGS)}, or a number of groups"
        raise InputError(setting, f"unknown {by!r}", expected) from None
    if count < least:
        raise InputError(setting, f"{count} group{'s' * (count != 1)}", _LEAST[least])
    apart = _apart(corpus, chosen, least, setting)
    if count > len(apart):
        what = "conversations" if corpus.speakers is None else "groups without a common speaker"
        found = f"{count} groups from {len(apart)} {what} in {source}"
        expected = f"{len(apart)} at most" if len(apart) >= least else _LEAST[least]
        raise InputError(setting, found, expected)
    return {str(1 + n): group for n, group in enumerate(balanced(corpus, apart, count))}


def phrase(by: str) -> str:
    """Returns a description of a grouping, for messages."""
    return by if by in GROUPINGS else f"{by} groups of conversations"


def joined_by_speakers(corpus: Corpus, conversations: Indices) -> list[list[int]]:
    """Groups conversations with common speakers, directly or through others, in the given order.

    If the corpus has no speakers, each conversation is a group.
    """
    indices = np.asarray(conversations).tolist()
    if corpus.speakers is None:
        return [[c] for c in indices]
    parent = {c: c for c in indices}

    def root(c: int) -> int:
        while parent[c] != c:
            parent[c] = parent[parent[c]]
            c = parent[c]
        return c

    first_with: dict[str, int] = {}
    offsets = corpus.offsets
    for c in indices:
        for speaker in set(corpus.speakers[offsets[c] : offsets[c + 1]]):
            parent[root(c)] = root(first_with.setdefault(speaker, c))
    groups: dict[int, list[int]] = {}
    for c in indices:
        groups.setdefault(root(c), []).append(c)
    return list(groups.values())


def balanced(corpus: Corpus, apart: Iterable[Sequence[int]], k: int) -> list[np.ndarray]:
    """Distributes groups over k bins with about equal numbers of labelled utterances.

    The largest group comes first; each goes to the bin with the fewest utterances. Labels that a
    protocol does not score also count, so that all protocols have the same bins.

    Returns:
        Ascending conversation indices, int64, of each bin; none is empty for at least k groups.
    """
    weights = labelled(corpus)

    def rank(group: Sequence[int]) -> tuple[int, int, bytes]:
        first = min(_digest(corpus.conversation_ids[c]) for c in group)
        return -int(weights[list(group)].sum()), -len(group), first

    bins: list[list[int]] = [[] for _ in range(k)]
    totals = [0] * k
    for group in sorted(apart, key=rank):
        lightest = min(range(k), key=lambda b: (totals[b], len(bins[b])))
        bins[lightest].extend(group)
        totals[lightest] -= rank(group)[0]
    return [np.sort(np.array(members, np.int64)) for members in bins]


def labelled(corpus: Corpus) -> np.ndarray:
    """Returns the number of labelled utterances of each conversation, [conversations] int64."""
    known = np.concatenate([[0], np.cumsum(corpus.labels >= 0, dtype=np.int64)])
    return np.diff(known[corpus.offsets])


def speakers(corpus: Corpus, conversations: Iterable[int]) -> set[str]:
    """Returns the speakers of some conversations; empty if the corpus has none."""
    names, offsets = corpus.speakers or (), corpus.offsets
    return {name for c in conversations for name in names[offsets[c] : offsets[c + 1]]}


def _digest(conversation_id: str) -> bytes:
    """Returns a sort key that depends neither on the file's order nor on a seed."""
    return hashlib.sha256(conversation_id.encode()).digest()


def _apart(corpus: Corpus, among: np.ndarray, least: int, setting: str) -> list[list[int]]:
    apart = joined_by_speakers(corpus, among)
    if len(apart) == 1 and corpus.speakers is not None:
        source = corpus.source or "the corpus"
        found = f"common speakers join all {len(among)} conversations of {source} into one group"
        raise InputError(setting, found, _LEAST[least])
    return apart


def _named(corpus: Corpus, name: str) -> Split:
    if name not in SPLITS:
        raise InputError("data.split", f"unknown {name!r}", nearest(name, SPLITS))
    expected = sorted(session for sessions in _RAVEN.values() for session in sessions)
    sessions = list(corpus.sessions or ())
    if sorted(set(sessions)) != expected:
        # In the public files, conversation ids start with the session.
        matches = [re.match(r"Ses0\d(?=[FM_])", name) for name in corpus.conversation_ids]
        sessions = [match[0] for match in matches if match]
    if sorted(set(sessions)) != expected or len(sessions) != len(corpus.lengths):
        found = f"{name}, for {corpus.source or 'a corpus'} of other sessions than IEMOCAP's"
        raise InputError("data.split", found, f"conversations of {', '.join(expected)}")
    parts = {part: np.flatnonzero(np.isin(sessions, chosen)) for part, chosen in _RAVEN.items()}
    how = f"{name}: sessions 3 to 5 train, session 2 validates, session 1 tests"
    return Split(**parts, how=how, notices=leaks.check(corpus, parts))


def _hold_out(corpus: Corpus, among: np.ndarray, by_session: bool = True) -> tuple[np.ndarray, str]:
    """Selects conversations to hold out (none if there is only one), and describes the rule."""
    if len(among) < 2:
        return among[:0], "nothing to hold out"
    if by_session and corpus.sessions is not None:
        sessions = [corpus.sessions[c] for c in among]
        if len(set(sessions)) >= 2:
            last = max(sessions)
            holdout = among[[session == last for session in sessions]]
            return holdout, f"session {last} held out of training"
    ordered = sorted(among.tolist(), key=lambda c: _digest(corpus.conversation_ids[c]))
    target = max(1, round(len(among) / FRACTION))
    reason = f"a fixed fifth, {target} conversations, held out"
    if corpus.speakers is None:
        return np.sort(ordered[:target]), reason
    apart = joined_by_speakers(corpus, ordered)
    if len(apart) < 2:
        return np.sort(ordered[:target]), f"{reason}, although their speakers are also in training"
    chosen: list[int] = []
    for group in apart:
        if len(chosen) + len(group) <= target:
            chosen += group
    chosen = chosen or min(apart, key=len)
    reason = f"{len(chosen)} conversations held out, with speakers that are not in training"
    return np.sort(chosen), reason
