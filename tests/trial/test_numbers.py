"""Trials that predict numbers: out-of-fold fusion, averaged weights and a refit."""

import csv
import io

import numpy as np
import pytest
from jax import export

from mman_jax.cli import predict
from mman_jax.cli.terminal.screen import Screen
from mman_jax.errors import InputError
from mman_jax.inference import exported
from mman_jax.inference.answerer import Answerer
from mman_jax.inference.lines import fields
from mman_jax.inference.model import Model
from mman_jax.systems import SYSTEMS, build, for_outputs
from mman_jax.systems.base import System
from mman_jax.tasks import ratings
from mman_jax.training import checkpoints
from mman_jax.trial import results, runner
from mman_jax.trial.stored import read_results
from mman_jax.trial.trial import prepare_trial
from tests import gallery, tiny

TARGETS = ("sentiment", "stars")


@pytest.fixture(scope="module")
def finished():
    return gallery.finished("numbers")


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    return gallery.write_corpus(tmp_path_factory.mktemp("rated"), gallery.rated())


def test_scores_agree_with_the_predictions(finished):
    scores, analysis = finished.results, finished.analysis
    assert scores == read_results(finished.folder / "results.json")
    answers = np.array(analysis["answers"])
    rated = np.array(analysis["utterances"]["label"], float)
    errors = np.abs(answers - rated)
    by_target = scores["test"]["by_target"]
    for t, name in enumerate(TARGETS):
        own = ~np.isnan(rated[:, t])
        np.testing.assert_allclose(
            by_target[name]["mae"]["per_seed"], errors[:, own, t].mean(1), rtol=1e-3
        )
        r = np.corrcoef(answers[0, own, t], rated[own, t])[0, 1]
        assert by_target[name]["pearson_r"]["per_seed"][0] == pytest.approx(r, abs=1e-3)
    mae = np.mean([by_target[name]["mae"]["mean"] for name in TARGETS])
    assert scores["test"]["mae"]["mean"] == pytest.approx(mae)
    # Only the first target is on a scale that has classes.
    assert set(by_target["sentiment"]) > set(by_target["stars"]) == set(ratings.MEASURES)
    # The constant is the mean of training and, because of the refit, of validation.
    corpus = finished.corpus
    inside = np.repeat([part == "test" for part in corpus.split], corpus.lengths)
    constant = [
        np.nanmean(np.abs(x[inside] - np.nanmean(x[~inside])))
        for x in (corpus.targets[name] for name in TARGETS)
    ]
    assert scores["test"]["mean_answer_mae"] == pytest.approx(np.mean(constant), rel=1e-3)
    assert set(scores["towers"]) == {"text"}
    rows = tiny.curve_rows(finished.folder / "curves.csv")
    assert "valid_ccc" in (finished.folder / "curves.csv").read_text().splitlines()[0]
    assert {row.stage for row in rows} == {"towers", "fusion"}


def test_files_streams_and_exports_have_the_same_answers(finished):
    model = Model.load(finished.folder / "model" / "auto")
    corpus = finished.corpus.select_modalities(["text"])
    values = model.probabilities(corpus)
    text = predict.to_csv(corpus, *predict.answer([model], corpus), {})
    head, *rows = csv.reader(io.StringIO(text))
    assert head == ["conversation_id", "utterance_id", *TARGETS]
    np.testing.assert_allclose(np.array([row[2:] for row in rows], float), values, atol=1e-5)
    rated = ~np.isnan(np.stack([corpus.targets[name] for name in TARGETS])).all(0)
    rated &= np.repeat([part == "test" for part in corpus.split], corpus.lengths)
    mean = np.array(finished.analysis["answers"]).mean(0)
    np.testing.assert_allclose(values[rated], mean, rtol=1e-3, atol=1e-3)

    answerer, first = Answerer([model]), corpus.utterances(0)
    state = answerer.begin()
    whole = export.deserialize(exported.conversations([model]).serialize())
    step = export.deserialize(exported.step([model]).serialize())
    carried = exported.initial_state([model])[None]
    present = {m: np.ones((1, first.stop), bool) for m in corpus.features}
    features = {m: x[first][None] for m, x in corpus.features.items()}
    found = whole.call(features, present)[0]
    np.testing.assert_allclose(found, values[first], rtol=1e-4, atol=1e-4)
    for u in range(2):
        state, answer = answerer.step(state, {m: x[u] for m, x in corpus.features.items()})
        assert fields(answer).keys() - {"familiarity", "unfamiliar"} == {"values"}
        np.testing.assert_allclose(list(answer.values.values()), values[u], rtol=1e-4, atol=1e-4)
        one = ({m: x[:, u] for m, x in part.items()} for part in (features, present))
        carried, answered = step.call(carried, *one)
        np.testing.assert_allclose(answered[0], values[u], rtol=1e-4, atol=1e-4)


def test_a_checkpoint_holds_the_tallies_of_both_targets(finished):
    trainer = prepare_trial(finished.config).trainer
    stored = checkpoints.restore(finished.folder / "checkpoints" / "auto")
    snapshot = checkpoints.unpack(*stored, trainer.stages, trainer.template)
    assert snapshot.state.valid.shape == (2, 1, len(TARGETS), ratings.K)
    scores = ratings.scores(snapshot.finished["fusion"].valid[:, 0], trainer.objective.targets)
    assert scores["mae"].tolist() == finished.results["validation"]["mae"]["per_seed"]


@pytest.mark.parametrize(
    ("data", "train", "words"),
    [
        ({"target": "sentimen"}, {}, "unknown 'sentimen'; expected 'sentiment'"),
        ({"target": "constant"}, {}, "1 for every training utterance"),
        ({"target": "none"}, {}, "'none' is NaN for every utterance"),
        ({"target": "sentiment,none"}, {}, "'none' is NaN for every utterance"),
        ({"target": "untested"}, {}, r"test part: .*\(data.target=untested\)"),
        ({}, {"loss": "l2"}, "train.loss: unknown 'l2'"),
        ({}, {"select": "accuracy"}, "train.select: 'accuracy'"),
        ({}, {"labels": "votes"}, "train.labels: 'votes'"),
        ({"protocol": "iemocap6"}, {}, "maps labels"),
        ({"target": ""}, {"loss": "l1"}, "train.loss: 'l1', of numbers"),
        ({"target": "", "classes": 3}, {}, "without a target"),
        ({"target": "stars", "classes": 3}, {}, "expected 0: the numbers"),
    ],
)
def test_targets_and_settings_are_refused(path, tmp_path, data, train, words):
    config = gallery.numbers(path)
    config.data.update(data)
    config.train.update(train)
    with pytest.raises(InputError, match=words):
        runner.run(config, tmp_path / "run", Screen(quiet=True))
    assert not (tmp_path / "run").exists()


def test_classes_of_a_target_and_votes_are_ordinary_classes(path):
    config = gallery.numbers(path, "sentiment", classes=3)
    trial = prepare_trial(config)
    assert trial.tasks[0].classes == ("negative", "neutral", "positive")
    assert trial.tasks[0].outputs == "classes"
    config.data.update(target="", classes=0)
    config.train.update(labels="votes", class_weights=True)
    trial = prepare_trial(config)
    labels = trial.labels["auto"]
    assert labels["train"].shape[-1] == len(trial.tasks[0].classes)
    assert labels["valid"].dtype == labels["test"].dtype == np.int32
    train = results.of_corpus(trial.parts, labels, trial.tasks[0])["parts"]["train"]
    assert sum(train["classes"].values()) == train["utterances"]
    # The loss of votes differs from the loss of the majority, with the same weight.
    stage, batch = trial.trainer.stage("towers"), trial.parts.rows["train"]
    batch = batch._replace(features={m: np.asarray(x) for m, x in batch.features.items()})
    params = tiny.params(trial.trainer.system, trial.parts.corpus.dims)
    answers = stage.outputs(params, batch)[stage.heads[0]]
    majority = np.nan_to_num(labels["train"], nan=-1).argmax(-1).astype(np.int32)
    majority[~batch.mask] = -1
    soft, hard = (
        stage.objective.loss(answers, y, np.ones(4, np.float32), lambda x: x)
        for y in (labels["train"], majority)
    )
    assert soft[1] == pytest.approx(float(hard[1]))
    assert soft[0] != pytest.approx(float(hard[0]), rel=1e-3)


OF_NUMBERS = [
    n for n, kind in SYSTEMS.items() if issubclass(kind, System) and "numbers" in kind.label_kinds
]


@pytest.mark.parametrize("name", OF_NUMBERS)
def test_every_system_has_a_head_as_wide_as_its_targets(name):
    settings = {"system": name}
    if name == "mman":
        settings |= tiny.recipe().network.to_dict()
    system = build(for_outputs(settings, "numbers"), ["speech", "text"], 1)
    system.check_outputs({"speech": 4, "text": 3})


def test_a_system_of_classes_alone_is_refused_for_numbers():
    with pytest.raises(InputError, match="Rozgic, which learns classes"):
        for_outputs({"system": "rozgic"}, "numbers")
