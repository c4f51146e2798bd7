"""Tasks of a corpus's targets: numbers, or classes that are cut from one target.

S seeds, N utterances, T targets.
"""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import numpy as np

from mman_jax.data.corpus import Corpus
from mman_jax.data.splits import Split
from mman_jax.errors import InputError, nearest
from mman_jax.tasks import losses, ratings
from mman_jax.tasks.classes import Classes
from mman_jax.tasks.ratings import Target
from mman_jax.tasks.score import Score, over_seeds
from mman_jax.tasks.task import Objective, Task, to_json
from mman_jax.types import UNSCORED, Array, is_scored

PLACE = "data.target"
"""The setting that names targets, for messages."""

MAE = Score(
    "mae",
    "MAE",
    "mean absolute error",
    is_share=False,
    higher_is_better=False,
    difference="the second system's absolute errors less the first's",
)
CCC = Score("ccc", "CCC", "CCC", is_share=False)

_LEAST = 1e-6
"""Share of a target's spread; with a smaller deviation in training, the target is constant."""


@dataclasses.dataclass(frozen=True, eq=False)
class Numbers(Task):
    """Prediction of numbers; `classes` holds the names of the T targets, so that C = T.

    Tallies are sums [S, T, K] (`ratings`); answers [S, N, T] are in the targets' units.

    Attributes:
        targets: the targets, in order.
    """

    targets: tuple[Target, ...] = ()

    kind, outputs, learns = "targets", "numbers", "numbers"
    predicts = "values"
    title = "{names} (Acc and F1 in per cent)"
    introduction = "Predicted: {names}."
    constant, constant_name = "mean_answer_mae", "mean of training"
    progress = CCC
    required = ratings.MEASURES
    unused_settings = ("label_smoothing", "focal", "class_weights")

    def labels(self, corpus: Corpus) -> np.ndarray:
        """Returns the targets [N, T] float32 of each utterance; NaN if missing."""
        return np.stack([corpus.targets[name] for name in self.classes], axis=-1)

    @property
    def requirement(self) -> str:
        """See `Task`."""
        return f"a number ({PLACE}={','.join(self.classes)})"

    def counts(self, labels: np.ndarray) -> dict[str, int]:
        """See `Task`."""
        counts = (~np.isnan(labels)).reshape(-1, len(self.classes)).sum(0)
        return dict(zip(self.classes, counts.tolist(), strict=True))

    def check_split(self, corpus: Corpus, split: Split) -> list[str]:
        """See `Task`."""
        self._check(corpus, split, PLACE)
        return []

    def check_fold(self, corpus: Corpus, split: Split, fold: str, setting: str) -> list[str]:
        """See `Task`."""
        self._check(corpus, split, f"{PLACE}, fold {fold}")
        return []

    def _check(self, corpus: Corpus, split: Split, setting: str) -> None:
        place, in_training = f"{corpus.source or 'corpus'}: {setting}", corpus.is_of(split.train)
        for target in self.targets:
            values = corpus.targets[target.name][in_training]
            values = values[~np.isnan(values)].astype(np.float64)
            if not len(values):
                found = f"no training utterance has {target.name!r}"
                raise InputError(place, found, "some numbers")
            if values.std() <= _LEAST * target.spread:
                found = f"{target.name!r} is {values[0]:g} for every training utterance"
                raise InputError(place, found, "different numbers")
            for part in ("valid", "test"):
                chosen = corpus.utterances_of(getattr(split, part))
                if len(chosen) and np.isnan(corpus.targets[target.name][chosen]).all():
                    found = f"no {part} utterance has {target.name!r}"
                    raise InputError(place, found, "some numbers")

    def objective(self, settings: Mapping[str, Any]) -> Objective:
        """See `Task`."""
        loss = settings.get("loss", "")
        if settings["select"] not in losses.BY_LOSS:
            found = f"{settings['select']!r}, of classes, for a task of numbers"
            raise InputError("train.select", found, " or ".join(losses.BY_LOSS))
        if loss and loss not in losses.NUMBERS:
            raise InputError("train.loss", f"unknown {loss!r}", nearest(loss, losses.NUMBERS))
        return losses.NumberLoss(loss or losses.DEFAULT, self.targets)

    def reference(self, labels: np.ndarray) -> np.ndarray:
        """Returns the mean and the deviation [2, T] of the targets in training."""
        return np.asarray(losses.NumberLoss(losses.DEFAULT, self.targets).reference(labels))

    def answers(self, logits: np.ndarray, reference: np.ndarray | None = None) -> np.ndarray:
        """See `Task`."""
        return np.asarray(self.predict(logits, reference))

    @staticmethod
    def predict(logits: Array, reference: Array | None = None) -> Array:
        """See `Task`."""
        assert reference is not None, "numbers need the mean and deviation in training"
        mean, deviation = reference
        return mean + deviation * logits

    def ensemble(self, logits: np.ndarray, reference: np.ndarray | None = None) -> np.ndarray:
        """Returns the mean [N, T] of the seeds' answers."""
        return self.answers(logits, reference).mean(0)

    def read_answers(self, answers: Any, labels: Any) -> tuple[np.ndarray, np.ndarray]:
        """See `Task`."""
        # A missing rating is None in JSON, and NaN here.
        values, rated = np.asarray(answers, np.float64), np.asarray(labels, np.float64)
        shape = (len(rated), len(self.targets))
        if values.shape[1:] != shape or rated.shape != shape:
            raise ValueError("answers that are not of the targets")
        if not np.isfinite(values).all() or np.isnan(rated).all():
            raise ValueError("answers that are not numbers")
        return values, rated

    def attention_groups(self, labels: np.ndarray) -> tuple[np.ndarray, tuple[str, ...]]:
        """See `Task`."""
        return np.where(is_scored(labels).any(-1), 0, UNSCORED), ()

    def texts(self, values: np.ndarray) -> list[Any]:
        """Returns the numbers of the first target; None if missing."""
        return to_json(values[:, 0])

    def tally(
        self, answers: np.ndarray, labels: np.ndarray, reference: np.ndarray | None = None
    ) -> np.ndarray:
        """Returns the sums [T, K] float32."""
        mean = np.zeros(len(self.targets), np.float32) if reference is None else reference[0]
        return np.asarray(ratings.sums(answers, labels, mean, self.targets))

    def tally_each(self, answers: np.ndarray, labels: np.ndarray) -> np.ndarray:
        """See `Task`; [N, T, K] float64."""
        mean = np.zeros(len(self.targets), np.float32)
        sums = jax.vmap(lambda x, y: ratings.sums(x[None], y[None], mean, self.targets))
        return np.asarray(sums(np.float32(answers), np.float32(labels)), np.float64)

    def score(self, key: str, tallies: np.ndarray) -> np.ndarray:
        """See `Task`."""
        return self.measures(tallies)[key]

    def measures(self, tallies: np.ndarray) -> dict[str, np.ndarray]:
        """See `Task`."""
        return ratings.scores(tallies, self.targets)

    def scores(self, tallies: np.ndarray) -> dict[str, Any]:
        """See `Task`; for several targets, their mean and the scores `by_target`."""
        sums = np.asarray(tallies, np.float64)
        scores: dict[str, Any] = _over_seeds(ratings.scores(sums, self.targets))
        scores[self.constant] = float(ratings.mean_answer(sums)[0])
        if len(self.targets) > 1:
            scores["by_target"] = {
                target.name: _over_seeds(ratings.of_target(sums[:, t], target))
                for t, target in enumerate(self.targets)
            }
        return scores

    def weight(self, tally: np.ndarray) -> float:
        """See `Task`."""
        return float(np.asarray(tally)[:, 0].sum())

    def score_each(self, answers: np.ndarray, labels: np.ndarray) -> np.ndarray:
        """Returns the absolute error [S, N] of each answer, the mean over the rated targets."""
        rated = np.asarray(labels, np.float64)
        return np.nanmean(np.abs(np.asarray(answers, np.float64) - rated), axis=-1)

    def store_each(self, values: np.ndarray) -> dict[str, Any]:
        """See `Task`."""
        return {"errors": np.round(values, 4).tolist()}

    def score_names(self, available: Sequence[str] | None = None) -> dict[str, str]:
        """See `Task`."""
        return ratings.names(self.required if available is None else available)

    @property
    def headline(self) -> Score:
        """See `Task`."""
        return MAE

    def describe_score(self, key: str) -> Score:
        """See `Task`."""
        known = {MAE.key: MAE, CCC.key: CCC}
        return known.get(key) or Score(
            key, ratings.names([key])[key], is_share=key not in ratings.MEASURES
        )

    @property
    def margin_scale(self) -> float:
        """See `Task`: the mean spread of the targets."""
        return float(np.mean([target.spread for target in self.targets]))

    def describe(self) -> dict[str, Any]:
        """See `Task`."""
        return {"targets": [dataclasses.asdict(target) for target in self.targets]}


@dataclasses.dataclass(frozen=True, eq=False)
class Bins(Classes):
    """Classes that are cut from a target.

    Attributes:
        target: the target.
    """

    target: Target | None = None

    def labels(self, corpus: Corpus) -> np.ndarray:
        """Returns the class [N] int32 of each utterance, or `UNSCORED`; see `ratings.classes`."""
        assert self.target is not None
        values = corpus.targets[self.target.name]
        return ratings.classes(values, self.target.scale, len(self.classes))


def task(corpus: Corpus, names: Sequence[str], protocol: str, classes: int = 0) -> Numbers | Bins:
    """Returns the task of some targets.

    Args:
        names: names of the targets, which are predicted together.
        protocol: the protocol of labels; must be `auto`, because targets have none.
        classes: number of classes to cut from a single target; 0: the numbers themselves.

    Raises:
        InputError: the corpus lacks a target, a target is always NaN, the protocol is not `auto`,
            or the target's scale has no such number of classes.

    Examples:
        >>> corpus = Corpus(
        ...     features={"speech": np.eye(3, dtype=np.float32)},
        ...     labels=np.full(3, -1, np.int32),
        ...     label_names=(),
        ...     lengths=np.array([3], np.int32),
        ...     conversation_ids=("a",),
        ...     utterance_ids=tuple("123"),
        ...     targets={"sentiment": np.array([-2.4, 0, 1], np.float32)},
        ... )
        >>> task(corpus, ["sentiment"], "auto", classes=3).labels(corpus).tolist()
        [0, 1, 2]
    """
    if protocol != "auto":
        found = f"{protocol!r}, which maps labels, with a target ({', '.join(names)})"
        raise InputError("data.protocol", found, "auto, or no target")
    place = f"{corpus.source or 'corpus'}: {PLACE}"
    for position, name in enumerate(names):
        if name not in corpus.targets:
            expected = nearest(name, corpus.targets) if corpus.targets else "targets in the corpus"
            raise InputError(place, f"unknown {name!r}", expected)
        if name in names[:position]:
            raise InputError(place, f"{name!r} twice", "each target once")
        if np.isnan(corpus.targets[name]).all():
            raise InputError(place, f"{name!r} is NaN for every utterance", "some numbers")
    targets = tuple(ratings.target(name, corpus.targets[name]) for name in names)
    if not classes:
        return Numbers(protocol, tuple(names), targets)
    if len(names) > 1:
        found = f"{classes} of {len(names)} targets ({', '.join(names)})"
        raise InputError("data.classes", found, "classes of one target")
    (target,) = targets
    known = ratings.class_counts(target.scale)
    if classes not in known:
        values = corpus.targets[target.name]
        range_ = f"values from {np.nanmin(values):g} to {np.nanmax(values):g}"
        expected = "0: the numbers; classes need values on both sides of 0, from -3 to 3"
        if known:
            expected = f"{', '.join(map(str, known))}, or 0: the numbers"
        raise InputError("data.classes", f"{classes} of {target.name!r}, {range_}", expected)
    return Bins(protocol, ratings.class_names(target.scale, classes), target=target)


def _over_seeds(scores: Mapping[str, np.ndarray]) -> dict[str, Any]:
    return {name: over_seeds(values) for name, values in scores.items()}
