import numpy as np
import pytest
import scipy.stats

from mman_jax.evaluation import significance


def test_the_interval_over_seeds_is_student_s():
    values = [0.70, 0.72, 0.75, 0.71]
    expected = scipy.stats.t.interval(0.95, 3, np.mean(values), scipy.stats.sem(values))
    np.testing.assert_allclose(significance.seed_interval(values), expected)
    assert significance.seed_interval([0.7]) == (0.7, 0.7)
    assert significance.seed_interval([0.7, 0.7]) == (0.7, 0.7)


def test_mcnemar_by_hand():
    # 3 of 4 discordant pairs for the first: p = 2 * (C(4,3) + C(4,4)) / 2**4 = 0.625.
    first = np.array([1, 1, 1, 0, 1, 0], bool)
    second = np.array([0, 0, 0, 1, 1, 0], bool)
    assert significance.mcnemar(first, second) == (3, 1, pytest.approx(0.625))
    assert significance.mcnemar(second, first) == (1, 3, pytest.approx(0.625))
    assert significance.mcnemar(first, first) == (0, 0, 1.0)


def test_with_one_seed_and_an_utterance_a_conversation_it_is_the_paired_bootstrap_of_scipy():
    random = np.random.default_rng(0)
    first, second = random.random((2, 1, 200)) < [[[0.7]], [[0.6]]]
    found = significance.bootstrap(first, second, np.arange(200))
    paired = (first[0].astype(float) - second[0],)
    theirs = scipy.stats.bootstrap(paired, np.mean, method="percentile", rng=1).confidence_interval
    assert found.mean == pytest.approx(paired[0].mean())
    np.testing.assert_allclose((found.low, found.high), theirs, atol=0.01)
    assert 0 < found.p < 1


def width(*arguments):
    found = significance.bootstrap(*arguments)
    return found.high - found.low


def test_the_interval_widens_with_conversations_and_with_seeds():
    random = np.random.default_rng(0)
    difference = np.repeat(random.random(20) < 0.5, 10)[None]  # whole conversations go one way
    together = width(difference, ~difference, np.repeat(np.arange(20), 10))
    assert together > 2 * width(difference, ~difference, np.arange(200))
    steady = np.tile(np.arange(150) % 2 == 0, (4, 1))
    shifting = steady.copy()
    shifting[0], shifting[1] = True, False  # the same mean
    both = [(right, np.zeros_like(steady), np.repeat(np.arange(30), 5))
            for right in (shifting, steady)]  # fmt: skip
    assert width(*both[0]) > 2 * width(*both[1])
    assert {significance.bootstrap(*given).mean for given in both} == {0.5}


def test_of_a_score_that_is_a_mean_it_is_the_same():
    random = np.random.default_rng(0)
    first, second = (random.random((seeds, 60)) < share for seeds, share in ((3, 0.7), (2, 0.5)))
    which = np.arange(60) // 7
    sums = [
        np.stack([[[x[which == v].sum(), (which == v).sum()] for v in range(9)] for x in several])
        for several in (first, second)
    ]
    found = significance.bootstrap_score(lambda x: x[..., 0] / x[..., 1], *sums)
    np.testing.assert_allclose(found, significance.bootstrap(first, second, which), atol=1e-3)
    assert found.mean == pytest.approx(first.mean() - second.mean())


def test_the_test_keeps_its_level():
    random = np.random.default_rng(1)
    conversations = np.repeat(np.arange(40), 5)
    right = random.random((3, 200)) < 0.7
    same = significance.bootstrap(right, right, conversations)
    assert (same.mean, same.low < 0 < same.high, same.p > 0.5) == (0, True, True)
    # Of two systems equally good, one in twenty comparisons may say that they differ.
    found = 0
    for trial in range(200):
        first, second = random.random((2, 2, 200)) < 0.7
        found += significance.bootstrap(first, second, conversations, 500, trial).p < 0.05
    assert found <= 20


def test_holm_by_hand():
    # Sorted 0.005, 0.01, 0.03, 0.04 times 4, 3, 2, 1: 0.02, 0.03, 0.06, 0.04, which steps up to
    # the 0.06 before it.
    found = significance.holm([0.01, 0.04, 0.03, 0.005])
    np.testing.assert_allclose(found, [0.03, 0.06, 0.06, 0.02])
    assert significance.holm([0.5, 0.9]) == [1.0, 1.0]
    assert significance.holm([0.2]) == [0.2]
    assert significance.holm([]) == []
