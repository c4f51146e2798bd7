import pytest

from mman_jax.report import phrases
from mman_jax.tasks import score
from mman_jax.tasks.score import MINUS, NONE


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        (score.percent(0.5712, 2), "57.12"),
        (score.percent(None), NONE),
        (score.points(0.0216), "+2.16"),
        (score.points(-0.0216), f"{MINUS}2.16"),
        # Differences that round to zero have no sign.
        (score.points(-0.00001), "0.00"),
        (score.points(0.00001), "0.00"),
        (phrases.span([-0.0004, 0.0436], score.points), f"{MINUS}0.04 to +4.36"),
        (score.spread({"mean": 0.5, "std": 0.0123, "per_seed": [0.4, 0.6]}), "50.0 ± 1.2"),
        (score.spread({"mean": 0.5, "std": 0.0, "per_seed": [0.5]}), "50.0"),
        (phrases.p_value(0.0004), "< 0.001"),
        (phrases.p_value(0.0496), "0.050"),
        (phrases.count(1623), "1623"),
        (phrases.count(4392184), "4 392 184"),
        (phrases.seconds(9.94), "9.9"),
        (phrases.seconds(12345.6), "12 346"),
        (phrases.listed([0, 1, 2, 3]), "0 to 3"),
        (phrases.listed([0, 1, 2, 5]), "0, 1, 2 and 5"),
        (phrases.listed(["a", "b"]), "a and b"),
        (phrases.listed([]), ""),
    ],
)
def test_numbers_as_written(written, expected):
    assert written == expected
