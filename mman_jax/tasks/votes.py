"""Soft labels from the votes of raters, and the distance of predictions to them.

S seeds, N utterances, C classes.
"""

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np

from mman_jax.data.corpus import Corpus
from mman_jax.tasks.classes import Classes
from mman_jax.tasks.score import Score
from mman_jax.types import UNSCORED

DISTANCES = {
    "expected_accuracy": Score(
        "expected_accuracy", "rater's accuracy", "expected accuracy against a random rater"
    ),
    "cross_entropy": Score(
        "cross_entropy",
        "CE to raters",
        "cross-entropy to the raters' distribution, in nats",
        is_share=False,
        higher_is_better=False,
    ),
    "jensen_shannon": Score(
        "jensen_shannon",
        "JS to raters",
        "Jensen-Shannon divergence from the raters' distribution, in bits",
        is_share=False,
        higher_is_better=False,
    ),
}
"""Scores of predictions against the distribution of raters, each a mean over utterances.

For labels alone, without probabilities, only `expected_accuracy` is defined.
"""

_LEAST = 1e-6
"""Smallest probability in the cross-entropy, as predictions in files are rounded."""


@dataclasses.dataclass(frozen=True, eq=False)
class Votes(Classes):
    """Classes that are trained on the corpus's `votes` and scored on their majority.

    Examples:
        The first utterance has four raters, the second has none, and those of the third disagree.

        >>> corpus = Corpus(
        ...     features={"speech": np.eye(3, dtype=np.float32)},
        ...     labels=np.array([0, 1, -1], np.int32),
        ...     label_names=("calm", "angry"),
        ...     lengths=np.array([3], np.int32),
        ...     conversation_ids=("a",),
        ...     utterance_ids=tuple("123"),
        ...     votes={"calm": np.array([3, 0, 1], np.int32),
        ...            "angry": np.array([1, 0, 1], np.int32)},
        ... )
        >>> task = Votes("auto", ("calm", "angry"), np.array([0, 1], np.int32))
        >>> task.training_labels(corpus).tolist(), task.labels(corpus).tolist()
        ([[0.75, 0.25], [0.0, 1.0], [0.5, 0.5]], [0, 1, -1])
    """

    learns = "votes"

    def raters(self, corpus: Corpus) -> np.ndarray | None:
        """See `Task`; the shares that it is trained on."""
        return self.training_labels(corpus)

    def distances(
        self, raters: np.ndarray, answers: np.ndarray, probabilities: np.ndarray | None = None
    ) -> dict[str, np.ndarray]:
        """See `Task`; the keys are those of `DISTANCES`."""
        found = {"expected_accuracy": np.take_along_axis(raters[None], answers[..., None], -1)}
        if probabilities is not None:
            chosen = np.maximum(probabilities.astype(np.float64), _LEAST)
            mean = (raters + probabilities) / 2
            found["cross_entropy"] = -(raters * np.log(chosen)).sum(-1, keepdims=True)
            halves = _entropy(raters)[None] + _entropy(probabilities)
            found["jensen_shannon"] = _entropy(mean) - halves / 2
        return {key: found[key].reshape(answers.shape) for key in DISTANCES if key in found}

    def score_names(self, available: Sequence[str] | None = None) -> dict[str, str]:
        """See `Task`."""
        distances = {k: x.label for k, x in DISTANCES.items() if k in (available or ())}
        return super().score_names(available) | distances

    def describe_score(self, key: str) -> Score:
        """See `Task`."""
        return DISTANCES[key] if key in DISTANCES else super().describe_score(key)

    def describe(self) -> dict[str, Any]:
        """See `Task`."""
        return super().describe() | {"votes": True}

    def labels(self, corpus: Corpus) -> np.ndarray:
        """Returns the class [N] int32 that most raters chose.

        If classes tie, or without votes, it is the label's class. An utterance without a label
        under the task is not scored, whatever its votes.
        """
        labels, votes = super().labels(corpus), self._votes(corpus)
        is_labelled = labels != UNSCORED
        of_label = np.take_along_axis(votes, np.where(is_labelled, labels, 0)[:, None], axis=1)
        keeps = of_label[:, 0] >= votes.max(1)
        return np.where(is_labelled & ~keeps, votes.argmax(1), labels).astype(np.int32)

    def training_labels(self, corpus: Corpus) -> np.ndarray:
        """Returns the share [N, C] float32 of raters that chose each class, NaN: context only.

        Without votes, the label's class has a share of 1. An utterance without a label, because its
        raters did not agree, is trained on; one with a label outside the task's classes is not.
        """
        labels, votes = super().labels(corpus), self._votes(corpus)
        total = votes.sum(1, keepdims=True)
        with np.errstate(invalid="ignore"):
            shares = votes / total
        alone = (total[:, 0] == 0) & (labels != UNSCORED)
        shares[alone] = np.eye(len(self.classes))[labels[alone]]
        shares[(labels == UNSCORED) & (corpus.labels != UNSCORED)] = np.nan
        return shares.astype(np.float32)

    def _votes(self, corpus: Corpus) -> np.ndarray:
        """Returns the votes [N, C] for each class."""
        assert self.label_map is not None
        votes = np.zeros((len(corpus.labels), len(self.classes)))
        for label, name in zip(self.label_map, corpus.label_names, strict=True):
            if name in corpus.votes and label != UNSCORED:
                votes[:, label] += corpus.votes[name]
        return votes


def _entropy(shares: np.ndarray) -> np.ndarray:
    """Returns the entropies [..., 1] in bits of distributions [..., C]."""
    shares = shares.astype(np.float64)
    return -(shares * np.log2(np.where(shares > 0, shares, 1))).sum(-1, keepdims=True)
