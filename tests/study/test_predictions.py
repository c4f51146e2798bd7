"""Predictions of others in files, compared with finished trials."""

import csv
import dataclasses
import itertools
import json

import numpy as np
import pytest
import scipy.spatial
import scipy.stats

from mman_jax.cli import predict
from mman_jax.errors import InputError
from mman_jax.report import comparison, html
from mman_jax.study import compared, finished, predictions
from mman_jax.trial.stored import load_models
from tests import gallery
from tests.children import run as command
from tests.study.test_compared import LABELS, change, trial

IDS = {"S1a": ["u0", "u1"], "S1b": ["u0", "u1"], "other": ["u0"]}
KEYS = [("S1a", "u0"), ("S1a", "u1"), ("S1b", "u0"), ("S1b", "u1")]


def written(path, columns, rows):
    with path.open("w", newline="") as file:
        csv.writer(file).writerows([["conversation_id", "utterance_id", *columns], *rows])
    return path


def answered(path, answers, names="ab"):
    """A file of labels of the four utterances."""
    rows = [[*key, names[x]] for key, x in zip(KEYS, answers, strict=True)]
    return written(path, ["label"], rows)


@pytest.fixture
def two(tmp_path):
    """Two trials of one seed on the same utterances."""
    made = []
    for name, answers in (("half", [0, 1, 1, 0]), ("wrong", [1, 0, 1, 1])):
        folder = trial(tmp_path / name, [answers] * 3)
        digests = json.loads((folder / "corpus.json").read_text())
        (folder / "corpus.json").write_text(json.dumps(digests | {"ids": IDS}))
        made.append(folder)
    return made


def outcomes(found):
    fields = ("difference", "interval", "p_bootstrap", "p_bootstrap_holm", "p_mcnemar")
    return [[pair.get(field) for field in fields] for pair in found["comparisons"]]


def test_a_file_of_a_trials_own_answers_is_like_its_folder(two, tmp_path):
    half, wrong = two
    rows = [
        [*key, "ab"[x], seed] for seed in "xyz" for key, x in zip(KEYS, [0, 1, 1, 0], strict=True)
    ]
    path = written(tmp_path / "half.csv", ["label", "seed"], [*rows, ["other", "u0", "?", "x"]])
    short = written(tmp_path / "w.csv", ["label", "seed"], [*rows, ["other", "u0", "a", "w"]])
    with pytest.raises(InputError, match=r"no prediction of 4 of 4 .* by seed w"):
        compared.compare([half, short])
    assert outcomes(compared.compare([wrong, path])) == outcomes(compared.compare([wrong, half]))
    found = compared.compare([path, wrong, half], against=wrong)
    first, second = outcomes(found)
    assert first == second
    assert found["runs"][0]["seeds"] == {"auto": ["x", "y", "z"]}
    assert found["runs"][0]["test"]["auto"]["accuracy"]["mean"] == 0.5
    assert found["constant"] == {"auto": "majority answer"}


def test_probabilities_are_answers_and_calibrated(two, tmp_path):
    shares = [[0.9, 0.1], [0.2, 0.8], [0.4, 0.6], [0.3, 0.7]]
    rows = [[*key, *p] for key, p in zip(KEYS, shares, strict=True)]
    path = written(tmp_path / "p.csv", ["p_a", "p_b", "note"], [[*row, "?"] for row in rows])
    run = predictions.read(path, finished.read(two[0]))
    answers, _ = run.tasks["auto"]
    assert answers.tolist() == [[0, 1, 1, 1]]
    # Each in a bin of its own: |0.9 - 1| + |0.8 - 1| + |0.6 - 0| + |0.7 - 1|, of labels 0 1 0 1.
    assert LABELS == [0, 1, 0, 1]
    error = run.about("")["calibration"]["auto"]["before"]
    assert error == pytest.approx((0.1 + 0.2 + 0.6 + 0.3) / 4)


@pytest.mark.parametrize(
    ("columns", "rows", "said"),
    [
        (["label"], [["S1a", "u0", "a"], ["S1a", "u0", "b"]], "line 3: .*'u0' .* after line 2"),
        (["label"], [["S1a", "u0", "a"]], r"no prediction of 3 of 4 .* 'u1' of conversation 'S1a'"),
        (["label"], [["S2", "u0", "a"]], r"line 2: utterance 'u0' of conversation 'S2', which"),
        (["label"], [[*key, "c"] for key in KEYS], "line 2, label: unknown 'c'; expected one"),
        (["p_a", "p_b"], [[*key, 0.5, 0.6] for key in KEYS], r"line 2: prob.* sum to 1\.1; .* 1$"),
        (["p_a", "p_b"], [[*key, -0.1, 1.1] for key in KEYS], "line 2, p_a: '-0.1'; expected"),
        (["p_a", "p_b"], [[*key, "nan", 1] for key in KEYS], r"line 2, p_a: 'nan'; expected a num"),
        (["p_a"], [[*key, 1] for key in KEYS], "column p_b: missing; expected label, or"),
        (["p_a", "p_b", "p_c"], [[*key, 1, 0, 0] for key in KEYS], "column p_c: unknown class"),
        (["answer"], [[*key, "a"] for key in KEYS], r"column p_a: missing; expected label"),
        (["label"], [[*key] for key in KEYS], r"line 2: 2 cells; expected 3"),
    ],
)  # fmt: skip
def test_impossible_predictions_are_refused_in_one_line(two, tmp_path, columns, rows, said):
    path = written(tmp_path / "x.csv", columns, rows)
    with pytest.raises(InputError, match=said) as error:
        compared.compare([two[0], path])
    assert str(error.value).startswith(str(path))


def test_files_need_a_trial_with_ids(two, tmp_path):
    path = answered(tmp_path / "x.csv", [0, 1, 0, 1])
    with pytest.raises(InputError, match=r"only files of predictions; expected the folder of at"):
        compared.compare([path, answered(tmp_path / "y.csv", [0, 0, 0, 0])])
    with pytest.raises(InputError, match=r"none\.csv: no such file"):
        compared.compare([two[0], tmp_path / "none.csv"])
    change(two[0] / "corpus.json", ids=None)
    with pytest.raises(InputError, match="without ids of utterances"):
        compared.compare([two[0], path])


def predicted(of, path):
    """The file that `predict` writes for the corpus of a trial."""
    models, corpus = load_models(of.folder), of.corpus
    path.write_text(predict.to_csv(corpus, *predict.answer(models, corpus), {}))
    return path


def test_the_output_of_predict_gives_the_same_p_values(tmp_path):
    of = gallery.finished("votes")  # of one seed
    path = predicted(of, tmp_path / "own.csv")
    tower = of.folder.with_name("run:text")
    ours, theirs = (compared.compare([tower, x]) for x in (of.folder, path))
    assert outcomes(ours) == outcomes(theirs)
    before = theirs["runs"][1]["calibration"]["auto"]["before"]
    after = ours["runs"][1]["calibration"]["auto"]["after"]
    assert before == pytest.approx(after, abs=1e-4)
    (pair,) = compared.compare([of.folder, path], score="expected_accuracy")["comparisons"]
    assert (pair["difference"], pair["p_bootstrap"]) == (0, 1)
    with pytest.raises(InputError, match="no cross_entropy"):
        compared.compare([of.folder, tower], score="cross_entropy")


def test_numbers_and_their_own_file_are_alike(tmp_path):
    of = gallery.finished("numbers")
    path = predicted(of, tmp_path / "own.csv")
    (pair,) = compared.compare([of.folder, path])["comparisons"]
    # The file has the mean of the two seeds.
    answers = np.array(of.analysis["answers"]).mean(0)
    read, utterances = predictions.read(path, finished.read(of.folder)).tasks["auto"]
    order = np.lexsort((utterances["position"], utterances["conversation"]))
    where = of.analysis["utterances"]
    stored = np.lexsort((where["position"], where["conversation"]))
    np.testing.assert_allclose(read[0][order], answers[stored], rtol=1e-4, atol=1e-4)
    assert pair["p_bootstrap"] > 0.01
    path.write_text(path.read_text().replace("sentiment", "mood"))
    with pytest.raises(
        InputError, match=r"column sentiment: missing; expected one for each target"
    ):
        compared.compare([of.folder, path])


def test_distances_to_the_raters_are_those_of_scipy(tmp_path):
    of = gallery.finished("votes")
    rows = list(csv.DictReader(predicted(of, tmp_path / "own.csv").read_text().splitlines()))
    utterances, corpus = of.analysis["utterances"], of.corpus
    ids = json.loads((of.folder / "corpus.json").read_text())["ids"]
    by_key = {(r["conversation_id"], r["utterance_id"]): r for r in rows}
    votes = np.stack([corpus.votes[name] for name in corpus.label_names], axis=1)
    index = {(r["conversation_id"], r["utterance_id"]): i for i, r in enumerate(rows)}
    expected = {"expected_accuracy": [], "cross_entropy": [], "jensen_shannon": []}
    places = zip(utterances["conversation"], utterances["position"], strict=True)
    for n, key in enumerate((c, ids[c][p]) for c, p in places):
        counts, row = votes[index[key]], by_key[key]
        p = np.array([float(row[f"p_{name}"]) for name in corpus.label_names])
        q = counts / counts.sum() if counts.any() else np.eye(4)[utterances["label"][n]]
        np.testing.assert_allclose(utterances["raters"][n], q, atol=1e-6)
        expected["expected_accuracy"].append(q[p.argmax()])
        expected["cross_entropy"].append(scipy.stats.entropy(q) + scipy.stats.entropy(q, p))
        distance = scipy.spatial.distance.jensenshannon(p, q, base=2)
        expected["jensen_shannon"].append(distance**2)
    test = compared.compare([of.folder, tmp_path / "own.csv"])["runs"][1]["test"]["auto"]
    for key, values in expected.items():
        assert test[key]["mean"] == pytest.approx(np.mean(values), abs=1e-4), key
    # The trial's own are of its network before the temperature, and its table has them as well.
    own = of.results["test"]
    assert own["expected_accuracy"]["mean"] == pytest.approx(test["expected_accuracy"]["mean"])
    stored = {key: np.mean(x, axis=1).tolist() for key, x in of.analysis["distances"].items()}
    assert stored == {key: own[key]["per_seed"] for key in expected}


def test_a_page_never_mixes_protocols(two, tmp_path):
    half, wrong = two
    other = trial(tmp_path / "other", [[0, 1, 0, 1]] * 3)
    change(other / "results.json", protocol="mman4")
    whole = json.loads((other / "analysis.json").read_text())
    (other / "analysis.json").write_text(json.dumps({"mman4": whole["auto"]}))
    change(other / "corpus.json", ids=IDS)
    change(wrong / "config.json", train={"select": "loss"})
    paths = [half, answered(tmp_path / "x.csv", [0, 1, 0, 0]), wrong, other]
    paths.append(answered(tmp_path / "y.csv", [0, 0, 0, 0]))
    groups = compared.compare_groups(paths)
    assert [[run["name"] for run in x["runs"]] for x in groups] == [
        ["half", "x.csv", "wrong"], ["other", "y.csv"],
    ]  # fmt: skip
    page = comparison.document(groups)
    captions = [[block.caption for block in x.blocks[1:]] for x in page.sections[:-1]]
    first, second, third, tests, *_ = captions[0]
    assert "selected by: not stated" in first
    assert first.startswith("Features: text (3, t0)")
    assert second.startswith("Other systems, whose features and selection are unknown.")
    assert "selected by: loss" in third
    assert tests.startswith("Paired tests")
    assert "mman4" in page.sections[1].title
    assert "y.csv" not in html.render(dataclasses.replace(page, sections=page.sections[:1]))


def test_the_command_writes_the_page(two, tmp_path):
    path, page = answered(tmp_path / "x.csv", [0, 1, 0, 1]), tmp_path / "page.html"
    ended = command("experiments.compare", str(two[0]), str(path), f"--page={page}")
    assert ended.returncode == 0, ended.stderr
    assert "half over x.csv" in ended.stdout
    written = page.read_text()
    assert "<table" in written
    assert "http" not in written.replace("http://www.w3.org", "")
    answered(path, [0, 1, 0, 1], names="ac")
    ended = command("experiments.compare", str(two[0]), str(path))
    assert (ended.returncode, ended.stderr.count("\n")) == (2, 1)
    assert "line 3, label" in ended.stderr


@pytest.mark.parametrize("seed", range(3))
def test_scores_and_mcnemar_are_those_of_scikit_learn_and_scipy(tmp_path, seed):
    metrics = pytest.importorskip("sklearn.metrics")
    of, random = gallery.finished("classes"), np.random.default_rng(seed)
    where, ids = of.analysis["utterances"], json.loads((of.folder / "corpus.json").read_text())
    places = zip(where["conversation"], where["position"], strict=True)
    keys = [(c, ids["ids"][c][p]) for c, p in places]
    names, labels = of.results["classes"], np.array(where["label"])
    files, answers = [], random.integers(0, len(names), (2, len(keys)))
    for number, given in enumerate(answers):
        rows = [[*key, names[x]] for key, x in zip(keys, given, strict=True)]
        random.shuffle(rows)
        files.append(written(tmp_path / f"{number}.csv", ["label"], rows))
    found = compared.compare([of.folder, *files])
    expected = {
        "accuracy": metrics.accuracy_score(labels, answers[0]),
        "unweighted_recall": metrics.balanced_accuracy_score(labels, answers[0]),
        "weighted_f1": metrics.f1_score(labels, answers[0], average="weighted"),
        "macro_f1": metrics.f1_score(labels, answers[0], average="macro"),
        "mcc": metrics.matthews_corrcoef(labels, answers[0]),
    }
    test = found["runs"][1]["test"]["auto"]
    assert {key: test[key]["mean"] for key in expected} == pytest.approx(expected)
    pair = found["comparisons"][-1]
    only = [int((x & ~y).sum()) for x, y in itertools.permutations(answers == labels)]
    assert [pair["only_first"], pair["only_second"]] == only
    assert pair["p_mcnemar"] == pytest.approx(scipy.stats.binomtest(only[0], sum(only)).pvalue)


def test_labels_and_probabilities_of_one_vs_rest_tasks(tmp_path):
    where = {
        "conversation": np.array([c for c, _ in KEYS]),
        "position": np.array([0, 1, 0, 1]),
        "label": np.array([0, 1, 0, 1]),
    }
    stored = {
        name: {"classes": [f"not_{name}", name], "test": {"majority_accuracy": 0.5}}
        for name in ("happy", "sad")
    }
    tasks = {name: (np.zeros((1, 4), int), where) for name in stored}
    head = {"protocol": "binary4", "corpus": {"dimensions": {}}, "tasks": stored}
    of = finished.Run(tmp_path, head, {"ids": IDS, "modalities": {}}, {}, tasks, {})
    labels = ["happy", "happy+sad", "none", "sad"]
    rows = [[*key, label] for key, label in zip(KEYS, labels, strict=True)]
    found = predictions.read(written(tmp_path / "a.csv", ["label"], rows), of).tasks
    expected = {"happy": [[1, 1, 0, 0]], "sad": [[0, 1, 0, 1]]}
    assert {name: answers.tolist() for name, (answers, _) in found.items()} == expected
    shares = [(0.9, 0.2), (0.6, 0.7), (0, 0.4), (0.1, 1)]
    rows = [[*key, *p] for key, p in zip(KEYS, shares, strict=True)]
    columns = ["p_happy", "p_sad"]
    found = predictions.read(written(tmp_path / "b.csv", columns, rows), of).tasks
    assert {name: answers.tolist() for name, (answers, _) in found.items()} == expected
