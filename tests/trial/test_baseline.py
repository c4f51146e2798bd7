"""The linear baseline of a trial, without training the trial's own system."""

import dataclasses
import json
import signal

import numpy as np
import pytest

from mman_jax.data import scaling
from mman_jax.data.readers import npz
from mman_jax.errors import InputError
from mman_jax.systems.linear import Linear
from mman_jax.trial import baseline, runner
from mman_jax.trial.config import derive
from mman_jax.trial.progress import PREEMPTED, Preemption, Progress
from mman_jax.trial.trial import prepare_trial
from mman_jax.types import UNSCORED
from tests import tiny

pytest.importorskip("sklearn", reason="the machines need scikit-learn: pip install 'mman_jax[svm]'")


class Notices(Progress):
    def __init__(self):
        self.texts = []

    def notice(self, text):
        self.texts.append(text)


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    corpus = tiny.corpus()
    random, count = np.random.default_rng(0), len(corpus.labels)
    votes = np.eye(len(corpus.label_names), dtype=np.int32)[corpus.labels] * 2
    votes += random.integers(0, 2, votes.shape, np.int32)
    votes[corpus.labels == UNSCORED] = 0
    corpus = dataclasses.replace(
        corpus,
        votes=dict(zip(corpus.label_names, votes.T, strict=True)),
        targets={"stars": (3 + 2 * corpus.features["text"][:, 0]).astype(np.float32)},
        sequences={},
    )
    assert count > 100
    path = tmp_path_factory.mktemp("corpus") / "corpus.npz"
    npz.write(corpus, path)
    return path


def prepared(path, **fields):
    config = tiny.recipe(epochs=1)
    config.train.select = "calibrated"
    config.data.path = str(path)
    config.update_from_flattened_dict(fields)
    return prepare_trial(config)


def fitted(trial):
    scores, analyses = baseline.fit(trial, trial, trial.tasks[0], Notices())
    return scores, np.array(analyses["baseline_answers"])


def by_hand(trial, labels):
    """The training and test utterances of the scaled corpus, and their labels."""
    corpus, split = trial.parts.corpus, trial.parts.split
    scaled = scaling.fit(corpus, split.train).apply(dict(corpus.features))
    parts = (corpus.utterances_of(x) for x in (split.train, split.test))
    return [({m: x[part] for m, x in scaled.items()}, labels[part]) for part in parts]


def test_it_is_the_linear_system_fitted_to_the_training_part(path):
    trial = prepared(path)
    scores, answers = fitted(trial)
    labels = trial.tasks[0].labels(trial.parts.corpus)
    (train, classes), (test, truth) = by_hand(trial, labels)
    system = Linear(tuple(train), 4)
    expected = system.logits(system.fit(train, classes, 0), test).argmax(1)
    np.testing.assert_array_equal(answers, [expected[truth != UNSCORED]])
    right = (expected == truth)[truth != UNSCORED].mean()
    assert scores["test"]["accuracy"]["mean"] == pytest.approx(right)
    assert scores["system"] == "linear"
    assert scores["validation"]["loss"]["mean"] > 0


def test_of_votes_it_learns_the_class_of_most(path):
    trial = prepared(path, **{"train.labels": "votes"})
    _, answers = fitted(trial)
    (task,) = trial.tasks
    (train, classes), (test, truth) = by_hand(trial, task.labels(trial.parts.corpus))
    system = Linear(tuple(train), 4)
    expected = system.logits(system.fit(train, classes, 0), test).argmax(1)
    assert np.mean(answers[0] == expected[truth != UNSCORED]) > 0.9  # ties may differ


def test_numbers_are_predicted_in_their_units(path):
    """The number is a linear function of one feature."""
    trial = prepared(path, **{"data.target": "stars"})
    scores, answers = fitted(trial)
    corpus, split = trial.parts.corpus, trial.parts.split
    truth = corpus.targets["stars"][corpus.utterances_of(split.test)]
    assert scores["test"]["ccc"]["mean"] > 0.9
    error = np.abs(answers[0, :, 0] - truth).mean()
    assert scores["test"]["mae"]["mean"] == pytest.approx(error, rel=1e-4)


def test_retrained_trials_have_a_retrained_baseline(path):
    trial = prepared(path, **{"train.refit": True})
    split = trial.parts.split
    both = dataclasses.replace(split, train=np.union1d(split.train, split.valid))
    last = trial.on_split(both)
    first, _ = fitted(dataclasses.replace(trial, refit=False))
    scores, analyses = baseline.fit(trial, last, trial.tasks[0], Notices())
    assert scores["validation"] == first["validation"]
    labels = trial.tasks[0].labels(trial.parts.corpus)
    (train, classes), (test, truth) = by_hand(last, labels)
    system = Linear(tuple(train), 4)
    expected = system.logits(system.fit(train, classes, 0), test).argmax(1)
    np.testing.assert_array_equal(analyses["baseline_answers"], [expected[truth != UNSCORED]])


@pytest.mark.parametrize("reason", ["data", "sklearn", "network.system"])
def test_a_notice_says_why_there_is_none(path, monkeypatch, reason):
    trial, notices = prepared(path), Notices()
    if reason == "data":
        monkeypatch.setattr(baseline, "_LARGEST", 100)
    elif reason == "sklearn":
        monkeypatch.setattr(Linear, "needs", ("no_such_package", "svm"))
        reason = "no_such_package"
    else:
        monkeypatch.setattr(Linear, "label_kinds", frozenset({"numbers"}))
    with pytest.raises(InputError) as error:
        baseline.make(trial, trial.tasks[0])
    assert error.value.place == reason
    assert baseline.fit(trial, trial, trial.tasks[0], notices) is None
    (text,) = notices.texts
    assert str(error.value) in text


def test_the_baseline_itself_has_none(path, tmp_path):
    config = derive(tiny.recipe(epochs=1), "linear")
    config.data.path = str(path)
    notices = Notices()
    results = runner.run(config, tmp_path, notices)
    assert "baseline" not in results
    assert not [text for text in notices.texts if "baseline" in text]
    assert results["test"]["accuracy"]["interval"]
    # Its test scores are those of the baseline of another system.
    scores, answers = fitted(prepared(path))
    stored = json.loads((tmp_path / "analysis.json").read_text())["auto"]
    assert stored["answers"] == answers.tolist()
    assert results["test"]["confusion"] == scores["test"]["confusion"]


def test_sigterm_ends_it_at_once(path, monkeypatch):
    def fit(self, features, labels, seed):
        signal.raise_signal(signal.SIGTERM)
        raise AssertionError("the fit continued")

    trial = prepared(path)
    monkeypatch.setattr(Linear, "fit", fit)
    monkeypatch.setattr(Preemption, "asked", "")
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    Preemption.listen()
    try:
        with pytest.raises(SystemExit) as ended:
            fitted(trial)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    assert ended.value.code == PREEMPTED
