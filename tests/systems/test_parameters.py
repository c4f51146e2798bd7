"""Numbers of parameters of systems with their default settings."""

import pytest

from configs import bc_lstm, fmt, lmf, mfm, mult, raven, tripathi
from mman_jax.systems import build
from mman_jax.trial.config import network
from tests.systems import golden


@pytest.mark.parametrize(
    ("config", "dims", "classes", "parameters"),
    [
        (fmt, (300, 74, 35), 8, 77_088_060),
        (fmt, (300, 74, 35), 2, 77_083_254),
        (fmt, (300, 5, 20), 2, 77_079_294),
        (fmt, (100, 73, 100), 2, 21_483_014),
        (fmt, (100, 100, 512), 2, 21_517_054),
        (fmt, (20, 20, 20), 4, 10_725_136),
        (raven, (300, 74, 35), 1, 1_192_953),
        (raven, (300, 74, 35), 2, 1_193_254),
        (raven, (300, 5, 20), 2, 1_180_654),
        (raven, (100, 73, 100), 2, 902_254),
        (raven, (100, 100, 512), 2, 968_104),
        (raven, (20, 20, 20), 4, 762_666),
        (mult, (300, 74, 35), 8, 1_074_998),
        (mult, (300, 74, 35), 2, 1_073_912),
        (mult, (300, 5, 20), 2, 1_071_392),
        (mult, (100, 73, 100), 2, 1_069_832),
        (mult, (100, 100, 512), 2, 1_083_002),
        (mult, (20, 20, 20), 4, 1_063_804),
        (mfm, (300, 74, 35), 2, 730_363),
        (mfm, (300, 74, 35), 8, 730_465),
        (mfm, (300, 5, 20), 2, 700_711),
        (mfm, (100, 73, 100), 2, 647_955),
        (mfm, (100, 100, 512), 2, 877_650),
        (mfm, (20, 20, 20), 4, 541_640),
        (lmf, (100, 73, 100), 2, 52_426),
        (lmf, (100, 100, 512), 4, 58_988),
        (lmf, (20, 20, 20), 4, 32_012),
        (tripathi, (100, 73, 100), 2, 268_034),
        (tripathi, (100, 100, 512), 4, 380_932),
        (bc_lstm, (100, 73, 100), 2, 4_756_808),
        (bc_lstm, (100, 100, 512), 4, 5_812_016),
        (bc_lstm, (20, 20, 20), 4, 4_247_216),
    ],
)
def test_parameters(config, dims, classes, parameters):
    dims = dict(zip(("text", "speech", "visual"), dims, strict=True))
    system = build(network(config.get_config()), list(dims), classes)
    assert golden.count(system.parameter_shapes(dims)) == parameters
