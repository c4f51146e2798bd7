import numpy as np
import pytest

from configs import tripathi
from mman_jax.errors import InputError
from mman_jax.systems import build
from mman_jax.trial.config import network
from mman_jax.types import Inputs
from tests.systems import golden

DIMS = {"text": 3, "speech": 2}


@pytest.mark.parametrize(
    ("dims", "classes", "parameters"),
    [
        ((100, 73, 100), 2, 268_034),
        ((100, 100, 512), 4, 380_932),
    ],
)
def test_parameters(dims, classes, parameters):
    dims = dict(zip(("text", "speech", "visual"), dims, strict=True))
    system = build(network(tripathi.get_config()), list(dims), classes)
    assert golden.count(system.parameter_shapes(dims)) == parameters


def test_parameters_over_frames():
    # 6 620 100 of the authors', their embedding left out, and a second bias of three LSTMs.
    dims = {"text": 300, "speech": 34, "visual": 189}
    config = network(tripathi.get_config())
    system = build(config | {"cells": "frames"}, list(dims), 4)
    shapes = system.parameter_shapes(dims)
    assert golden.count(shapes) == 6_620_100 + 4 * (256 + 256 + 128)
    assert {name: golden.count(x) for name, x in shapes.items()} == {
        "branch_text": 1_982_572 - 2737 * 300 + 4 * (256 + 256),
        "branch_speech": 3_607_040 + 4 * 128,
        "branch_visual": 1_653_696,
        "dense": 768 * 256 + 256,
        "answer": 256 * 4 + 4,
    }
    assert golden.count(shapes["branch_speech"]["decoder"]) == 246_528
    assert [system.frame_view(m) for m in dims] == [{"cells": 50}, {"first": 100}, {"parts": 200}]


def test_its_answers_by_hand():
    system = build({"system": "tripathi", "units": 4}, list(DIMS), 2)
    x = {m: golden.inputs(1, 3, d) for m, d in DIMS.items()}
    there = {"speech": np.array([[True, False, True]])}
    params = golden.params(system, DIMS)
    found, state = system.apply(
        {"params": params}, Inputs.unpadded(x, np.zeros((1, 3), bool), there)
    )

    def dense(x, size):
        return x @ golden.filled((), (x.shape[-1], size)) + golden.filled((), (size,))

    speech = dense(x["speech"], 4) * there["speech"][..., None]
    joined = np.concatenate([dense(x["text"], 4), speech], axis=-1)
    hidden = np.maximum(dense(np.maximum(joined, 0), 4), 0)
    np.testing.assert_allclose(found["answer"], dense(hidden, 2), atol=1e-6)
    assert state == ()


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"units": 0}, "network.units: 0; expected a whole number"),
        ({"cells": "frame"}, "network.cells: 'frame'; expected 'frames'"),
        ({"parts": 0}, "network.parts: 0; expected a whole number"),
        ({"channels": ()}, r"network.channels: \(\); expected whole numbers"),
        (
            {"branches": {"text": "recurrent"}},
            "network.branches: none for 'speech'; expected one by",
        ),
        (
            {"branches": {"default": "lstm"}},
            "network.branches.default: 'lstm'; expected one of recur",
        ),
    ],
)
def test_settings_that_cannot_be_are_refused(settings, said):
    with pytest.raises(InputError, match=said):
        build({"system": "tripathi"} | settings, list(DIMS), 2).parameter_shapes(DIMS)
