import pytest

from mman_jax.report import numbers


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        (numbers.percent(0.5712, 2), "57.12"),
        (numbers.percent(None), "–"),  # noqa: RUF001  (it is the dash that stands for nothing)
        (numbers.points(0.0216), "+2.16"),
        (numbers.points(-0.0216), "\N{MINUS SIGN}2.16"),
        # A difference that rounds to nothing has no sign.
        (numbers.points(-0.00001), "0.00"),
        (numbers.points(0.00001), "0.00"),
        (numbers.span([-0.0004, 0.0436], numbers.points), "\N{MINUS SIGN}0.04 to +4.36"),
        (numbers.spread({"mean": 0.5, "std": 0.0123, "per_seed": [0.4, 0.6]}), "50.0 ± 1.2"),
        (numbers.spread({"mean": 0.5, "std": 0.0, "per_seed": [0.5]}), "50.0"),
        (numbers.p_value(0.0004), "< 0.001"),
        (numbers.p_value(0.0496), "0.050"),
        (numbers.count(1623), "1623"),
        (numbers.count(4392184), "4 392 184"),
        (numbers.seconds(9.94), "9.9"),
        (numbers.seconds(12345.6), "12 346"),
        (numbers.listed([0, 1, 2, 3]), "0 to 3"),
        (numbers.listed([0, 1, 2, 5]), "0, 1, 2 and 5"),
        (numbers.listed(["a", "b"]), "a and b"),
        (numbers.listed([]), ""),
    ],
)
def test_numbers_as_written(written, expected):
    assert written == expected
