"""Trials of an estimator, which is fitted in one call."""

import signal

import numpy as np
import pytest

from mman_jax.cli import predict
from mman_jax.cli.terminal.screen import Screen
from mman_jax.data import scaling
from mman_jax.errors import InputError
from mman_jax.inference import exported
from mman_jax.inference.answerer import Answerer
from mman_jax.inference.model import Model
from mman_jax.systems.rozgic import Rozgic
from mman_jax.trial import runner
from mman_jax.trial.progress import PREEMPTED, Preemption
from mman_jax.trial.stored import load_models
from mman_jax.trial.trial import prepare_trial
from mman_jax.types import UNSCORED
from tests import gallery

pytest.importorskip("sklearn", reason="the trees need scikit-learn: pip install 'mman_jax[svm]'")


@pytest.fixture(scope="module")
def finished():
    return gallery.finished("estimator")


def test_it_is_fitted_to_the_training_part_and_scored_on_the_test_part(finished):
    corpus, trial, results = finished.corpus, prepare_trial(finished.config), finished.results
    train, test = (corpus.utterances_of(getattr(trial.parts.split, p)) for p in ("train", "test"))
    scaled = scaling.fit(corpus, trial.parts.split.train).apply(dict(corpus.features))
    system = Rozgic(tuple(corpus.dims), len(trial.tasks[0].classes))
    labels = trial.tasks[0].labels(corpus)
    fitted = system.fit({m: x[train] for m, x in scaled.items()}, labels[train], 0)
    answers = system.logits(fitted, {m: x[test] for m, x in scaled.items()}).argmax(1)
    scored = labels[test] != UNSCORED
    right = (answers == labels[test])[scored].mean()
    accuracy = results["test"]["accuracy"]
    assert {name: accuracy[name] for name in ("mean", "std")} == {"mean": right, "std": 0.0}
    assert accuracy["per_seed"] == [right]
    assert results["seeds"] == [0]  # three were requested, but nothing is random
    assert set(results["seconds"]) == {"fit", "answering", "baseline"}
    assert finished.analysis["curves"]["answer"]
    classes, probabilities, predictions = predict.answer(load_models(finished.folder), corpus)
    np.testing.assert_allclose(probabilities.sum(1), 1, rtol=1e-5)
    assert [classes.index(predictions[i]) for i in test] == answers.tolist()


def test_estimators_answer_turn_by_turn_but_have_no_export_and_no_attention(finished):
    models, corpus = load_models(finished.folder), finished.corpus
    answerer = Answerer(models)
    turns = [{m: x[i] for m, x in corpus.features.items()} for i in range(5)]
    answers = [answerer.step(answerer.begin(), turn)[1] for turn in turns]
    values = [list(answer.probabilities.values()) for answer in answers]
    np.testing.assert_allclose(values, models[0].probabilities(corpus)[:5], atol=2e-6)
    for refuse in (
        lambda: exported.conversations(models),
        lambda: predict.attention(models, finished.corpus),
    ):
        with pytest.raises(InputError, match="Rozgic, which is not a network"):
            refuse()


@pytest.mark.parametrize(
    ("change", "place"),
    [
        (lambda p: p.pop("slopes"), "slopes: missing"),
        (lambda p: p.update(more=p["slopes"]), "more: unknown"),
        (lambda p: p.update(offsets=p["offsets"][:, :-1]), "offsets: float32 of shape"),
        (lambda p: p.update(weights=p["weights"].astype("f8")), "weights: float64"),
        (lambda p: p.update(gamma=p["gamma"] * np.nan), "gamma: not finite"),
        (lambda p: p.update(gamma=p["gamma"][:0]), "no common number of seeds"),
        (lambda p: p.update(vectors={"deep": p["vectors"]}), "params: nested"),
    ],
)
def test_a_damaged_model_is_refused(finished, tmp_path, change, place):
    (model,) = load_models(finished.folder)
    params = dict(model.params)
    change(params)
    damaged = Model(params, model.scaling, model.network, model.dims, model.classes, model.card)
    damaged.save(tmp_path)
    with pytest.raises(InputError, match=place):
        Model.load(tmp_path)


def test_a_refit_adds_the_validation_part(finished, tmp_path):
    config, corpus = finished.config, finished.corpus
    config.train.refit = True
    results = runner.run(config, tmp_path, Screen(quiet=True))
    more = results["parameters"]["vectors"] - finished.results["parameters"]["vectors"]
    valid = prepare_trial(config).parts.layouts["valid"].lengths.sum()
    assert more == valid * sum(corpus.dims.values())
    before, first = results["before_refit"]["test"], finished.results["test"]
    assert before["confusion"] == first["confusion"]
    assert before["per_class"] == first["per_class"]
    validation = finished.results["baseline"]["validation"]
    assert results["baseline"]["validation"] == validation
    assert results["baseline"]["test"]["confusion"] != first["confusion"]


def test_sigterm_ends_a_fit_at_once(finished, tmp_path, monkeypatch):
    """A fit cannot be saved, so there is nothing to wait for."""

    def fit(self, features, labels, seed):
        signal.raise_signal(signal.SIGTERM)
        raise AssertionError("the fit continued")

    monkeypatch.setattr(Rozgic, "fit", fit)
    monkeypatch.setattr(Preemption, "asked", "")
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    Preemption.listen()
    try:
        with pytest.raises(SystemExit) as ended:
            runner.run(finished.config, tmp_path, Screen(quiet=True))
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    assert ended.value.code == PREEMPTED
    assert not Preemption.waiting
