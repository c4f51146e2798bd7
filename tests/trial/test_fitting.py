import json
import signal

import numpy as np
import pytest

from mman_jax.cli import predict
from mman_jax.cli.terminal.screen import Screen
from mman_jax.data import scaling
from mman_jax.data.readers import npz
from mman_jax.errors import InputError
from mman_jax.inference import exported
from mman_jax.inference.answerer import Answerer
from mman_jax.inference.model import Model
from mman_jax.systems.rozgic import Rozgic
from mman_jax.trial import runner
from mman_jax.trial.config import derive
from mman_jax.trial.progress import PREEMPTED, Preemption
from mman_jax.trial.stored import load_models
from mman_jax.trial.trial import prepare_trial
from mman_jax.types import UNSCORED
from tests import tiny

pytest.importorskip("sklearn", reason="the trees need scikit-learn: pip install 'mman_jax[svm]'")


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """The folder of a fit, its config and results, and the corpus."""
    folder = tmp_path_factory.mktemp("fit")
    corpus = tiny.corpus()
    npz.write(corpus, folder / "corpus.npz")
    config = derive(tiny.recipe(), "rozgic")
    config.data.path, config.seeds = str(folder / "corpus.npz"), 3
    results = runner.run(config, folder / "run", Screen(quiet=True))
    return folder / "run", config, results, corpus


def test_a_fit_is_scored_on_what_it_was_not_fitted_to(finished):
    workdir, config, results, corpus = finished
    made = prepare_trial(config)
    fit = made.parts.split.train
    one = np.concatenate([np.arange(len(corpus.labels))[corpus.utterances(c)] for c in fit])
    other = np.concatenate(
        [np.arange(len(corpus.labels))[corpus.utterances(c)] for c in made.parts.split.test]
    )
    scaled = scaling.fit(corpus, fit).apply(dict(corpus.features))
    system = Rozgic(tuple(corpus.dims), len(made.tasks[0].classes))
    classes = made.tasks[0].labels(corpus)
    fitted = system.fit({m: x[one] for m, x in scaled.items()}, classes[one], 0)
    answers = system.logits(fitted, {m: x[other] for m, x in scaled.items()}).argmax(1)
    scored = classes[other] != UNSCORED
    right = (answers == classes[other])[scored].mean()
    accuracy = results["test"]["accuracy"]
    assert {name: accuracy[name] for name in ("mean", "std")} == {"mean": right, "std": 0.0}
    assert accuracy["per_seed"] == [right]
    assert results["seeds"] == [0]  # of the three that were asked for: nothing is drawn
    assert set(results["seconds"]) == {"fit", "answering", "baseline"}
    assert json.loads((workdir / "analysis.json").read_text())["auto"]["curves"]["answer"]


def test_the_model_answers_as_the_fit_did(finished):
    workdir, _, results, corpus = finished
    classes, probabilities, labels = predict.answer(load_models(workdir), corpus)
    np.testing.assert_allclose(probabilities.sum(1), 1, rtol=1e-5)
    made = prepare_trial(finished[1]).parts.split.test
    test = np.concatenate([np.arange(len(labels))[corpus.utterances(c)] for c in made])
    truth = corpus.labels[test]
    given = np.array([classes.index(labels[i]) for i in test])
    right = (given == truth)[truth != UNSCORED].mean()
    assert right == pytest.approx(results["test"]["accuracy"]["mean"])


def test_what_needs_a_network_says_so(finished):
    models = load_models(finished[0])
    with pytest.raises(InputError, match="turn by turn: Rozgic, which is no network"):
        Answerer(models)
    with pytest.raises(InputError, match="export: Rozgic, which is no network"):
        exported.conversations(models)
    with pytest.raises(InputError, match="attention: Rozgic, which is no network"):
        predict.attention(models, finished[3])


@pytest.mark.parametrize(
    ("change", "said"),
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
def test_a_damaged_model_is_refused(finished, tmp_path, change, said):
    (model,) = load_models(finished[0])
    params = dict(model.params)
    change(params)
    damaged = Model(params, model.scaling, model.network, model.dims, model.classes, model.card)
    damaged.save(tmp_path)
    with pytest.raises(InputError, match=said):
        Model.load(tmp_path)


def test_fitted_again_it_has_validation_too(finished, tmp_path):
    config = finished[1].copy_and_resolve_references()
    config.train.refit = True
    results = runner.run(config, tmp_path, Screen(quiet=True))
    more = results["parameters"]["vectors"] - finished[2]["parameters"]["vectors"]
    valid = prepare_trial(config).parts.layouts["valid"].lengths.sum()
    assert more == valid * sum(finished[3].dims.values())
    before, first = results["before_refit"]["test"], finished[2]["test"]
    assert before["confusion"] == first["confusion"]
    assert before["per_class"] == first["per_class"]
    assert results["baseline"]["validation"] == finished[2]["baseline"]["validation"]
    assert results["baseline"]["test"]["confusion"] != first["confusion"]


def test_sigterm_ends_a_fit_at_once(finished, tmp_path, monkeypatch):
    """Nothing of a fit can be saved, so that there is nothing to wait for."""
    _, config, *_ = finished

    def fit(self, features, labels, seed):
        signal.raise_signal(signal.SIGTERM)
        raise AssertionError("the fit continued")

    monkeypatch.setattr(Rozgic, "fit", fit)
    monkeypatch.setattr(Preemption, "asked", "")
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    Preemption.listen()
    try:
        with pytest.raises(SystemExit) as ended:
            runner.run(config, tmp_path, Screen(quiet=True))
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    assert ended.value.code == PREEMPTED
    assert not Preemption.waiting
