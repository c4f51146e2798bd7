"""Trials from a corpus to results: finished, resumed, interrupted, and read by other commands."""

import dataclasses
import json

import jax
import numpy as np
import pytest

from mman_jax.cli import predict
from mman_jax.cli.terminal.screen import Screen
from mman_jax.data.corpus import Corpus
from mman_jax.data.readers import npz
from mman_jax.errors import InputError
from mman_jax.evaluation import calibration
from mman_jax.inference import lines
from mman_jax.inference.answerer import Answerer
from mman_jax.tasks.metrics import METRICS
from mman_jax.trial import corpora, folder, runner
from mman_jax.trial.progress import PREEMPTED, Preemption
from tests import gallery, iemocap_pickle, tiny
from tests.gallery import on

SCORES = set(METRICS)


def run(config, workdir):
    with Screen() as screen:
        return runner.run(config, workdir, screen)


@pytest.fixture(scope="module")
def finished():
    return gallery.finished("classes")


def untimed(results):
    return {**results, "seconds": 0}


def check_scores(scores, seeds):
    for part in ("validation", "test"):
        extra = {"loss"} if part == "validation" else set()
        extra |= {"calibration"} if "towers" in scores else set()
        assert set(scores[part]) == SCORES | {"majority_accuracy", "confusion", "per_class"} | extra
        assert len(scores[part]["per_class"]) == len(scores[part]["confusion"])
        for name in SCORES:
            assert len(scores[part][name]["per_seed"]) == seeds
            assert -1 <= scores[part][name]["mean"] <= 1
        counts = np.array(scores[part]["confusion"])
        np.testing.assert_allclose(
            counts.trace() / counts.sum(), scores[part]["accuracy"]["mean"], atol=1e-6
        )
    assert scores["test_oracle"]["accuracy"]["mean"] >= scores["test"]["accuracy"]["mean"] - 1e-6


def test_results_have_the_documented_fields(finished):
    results = finished.results
    assert results["system"] == "mman"
    assert results["protocol"] == "auto"
    assert results["classes"] == ["happy", "sad", "neutral", "angry"]
    assert results["seeds"] == [0, 1]
    assert results["corpus"]["path"] == finished.config.data.path
    assert results["corpus"]["dimensions"] == {"speech": 20, "text": 16}
    assert results["corpus"]["parts"]["test"]["conversations"] == 4
    assert set(results["towers"]) == {"speech", "text"}
    assert set(results["seconds"]) - {"baseline"} == {"towers", "fusion", "answering"}
    parameters = results["parameters"]
    assert parameters["total"] == sum(v for k, v in parameters.items() if k != "total")
    for scores in (results, *results["towers"].values()):
        check_scores(scores, 2)
    assert "ceiling" not in results  # the corpus is a file, not the built-in one
    assert (finished.folder / "confusion.png").read_bytes().startswith(b"\x89PNG")
    expected = folder.provenance()
    assert {name: results[name] for name in expected} == expected


def test_analysis_agrees_with_the_results(finished):
    results, analysis = finished.results, finished.analysis
    right = np.array(analysis["answers"]) == np.array(analysis["utterances"]["label"])
    np.testing.assert_allclose(right.mean(1), results["test"]["accuracy"]["per_seed"])
    counts = np.array(analysis["counts"]["system"]["test"])
    assert counts.sum(0).tolist() == results["test"]["confusion"]
    assert set(analysis["counts"]["towers"]) == set(analysis["curves"]) - {"fusion"}
    assert analysis["sizes"]["test"]["utterances"] == right.shape[1]
    assert analysis["trainable"] == results["parameters"]["fusion"]
    assert not {"attention", "missing"} & set(analysis)  # these need more programs
    assert set(analysis["tower_answers"]) == set(results["towers"])
    for name, answers in analysis["tower_answers"].items():
        right = np.array(answers) == np.array(analysis["utterances"]["label"])
        accuracy = results["towers"][name]["test"]["accuracy"]
        np.testing.assert_allclose(right.mean(1), accuracy["per_seed"])
        assert accuracy["interval"][0] <= accuracy["mean"] <= accuracy["interval"][1]


def test_curves_agree_with_the_scores_of_the_best_epochs(finished):
    rows = {(r.head, r.seed, r.epoch): r for r in tiny.curve_rows(finished.folder / "curves.csv")}
    for head, scores in {**finished.results["towers"], "fusion": finished.results}.items():
        for seed, epoch in enumerate(scores["best_epoch"]):
            row, validation = rows[head, seed, epoch], scores["validation"]
            assert float(row.valid_loss) == validation["loss"]["per_seed"][seed]
            assert row.valid_accuracy == np.float32(validation["accuracy"]["per_seed"][seed])


def test_a_finished_trial_ends_at_once(finished, tmp_path, capsys):
    workdir = finished.copy(tmp_path)
    stamp = (workdir / "results.json").stat().st_mtime_ns
    assert run(finished.config, workdir) == finished.results
    assert "nothing to do" in capsys.readouterr().out
    assert (workdir / "results.json").stat().st_mtime_ns == stamp
    # If it was killed just before it wrote its results, it writes the same ones.
    (workdir / "results.json").unlink()
    assert untimed(run(finished.config, workdir)) == untimed(finished.results)
    for damaged in ('{"a": 1}', "[]", "{"):
        (workdir / "results.json").write_text(damaged)
        with pytest.raises(InputError, match=r"results\.json"):
            run(finished.config, workdir)


def test_another_config_or_corpus_in_the_same_folder_is_refused(finished, tmp_path, monkeypatch):
    config = on(tmp_path / "corpus.npz")
    npz.write(tiny.corpus(), tmp_path / "corpus.npz")
    monkeypatch.setattr(Preemption, "asked", "SIGTERM")
    with pytest.raises(SystemExit):
        run(config, tmp_path / "run")
    before = {p: p.read_bytes() for p in (tmp_path / "run").rglob("*") if p.is_file()}
    npz.write(tiny.corpus(seed=1), tmp_path / "corpus.npz")
    with pytest.raises(InputError, match=r"was started with another version of .*corpus\.npz"):
        run(config, tmp_path / "run")
    config.seeds = 1
    with pytest.raises(InputError, match=r"config.seeds was 2, is 1"):
        run(config, tmp_path / "run")
    after = {p: p.read_bytes() for p in (tmp_path / "run").rglob("*") if p.is_file()}
    assert after == before


def test_an_interrupted_trial_has_the_same_results(finished, tmp_path, monkeypatch):
    config, seen = finished.config, []
    config.checkpoint_seconds = 0.0

    def interrupt(self, task, snapshot, epochs, score):
        seen.append(snapshot.stage)
        if len(seen) in (2, 4):  # within the towers' stage, then within the fusion's
            raise KeyboardInterrupt

    monkeypatch.setattr(Screen, "epoch", interrupt)
    for _ in range(2):
        with pytest.raises(KeyboardInterrupt):
            run(config, tmp_path)
        assert not (tmp_path / "results.json").exists()
    assert untimed(run(config, tmp_path)) == untimed(finished.results)
    expected = (finished.folder / "curves.csv").read_bytes()
    assert (tmp_path / "curves.csv").read_bytes() == expected
    assert len(seen) == 5  # of three calls two, interrupted before they were saved, ran twice


def test_sigterm_saves_and_ends_with_its_own_status(finished, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(Preemption, "asked", "SIGTERM")
    for _ in range(2):  # one epoch per start
        with pytest.raises(SystemExit) as ended:
            run(finished.config, tmp_path)
        assert ended.value.code == PREEMPTED
        assert "resumes from here" in capsys.readouterr().err
    monkeypatch.setattr(Preemption, "asked", "")
    assert untimed(run(finished.config, tmp_path)) == untimed(finished.results)


def test_predictions_of_a_file_have_the_scores_and_calibration_of_the_results(finished):
    corpus, results = finished.corpus, finished.results
    (model,) = predict.load_models(finished.folder)
    classes, probabilities, labels = predict.answer([model], corpus)
    np.testing.assert_allclose(probabilities.sum(-1), 1, atol=1e-5)
    assert labels == [classes[i] for i in probabilities.argmax(-1)]
    rows = np.repeat(np.array(corpus.split) == "test", corpus.lengths)
    first = dataclasses.replace(model, params=jax.tree.map(lambda x: x[:1], model.params))
    right = first.probabilities(corpus)[rows].argmax(-1) == corpus.labels[rows]
    np.testing.assert_allclose(right.mean(), results["test"]["accuracy"]["per_seed"][0], atol=1e-6)
    stored = results["test"]["calibration"]
    assert model.temperature == stored["temperature"] != 1
    for temperature, when in ((model.temperature, "after"), (1.0, "before")):
        tempered = dataclasses.replace(model, temperature=temperature).probabilities(corpus)
        bins = calibration.reliability(tempered[rows], corpus.labels[rows])
        error = calibration.expected_calibration_error(bins)
        np.testing.assert_allclose(error, stored[when], atol=1e-5)
    csv = predict.to_csv(corpus, classes, probabilities, labels, {}).splitlines()
    assert csv[0] == "conversation_id,utterance_id,label,p_happy,p_sad,p_neutral,p_angry"
    assert len(csv) == 1 + len(corpus.labels)
    assert csv[1].split(",")[:2] == [corpus.conversation_ids[0], corpus.utterance_ids[0]]


def test_what_is_unlike_the_training_data_is_marked_in_files_and_streams(finished):
    (model,), corpus = predict.load_models(finished.folder), finished.corpus
    assert model.context
    (alone,) = predict.load_models(finished.folder, context="utterance")
    assert not alone.context
    far = {name: x.copy() for name, x in corpus.features.items()}
    far["text"][1] += 100
    shares, marks = model.compare(dataclasses.replace(corpus, features=far))
    usual, _ = model.compare(corpus)
    assert (marks[1], shares[1]) == (True, 0)
    np.testing.assert_array_equal(np.delete(shares, 1), np.delete(usual, 1))
    answerer = Answerer([model])
    state = answerer.begin()
    for u, mark in enumerate(marks[:3]):
        state, answer = answerer.step(state, {name: x[u] for name, x in far.items()})
        told = lines.fields(answer)
        np.testing.assert_allclose(told["familiarity"], shares[u], atol=1e-6)
        assert told.get("unfamiliar", False) == mark
    _, unheard = answerer.step(state, {})
    assert "familiarity" not in lines.fields(unheard)
    earlier = dataclasses.replace(model, familiarity=None)
    assert earlier.compare(corpus) is None
    assert "familiarity" not in lines.fields(Answerer([earlier]).step(state, {})[1])


def test_a_model_refuses_a_corpus_of_other_sizes(finished, tmp_path):
    corpus, models = finished.corpus, predict.load_models(finished.folder)
    features = {m: x[:, :3] for m, x in corpus.features.items()}
    with pytest.raises(InputError, match="modality speech: 3 features; expected the 20"):
        predict.answer(models, dataclasses.replace(corpus, features=features))
    with pytest.raises(InputError, match="text"):
        predict.answer(models, corpus.select_modalities(["speech"]))
    with pytest.raises(InputError, match="no trained model"):
        predict.load_models(tmp_path)


def test_divergence_from_the_start_is_an_error_and_the_config_is_stored(corpus_file, tmp_path):
    config = on(corpus_file, tiny.dense())
    config.train.towers.learning_rate.speech = 1e38
    config.train.towers.clip = 1e30
    with pytest.raises(
        InputError,
        match=r"every seed failed, the first at stage towers, seed 0, speech, epoch 1, step \d",
    ):
        run(config, tmp_path)
    assert not (tmp_path / "results.json").exists()
    stored = json.loads((tmp_path / "config.json").read_text())
    assert stored["train"]["towers"]["learning_rate"]["speech"] == 1e38


@pytest.mark.e2e
@pytest.mark.usefixtures("blank_pictures")
def test_protocols_of_iemocap(tmp_path):
    # The four classes of the paper are trained in `test_paper`.
    path = tmp_path / "IEMOCAP_features_raw.pkl"
    iemocap_pickle.write(path, dims=(4, 3, 5))
    counts = {}
    for protocol in ("iemocap6", "binary4"):
        config = on(path, tiny.dense(epochs=1), protocol=protocol, modalities="text")
        results = run(config, tmp_path / protocol)
        tasks = results.get("tasks", {protocol: results})
        counts[protocol] = {int(np.sum(t["test"]["confusion"])) for t in tasks.values()}
    assert counts == {"iemocap6": {1623}, "binary4": {943}}
    assert set(tasks) == {"happy", "sad", "neutral", "angry"}
    majority = [round(100 * t["test"]["majority_accuracy"], 2) for t in tasks.values()]
    assert majority == [84.73, 74.02, 59.28, 81.97]
    models = predict.load_models(tmp_path / "binary4")
    classes, probabilities, _ = predict.answer(models, corpora.load_corpus(config.data))
    assert sorted(classes) == ["angry", "happy", "neutral", "sad"]
    assert probabilities.shape == (7433, 4)


@pytest.mark.usefixtures("blank_pictures")
@pytest.mark.parametrize("dims", [{"a": 3, "b": 1, "c": 5, "d": 2}, {"only": 1}], ids=len)
def test_any_modalities_and_sizes(dims, tmp_path):
    lengths = np.array([1, 3, 2, 4, 1, 2], np.int32)
    random, total = np.random.default_rng(0), int(lengths.sum())
    corpus = Corpus(
        features={m: random.normal(size=(total, d)).astype(np.float32) for m, d in dims.items()},
        labels=np.arange(total, dtype=np.int32) % 2,
        label_names=("no", "yes"),
        lengths=lengths,
        conversation_ids=tuple("abcdef"),
        utterance_ids=tuple(f"u{i}" for i in range(total)),
        split=("train", "train", "train", "train", "valid", "test"),
    )
    path = gallery.write_corpus(tmp_path, corpus)
    results = run(on(path, tiny.dense(epochs=1)), tmp_path / "run")
    assert results["corpus"]["dimensions"] == dims
    assert set(results["towers"]) == set(dims)
    check_scores(results, 1)
