import numpy as np
import pytest

from mman_jax.tasks import ratings


def told(answers, targets, name="sentiment", mean=0.0):
    answers, targets = (np.array(x, np.float32)[:, None] for x in (answers, targets))
    about = (ratings.target(name, targets),)
    found = np.asarray(ratings.sums(answers, targets, np.array([mean], np.float32), about))
    return ratings.scores(found, about), found


def test_scores_of_the_scale_of_seven_by_hand():
    # Given: rounded they are 3, 0, -2, 2, 0, 1 and, of the targets, 3, 0, -2, 0, 0, -1.
    targets = [3.0, -0.4, -2.0, 0.0, 0.5, -1.4, np.nan]
    answers = [3.9, 0.2, -1.5, 1.5, -0.3, 1.2, 9.0]
    scores, found = told(answers, targets, mean=1.0)
    errors = [0.9, 0.6, 0.5, 1.5, 0.8, 2.6]
    assert scores["mae"] == pytest.approx(np.mean(errors))
    assert scores["acc7"] == scores["acc5"] == pytest.approx(4 / 6)
    # Within ±1: 1, 0, -1, 1, 0, 1 of 1, 0, -1, 0, 0, -1.
    assert scores["acc3"] == pytest.approx(4 / 6)
    # At least 0: 1 1 0 1 0 1 of 1 0 0 1 1 0.
    assert scores["acc2_with_zero"] == pytest.approx(3 / 6)
    # Of 3 and of 3: F1 of the lower class 2 * 1 / (3 + 2), of the upper one 2 * 2 / (3 + 4).
    assert scores["f1_with_zero"] == pytest.approx((3 * 0.4 + 3 * 4 / 7) / 6)
    # Above 0, without the fourth: 1 1 0 0 1 of 1 0 0 1 0.
    assert scores["acc2_without_zero"] == pytest.approx(2 / 5)
    assert scores["f1_without_zero"] == pytest.approx((3 * 2 / (3 + 2) + 2 * 2 / (2 + 3)) / 5)
    constant = np.abs(np.array(targets[:-1]) - 1).mean()
    assert ratings.mean_answer(found) == pytest.approx(constant)


def test_agreement_is_that_of_numpy():
    random = np.random.default_rng(0)
    y = random.uniform(1, 5, 200)
    x = 0.5 * y + random.normal(0, 0.5, 200) + 70
    scores, _ = told(x, y + 70)
    assert set(scores) == set(ratings.MEASURES)  # from 71 to 75 no class is told
    assert scores["pearson_r"] == pytest.approx(np.corrcoef(x, y)[0, 1], abs=1e-4)
    apart = x.var() + y.var() + (x.mean() - y.mean() - 70) ** 2
    assert scores["ccc"] == pytest.approx(2 * np.cov(x, y, bias=True)[0, 1] / apart, abs=1e-4)
    assert told(np.full(200, 2.0), y)[0]["pearson_r"] == 0


def test_scores_of_the_scale_of_sims_by_hand():
    # An edge is in the class below it.
    scores, _ = told([-0.7, 0.0, 0.1, 0.8, -0.05], [-1.0, 0.1, 0.2, 0.7, -0.1])
    assert scores["acc5_sims"] == pytest.approx(2 / 5)
    assert scores["acc3_sims"] == pytest.approx(3 / 5)
    assert scores["acc2_sims"] == pytest.approx(4 / 5)
    assert "acc7" not in scores


def test_scores_of_two_targets_are_the_mean_of_theirs():
    answers, targets = np.random.default_rng(1).uniform(-3, 3, (2, 4, 6, 2)).astype(np.float32)
    targets[0, :, 1], targets[:, 5] = np.nan, np.nan
    about = tuple(ratings.target(n, targets[..., i]) for i, n in enumerate("ab"))
    sums = np.asarray(ratings.sums(answers, targets, np.zeros(2, np.float32), about))
    assert sums[:, 0].tolist() == [20, 15]
    each = [ratings.of_target(sums[t], about[t])["acc7"] for t in range(2)]
    assert ratings.scores(sums, about)["acc7"] == pytest.approx(np.mean(each))
