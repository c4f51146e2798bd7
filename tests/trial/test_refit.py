import json

import numpy as np
import pytest

from mman_jax.cli.terminal.screen import Screen
from mman_jax.data.corpus import Corpus
from mman_jax.data.readers import npz
from mman_jax.data.readers.read import read_corpus
from mman_jax.inference.model import Model
from mman_jax.tasks.metrics import accuracy
from mman_jax.training.outcome import Outcome, refitted
from mman_jax.trial import runner
from mman_jax.trial.trial import prepare_trial
from tests import tiny


@pytest.fixture(scope="module")
def trial(tmp_path_factory):
    folder = tmp_path_factory.mktemp("refit")
    npz.write(tiny.corpus((12, 4, 4)), folder / "corpus.npz")
    config = tiny.recipe(epochs=3)
    config.data.update(path=str(folder / "corpus.npz"), modalities="text")
    config.train.refit, config.seeds = True, 2
    with Screen(quiet=True) as screen:
        results = runner.run(config, folder / "run", screen)
    return config, folder / "run", results


def test_the_model_is_the_one_trained_again(trial):
    config, folder, results = trial
    model, chosen = (Model.load(folder / name / "auto") for name in ("model", "chosen"))
    corpus: Corpus = read_corpus(config.data.path).select_modalities(["text"])
    split = prepare_trial(config).parts.split
    whole = np.union1d(split.train, split.valid)
    for of, conversations in ((model, whole), (chosen, split.train)):
        values = np.concatenate(
            [corpus.features["text"][corpus.utterances(i)] for i in conversations]
        )
        np.testing.assert_allclose(of.scaling.mean["text"], values.mean(0), atol=1e-5)
    test = np.concatenate([np.arange(len(corpus.labels))[corpus.utterances(i)] for i in split.test])
    kept = corpus.labels[test] >= 0
    for of, scores in ((model, results["test"]), (chosen, results["before_refit"]["test"])):
        right = []
        for seed in range(2):
            alone = Model(
                tiny.seed(of.params, seed), of.scaling, of.network, of.dims, of.classes, of.card
            )
            answers = alone.probabilities(corpus)[test].argmax(1)
            right.append((answers == corpus.labels[test])[kept].mean())
        np.testing.assert_allclose(right, scores["accuracy"]["per_seed"], atol=1e-6)


def test_validation_scores_stay_those_of_the_choice(trial, tmp_path):
    config, folder, results = trial
    plain = config.copy_and_resolve_references()
    plain.train.refit = False
    with Screen(quiet=True) as screen:
        expected = runner.run(plain, tmp_path / "plain", screen)
    for name in ("validation", "best_epoch", "test_oracle"):
        assert results[name] == expected[name]
    model = Model.load(folder / "model" / "auto")
    # Fitted on networks that did not learn from validation; the equality above says the same.
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
    assert (folder / "curves_refit.csv").is_file()
    assert "before_refit" not in expected
    assert expected["row_order"] == "each seed's own"
    told = json.loads((folder / "analysis.json").read_text())["auto"]
    counts = np.array(told["counts"]["system"]["test"])
    np.testing.assert_allclose(accuracy(counts), results["test"]["accuracy"]["per_seed"], atol=1e-6)


def test_what_was_trained_again_fails_where_either_did():
    counts = np.zeros((1, 3, 2, 2), np.int32)
    none, norm = np.zeros((1, 3, 2), np.int32), np.zeros((1, 3), np.float32)
    outcome = Outcome(np.array([[1, 10, 30]]), counts, counts, norm, none, norm, None)
    again = outcome._replace(best_epoch=np.array([[1, 0, 20]]), test=counts + 1)
    joined = refitted({"towers": outcome}, {"towers": again})["towers"]
    assert joined.best_epoch.tolist() == [[1, 0, 30]]
    assert joined.test.all()
    assert not joined.valid.any()
