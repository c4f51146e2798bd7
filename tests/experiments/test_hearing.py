"""The diarisation error rate, computed by hand."""

import pytest

from experiments.benchmark.hearing import error_rate

TRUTH = [(0.0, 2.0, "a"), (3.0, 5.0, "b")]


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        ([(0.0, 2.0, "2"), (3.0, 5.0, "1")], 0.0),  # names do not matter
        ([(0.0, 2.0, "1"), (3.0, 5.0, "1")], 0.5),  # one of two people
        ([(0.0, 2.0, "1")], 0.5),  # missed
        ([(0.0, 3.0, "1"), (3.0, 5.0, "2")], 0.25),  # false speech of one second
        ([(0.0, 2.0, "1"), (1.0, 2.0, "2"), (3.0, 5.0, "2")], 0.25),  # two at once
        ([(0.0, 1.0, "1"), (1.0, 2.0, "3"), (3.0, 5.0, "2")], 0.25),  # one person as two
    ],
)
def test_error_rate(found, expected):
    assert error_rate(found, TRUTH) == pytest.approx(expected)
