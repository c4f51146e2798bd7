import dataclasses
import types

import jax
import numpy as np

from mman_jax.data import batching
from mman_jax.data.cells.utterances import Utterances
from mman_jax.data.parts import prepare
from mman_jax.data.readers import npz
from mman_jax.inference.model import Model
from mman_jax.systems import build
from mman_jax.trial import analysis, results
from mman_jax.trial.trial import prepare_trial
from tests import gallery, tiny


def test_the_report_s_attention_masks_what_is_missing_as_the_model_does(tmp_path):
    corpus = tiny.corpus()
    there = np.arange(len(corpus.labels)) % 2 == 0
    corpus = dataclasses.replace(corpus, present={"text": there})
    npz.write(corpus, tmp_path / "corpus.npz")
    config = tiny.recipe(epochs=1, early=True)
    config.data.path = str(tmp_path / "corpus.npz")
    experiment = prepare_trial(config)
    (task,) = experiment.tasks
    params = jax.tree.map(np.asarray, experiment.trainer.start("towers", [0]).params)
    heads = analysis.answered(experiment, task, params, np.array([True]))
    labels, logits = heads["fusion"]["test"]
    looked = analysis._attention(experiment, task, params, labels, logits.argmax(-1))
    assert looked["modalities"] == ["speech", "text"]
    network = config.network.to_dict()
    parts = experiment.parts
    model = Model(params, parts.scaling, network, parts.corpus.dims, task.classes)
    _, weights = model.attention(parts.corpus)
    test = np.concatenate(
        [np.arange(len(corpus.labels))[parts.corpus.utterances(c)] for c in parts.split.test]
    )
    scored = test[task.labels(parts.corpus)[test] >= 0]
    np.testing.assert_allclose(looked["mean"], weights[scored].mean(0), atol=1e-5)
    assert weights[scored][~there[scored]][:, 0, 1].max() < 1e-6


def test_no_context_is_every_utterance_by_itself():
    parts = prepare(tiny.corpus())
    system = build(tiny.small("mman").network, list(parts.corpus.dims), 2)
    params = tiny.params(system, parts.corpus.dims, seeds=2)
    trial = types.SimpleNamespace(parts=parts, trainer=types.SimpleNamespace(system=system))
    layout = parts.layouts["test"]
    alone = parts.cells.rows(layout, parts.scaling, context=False)
    rows = parts.rows["test"], alone
    logits, expected = (
        batching.gather(layout, system.predict_seeds(params, jax.tree.map(np.asarray, x.inputs)), 1)
        for x in rows
    )
    found = analysis._within(trial, params, logits)
    np.testing.assert_allclose(found[0], expected, atol=1e-5)
    assert np.abs(found[0] - logits).max() > 1e-4
    trial.parts = dataclasses.replace(parts, context=False)
    assert analysis._within(trial, params, logits) == {}


def test_the_scores_of_all_of_the_context_are_the_trial_s():
    trial = gallery.finished("classes")
    analyses, (task,) = trial.analysis, prepare_trial(trial.config).tasks
    none = [[0] * len(analyses["utterances"]["label"])] * 2
    analyses["context_answers"] = {"0": none, "100": analyses["answers"]}
    scores = results.of_context(task, analyses)
    assert scores["100"]["test"]["accuracy"] == trial.results["test"]["accuracy"]
    assert scores["100"]["difference"] == {"accuracy": 0, "interval": [0, 0]}
    assert scores["100"]["cut"] == 0
    share = np.mean(np.array(analyses["utterances"]["label"]) == 0)
    means = [of["test"]["accuracy"]["mean"] for of in scores.values()]
    np.testing.assert_allclose(means[0], share)
    np.testing.assert_allclose(scores["0"]["difference"]["accuracy"], means[1] - means[0])


def test_rows_that_are_scaled_again_are_those_that_the_system_reads():
    corpus = tiny.corpus((3, 2, 2))
    names = tuple("ab"[i % 3 > 0] for i in range(len(corpus.labels)))
    corpus = dataclasses.replace(corpus, speakers=names)
    sizes = {"history": 4, "party": 4, "emotion": 3, "dense": 4, "listener": True}
    system = build({"system": "dialogue_rnn"} | sizes, list(corpus.dims), 2)
    params = tiny.params(system, corpus.dims, seeds=1)
    for places in (system.places, 0):
        parts = prepare(corpus, cells=Utterances(corpus, places))
        trial = types.SimpleNamespace(parts=parts, trainer=types.SimpleNamespace(system=system))
        expected = system.predict_seeds(params, parts.rows["test"].inputs._replace(
            features={m: np.asarray(x) for m, x in parts.rows["test"].features.items()}
        ))  # fmt: skip
        logits = analysis._logits(trial, "test", params, parts.scaling)
        np.testing.assert_allclose(logits, expected, atol=1e-6)
        if places:
            with_speakers = logits
    assert np.abs(with_speakers - logits).max() > 1e-4
