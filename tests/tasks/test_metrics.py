import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mman_jax.tasks import metrics
from mman_jax.types import UNSCORED

# Rows true, columns predicted.
COUNTS = np.array([[5, 1, 0], [2, 3, 1], [0, 0, 4]])


def draw(rows=6, utterances=7, classes=4, seed=0):
    rng = np.random.default_rng(seed)
    logits = rng.normal(size=(rows, utterances, classes)).astype(np.float32)
    return logits, rng.integers(UNSCORED, classes, (rows, utterances)).astype(np.int32)


@pytest.mark.parametrize("transform", [lambda f: f, jax.jit], ids=["plain", "jit"])
def test_confusion_equals_a_loop(transform):
    logits, labels = draw()
    expected = np.zeros((4, 4), int)
    for row, label in zip(logits.reshape(-1, 4), labels.ravel(), strict=True):
        if label != UNSCORED:
            expected[label, row.argmax()] += 1
    counts = transform(metrics.confusion)(logits, labels)
    np.testing.assert_array_equal(counts, expected)
    assert counts.dtype == jnp.int32
    assert 0 < expected.sum() < labels.size


@pytest.mark.parametrize("labels", [(4, 4), (4,)])
def test_shapes_that_disagree_are_refused(labels):
    with pytest.raises(AssertionError):
        metrics.confusion(np.zeros((4, 5, 3)), np.zeros(labels, np.int32))


def test_scores_by_hand():
    assert metrics.accuracy(COUNTS) == 12 / 16
    np.testing.assert_allclose(metrics.unweighted_recall(COUNTS), (5 / 6 + 3 / 6 + 4 / 4) / 3)
    # F1 = 2 right / (true + predicted)
    f1 = [10 / (6 + 7), 6 / (6 + 4), 8 / (4 + 5)]
    np.testing.assert_allclose(metrics.weighted_f1(COUNTS), np.average(f1, weights=[6, 6, 4]))
    np.testing.assert_allclose(metrics.macro_f1(COUNTS), np.mean(f1))
    found = metrics.per_class(COUNTS)
    np.testing.assert_allclose(found["precision"], [5 / 7, 3 / 4, 4 / 5])
    np.testing.assert_allclose(found["recall"], [5 / 6, 3 / 6, 4 / 4])
    np.testing.assert_allclose(found["f1"], f1)
    assert found["support"].tolist() == [6, 6, 4]


def test_macro_f1_counts_the_classes_that_are_true_or_answered():
    # The second class is answered once and never true: its F1 of 0 counts. The third is neither.
    counts = np.array([[3, 1, 0], [0, 0, 0], [0, 0, 0]])
    np.testing.assert_allclose(metrics.macro_f1(counts), (6 / 7 + 0) / 2)


def test_matthews_correlation_by_hand():
    # Of two classes the correlation of two binary variables: (4 * 3 - 2 * 1) / sqrt(6 * 4 * 5 * 5).
    counts = np.array([[4, 2], [1, 3]])
    np.testing.assert_allclose(metrics.mcc(counts), 10 / np.sqrt(600))
    np.testing.assert_allclose(metrics.mcc(counts[:, ::-1]), -10 / np.sqrt(600))
    # 12 * 16 - (6 * 7 + 6 * 4 + 4 * 5); 16^2 - 36 - 36 - 16 and 16^2 - 49 - 16 - 25.
    np.testing.assert_allclose(metrics.mcc(COUNTS), 106 / np.sqrt(168 * 166))
    assert metrics.mcc(np.array([[5, 0], [3, 0]])) == 0


SKLEARN = {
    "accuracy": ("accuracy_score", {}),
    "unweighted_recall": ("recall_score", {"average": "macro", "zero_division": np.nan}),
    "weighted_f1": ("f1_score", {"average": "weighted"}),
    "macro_f1": ("f1_score", {"average": "macro"}),
    "mcc": ("matthews_corrcoef", {}),
    "micro_f1_without_majority": ("f1_score", {"average": "micro", "zero_division": 0}),
}


@pytest.mark.parametrize("key", metrics.METRICS)
@pytest.mark.parametrize("absent", [None, 2])
def test_scores_equal_sklearn_s(key, absent):
    sklearn = pytest.importorskip("sklearn.metrics", reason="compares with scikit-learn")
    name, arguments = SKLEARN[key]
    for seed in range(5):
        logits, labels = draw(rows=2, seed=seed)
        labels[labels == absent] = 0
        scored = labels != UNSCORED
        if key.endswith("without_majority"):
            frequent = np.bincount(labels[scored]).argmax()
            rest = [c for c in range(logits.shape[-1]) if c != frequent]
            arguments = arguments | {"labels": rest}
        expected = getattr(sklearn, name)(labels[scored], logits.argmax(-1)[scored], **arguments)
        counts = np.asarray(metrics.confusion(logits, labels))
        np.testing.assert_allclose(metrics.METRICS[key].compute(counts), expected)


@pytest.mark.parametrize("metric", metrics.METRICS.values(), ids=list(metrics.METRICS))
def test_leading_axes_are_scored_one_by_one_and_nothing_is_zero(metric):
    stacked = np.stack([COUNTS, COUNTS.T, np.eye(3, dtype=int), np.zeros((3, 3), int)])[:, None]
    expected = [[metric.compute(x[0])] for x in stacked]
    np.testing.assert_allclose(metric.compute(stacked), expected)
    assert expected[-1] == [0]


def test_the_counts_of_figure_3():
    # cLSTM-MMA in the paper's Figure 3, in per cent of each row, and Table 1's test utterances.
    true = np.array([443, 626, 384, 170])
    percentages = [
        [80.36, 5.19, 13.54, 0.90],
        [4.63, 75.88, 13.10, 6.39],
        [14.32, 27.60, 54.43, 3.65],
        [1.18, 30.59, 3.53, 64.71],
    ]
    counts = np.rint(np.array(percentages) / 100 * true[:, None]).astype(int)
    assert counts.sum(1).tolist() == true.tolist()
    assert counts.diagonal().tolist() == [356, 475, 209, 110]
    assert metrics.accuracy(counts) == 1150 / 1623
    recalls = np.diagonal(percentages).mean() / 100
    np.testing.assert_allclose(metrics.unweighted_recall(counts), recalls, atol=5e-5)
