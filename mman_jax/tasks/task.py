"""Tasks of systems: labels, loss, answers, scores and units.

S seeds, N utterances, C outputs.
"""

import abc
import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar, Protocol

import numpy as np

from mman_jax.data.corpus import Corpus
from mman_jax.data.splits import Split
from mman_jax.tasks.score import Score
from mman_jax.types import Array, is_scored


class Objective(Protocol):
    """The loss of a stage's heads, and the sums (tallies) from which their scores are computed."""

    @property
    def unit(self) -> str:
        """The unit of the loss."""

    def plain(self) -> "Objective":
        """Returns the loss for comparisons of settings, without weights and smoothing."""

    def reference(self, labels: Array) -> Array:
        """Computes the statistics of the training labels [R, U, ...] that loss and scores need."""

    def loss(
        self, answers: Array, labels: Array, reference: Array, total: Callable[[Array], Array]
    ) -> tuple[Array, Array]:
        """Computes a head's training loss as a sum and a weight; `total` sums over the devices."""

    def tally(self, answers: Array, labels: Array, reference: Array) -> Array:
        """Computes the sums over some utterances from which scores are computed."""

    def nothing(self, heads: int) -> Array:
        """Returns the empty tallies of several heads, before any utterance is counted."""

    def valid_losses(self, tally: Array, summed: Array) -> Array:
        """Computes the validation loss [heads, temperatures] from a tally and a sum of `summed`."""

    def summed(
        self, answers: Array, labels: Array, reference: Array, temperatures: Sequence[float]
    ) -> Array:
        """Sums the validation losses and, last, their weight; [temperatures + 1]."""

    def score(self, tally: Array) -> Array:
        """Computes the score [...] for progress reports; higher is better."""

    def convert(self, answers: Array, reference: Array, other: Array) -> Array:
        """Converts answers in the units of one reference to those of another."""


@dataclasses.dataclass(frozen=True, eq=False)
class Task(abc.ABC):
    """The task of a system. All code that depends on the kind of answer is in a subclass.

    `answers` computes answers from logits: int classes, or numbers in the target's units. Tallies
    are sums over utterances, one per seed, from which every score is computed: they add up over
    batches, devices, conversations and folds.

    Attributes:
        name: the protocol's name, or for `binary4` the class that is separated from the rest.
        classes: the names of the C outputs, in order.

    Class attributes:
        kind: the field of `results.json` that holds `describe()`'s list.
        outputs: the kind of a system's outputs, `classes` or `numbers` (`systems.for_outputs`).
        learns: the kind of labels to train on, one of `BaseSystem.label_kinds`.
        predicts: the name of a trained model's predictions, `probabilities` or `values`.
        has_probabilities: whether answers are classes with probabilities, which can be calibrated.
        title: the title of the table of a trial, with placeholders like `introduction`.
        introduction: a sentence for reports, with placeholders `{protocol}` and `{names}`.
        constant: the field of a part's scores that holds the score of the constant answer.
        constant_name: the name of that answer in tables.
        progress: the score that is shown during a run and used by `test_oracle`.
        required: the scores that results must have.
        unused_settings: settings of `config.train` that have no effect.
    """

    name: str
    classes: tuple[str, ...]

    kind: ClassVar[str]
    outputs: ClassVar[str]
    learns: ClassVar[str]
    predicts: ClassVar[str]
    has_probabilities: ClassVar[bool] = False
    title: ClassVar[str]
    introduction: ClassVar[str]
    constant: ClassVar[str]
    constant_name: ClassVar[str]
    progress: ClassVar[Score]
    required: ClassVar[tuple[str, ...]]
    unused_settings: ClassVar[tuple[str, ...]] = ()

    # Labels.

    @abc.abstractmethod
    def labels(self, corpus: Corpus) -> np.ndarray:
        """Returns the labels [N, ...] that are scored: int32, or float32 with NaN if missing."""

    def training_labels(self, corpus: Corpus) -> np.ndarray:
        """Returns the labels [N, ...] to train on; by default `labels`."""
        return self.labels(corpus)

    def raters(self, corpus: Corpus) -> np.ndarray | None:
        """Returns the share [N, C] of raters that chose each class; None without votes."""
        return None

    def distances(
        self, raters: np.ndarray, answers: np.ndarray, probabilities: np.ndarray | None = None
    ) -> dict[str, np.ndarray]:
        """Returns the distances [S, N] of predictions to the raters by score; {} without votes.

        Args:
            raters: the result of `raters` for the scored utterances.
            answers: [S, N] int.
            probabilities: [S, N, C], if they are known.
        """
        return {}

    @property
    @abc.abstractmethod
    def requirement(self) -> str:
        """Describes what a scored utterance must have, for messages."""

    @abc.abstractmethod
    def counts(self, labels: np.ndarray) -> dict[str, int]:
        """Counts the utterances of each class or target by its name.

        Args:
            labels: the result of `labels` or `training_labels`, of any leading shape.
        """

    @abc.abstractmethod
    def check_split(self, corpus: Corpus, split: Split) -> list[str]:
        """Checks for parts that cannot be trained on or scored, or are probably a mistake.

        Returns:
            Notices for the user.

        Raises:
            InputError: training has a single class, or a target that does not vary.
        """

    @abc.abstractmethod
    def check_fold(self, corpus: Corpus, split: Split, fold: str, setting: str) -> list[str]:
        """Checks a fold; scores are pooled, so that its test part may lack a class.

        Args:
            fold: its name, for messages.
            setting: the setting that asks for folds, for messages.

        Returns:
            Notices for the user.

        Raises:
            InputError: a part has no scored utterance, or the training part lacks a class of the
                corpus or has a target that does not vary.
        """

    # Training.

    @abc.abstractmethod
    def objective(self, settings: Mapping[str, Any]) -> Objective:
        """Reads the loss from the settings of training.

        Args:
            settings: `select`, `class_weights`; optionally `label_smoothing` and `focal` for
                classes, and for numbers `loss` (a key of `losses.NUMBERS`; empty:
                `losses.DEFAULT`).
        """

    # Answers.

    def reference(self, labels: np.ndarray) -> np.ndarray | None:
        """Returns the statistics of the training labels that turn logits into answers.

        A trained model stores them as its units. None: logits need no statistics.
        """
        return None

    def hard(self, labels: np.ndarray) -> np.ndarray:
        """Returns labels for systems that cannot learn from raters' shares; by default unchanged.

        Args:
            labels: the result of `training_labels`, of any leading shape.
        """
        return labels

    @abc.abstractmethod
    def answers(self, logits: np.ndarray, reference: np.ndarray | None = None) -> np.ndarray:
        """Converts a head's outputs [..., C] to answers, with the result of `reference`."""

    @abc.abstractmethod
    def predict(self, logits: Array, reference: Array | None = None) -> Array:
        """Computes a trained model's predictions [..., C] of logits [..., C], within `jax.jit`.

        They are probabilities, or numbers in the target's units; see `reference` for the argument.
        """

    def labels_of(self, predictions: np.ndarray) -> list[str] | None:
        """Returns the labels of predictions [N, C]; None if predictions have no labels."""
        return None

    @abc.abstractmethod
    def ensemble(self, logits: np.ndarray, reference: np.ndarray | None = None) -> np.ndarray:
        """Returns the answers of the ensemble of seeds, from their logits [S, N, C]."""

    @abc.abstractmethod
    def read_answers(self, answers: Any, labels: Any) -> tuple[np.ndarray, np.ndarray]:
        """Returns answers [S, N, ...] and labels [N, ...] as arrays, from JSON.

        Raises:
            ValueError: they are not answers to this task.
        """

    @abc.abstractmethod
    def attention_groups(self, labels: np.ndarray) -> tuple[np.ndarray, tuple[str, ...]]:
        """Returns the groups by which attention is averaged.

        Returns:
            The group of each label (`UNSCORED`: no group), and the names of the groups; without
            names, all scored utterances are in group 0.
        """

    @abc.abstractmethod
    def texts(self, values: np.ndarray) -> list[Any]:
        """Returns answers or labels for reports: names, or numbers and None."""

    # Scores.

    @property
    @abc.abstractmethod
    def headline(self) -> Score:
        """The score by which systems are compared."""

    @abc.abstractmethod
    def tally(
        self, answers: np.ndarray, labels: np.ndarray, reference: np.ndarray | None = None
    ) -> np.ndarray:
        """Returns the tally of answers [N, ...] to utterances with labels [N, ...]."""

    @abc.abstractmethod
    def tally_each(self, answers: np.ndarray, labels: np.ndarray) -> np.ndarray:
        """Returns a tally for each utterance, without the constant answer's."""

    @abc.abstractmethod
    def score(self, key: str, tallies: np.ndarray) -> np.ndarray:
        """Computes a score of `score_names` from tallies."""

    def measures(self, tallies: np.ndarray) -> dict[str, np.ndarray]:
        """Computes all scores [...] of tallies [..., *K] by their keys."""
        return {key: self.score(key, tallies) for key in self.score_names()}

    @abc.abstractmethod
    def scores(self, tallies: np.ndarray) -> dict[str, Any]:
        """Computes the scores in `results.json` from the tallies of all seeds."""

    @abc.abstractmethod
    def weight(self, tally: np.ndarray) -> float:
        """Returns the number of scored values in a seed's tally, by which folds are weighted."""

    @abc.abstractmethod
    def score_each(self, answers: np.ndarray, labels: np.ndarray) -> np.ndarray:
        """Returns the headline score of each answer: right or not, or its error; [S, N]."""

    @abc.abstractmethod
    def store_each(self, values: np.ndarray) -> dict[str, Any]:
        """Returns the result of `score_each` in the form of a study's `results.json`."""

    @abc.abstractmethod
    def score_names(self, available: Sequence[str] | None = None) -> dict[str, str]:
        """Returns the names of scores in tables by their keys, the headline's first.

        Args:
            available: the scores of a test part; None: the scores that every test part has.
        """

    @abc.abstractmethod
    def describe_score(self, key: str) -> Score:
        """Returns the name, direction and format of a score of `score_names`."""

    @property
    def margin_scale(self) -> float | None:
        """The unit of the margin within which two systems count as level; None for shares."""
        return None

    @abc.abstractmethod
    def describe(self) -> dict[str, Any]:
        """Returns the description of the task in `results.json`."""


def to_json(values: np.ndarray) -> list[Any]:
    """Returns an array as lists for JSON: numbers to six digits, and None for NaN."""
    if values.dtype.kind != "f":
        return values.tolist()
    texts = [None if x != x else float(f"{x:.6g}") for x in values.reshape(-1).tolist()]
    return np.array(texts, object).reshape(values.shape).tolist()


def any_scored(labels: np.ndarray) -> np.ndarray:
    """Returns which utterances [N] have a label [N], or any of several labels [N, C]."""
    scored = is_scored(labels)
    return scored if labels.dtype.kind == "i" else scored.any(-1)
