"""Checks of a finished trial: its seal, its corpus, its scores and its model.

Every check recomputes something. It is `not checked` if something that it needs is missing, such as
the corpus.
"""

import csv
import functools
import pathlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from ml_collections import ConfigDict

from mman_jax.data.parts import Parts
from mman_jax.errors import InputError
from mman_jax.evaluation import significance
from mman_jax.files.whole import read_json
from mman_jax.inference.model import Model
from mman_jax.study import pooled
from mman_jax.systems import SYSTEMS
from mman_jax.tasks import Task, from_results
from mman_jax.tasks.score import over_seeds
from mman_jax.trial import analysis, folder, seal
from mman_jax.trial.stored import read_results
from mman_jax.trial.trial import Data, prepare_data
from mman_jax.version import __version__

OK, FAILED, NOT_CHECKED = "ok", "FAILED", "not checked"

_CLOSE = 1e-6
"""Largest relative difference of two scores that count as equal."""

_NEAR = 1e-3
"""Largest difference of two probabilities, or of numbers in deviations, on other devices."""

_DRAWN = 0.02
"""Largest difference of intervals and p-values that another version resampled."""

_POOLED = (
    "validation", "test", "test_oracle", "towers", "ensemble", "before_refit", "towers_mean",
    "baseline", "groups", "resampled", "context",
)  # fmt: skip
"""The fields of a task that `pooled` computes from the stored answers and tallies."""


class Check(NamedTuple):
    """The outcome of a check.

    Attributes:
        name: name of the check, prefixed by that of its trial if there are several.
        state: `OK`, `FAILED` or `NOT_CHECKED`.
        detail: description of a difference or of a missing file; empty if the check passes.
    """

    name: str
    state: str
    detail: str = ""

    def __str__(self) -> str:
        """Returns a single line for the report, even if the detail has line breaks."""
        line = f"{self.name}: {self.state}" + (f": {self.detail}" if self.detail else "")
        return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in line)


class _Differs(Exception):
    """Stored and computed values differ."""


class _Missing(Exception):
    """Something that a check needs is missing."""


def verify(path: pathlib.Path, data: str | None = None) -> Iterator[Check]:
    """Checks a trial, or all folds of a trial or trials of a study with their pooled results.

    Args:
        path: folder of the trial or study.
        data: path of the corpus; by default as in the trial's config.

    Raises:
        InputError: there are no results, or their form is wrong.
    """
    if not (path / "results.json").is_file():
        raise InputError(path, "no results.json", "the folder of a finished trial or study")
    study = read_json(path / "results.json")
    if isinstance(study.get("systems"), dict):
        yield from _study(path, study, data)
        return
    results = read_results(path / "results.json")
    if not (path / "folds").is_dir() or (path / analysis.NAME).is_file():
        yield from _Trial(path, data).checks()
        return
    folds = sorted(x for x in (path / "folds").iterdir() if (x / "results.json").is_file())
    for fold in folds:
        for check in _Trial(fold, data).checks():
            yield check._replace(name=f"fold {fold.name}, {check.name}")
    yield _check("folds", lambda: _check_folds(folds, results))


def _check(name: str, check: Callable[[], None]) -> Check:
    """Runs a check, which raises an exception if it fails."""
    try:
        check()
    except _Missing as error:
        return Check(name, NOT_CHECKED, str(error))
    except (_Differs, InputError) as error:
        return Check(name, FAILED, str(error))
    except Exception as error:  # files that others wrote can fail in any way
        return Check(name, FAILED, f"unreadable ({type(error).__name__}: {error!s:.80})")
    return Check(name, OK)


class _Trial:
    """A trial on one split, with the files of its folder."""

    def __init__(self, path: pathlib.Path, data: str | None):
        self._path, self._given = path, data
        results = read_results(path / "results.json")
        self._tasks = results.get("tasks") or {results["protocol"]: results}
        self._seal = results.get("seal")

    def checks(self) -> Iterator[Check]:
        """Yields the outcome of every check."""
        yield _check("seal", self._check_seal)
        yield _check("package", self._check_package)
        yield _check("corpus", lambda: self._check_corpus("utterances"))
        yield _check("features", lambda: self._check_corpus("modalities"))
        for name in ("labels", "split", "answers", "scores", "epochs", "model"):
            yield _check(name, getattr(self, f"_check_{name}"))

    def _sealed(self) -> Mapping[str, Any]:
        if self._seal is None:
            raise _Missing("no seal")
        return self._seal

    def _json(self, name: str) -> dict[str, Any]:
        if not (self._path / name).is_file():
            raise _Missing(f"no {name}")
        return read_json(self._path / name)

    @functools.cached_property
    def _analyses(self) -> dict[str, Any]:
        return self._json(analysis.NAME)

    @functools.cached_property
    def _data(self) -> Data:
        """The corpus, read and split as the trial did."""
        config = ConfigDict({**self._json("config.json"), "distributed": ""})
        if config.system not in SYSTEMS:  # a config from elsewhere must not run code
            raise _Missing(f"{config.system} is no system of the library")
        path = self._given or config.data.path
        for each in (path, config.data.test):
            if each is not None and not pathlib.Path(each).exists():
                raise _Missing(f"no corpus at {each}")
        config.data.path = path
        return prepare_data(config)

    def _check_seal(self) -> None:
        sealed, config = self._sealed(), self._json("config.json")
        content = {name: value for name, value in sealed.items() if name != "digest"}
        _same("the seal", sealed["digest"], seal.digest(content))
        _same("config.json", sealed["config"], seal.of_config(config))
        _same("the rule of selection", sealed["selection"], seal.rule(config))
        for name, scores in self._tasks.items():
            seeds = sorted([*scores["seeds"], *(x["seed"] for x in scores.get("failed", ()))])
            _same(f"the seeds of {name}", sorted(sealed["seeds"]), seeds)

    def _check_package(self) -> None:
        sealed = self._sealed()
        if (sealed["version"], sealed["package"]) != (__version__, seal.package()):
            raise _Missing(f"written by other files than these, of version {sealed['version']}")

    def _check_corpus(self, field: str) -> None:
        """Compares digests of the seal with those of `corpus.json` and of the corpora."""
        facts, stored = self._sealed()["corpus"], self._json(folder.CORPUS)
        _same_facts(facts, stored, field, f"in {folder.CORPUS} than in the seal")
        external, corpus = self._data.external, self._data.parts.corpus
        corpora = (external.training, external.corpus) if external else (corpus, None)
        _same_facts(facts, folder.digests(*corpora), field, "than those that were sealed")

    def _check_labels(self) -> None:
        for task in self._data.tasks:
            parts, labels = self._data.parts, self._data.labels[task.name]
            stored = self._analyses[task.name]["utterances"]
            for column, values in seal.scored_utterances(parts, labels).items():
                _same(f"{column}s of the stored answers", stored[column], values)
            if self._seal is not None:
                digest = self._seal["labels"][task.name]
                _same(f"labels of {task.name}", digest, seal.of_labels(parts, labels))

    def _check_split(self) -> None:
        sealed = self._sealed()
        for part, digest in seal.of_split(self._data.parts).items():
            _same(f"conversations in the {part} part", sealed["split"][part], digest)

    def _check_answers(self) -> None:
        for task, digest in self._sealed()["answers"].items():
            _same("stored answers", digest, seal.of_answers(self._analyses[task]))

    def _check_scores(self) -> None:
        for name, scores in self._tasks.items():
            trial = {**scores, **self._analyses[name]}
            task = from_results(scores, name)
            answers, labels = task.read_answers(trial["answers"], trial["utterances"]["label"])
            tallies = np.stack([task.tally_each(x, labels).sum(0) for x in answers])
            counted = task.measures(np.asarray(trial["counts"]["system"]["test"], np.float64))
            for key, values in task.measures(tallies).items():
                _compare(counted[key].tolist(), values.tolist(), f"{key} of the answers", 1e-4)
            computed = pooled.pool({"": trial})
            for field in _POOLED:
                if field in scores:
                    _compare(scores[field], computed[field], field)

    def _check_epochs(self) -> None:
        several = len(self._tasks) > 1
        for name, scores in self._tasks.items():
            path = self._path / ("curves" + f"_{name}" * several + ".csv")
            if not path.is_file():
                raise _Missing(f"no {path.name}")
            with path.open(encoding="utf-8", newline="") as file:
                rows = list(csv.DictReader(file))
            first, last = rows[0]["stage"], rows[-1]["stage"]
            system = [row["head"] for row in rows if row["stage"] == last and row["epoch"] == "1"]
            heads = {(first, tower): of_tower for tower, of_tower in scores["towers"].items()}
            heads |= {(last, system[-1]): scores}
            for (stage, head), of_head in heads.items():
                losses = of_head["validation"]["loss"]["per_seed"]
                for seed, epoch, loss in zip(
                    scores["seeds"], of_head["best_epoch"], losses, strict=True
                ):
                    place = {"stage": stage, "head": head, "seed": str(seed)}
                    curve = [row for row in rows if place.items() <= row.items()]
                    self._check_epoch(f"{name}, {head}, seed {seed}", curve, epoch, loss)

    def _check_epoch(
        self, place: str, curve: Sequence[Mapping[str, str]], epoch: int, loss: float
    ) -> None:
        """Checks that the rule selects an epoch of a curve, with its validation loss."""
        settings = self._json("config.json")["train"]
        losses = np.array([row["valid_loss"] for row in curve], np.float32)
        if "score" not in curve[0]:
            raise _Missing("curves without the score that selects an epoch")
        scores = np.array([row["score"] for row in curve], np.float32).astype(np.float64)
        if settings["select"] == "last":
            scores = np.arange(len(scores), dtype=np.float64)
        impossible = {"loss": scores != -losses, "calibrated": scores < -losses - _CLOSE}
        if not settings["smoothing"] and np.any(impossible.get(settings["select"], False)):
            raise _Differs(f"{place}: scores that do not follow from the losses")
        selected = int(curve[int(scores.argmax())]["epoch"])
        _same(f"the epoch of {place}", epoch, selected)
        at = [row["epoch"] for row in curve].index(str(selected))
        _compare(loss, float(losses[at]), f"the validation loss of {place}")

    def _check_model(self) -> None:
        for name, scores in self._tasks.items():
            place = self._path / "model" / name
            if not (place / "model.npz").is_file():
                raise _Missing("no model")
            stored, data = self._analyses[name], self._data
            if data.external is not None and data.external.scaled_apart:
                raise _Missing("the test corpus was scaled by statistics that no model has")
            predicted = Model.load(place).of_each_seed(data.parts.corpus)
            _check_answers(from_results(scores, name), data.parts, predicted, stored)


def _check_answers(
    task: Task, parts: Parts, predicted: np.ndarray, stored: Mapping[str, Any]
) -> None:
    """Compares a model's predictions [S, N, C] of a corpus with the stored answers."""
    corpus, where = parts.corpus, stored["utterances"]
    start = dict(zip(corpus.conversation_ids, corpus.offsets.tolist(), strict=False))
    index = [start[c] + p for c, p in zip(where["conversation"], where["position"], strict=True)]
    answers, _ = task.read_answers(stored["answers"], where["label"])
    predicted = predicted[:, index]
    _same("the model's seeds", len(answers), len(predicted))
    if task.has_probabilities:
        chosen = np.take_along_axis(predicted, answers[..., None], -1)[..., 0]
        wrong = predicted.max(-1) - chosen > _NEAR
    else:
        wrong = (np.abs(predicted - answers) > _NEAR * (task.margin_scale or 1)).any(-1)
    if wrong.any():
        raise _Differs(f"{int(wrong.sum())} of {wrong.size} answers are not the model's")


def _check_folds(folds: Sequence[pathlib.Path], results: Mapping[str, Any]) -> None:
    """Checks that pooled results follow from those of the folds."""
    named = {read_json(fold / "config.json")["data"]["fold"]: fold for fold in folds}
    first = next(iter(results["tasks"].values())) if "tasks" in results else results
    order = [fold["name"] for fold in first["folds"]]
    _same("folds", sorted(order), sorted(named))
    computed = pooled.results_of(pooled.read({name: named[name] for name in order}))
    _compare(results, computed, "results")


def _study(path: pathlib.Path, study: Mapping[str, Any], data: str | None) -> Iterator[Check]:
    """Checks the trials of a study, and the scores of its report."""
    for name, system in study["systems"].items():
        places = [path / "systems" / name, *sorted(path.glob(f"folds/*/systems/{name}"))]
        trials = [place for place in places if (place / "results.json").is_file()]
        for trial in trials:
            prefix = trial.relative_to(path).as_posix()
            yield from (x._replace(name=f"{prefix}, {x.name}") for x in verify(trial, data))
            if "seal" in system and len(trials) == 1:
                sealed = read_json(trial / "results.json").get("seal", {}).get("digest")
                if sealed != system["seal"]:
                    yield Check(f"{prefix}, report", FAILED, "the report is of another trial")
        if not trials:
            yield Check(f"{name}, trial", NOT_CHECKED, "no folder of the trial")
    yield _check("scores", lambda: _check_study(study))


def _check_study(study: Mapping[str, Any]) -> None:
    """Checks means over seeds, and accuracies and their differences by the stored right answers."""
    _check_means(study, "results")
    right = {
        name: np.array([list(seed) for seed in system["right"]]) == "1"
        for name, system in study["systems"].items()
        if "right" in system
    }
    for name, answers in right.items():
        accuracy = study["systems"][name]["test"]["accuracy"]
        _compare(accuracy["per_seed"], answers.mean(1).tolist(), f"{name}: accuracy")
    units = study["utterances"]["conversation"]
    unit = study.get("resampled", {}).get("unit", "conversations")
    for pair in study["comparisons"] if unit == "conversations" else ():
        if {pair["first"], pair["second"]} <= right.keys():
            found = significance.bootstrap(right[pair["first"]], right[pair["second"]], units)
            computed, place = found.about(), f"{pair['first']} over {pair['second']}"
            _compare(pair["difference"], computed["difference"], place)
            _compare({key: pair[key] for key in computed}, computed, place, _DRAWN)


def _check_means(content: Any, place: str) -> None:
    """Checks all means and deviations over seeds, at any depth."""
    for name, value in content.items() if isinstance(content, Mapping) else ():
        if isinstance(value, Mapping) and isinstance(value.get("per_seed"), list):
            spread = over_seeds(value["per_seed"])
            _compare({key: value[key] for key in spread}, spread, f"{place}.{name}")
        _check_means(value, f"{place}.{name}")


def _same_facts(
    facts: Mapping[str, Any], others: Mapping[str, Any], field: str, where: str
) -> None:
    """Compares the digests of a field, also of another corpus that is tested on."""
    for one, other in ((facts, others), (facts.get("test") or {}, others.get("test") or {})):
        if one.get(field) != other.get(field):
            raise _Differs(f"other {field} {where}")


def _same(what: str, expected: Any, found: Any) -> None:
    if expected != found:
        short = isinstance(expected, int) and isinstance(found, int)
        raise _Differs(f"{what}: {expected}, where {found} follows" if short else f"other {what}")


def _compare(stored: Any, computed: Any, place: str, close: float = _CLOSE) -> None:
    """Compares stored scores with computed ones, which may have more fields."""
    if isinstance(stored, Mapping) and isinstance(computed, Mapping):
        for name, value in stored.items():
            if name in computed:
                _compare(value, computed[name], f"{place}.{name}", close)
            else:
                _check_means({name: value}, place)
    elif isinstance(stored, list) and isinstance(computed, list) and len(stored) == len(computed):
        for index, (value, other) in enumerate(zip(stored, computed, strict=True)):
            _compare(value, other, f"{place}.{index}", close)
    elif isinstance(stored, int | float) and isinstance(computed, int | float):
        if abs(stored - computed) > close * max(1.0, abs(computed)):
            raise _Differs(f"{place}: {stored:.6g}, where {computed:.6g} follows")
    elif stored != computed:
        raise _Differs(f"{place}: {stored!r:.60}, where {computed!r:.60} follows")
