"""Gaps between groups, by hand and against draws one by one."""

import numpy as np

from mman_jax.evaluation import groups

CONVERSATIONS = np.array(list("aabbccdde"))
GENDER = np.array(list("fmfmfmffx"))
RIGHT = np.array([[1, 0, 1, 0, 1, 1, 1, 0, 0], [1, 0, 1, 1, 1, 0, 1, 1, 0]], bool)


def test_the_gap_by_hand():
    assert groups.sizes(GENDER, CONVERSATIONS) == {"f": (5, 4), "m": (3, 3), "x": (1, 1)}
    found = groups.largest_gap(RIGHT, GENDER, CONVERSATIONS)
    # x is one conversation's, and would be the worst. f: 4 and 5 of 5; m: 1 and 1 of 3.
    assert (found["first"], found["second"]) == ("f", "m")
    np.testing.assert_allclose(found["difference"], 9 / 10 - 2 / 6)
    low, high = found["interval"]
    assert low <= found["difference"] <= high


def test_the_interval_is_that_of_draws_one_by_one():
    random = np.random.default_rng(0)
    found = groups.largest_gap(RIGHT, GENDER, CONVERSATIONS)
    names, differences = np.unique(CONVERSATIONS), []
    while len(differences) < 4000:
        rows = np.concatenate([np.flatnonzero(n == CONVERSATIONS) for n in random.choice(names, 5)])
        seeds = random.integers(0, 2, 2)
        own = [RIGHT[seeds][:, rows[GENDER[rows] == name]] for name in "fm"]
        if all(x.size for x in own):
            differences.append(own[0].mean() - own[1].mean())
    expected = np.quantile(differences, [0.025, 0.975])
    np.testing.assert_allclose(found["interval"], expected, atol=0.04)


def test_alike_groups_have_no_gap_and_neither_have_small_ones():
    alike = groups.largest_gap(np.ones((1, 9), bool), GENDER, CONVERSATIONS)
    assert alike == {"first": "f", "second": "m", "difference": 0.0, "interval": [0.0, 0.0]}
    for small in (CONVERSATIONS, np.array(list("ffffffffx"))):
        assert groups.largest_gap(RIGHT, small, CONVERSATIONS) is None
