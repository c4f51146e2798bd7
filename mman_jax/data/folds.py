"""Folds: splits of a corpus in which each group of conversations is the test part once."""

import dataclasses

import numpy as np

from mman_jax.data import leaks, splits
from mman_jax.data.corpus import Corpus, Indices
from mman_jax.data.splits import PLACE, Split
from mman_jax.errors import InputError, nearest

INNER = 3
"""Number of folds inside a training part, unless sessions determine it."""

_MOST = 2 / 3  # largest share of the labelled utterances in a group, so that enough remain
_PARTS = {"train": "training", "valid": "validation", "test": "the test part"}


@dataclasses.dataclass(frozen=True, eq=False)
class Fold:
    """One of several splits of a corpus.

    Attributes:
        name: Name of the test group or, inside a training part, the validation group: a session,
            the first speaker of a group, or a number from 1.
        split: Conversations of each part.
    """

    name: str
    split: Split


def folds(corpus: Corpus, by: str) -> tuple[Fold, ...]:
    """Returns folds with each group as test part, the next as validation, and the rest as training.

    The split of the corpus is not used. The folds depend neither on the file's order nor a seed.

    Args:
        by: `sessions`; `speakers`, where conversations with common speakers, directly or through
            others, form a group; or a number K as text, for K groups that share no speaker (if
            speakers are known) and have about equal numbers of labelled utterances.

    Returns:
        Folds in the order of their names. The last fold validates on the first group.

    Raises:
        InputError: The grouping is unknown, the corpus has no sessions or speakers, there are fewer
            than three groups or fewer than K, or a conversation is in two parts (see `leaks`).

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
    groups, keys = splits.grouped(corpus, by), leaks.keys(corpus)
    return tuple(_fold(corpus, by, groups, name, keys) for name in groups)


def fold(corpus: Corpus, by: str, name: str) -> Fold:
    """Returns one of `folds(corpus, by)`."""
    groups = splits.grouped(corpus, by)
    if name not in groups:
        raise InputError("data.fold", f"unknown {name!r}", nearest(name, groups))
    return _fold(corpus, by, groups, name, None)


def inner(corpus: Corpus, split: Split, by: str = "", setting: str = PLACE) -> tuple[Fold, ...]:
    """Returns folds inside a training part: each group is the validation part once.

    The test part of these folds is empty, and they depend on neither `split.test` nor
    `split.valid`.

    `by` is as for `folds`; if empty, it is sessions if training has three or more, otherwise
    `INNER` groups that share no speaker if possible (see `inner_groups`). `setting` is the setting
    that determines `by`, for messages.
    """
    among = np.asarray(split.train, np.int64)
    if not by and len({corpus.sessions[c] for c in among} if corpus.sessions else ()) >= 3:
        by = "sessions"
    if by:
        groups, what = splits.grouped(corpus, by, among, 2, setting), splits.phrase(by)
    else:
        counts = (k for k in range(INNER, 1, -1) if _apart(corpus, among, k))
        count = next(counts, min(INNER, max(len(among), 2)))
        number = inner_groups(corpus, among, count, setting)
        groups = {str(k + 1): among[number == k] for k in range(count)}
        what = f"{count} groups"
    inside = []
    for name, valid in groups.items():
        others = f"the other {len(groups) - 1} train" if len(groups) > 2 else "the other trains"
        how = f"inside training, by {what}: {name} validates, {others}"
        train = np.setdiff1d(among, valid)
        inside.append(Fold(name, _split(corpus, train, valid, among[:0], how)))
    return tuple(inside)


def inner_groups(
    corpus: Corpus, conversations: Indices, k: int, setting: str = PLACE
) -> np.ndarray:
    """Assigns conversations to k groups with about equal numbers of labelled utterances.

    The groups share no speaker, unless one of them would have over two thirds of the utterances.

    Returns:
        [conversations] int64, the group of each, from 0.
    """
    among = np.asarray(conversations, np.int64)
    if len(among) < k:
        found = f"{len(among)} training conversation{'s' * (len(among) > 1)} in {k} groups"
        raise InputError(setting, found, f"at least {k}")
    single = [[c] for c in among.tolist()]
    bins = _apart(corpus, among, k) or splits.balanced(corpus, single, k)
    groups = np.zeros(len(corpus.lengths), np.int64)
    for number, members in enumerate(bins):
        groups[members] = number
    return groups[among]


def _apart(corpus: Corpus, among: np.ndarray, k: int) -> list[np.ndarray]:
    """Returns k groups that share no speaker; empty if there are too few or one is too large."""
    apart, labelled = splits.joined_by_speakers(corpus, among), splits.labelled(corpus)
    if len(apart) < k:
        return []
    bins = splits.balanced(corpus, apart, k)
    heaviest = max(labelled[members].sum() for members in bins)
    return bins if heaviest <= _MOST * labelled[among].sum() else []


def _fold(
    corpus: Corpus, by: str, groups: dict[str, np.ndarray], name: str, keys: leaks.Keys | None
) -> Fold:
    names = list(groups)
    following = names[(names.index(name) + 1) % len(names)]
    test, valid = groups[name], groups[following]
    train = np.setdiff1d(np.arange(len(corpus.lengths)), np.concatenate([test, valid]))
    noun = by.removesuffix("s") if by in splits.GROUPINGS else "group"
    how = f"fold {names.index(name) + 1} of {len(names)}, by {splits.phrase(by)}: "
    how += f"{noun} {name} is tested, {noun} {following} validates"
    if corpus.split is not None:
        how += "; the corpus's split is not used"
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
    scored = "test" if len(test) else "valid"
    others = np.concatenate([x for part, x in parts.items() if part != scored])
    heard = splits.speakers(corpus, parts[scored])
    both = heard & splits.speakers(corpus, others)
    if both:
        where = "training or validation" if len(test) else "training"
        what = f"speakers of {_PARTS[scored]} also speak in {where}"
        notices = (*notices, f"{len(both)} of {len(heard)} {what}")
    return Split(train, valid, test, how, notices)
