"""Turns against their median, by hand."""

import numpy as np

from mman_jax.features import manner
from mman_jax.features.speech.manner import MEASURES


def test_turns_are_compared_with_the_median_turn():
    random = np.random.default_rng(0)
    turns = np.array([1.0, 30, 2, 0.2]) + random.normal(size=(9, 4)) * [0.01, 0.1, 0.02, 0.001]
    assert manner.compare(turns, MEASURES) == [[]] * 9  # differences that nobody hears
    turns[2] += [-0.15, 0, 3, 0]
    turns[7] += [0, 1.5, 0, -0.2]
    told = manner.compare(turns, MEASURES)
    assert told[2] == ["quieter", "much faster"]
    assert told[7] == ["higher", "much more even"]
    assert sum(map(bool, told)) == 2
    assert manner.compare(turns[1:3], MEASURES) == [[], []]  # two turns have no median
