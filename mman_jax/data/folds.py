"""Folds: each part of a corpus is the test part once, so that all of its conversations score."""

import dataclasses
from collections.abc import Sequence

import numpy as np

from mman_jax.data import groups, leaks
from mman_jax.data.corpus import Corpus
from mman_jax.data.splits import Split
from mman_jax.errors import InputError, nearest

PLACE = groups.PLACE

INNER = 3
"""Folds inside a training part, where its sessions do not say how many."""

_MOST = 2 / 3  # of what is labelled: without more than that, training would have next to nothing
_WRITTEN = {"train": "training", "valid": "validation", "test": "the test part"}


@dataclasses.dataclass(frozen=True, eq=False)
class Fold:
    """One way of several to split a corpus.

    Attributes:
        name: of what is tested, or, inside a training part, of what validates: a session, the
            first speaker of a group, or a number from 1.
        split: its conversations.
    """

    name: str
    split: Split


def folds(corpus: Corpus, by: str) -> tuple[Fold, ...]:
    """Every group of conversations tests once, the next one validates, all others train.

    The corpus's own split is not used. Neither the order of a file nor a seed changes the folds.

    Args:
        corpus: whose conversations are grouped.
        by: `sessions`; `speakers`, where conversations joined by common speakers, directly or
            through others, are one group; or a number K as text: K groups that share no speaker
            (each conversation stands alone where no speakers are known) and hold about equally
            many labelled utterances.

    Returns:
        Folds in the order of their names; the one after the last is the first.

    Raises:
        InputError: an unknown word, sessions or speakers that the corpus does not have, fewer than
            three groups, K over the number of groups, or whole conversations in two parts (see
            `leaks`).

    Examples:
        >>> corpus = Corpus(
        ...     features={"speech": np.eye(4, dtype=np.float32)},
        ...     labels=np.array([0, 1, 0, 1], np.int32),
        ...     label_names=("calm", "angry"),
        ...     lengths=np.array([1, 1, 1, 1], np.int32),
        ...     conversation_ids=("a", "b", "c", "d"),
        ...     utterance_ids=("1", "1", "1", "1"),
        ...     sessions=("S1", "S2", "S3", "S3"),
        ... )
        >>> for fold in folds(corpus, "sessions"):
        ...     split = fold.split
        ...     print(fold.name, split.test.tolist(), split.valid.tolist(), split.train.tolist())
        S1 [0] [1] [2, 3]
        S2 [1] [2, 3] [0]
        S3 [2, 3] [0] [1]
    """
    members, keys = groups.named(corpus, by), leaks.keys(corpus)
    return tuple(_fold(corpus, by, members, name, keys) for name in members)


def fold(corpus: Corpus, by: str, name: str) -> Fold:
    """One of `folds(corpus, by)`.

    Raises:
        InputError: what `folds` refuses, and a name that none of them has.
    """
    members = groups.named(corpus, by)
    if name not in members:
        raise InputError("data.fold", f"unknown {name!r}", nearest(name, members))
    return _fold(corpus, by, members, name, None)


def inner(corpus: Corpus, split: Split, by: str = "", setting: str = PLACE) -> tuple[Fold, ...]:
    """Folds inside a training part: each group of it validates once, all its others train.

    The test part of these folds is empty: what is chosen by them has seen nothing of `split.test`,
    nor of `split.valid`.

    Args:
        corpus: whose conversations are grouped.
        split: whose training part is divided.
        by: as of `folds`; empty: by sessions where training has three or more, else `INNER` groups
            that share no speaker where that is possible (see `inner_groups`).
        setting: that `by` comes from, for messages.

    Raises:
        InputError: what `folds` refuses, but that two groups are enough.
    """
    among = np.asarray(split.train, np.int64)
    if not by and len({corpus.sessions[c] for c in among} if corpus.sessions else ()) >= 3:
        by = "sessions"
    if by:
        members, what = groups.named(corpus, by, among, 2, setting), groups.phrase(by)
    else:
        counts = (k for k in range(INNER, 1, -1) if _apart(corpus, among, k))
        count = next(counts, min(INNER, max(len(among), 2)))
        number = inner_groups(corpus, among, count, setting)
        members = {str(k + 1): among[number == k] for k in range(count)}
        what = f"{count} groups"
    made = []
    for name, valid in members.items():
        how = f"inside training, by {what}: {name} validates, the {len(members) - 1} others train"
        train = np.setdiff1d(among, valid)
        made.append(Fold(name, _split(corpus, train, valid, among[:0], how)))
    return tuple(made)


def inner_groups(
    corpus: Corpus, conversations: Sequence[int], k: int, setting: str = PLACE
) -> np.ndarray:
    """Which of k groups each of some conversations is in, [conversations given] int64, from 0.

    The groups hold about equally many labelled utterances, and share no speaker where that leaves
    none with more than two thirds of them.

    Args:
        corpus: whose conversations are grouped.
        conversations: indices of those that are.
        k: how many groups.
        setting: that asks for them, for messages.

    Raises:
        InputError: fewer conversations than groups.
    """
    among = np.asarray(conversations, np.int64)
    if len(among) < k:
        found = f"{len(among)} training conversation{'s' * (len(among) > 1)} in {k} groups"
        raise InputError(setting, found, f"at least {k}")
    alone = [[c] for c in among.tolist()]
    bins = _apart(corpus, among, k) or groups.balanced(corpus, alone, k)
    group_of = {c: number for number, members in enumerate(bins) for c in members.tolist()}
    return np.array([group_of[c] for c in among.tolist()], np.int64)


def _apart(corpus: Corpus, among: np.ndarray, k: int) -> list[np.ndarray]:
    """k groups that share no speaker; none where there are not so many, or one holds too much."""
    apart, labelled = groups.joined_by_speakers(corpus, among), groups.labelled(corpus)
    if len(apart) < k:
        return []
    bins = groups.balanced(corpus, apart, k)
    heaviest = max(labelled[members].sum() for members in bins)
    return bins if heaviest <= _MOST * labelled[among].sum() else []


def _fold(
    corpus: Corpus,
    by: str,
    members: dict[str, np.ndarray],
    name: str,
    keys: leaks.Keys | None,
) -> Fold:
    names = list(members)
    following = names[(names.index(name) + 1) % len(names)]
    test, valid = members[name], members[following]
    train = np.setdiff1d(np.arange(len(corpus.lengths)), np.concatenate([test, valid]))
    how = f"fold {name} of {len(names)} by {groups.phrase(by)}: {name} tests, {following} validates"
    if corpus.split is not None:
        how += "; the corpus's own split is not used"
    return Fold(name, _split(corpus, train, valid, test, how, keys))


def _split(
    corpus: Corpus,
    train: np.ndarray,
    valid: np.ndarray,
    test: np.ndarray,
    how: str,
    keys: leaks.Keys | None = None,
) -> Split:
    parts = {"train": train, "valid": valid, "test": test}
    notices = leaks.check(corpus, parts, keys)
    if corpus.speakers is not None:
        scored = "test" if len(test) else "valid"
        heard = [groups.speakers(corpus, parts.pop(scored))]
        heard.append(groups.speakers(corpus, np.concatenate(list(parts.values()))))
        both = heard[0] & heard[1]
        if both:
            where = "training or validation" if len(test) else "training"
            what = f"speakers of {_WRITTEN[scored]} are heard in {where}, too"
            notices = (*notices, f"{len(both)} of {len(heard[0])} {what}")
    return Split(train, valid, test, how, notices)
