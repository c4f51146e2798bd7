import dataclasses
import json

import jax
import numpy as np
import pytest

from configs import clstm_text
from mman_jax.cli import predict
from mman_jax.cli.terminal.screen import Screen
from mman_jax.data.corpus import Corpus
from mman_jax.data.readers import npz
from mman_jax.errors import InputError
from mman_jax.evaluation import calibration
from mman_jax.inference import lines
from mman_jax.inference.answerer import Answerer
from mman_jax.tasks.metrics import METRICS
from mman_jax.trial import corpora, curves, folder, runner
from mman_jax.trial.progress import PREEMPTED, Preemption
from tests import iemocap_pickle, tiny

SCORES = set(METRICS)


def run(config, workdir):
    with Screen() as screen:
        return runner.run(config, workdir, screen)


def on(path, config=None, **data):
    config = config or tiny.recipe(epochs=2)
    config.data.path = str(path)
    config.data.update(data)
    return config


@pytest.fixture(scope="module")
def finished(corpus_file, tmp_path_factory):
    workdir = tmp_path_factory.mktemp("run")
    config = on(corpus_file)
    config.seeds = 2
    return config, workdir, run(config, workdir)


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


def test_results_hold_what_others_rely_on(finished):
    config, workdir, returned = finished
    results = json.loads((workdir / "results.json").read_text())
    assert results == returned
    assert results["system"] == "mman"
    assert results["protocol"] == "auto"
    assert results["classes"] == ["happy", "sad", "neutral", "angry"]
    assert results["seeds"] == [0, 1]
    assert results["corpus"]["path"] == config.data.path
    assert results["corpus"]["dimensions"] == {"speech": 20, "text": 16}
    assert results["corpus"]["parts"]["test"]["conversations"] == 4
    assert set(results["towers"]) == {"speech", "text"}
    assert set(results["seconds"]) == {"towers", "fusion", "answering"}
    parameters = results["parameters"]
    assert parameters["total"] == sum(v for k, v in parameters.items() if k != "total")
    check_scores(results, 2)
    for tower in results["towers"].values():
        check_scores(tower, 2)
    assert "ceiling" not in results  # another corpus than the built-in one
    assert (workdir / "confusion.png").read_bytes().startswith(b"\x89PNG")


def test_answers_and_counts_are_kept_for_comparisons(finished):
    _, workdir, results = finished
    told = json.loads((workdir / "analysis.json").read_text())["auto"]
    right = np.array(told["answers"]) == np.array(told["utterances"]["label"])
    np.testing.assert_allclose(right.mean(1), results["test"]["accuracy"]["per_seed"])
    counts = np.array(told["counts"]["system"]["test"])
    assert counts.sum(0).tolist() == results["test"]["confusion"]
    assert set(told["counts"]["towers"]) == set(told["curves"]) - {"fusion"}
    assert told["sizes"]["test"]["utterances"] == right.shape[1]
    assert told["trainable"] == results["parameters"]["fusion"]
    assert not {"attention", "missing"} & set(told)  # which compile more


def test_the_same_command_again_ends_at_once(finished, capsys):
    config, workdir, before = finished
    stamp = (workdir / "results.json").stat().st_mtime_ns
    assert run(config, workdir) == before
    assert "nothing to do" in capsys.readouterr().out
    assert (workdir / "results.json").stat().st_mtime_ns == stamp


def test_a_run_that_ended_just_before_its_results_writes_the_same_ones(finished):
    config, workdir, before = finished
    (workdir / "results.json").unlink()
    after = run(config, workdir)
    assert {**after, "seconds": 0} == {**before, "seconds": 0}


def test_curves_hold_the_epochs_that_were_kept(finished):
    _, workdir, results = finished
    rows = {(row.head, row.seed, row.epoch): row for row in curves.read(workdir / "curves.csv")}
    for head, scores in {**results["towers"], "fusion": results}.items():
        for seed, epoch in enumerate(scores["best_epoch"]):
            kept, validation = rows[head, seed, epoch], scores["validation"]
            assert float(kept.valid_loss) == validation["loss"]["per_seed"][seed]
            assert kept.valid_accuracy == np.float32(validation["accuracy"]["per_seed"][seed])


def test_results_say_what_they_came_from(finished):
    _, workdir, results = finished
    written = json.loads((workdir / "results.json").read_text())
    expected = folder.provenance()
    assert {name: written[name] for name in expected} == expected
    assert {name: results[name] for name in expected} == expected


def test_another_config_in_the_same_folder_is_refused(finished):
    config, workdir, _ = finished
    other = on(config.data.path)
    with pytest.raises(InputError, match=r"config.seeds was 2, is 1"):
        run(other, workdir)


def test_a_folder_goes_on_with_the_corpus_that_it_was_begun_with(tmp_path, monkeypatch):
    config = on(tmp_path / "corpus.npz")
    config.seeds = 2  # as in `finished`, which compiled for two
    npz.write(tiny.corpus(), tmp_path / "corpus.npz")
    monkeypatch.setattr(Preemption, "asked", "SIGTERM")
    with pytest.raises(SystemExit):
        run(config, tmp_path / "run")
    before = {p: p.read_bytes() for p in (tmp_path / "run").rglob("*") if p.is_file()}
    npz.write(tiny.corpus(seed=1), tmp_path / "corpus.npz")
    with pytest.raises(InputError, match=r"was started with another version of .*corpus\.npz"):
        run(config, tmp_path / "run")
    after = {p: p.read_bytes() for p in (tmp_path / "run").rglob("*") if p.is_file()}
    assert after == before


def test_an_interrupted_run_ends_the_same(finished, tmp_path, monkeypatch):
    config, undisturbed, whole = finished
    config = config.copy_and_resolve_references()
    config.checkpoint_seconds = 0.0
    seen = []

    def interrupt(self, task, snapshot, epochs, score):
        seen.append(snapshot.stage)
        if len(seen) in (2, 4):  # within the towers' stage, then within the fusion's
            raise KeyboardInterrupt

    monkeypatch.setattr(Screen, "epoch", interrupt)
    for _ in range(2):
        with pytest.raises(KeyboardInterrupt):
            run(config, tmp_path)
        assert not (tmp_path / "results.json").exists()
    resumed = run(config, tmp_path)
    assert {**resumed, "seconds": 0} == {**whole, "seconds": 0}
    assert (tmp_path / "curves.csv").read_bytes() == (undisturbed / "curves.csv").read_bytes()
    assert len(seen) == 5  # of three calls two, interrupted before they were saved, ran twice


def test_sigterm_saves_and_ends_with_a_status_of_its_own(finished, tmp_path, monkeypatch, capsys):
    config, _, whole = finished
    monkeypatch.setattr(Preemption, "asked", "SIGTERM")
    for _ in range(2):  # one epoch a start: it still gets on
        with pytest.raises(SystemExit) as ended:
            run(config, tmp_path)
        assert ended.value.code == PREEMPTED
        assert "resumes from here" in capsys.readouterr().err
    monkeypatch.setattr(Preemption, "asked", "")
    resumed = run(config, tmp_path)
    assert {**resumed, "seconds": 0} == {**whole, "seconds": 0}


def test_predictions_of_a_file_score_as_the_run_says(finished):
    _, workdir, results = finished
    corpus = tiny.corpus()
    models = predict.load_models(workdir)
    classes, probabilities, labels = predict.answer(models, corpus)
    np.testing.assert_allclose(probabilities.sum(-1), 1, atol=1e-5)
    assert labels == [classes[i] for i in probabilities.argmax(-1)]
    # One seed's answers reproduce its test accuracy exactly.
    params = jax.tree.map(lambda x: x[:1], models[0].params)
    first = dataclasses.replace(models[0], params=params)
    test = [i for i, name in enumerate(corpus.split) if name == "test"]
    rows = np.concatenate([np.arange(len(corpus.labels))[corpus.utterances(i)] for i in test])
    right = first.probabilities(corpus)[rows].argmax(-1) == corpus.labels[rows]
    np.testing.assert_allclose(right.mean(), results["test"]["accuracy"]["per_seed"][0], atol=1e-6)


def test_the_model_answers_as_sure_as_the_results_say(finished):
    _, workdir, results = finished
    (model,), corpus = predict.load_models(workdir), tiny.corpus()
    rows = np.repeat(np.array(corpus.split) == "test", corpus.lengths)
    told = results["test"]["calibration"]
    assert model.temperature == told["temperature"] != 1
    for temperature, when in ((model.temperature, "after"), (1.0, "before")):
        given = dataclasses.replace(model, temperature=temperature).probabilities(corpus)
        bins = calibration.reliability(given[rows], corpus.labels[rows])
        error = calibration.expected_calibration_error(bins)
        np.testing.assert_allclose(error, told[when], atol=1e-5)


def test_csv_form(finished):
    _, workdir, _ = finished
    corpus = tiny.corpus()
    text = predict.to_csv(corpus, *predict.answer(predict.load_models(workdir), corpus), {})
    lines = text.splitlines()
    assert lines[0] == "conversation_id,utterance_id,label,p_happy,p_sad,p_neutral,p_angry"
    assert len(lines) == 1 + len(corpus.labels)
    assert lines[1].split(",")[:2] == [corpus.conversation_ids[0], corpus.utterance_ids[0]]


def test_what_is_unlike_the_training_data_is_marked_in_files_and_streams(finished):
    _, workdir, _ = finished
    (model,), corpus = predict.load_models(workdir), tiny.corpus()
    assert model.context
    (alone,) = predict.load_models(workdir, context="utterance")
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


def test_a_corpus_of_other_sizes_is_refused_by_the_model(finished):
    _, workdir, _ = finished
    corpus = tiny.corpus()
    features = {m: x[:, :3] for m, x in corpus.features.items()}
    narrow = dataclasses.replace(corpus, features=features)
    with pytest.raises(InputError, match="modality speech: 3 features; expected the 20"):
        predict.answer(predict.load_models(workdir), narrow)
    with pytest.raises(InputError, match="text"):
        predict.answer(predict.load_models(workdir), corpus.select_modalities(["speech"]))


def test_training_that_diverges_from_the_start_is_an_error_and_its_config_is_stored(
    corpus_file, tmp_path
):
    config = on(corpus_file)
    config.seeds = 2  # as in `finished`
    config.train.towers.learning_rate.speech = 1e30
    config.train.towers.clip = 1e30
    with pytest.raises(
        InputError,
        match=r"every seed failed, the first at stage towers, seed 0, speech, epoch 1, step \d",
    ):
        run(config, tmp_path / "run")
    assert not (tmp_path / "run" / "results.json").exists()
    stored = json.loads((tmp_path / "run" / "config.json").read_text())
    assert stored["train"]["towers"]["learning_rate"]["speech"] == 1e30


def test_damaged_results_are_named(finished, tmp_path):
    config, workdir, _ = finished
    (tmp_path / "config.json").write_bytes((workdir / "config.json").read_bytes())
    for damaged in ('{"a": 1}', "[]", "{"):
        (tmp_path / "results.json").write_text(damaged)
        with pytest.raises(InputError, match=r"results\.json"):
            run(config, tmp_path)


def test_an_unfinished_run_has_no_model(finished, tmp_path):
    with pytest.raises(InputError, match="no trained model"):
        predict.load_models(tmp_path)


@pytest.mark.usefixtures("blank_pictures")
def test_iemocap_s_shape_trains_under_other_protocols(tmp_path):
    # The paper's own, of four classes, trains in `test_paper`.
    path = tmp_path / "IEMOCAP_features_raw.pkl"
    iemocap_pickle.write(path, dims=(4, 3, 5))
    counts = {}
    for protocol in ("iemocap6", "binary4"):
        config = on(path, tiny.shrink(clstm_text.get_config(), epochs=1), protocol=protocol)
        results = run(config, tmp_path / protocol)
        tasks = results.get("tasks", {protocol: results})
        counts[protocol] = {int(np.sum(t["test"]["confusion"])) for t in tasks.values()}
        if protocol == "binary4":
            assert set(tasks) == {"happy", "sad", "neutral", "angry"}
            majority = [round(100 * t["test"]["majority_accuracy"], 2) for t in tasks.values()]
            assert majority == [84.73, 74.02, 59.28, 81.97]
            classes, probabilities, _ = predict.answer(
                predict.load_models(tmp_path / protocol), corpora.load_corpus(config.data)
            )
            assert sorted(classes) == ["angry", "happy", "neutral", "sad"]
            assert probabilities.shape == (7433, 4)
    assert counts == {"iemocap6": {1623}, "binary4": {943}}


def numbered_corpus(dims, lengths=(1, 3, 2, 4, 1, 2)):
    random = np.random.default_rng(0)
    total = sum(lengths)
    return Corpus(
        features={m: random.normal(size=(total, d)).astype(np.float32) for m, d in dims.items()},
        labels=np.arange(total, dtype=np.int32) % 2,
        label_names=("no", "yes"),
        lengths=np.asarray(lengths, np.int32),
        conversation_ids=tuple(f"c{i}" for i in range(len(lengths))),
        utterance_ids=tuple(f"u{i}" for i in range(total)),
        split=("train", "train", "train", "train", "valid", "test"),
    )


@pytest.mark.parametrize(
    ("config", "dims"),
    [
        (tiny.small("clstm_mma"), {"a": 3, "b": 1, "c": 5, "d": 2}),
        (tiny.recipe(epochs=1), {"only": 1}),
    ],
    ids=["four", "one"],  # two: everywhere else
)
def test_any_modalities_and_sizes(config, dims, tmp_path):
    npz.write(numbered_corpus(dims), tmp_path / "corpus.npz")
    results = run(on(tmp_path / "corpus.npz", config), tmp_path / "run")
    assert results["corpus"]["dimensions"] == dims
    assert set(results["towers"]) == ({"only"} if len(dims) == 1 else {"mma"})
    check_scores(results, 1)
