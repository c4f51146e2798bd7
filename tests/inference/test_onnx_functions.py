"""Both functions predict like the models, for other sizes than those of the export."""

import numpy as np
import pytest

from configs import bc_lstm, clstm_lf
from mman_jax.errors import InputError
from mman_jax.inference import onnx_functions
from tests.inference import trained
from tests.inference.test_card import card
from tests.inference.test_exported import stepped
from tests.inference.trained import corpus, rows

needs = "the extra [onnx] is not installed"


def test_answers_are_the_same():
    for package in ("torch", "onnx", "onnxscript", "onnxruntime"):
        pytest.importorskip(package, reason=needs)
    model, given = trained.model(clstm_lf), corpus()
    files = onnx_functions.functions([model], card(model))
    features, present, cells = rows(given)

    def named(features, present):
        found = {f"features_{m}": x for m, x in features.items()}
        return found | {f"present_{m}": x for m, x in present.items()}

    expected = model.probabilities(given)
    (found,) = onnx_functions.call(files["conversation.onnx"], named(features, present))
    np.testing.assert_allclose(found[cells], expected, atol=1e-5)

    def step(state, *now):
        return onnx_functions.call(files["step.onnx"], {"state": state} | named(*now))

    import onnx

    (state,) = [
        value.type.tensor_type.shape.dim[1].dim_value
        for value in onnx.load_from_string(files["step.onnx"]).graph.input
        if value.name == "state"
    ]
    begin = np.zeros(state, np.float32)
    np.testing.assert_allclose(stepped(step, begin, features, present)[cells], expected, atol=1e-5)


def test_a_system_without_a_network_in_pytorch_is_refused():
    model = trained.model(bc_lstm)
    with pytest.raises(InputError, match="has no network in PyTorch"):
        onnx_functions.functions([model], card(model) | {"system": "bc_lstm"})
