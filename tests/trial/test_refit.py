import numpy as np
import pytest

from mman_jax.cli.terminal.screen import Screen
from mman_jax.inference.model import Model
from mman_jax.tasks.metrics import accuracy
from mman_jax.training.state import Outcome, refitted
from mman_jax.trial import runner
from mman_jax.trial.trial import prepare_trial
from tests import gallery, tiny


@pytest.fixture(scope="module")
def finished():
    return gallery.finished("refit")


def test_the_model_is_the_retrained_one(finished):
    model, chosen = (Model.load(finished.folder / name / "auto") for name in ("model", "chosen"))
    corpus = finished.corpus.select_modalities(["text"])
    split, results = prepare_trial(finished.config).parts.split, finished.results
    both = np.union1d(split.train, split.valid)
    for of, conversations in ((model, both), (chosen, split.train)):
        values = corpus.features["text"][corpus.utterances_of(conversations)]
        np.testing.assert_allclose(of.scaling.mean["text"], values.mean(0), atol=1e-5)
    test = corpus.utterances_of(split.test)
    scored = corpus.labels[test] >= 0
    for of, scores in ((model, results["test"]), (chosen, results["before_refit"]["test"])):
        right = []
        for seed in range(2):
            alone = Model(
                tiny.seed(of.params, seed), of.scaling, of.network, of.dims, of.classes, of.card
            )
            answers = alone.probabilities(corpus)[test].argmax(1)
            right.append((answers == corpus.labels[test])[scored].mean())
        np.testing.assert_allclose(right, scores["accuracy"]["per_seed"], atol=1e-6)


def test_validation_scores_are_those_before_the_refit(finished, tmp_path):
    results, plain = finished.results, finished.config
    plain.train.refit = False
    expected = runner.run(plain, tmp_path / "plain", Screen(quiet=True))
    for name in ("validation", "best_epoch", "test_oracle"):
        assert results[name] == expected[name]
    model = Model.load(finished.folder / "model" / "auto")
    # It is fitted on networks that did not learn from validation.
    assert model.temperature == results["validation"]["calibration"]["temperature"]
    tempered = expected["test"].pop("calibration")
    assert tempered["temperature"] == model.temperature
    for before, scores in (
        (results["before_refit"]["test"], expected["test"]),
        (results["before_refit"]["towers"]["text"]["test"], expected["towers"]["text"]["test"]),
    ):
        assert before == {
            name: {field: x for field, x in score.items() if field != "interval"}
            if isinstance(score, dict)
            else score
            for name, score in scores.items()
        }
    assert results["seconds"]["refit"] > 0
    assert (finished.folder / "curves_refit.csv").is_file()
    assert "before_refit" not in expected
    assert expected["row_order"] == "each seed's own"
    counts = np.array(finished.analysis["counts"]["system"]["test"])
    np.testing.assert_allclose(accuracy(counts), results["test"]["accuracy"]["per_seed"], atol=1e-6)


def test_a_seed_fails_if_either_training_failed():
    counts = np.zeros((1, 3, 2, 2), np.int32)
    none, norm = np.zeros((1, 3, 2), np.int32), np.zeros((1, 3), np.float32)
    outcome = Outcome(np.array([[1, 10, 30]]), counts, counts, norm, none, norm, None)
    retrained = outcome._replace(best_epoch=np.array([[1, 0, 20]]), test=counts + 1)
    joined = refitted({"towers": outcome}, {"towers": retrained})["towers"]
    assert joined.best_epoch.tolist() == [[1, 0, 30]]
    assert joined.test.all()
    assert not joined.valid.any()
