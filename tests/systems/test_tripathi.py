import jax
import numpy as np
import pytest

from configs import tripathi
from mman_jax.systems import build
from mman_jax.systems.tripathi import _Attended, _Convolved, _Recurrent
from mman_jax.trial.config import network
from mman_jax.types import Inputs
from tests.layers import references
from tests.layers.references import dense, sigmoid, softmax
from tests.systems import golden

DIMS = {"text": 3, "speech": 2}


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


COUNTS = np.array([4, 2, 1])
STEPS = np.arange(4)


def frames(size=3):
    x = np.random.default_rng(0).normal(size=(3, 1, 4, size)).astype("f4")
    return x, (COUNTS[:, None] > STEPS)[:, None]


def run(branch, x, present):
    shapes = jax.eval_shape(lambda: branch.init(jax.random.key(0), x, present, False))["params"]
    params = references.randomise(shapes, scale=0.5)
    found = jax.jit(lambda p: branch.apply({"params": p}, x, present, False))(params)
    return jax.tree.map(np.float64, params), np.asarray(found)[:, 0]


def lstm(params, x):
    """Hidden states [F, H] of frames [F, D]."""
    size = len(params["kernel_hidden"])
    zeros, whole = (np.zeros((1, size)),) * 2, np.ones((1, len(x)), bool)
    return references.lstm(params, x[None], zeros, ~whole, whole)[0][0]


def decoded(params, x, steps):
    """The first outputs [steps, H] of the decoder on frames [F, D]."""
    units = len(params["score"])

    def split(name):
        return np.split(params[name], 4, axis=-1)

    outputs, states, contexts, biases = map(split, ("output", "state", "context", "bias"))
    state, answer, found = np.tanh(x[0] @ params["begin"]), np.zeros(units), []
    for _ in range(steps):
        heard = x @ params["heard"] + params["bias_score"]
        weights = softmax(np.tanh(state @ params["asked"] + heard) @ params["score"])
        context = weights @ x

        def given(gate, state, answer=answer, context=context):
            fixed = answer @ outputs[gate] + context @ contexts[gate] + biases[gate]
            return fixed + state @ states[gate]

        reset, update = sigmoid(given(0, state)), sigmoid(given(1, state))
        candidate = np.tanh(given(2, reset * state))
        answer = softmax(given(3, state))
        state = (1 - update) * state + update * candidate
        found.append(answer)
    return np.stack(found)


def convolved(params, image):
    """A 3 x 3 convolution at a stride of 2 over [F, D, C], padded as TensorFlow's "same"."""
    kernel = params["kernel"]
    sizes = [-(-n // 2) for n in image.shape[:2]]
    more = [max(2 * (out - 1) + 3 - n, 0) for out, n in zip(sizes, image.shape[:2], strict=True)]
    padded = np.pad(image, [(n // 2, n - n // 2) for n in more] + [(0, 0)])
    found = np.zeros((*sizes, kernel.shape[-1]))
    for i, j in np.ndindex(*sizes):
        piece = padded[2 * i : 2 * i + 3, 2 * j : 2 * j + 3]
        found[i, j] = np.einsum("abc,abcd->d", piece, kernel) + params["bias"]
    return found


def test_words_pass_two_lstms():
    x, present = frames()
    params, found = run(_Recurrent(4, 2, 0.2), x, present)
    for b, count in enumerate(COUNTS):
        states = lstm(params["lstm_1"], lstm(params["lstm_0"], np.float64(x[b, 0, :count])))
        np.testing.assert_allclose(found[b], dense(params["linear"], states[-1]), atol=1e-5)


@pytest.mark.parametrize("most", [3, 4, 6])
def test_speech_passes_an_lstm_and_the_attention_decoder(most):
    x, present = frames()
    params, found = run(_Attended(most, 4, 2, 0.2), x, present)
    for b, count in enumerate(COUNTS):
        states = lstm(params["lstm"], np.float64(x[b, 0, : min(count, most)]))
        outputs = decoded(params["decoder"], states, most)
        np.testing.assert_allclose(found[b], dense(params["linear"], outputs.ravel()), atol=1e-5)


def test_faces_pass_convolutions():
    x, present = frames(7)
    present[:] = True
    params, found = run(_Convolved(5, (3, 2), 2, 0.2), x, present)
    for b in range(3):
        image = np.pad(np.float64(x[b, 0]), ((0, 1), (0, 0)))[..., None]
        for number in range(2):
            image = np.maximum(convolved(params[f"convolution_{number}"], image), 0)
        assert image.shape == (2, 2, 2)
        np.testing.assert_allclose(found[b], dense(params["linear"], image.ravel()), atol=1e-5)
