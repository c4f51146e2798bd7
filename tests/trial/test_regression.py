"""A target from a file to its answers: fusion on answers out of fold, average, refit and all."""

import csv
import dataclasses
import io
import json

import numpy as np
import pytest
from jax import export

from mman_jax.cli import predict
from mman_jax.cli.terminal.screen import Screen
from mman_jax.data import parts
from mman_jax.data.readers import npz
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
from tests import tiny

TARGETS = ("sentiment", "stars")


def run(config, workdir):
    with Screen(quiet=True) as screen:
        return runner.run(config, workdir, screen)


def learning(path, target="sentiment,stars", **data):
    config = tiny.recipe(epochs=2)
    config.train.update(select="calibrated", average=0.5, refit=True)
    config.train.fusion.answers = "out_of_fold"
    config.data.update(path=str(path), target=target, modalities="text", **data)
    config.seeds = 2
    return config


@pytest.fixture(scope="module")
def corpus_file(tmp_path_factory):
    made = tiny.corpus((8, 3, 3))
    random = np.random.default_rng(0)
    told = made.features["text"][:, 0] + 0.5 * random.normal(size=len(made.labels))
    sentiment = np.clip(told, -3, 3).astype(np.float32)
    stars = (50 + 10 * told).astype(np.float32)
    sentiment[::7], stars[::5] = np.nan, np.nan
    votes = {name: random.integers(0, 4, len(made.labels)).astype(np.int32)
             for name in made.label_names}  # fmt: skip
    targets = {"sentiment": sentiment, "stars": stars, "same": np.ones_like(stars)}
    tests = np.repeat([part == "test" for part in made.split], made.lengths)
    targets["untested"] = np.where(tests, np.float32(np.nan), stars)
    targets["none"] = np.full_like(stars, np.nan)
    path = tmp_path_factory.mktemp("corpus") / "rated.npz"
    npz.write(dataclasses.replace(made, targets=targets, votes=votes), path)
    return path


@pytest.fixture(scope="module")
def finished(corpus_file, tmp_path_factory):
    workdir = tmp_path_factory.mktemp("run")
    config = learning(corpus_file)
    return config, workdir, run(config, workdir)


def test_scores_are_those_of_the_answers(finished):
    config, workdir, found = finished
    assert found == json.loads((workdir / "results.json").read_text())
    assert found == read_results(workdir / "results.json") == run(config, workdir)
    told = json.loads((workdir / "analysis.json").read_text())["auto"]
    answers = np.array(told["answers"])
    rated = np.array(told["utterances"]["label"], float)
    errors = np.abs(answers - rated)
    by_target = found["test"]["by_target"]
    for t, name in enumerate(TARGETS):
        own = ~np.isnan(rated[:, t])
        np.testing.assert_allclose(
            by_target[name]["mae"]["per_seed"], errors[:, own, t].mean(1), rtol=1e-3
        )
        r = np.corrcoef(answers[0, own, t], rated[own, t])[0, 1]
        assert by_target[name]["pearson_r"]["per_seed"][0] == pytest.approx(r, abs=1e-3)
    mae = np.mean([by_target[name]["mae"]["mean"] for name in TARGETS])
    assert found["test"]["mae"]["mean"] == pytest.approx(mae)
    # The second target is on a scale of which no classes are told.
    assert set(by_target["sentiment"]) > set(by_target["stars"]) == set(ratings.MEASURES)
    # The mean of training, which after training again is that of validation, too.
    made = prepare_trial(config)
    corpus, split = made.parts.corpus, made.parts.split
    inside = np.repeat(np.isin(np.arange(len(corpus.lengths)), split.test), corpus.lengths)
    constant = [
        np.nanmean(np.abs(x[inside] - np.nanmean(x[~inside])))
        for x in (corpus.targets[name] for name in TARGETS)
    ]
    assert found["test"]["mean_answer_mae"] == pytest.approx(np.mean(constant), rel=1e-3)
    assert set(found["towers"]) == {"text"}
    rows = tiny.curve_rows(workdir / "curves.csv")
    assert "valid_ccc" in (workdir / "curves.csv").read_text().splitlines()[0]
    assert {row.stage for row in rows} == {"towers", "fusion"}


def test_files_streams_and_exports_answer_alike(finished):
    config, workdir, _ = finished
    model = Model.load(workdir / "model" / "auto")
    corpus = prepare_trial(config).parts.corpus
    values = model.probabilities(corpus)
    rows = list(
        csv.reader(io.StringIO(predict.to_csv(corpus, *predict.answer([model], corpus), {})))
    )
    assert rows[0] == ["conversation_id", "utterance_id", *TARGETS]
    np.testing.assert_allclose(np.array([row[2:] for row in rows[1:]], float), values, atol=1e-5)
    told = json.loads((workdir / "analysis.json").read_text())["auto"]
    layout = prepare_trial(config).parts.layouts["test"]
    several = [values[corpus.utterances(c)] for c in layout.conversations]
    own = ~np.isnan(parts.prepare(corpus).corpus.targets["stars"])
    own |= ~np.isnan(corpus.targets["sentiment"])
    kept = np.concatenate([own[corpus.utterances(c)] for c in layout.conversations])
    mean = np.array(told["answers"]).mean(0)
    np.testing.assert_allclose(np.concatenate(several)[kept], mean, rtol=1e-3, atol=1e-3)

    answerer, first = Answerer([model]), corpus.utterances(0)
    state = answerer.begin()
    whole = export.deserialize(exported.conversations([model]).serialize())
    step = export.deserialize(exported.step([model]).serialize())
    carried = exported.initial_state([model])[None]
    there = {m: np.ones((1, first.stop), bool) for m in corpus.features}
    given = {m: x[first][None] for m, x in corpus.features.items()}
    np.testing.assert_allclose(whole.call(given, there)[0], values[first], rtol=1e-4, atol=1e-4)
    for u in range(2):
        state, said = answerer.step(state, {m: x[u] for m, x in corpus.features.items()})
        assert fields(said).keys() - {"familiarity", "unfamiliar"} == {"values"}
        np.testing.assert_allclose(list(said.values.values()), values[u], rtol=1e-4, atol=1e-4)
        one = ({m: x[:, u] for m, x in given.items()}, {m: x[:, u] for m, x in there.items()})
        carried, answered = step.call(carried, *one)
        np.testing.assert_allclose(answered[0], values[u], rtol=1e-4, atol=1e-4)


def test_a_checkpoint_is_one_to_go_on_from(finished):
    config, workdir, told = finished
    trainer = prepare_trial(config).trainer
    found = checkpoints.restore(workdir / "checkpoints" / "auto")
    snapshot = checkpoints.unpack(*found, trainer.stages, trainer.template)
    assert snapshot.state.valid.shape == (2, 1, len(TARGETS), ratings.K)
    again = ratings.scores(snapshot.finished["fusion"].valid[:, 0], trainer.objective.targets)
    assert again["mae"].tolist() == told["validation"]["mae"]["per_seed"]


@pytest.mark.parametrize(
    ("data", "train", "words"),
    [
        ({"target": "sentimen"}, {}, "unknown 'sentimen'; expected 'sentiment'"),
        ({"target": "same"}, {}, "1 for every training utterance"),
        ({"target": "none"}, {}, "'none' is NaN for every utterance"),
        ({"target": "sentiment,none"}, {}, "'none' is NaN for every utterance"),
        ({"target": "untested"}, {}, r"test part: .* has a number \(data.target=untested\)"),
        ({}, {"loss": "l2"}, "train.loss: unknown 'l2'"),
        ({}, {"select": "accuracy"}, "train.select: 'accuracy'"),
        ({}, {"labels": "votes"}, "train.labels: 'votes'"),
        ({"protocol": "iemocap6"}, {}, "maps labels"),
        ({"target": ""}, {"loss": "l1"}, "train.loss: 'l1', of numbers"),
        ({"target": "", "classes": 3}, {}, "without a target"),
        ({"target": "stars", "classes": 3}, {}, "expected 0: the numbers"),
    ],
)
def test_what_cannot_be_learnt_is_refused(corpus_file, tmp_path, data, train, words):
    config = learning(corpus_file)
    config.data.update(data)
    config.train.update(train)
    with pytest.raises(InputError, match=words):
        run(config, tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_classes_of_a_target_and_votes_are_ordinary_classes(corpus_file):
    config = learning(corpus_file, "sentiment", classes=3)
    made = prepare_trial(config)
    assert made.tasks[0].classes == ("negative", "neutral", "positive")
    assert made.tasks[0].outputs == "classes"
    config.data.update(target="", classes=0)
    config.train.update(labels="votes", class_weights=True)
    made = prepare_trial(config)
    labels = made.labels["auto"]
    assert labels["train"].shape[-1] == len(made.tasks[0].classes)
    assert labels["valid"].dtype == labels["test"].dtype == np.int32
    told = results.of_corpus(made.parts, labels, made.tasks[0])["parts"]["train"]
    assert sum(told["classes"].values()) == told["utterances"]
    # A step by votes, from the same start as one by labels, is another one.
    stage, batch = made.trainer.stage("towers"), made.parts.rows["train"]
    batch = batch._replace(features={m: np.asarray(x) for m, x in batch.features.items()})
    params = tiny.params(made.trainer.system, made.parts.corpus.dims)
    answers = stage.answer(params, batch)[0]
    votes = stage.objective.loss(answers, labels["train"], np.ones(4, np.float32), lambda x: x)
    majority = np.nan_to_num(labels["train"], nan=-1).argmax(-1).astype(np.int32)
    majority[~batch.mask] = -1
    hard = stage.objective.loss(answers, majority, np.ones(4, np.float32), lambda x: x)
    assert votes[1] == pytest.approx(float(hard[1]))
    assert votes[0] != pytest.approx(float(hard[0]), rel=1e-3)


OF_NUMBERS = [
    n for n, kind in SYSTEMS.items() if issubclass(kind, System) and "numbers" in kind.label_kinds
]


@pytest.mark.parametrize("name", OF_NUMBERS)
def test_every_system_has_a_head_of_the_width_of_its_targets(name):
    settings = {"system": name}
    if name == "mman":
        settings |= tiny.recipe().network.to_dict()
    system = build(for_outputs(settings, "numbers"), ["speech", "text"], 1)
    dims = {"speech": 4, "text": 3}
    system.check_outputs(dims)


def test_a_system_of_classes_alone_is_refused_for_numbers():
    with pytest.raises(InputError, match="Rozgic, which learns classes"):
        for_outputs({"system": "rozgic"}, "numbers")
