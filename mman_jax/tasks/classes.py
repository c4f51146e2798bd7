"""Classification tasks.

S seeds, N utterances, C classes.
"""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import numpy as np

from mman_jax.data.corpus import Corpus
from mman_jax.data.splits import Split
from mman_jax.errors import InputError
from mman_jax.tasks import metrics
from mman_jax.tasks.losses import CrossEntropy
from mman_jax.tasks.score import Score, over_seeds
from mman_jax.tasks.task import Objective, Task
from mman_jax.types import UNSCORED, Array

ACCURACY = Score(
    "accuracy",
    "accuracy",
    "accuracy",
    difference="the first system's accuracy less the second's, in points",
)

_PARTS = {"train": "training", "valid": "validation", "test": "test"}


@dataclasses.dataclass(frozen=True, eq=False)
class Classes(Task):
    """A classification of utterances into C classes, with the class of each of K corpus labels.

    Tallies are counts [S, C, C], rows the true class; answers are classes [S, N].

    Attributes:
        label_map: [K] int32, the class of each corpus label, or UNSCORED: context only. None: the
            task was read from results, without a corpus.
    """

    label_map: np.ndarray | None = None

    kind = outputs = learns = "classes"
    predicts = "probabilities"
    has_probabilities = True
    title = "{protocol}"
    introduction = "Protocol {protocol}, classes {names}."
    constant, constant_name = "majority_accuracy", "majority answer"
    progress = ACCURACY
    required = tuple(key for key, metric in metrics.METRICS.items() if metric.is_brief)

    @property
    def headline(self) -> Score:
        """Accuracy, under the name that the protocol's field uses."""
        return self.describe_score("accuracy")

    def labels(self, corpus: Corpus) -> np.ndarray:
        """Returns the class [N] int32 of each utterance, or UNSCORED."""
        if self.label_map is None:
            raise ValueError(f"task {self.name} was read from results and has no map of labels")
        # The corpus's own -1 indexes the appended last entry.
        return np.append(self.label_map, np.int32(UNSCORED))[corpus.labels]

    @property
    def requirement(self) -> str:
        """See `Task`."""
        return f"a class of {self.name}"

    def counts(self, labels: np.ndarray) -> dict[str, int]:
        """See `Task`; for votes, counts the class that most raters chose."""
        labels = self.hard(labels)
        counts = np.bincount(labels[labels != UNSCORED], minlength=len(self.classes))
        return dict(zip(self.classes, counts.tolist(), strict=True))

    def check_split(self, corpus: Corpus, split: Split) -> list[str]:
        """See `Task`."""
        sentences = []
        present = self._by_part(corpus, split)
        if len(present["train"]) == 1:
            name = self.classes[next(iter(present["train"]))]
            place = f"{corpus.source or 'corpus'}, task {self.name}"
            only = f"every labelled training utterance is {name}"
            raise InputError(place, only, "at least two classes")
        for part in ("valid", "test"):
            unseen = [self.classes[c] for c in sorted(present[part] - present["train"])]
            if unseen and present["train"]:
                names = f"class{'es' * (len(unseen) > 1)} {', '.join(unseen)}"
                sentences.append(f"task {self.name}: {_PARTS[part]} has {names}, training does not")
            if len(present[part]) == 1:
                name = self.classes[next(iter(present[part]))]
                problem = f"every labelled utterance in {_PARTS[part]} is {name}"
                sentences.append(f"task {self.name}: {problem}: its scores say little")
        return sentences

    def check_fold(self, corpus: Corpus, split: Split, fold: str, setting: str) -> list[str]:
        """See `Task`."""
        place = f"{setting}: fold {fold}"
        scored = set(self.labels(corpus).tolist()) - {UNSCORED}
        present = self._by_part(corpus, split)
        lacking = {
            part: ", ".join(self.classes[c] for c in sorted(scored - classes))
            for part, classes in present.items()
        }
        for part, name in _PARTS.items():
            if len(getattr(split, part)) and not present[part]:
                problem = f"no utterance in the {name} part has a class of {self.name}"
                raise InputError(place, problem, f"some labelled {', '.join(self.classes)}")
        if lacking["train"]:
            problem = f"no utterance in training is {lacking['train']} (task {self.name})"
            raise InputError(place, problem, "every class of the corpus in training")
        if lacking["test"] and len(split.test):
            problem = f"no utterance in the test part is {lacking['test']}"
            return [f"fold {fold}, task {self.name}: {problem}"]
        return []

    def hard(self, labels: np.ndarray) -> np.ndarray:
        """Returns the class that most raters chose, int32; other labels as they are."""
        if labels.dtype.kind != "f":
            return labels
        is_scored = ~np.isnan(labels).all(-1)
        return np.where(is_scored, np.nan_to_num(labels).argmax(-1), UNSCORED).astype(np.int32)

    def objective(self, settings: Mapping[str, Any]) -> Objective:
        """See `Task`."""
        loss = settings.get("loss", "")
        if loss:
            found = f"{loss!r}, of numbers, for a task of classes"
            raise InputError("train.loss", found, "no loss (cross-entropy), or a target")
        return CrossEntropy(
            len(self.classes),
            settings["class_weights"],
            settings.get("label_smoothing", 0.0),
            settings.get("focal", 0.0),
        )

    def answers(self, logits: np.ndarray, reference: np.ndarray | None = None) -> np.ndarray:
        """See `Task`."""
        return logits.argmax(-1)

    @staticmethod
    def predict(logits: Array, reference: Array | None = None) -> Array:
        """See `Task`."""
        return jax.nn.softmax(logits)

    def labels_of(self, predictions: np.ndarray) -> list[str]:
        """Returns the most probable classes."""
        return [self.classes[c] for c in predictions.argmax(-1)]

    def ensemble(self, logits: np.ndarray, reference: np.ndarray | None = None) -> np.ndarray:
        """Returns the most probable class [N] by the mean of the seeds' probabilities."""
        from scipy.special import softmax  # slow to import, and used only after training

        return softmax(logits, axis=-1).mean(0).argmax(-1)

    def read_answers(self, answers: Any, labels: Any) -> tuple[np.ndarray, np.ndarray]:
        """See `Task`."""
        arrays = np.asarray(answers), np.asarray(labels)
        for values in arrays:
            if values.dtype.kind != "i" or not 0 <= values.min() <= values.max() < len(
                self.classes
            ):
                raise ValueError("answers that are not classes")
        return arrays

    def attention_groups(self, labels: np.ndarray) -> tuple[np.ndarray, tuple[str, ...]]:
        """See `Task`."""
        return labels, self.classes

    def texts(self, values: np.ndarray) -> list[Any]:
        """See `Task`."""
        return [self.classes[v] if v != UNSCORED else "" for v in values]

    def tally(
        self, answers: np.ndarray, labels: np.ndarray, reference: np.ndarray | None = None
    ) -> np.ndarray:
        """Counts answers by true class [C, C] int."""
        scored, count = labels != UNSCORED, len(self.classes)
        cells = labels[scored] * count + answers[scored]
        return np.bincount(cells, minlength=count**2).reshape(count, count)

    def tally_each(self, answers: np.ndarray, labels: np.ndarray) -> np.ndarray:
        """See `Task`; [N, C, C] float64."""
        unit = np.eye(len(self.classes))
        return unit[labels][:, :, None] * unit[answers][:, None]

    def score(self, key: str, tallies: np.ndarray) -> np.ndarray:
        """See `Task`."""
        return metrics.METRICS[key].compute(tallies)

    def scores(self, tallies: np.ndarray) -> dict[str, Any]:
        """See `Task`; `per_class` is in the order of the classes."""
        counts = np.asarray(tallies, np.int64)
        true = counts[0].sum(-1)
        scores = {key: over_seeds(self.score(key, counts)) for key in metrics.METRICS}
        return scores | {
            self.constant: float(true.max() / true.sum()),
            "confusion": counts.sum(0).tolist(),
            "per_class": _per_class(counts),
        }

    def weight(self, tally: np.ndarray) -> float:
        """See `Task`."""
        return float(np.sum(tally))

    def score_each(self, answers: np.ndarray, labels: np.ndarray) -> np.ndarray:
        """Returns whether each answer is right, [S, N]."""
        return np.asarray(answers) == np.asarray(labels)

    def store_each(self, values: np.ndarray) -> dict[str, Any]:
        """See `Task`."""
        # A digit for each utterance, 1 if right: it suffices for any test, and does not contain the
        # corpus.
        return {"right": ["".join(map(str, seed)) for seed in values.astype(int).tolist()]}

    def score_names(self, available: Sequence[str] | None = None) -> dict[str, str]:
        """See `Task`."""
        chosen = self.required if available is None else available
        return {key: name for key, name in metrics.names(self.name).items() if key in chosen}

    def describe_score(self, key: str) -> Score:
        """See `Task`."""
        label, (_, phrase, is_brief) = metrics.names(self.name)[key], metrics.METRICS[key]
        return dataclasses.replace(ACCURACY, key=key, label=label, phrase=phrase, is_brief=is_brief)

    def describe(self) -> dict[str, Any]:
        """See `Task`."""
        return {"classes": list(self.classes)}

    def _by_part(self, corpus: Corpus, split: Split) -> dict[str, set[int]]:
        """Returns the classes that occur in each part."""
        labels = self.labels(corpus)
        return {
            part: set(labels[corpus.is_of(getattr(split, part))].tolist()) - {UNSCORED}
            for part in _PARTS
        }


def _per_class(counts: np.ndarray) -> list[dict[str, Any]]:
    """Returns the scores of each class over the seeds, and its support."""
    scores = metrics.per_class(counts)
    support = scores.pop("support")[0].tolist()
    return [
        {name: over_seeds(values[:, index]) for name, values in scores.items()} | {"support": size}
        for index, size in enumerate(support)
    ]
