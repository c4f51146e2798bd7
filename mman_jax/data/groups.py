"""Groups of conversations that stay together: of a session, of speakers, or equally many."""

import hashlib
from collections.abc import Iterable, Sequence

import numpy as np

from mman_jax.data.corpus import Corpus
from mman_jax.errors import InputError, nearest

WORDS = ("sessions", "speakers")
"""What names groups, beside a number of them."""

PLACE = "data.folds"
"""The setting that says how conversations are grouped, for messages."""

_WHY = {2: "at least 2: validation and training", 3: "at least 3: test, validation and training"}


def named(
    corpus: Corpus,
    by: str,
    among: Sequence[int] | None = None,
    least: int = 3,
    setting: str = PLACE,
) -> dict[str, np.ndarray]:
    """Conversations by the name of their group, in the order of names.

    Args:
        corpus: whose conversations are grouped.
        by: `sessions`, `speakers` (a group has the name of its first), or a number of groups.
        among: indices of the conversations; None: all.
        least: how few groups are enough, 2 or 3.
        setting: that `by` comes from, for messages.

    Returns:
        Indices [conversations in it] int64, ascending.

    Raises:
        InputError: an unknown word, what the corpus does not have, or too few groups.
    """
    among = np.arange(len(corpus.lengths)) if among is None else np.asarray(among, np.int64)
    source = corpus.source or "the corpus"
    if by in WORDS:
        if getattr(corpus, by) is None:
            expected = f"{_other(corpus, by)} instead"
            raise InputError(setting, f"{by}, which {source} does not name", expected)
        if by == "sessions":
            members = _sessions(corpus, among)
            counted = "session" + "s" * (len(members) > 1)
        else:
            apart = _apart(corpus, among, least, setting)
            members = {min(speakers(corpus, group)): np.sort(group) for group in apart}
            counted = "groups without a common speaker"
        if len(members) < least:
            raise InputError(setting, f"{len(members)} {counted} in {source}", _WHY[least])
        return {name: members[name] for name in sorted(members)}
    try:
        count = int(by)
    except ValueError:
        expected = f"{nearest(by, WORDS)}, or a number of groups"
        raise InputError(setting, f"unknown {by!r}", expected) from None
    if count < least:
        raise InputError(setting, f"{count} group{'s' * (count != 1)}", _WHY[least])
    apart = _apart(corpus, among, least, setting)
    if count > len(apart):
        what = "conversations" if corpus.speakers is None else "groups without a common speaker"
        found = f"{count} groups from {len(apart)} {what} in {source}"
        raise InputError(
            setting, found, f"{len(apart)} at most" if len(apart) >= least else _WHY[least]
        )
    return {str(1 + index): bin for index, bin in enumerate(balanced(corpus, apart, count))}


def phrase(by: str) -> str:
    """What groups are made by, for people."""
    return by if by in WORDS else f"{by} groups of conversations"


def joined_by_speakers(corpus: Corpus, conversations: Sequence[int]) -> list[list[int]]:
    """Conversations joined by common speakers, directly or through others, in given order.

    Each is alone where the corpus names no speakers.
    """
    conversations = [int(c) for c in conversations]
    if corpus.speakers is None:
        return [[c] for c in conversations]
    parent = {c: c for c in conversations}

    def root(c: int) -> int:
        while parent[c] != c:
            parent[c] = parent[parent[c]]
            c = parent[c]
        return c

    first_with: dict[str, int] = {}
    offsets = corpus.offsets
    for c in conversations:
        for speaker in set(corpus.speakers[offsets[c] : offsets[c + 1]]):
            parent[root(c)] = root(first_with.setdefault(speaker, c))
    groups: dict[int, list[int]] = {}
    for c in conversations:
        groups.setdefault(root(c), []).append(c)
    return list(groups.values())


def balanced(corpus: Corpus, apart: Iterable[Sequence[int]], k: int) -> list[np.ndarray]:
    """Puts whole groups into k bins of about equally many labelled utterances.

    The largest group first, each into the bin that holds least. Labels that a protocol does not
    score count as well, so that all protocols have the same bins.

    Args:
        corpus: whose labels count.
        apart: indices of the conversations of each group; at least k groups.
        k: how many bins; none stays empty.

    Returns:
        Conversation indices [conversations in it] int64, ascending, of each bin.
    """
    weights = labelled(corpus)

    def rank(group: Sequence[int]) -> tuple[int, int, bytes]:
        first = min(digest(corpus.conversation_ids[c]) for c in group)
        return -int(weights[list(group)].sum()), -len(group), first

    bins: list[list[int]] = [[] for _ in range(k)]
    held = [0] * k
    for group in sorted(apart, key=rank):
        lightest = min(range(k), key=lambda b: (held[b], len(bins[b])))
        bins[lightest].extend(group)
        held[lightest] -= rank(group)[0]
    return [np.sort(np.array(members, np.int64)) for members in bins]


def labelled(corpus: Corpus) -> np.ndarray:
    """[conversations] int64: the utterances of each that have a label."""
    known = np.concatenate([[0], np.cumsum(corpus.labels >= 0, dtype=np.int64)])
    return np.diff(known[corpus.offsets])


def speakers(corpus: Corpus, conversations: Iterable[int]) -> set[str]:
    """Who speaks in some conversations of a corpus that names its speakers."""
    offsets = corpus.offsets
    return {name for c in conversations for name in corpus.speakers[offsets[c] : offsets[c + 1]]}


def digest(conversation_id: str) -> bytes:
    """What orders conversations where nothing better does: neither the file's order nor a seed."""
    return hashlib.sha256(conversation_id.encode()).digest()


def _sessions(corpus: Corpus, among: np.ndarray) -> dict[str, np.ndarray]:
    sessions = np.array([corpus.sessions[c] for c in among], object)
    return {name: among[sessions == name] for name in set(sessions.tolist())}


def _apart(corpus: Corpus, among: np.ndarray, least: int, setting: str) -> list[list[int]]:
    apart = joined_by_speakers(corpus, among)
    if len(apart) == 1 and corpus.speakers is not None:
        source = corpus.source or "the corpus"
        found = f"common speakers join all {len(among)} conversations of {source} into one group"
        raise InputError(setting, found, _WHY[least])
    return apart


def _other(corpus: Corpus, by: str) -> str:
    has = [word for word in WORDS if word != by and getattr(corpus, word) is not None]
    return " or ".join([*has, "a number of groups"])
