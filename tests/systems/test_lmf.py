import jax
import jax.numpy as jnp
import numpy as np

from mman_jax.systems import build
from mman_jax.systems.lmf import _Factors, _Sum
from mman_jax.types import Inputs
from tests.systems import golden

DIMS = {"text": 4, "speech": 3, "visual": 2}
SMALL = {"hidden": 5, "code": 4, "sizes": {"speech": 3, "visual": 2}, "rank": 3, "dropout": 0.0}
FEATURES = {
    "text": golden.inputs(2, 4, 4),
    "speech": golden.inputs(2, 4, 3, 0.5),
    "visual": golden.inputs(2, 4, 2, 0.9),
}
STARTS = np.array([[True, False, False, False]] * 2)


def filled(path, shape):
    """The rule of golden numbers; a factor is a stack of transposed matrices of all ranks."""
    names = jax.tree_util.keystr(path, simple=True, separator="/")
    if names == "answer/weights":  # a matrix of one row, and not transposed
        return 2 * np.sin(1 + 2 * np.arange(shape[1], dtype="f4"))[None] / np.sqrt(shape[1])
    if not names.startswith("factors"):
        return golden.filled(path, shape)
    rank, inputs, outputs = np.meshgrid(*map(np.arange, shape), indexing="ij")
    matrix = 2 * np.sin(1 + rank * shape[-1] + outputs + 2 * inputs) / np.sqrt(shape[1])
    return matrix.astype("f4")


def small(**more):
    return build({"system": "lmf"} | SMALL | more, list(DIMS), 2)


def params(system):
    shapes = system.parameter_shapes(DIMS)
    return jax.tree_util.tree_map_with_path(lambda k, x: jnp.asarray(filled(k, x.shape)), shapes)


def answer(system, features=FEATURES, parameters=None, **present):
    parameters = params(system) if parameters is None else parameters
    logits, _ = system.apply({"params": parameters}, Inputs.unpadded(features, STARTS, present))
    return np.asarray(logits["answer"])


def test_golden_numbers():
    # Of the authors' modules, in evaluation without batch normalisation.
    system = small()
    assert golden.count(params(system)) == 375
    expected = [
        [[-0.25765, -0.27378], [1.32955, 0.52283], [1.42578, 0.63169], [0.64771, -0.00413]],
        [[1.27829, 0.5102], [1.41085, 0.62684], [0.64488, -0.0038], [-0.28751, -0.68926]],
    ]
    np.testing.assert_allclose(answer(system), expected, atol=2e-4)


def test_golden_numbers_of_cells_alone():
    found = answer(small(context=False))
    first = [[-0.25765, -0.27378], [1.27829, 0.5102], [1.38549, 0.6168], [0.67161, -0.00585]]
    np.testing.assert_allclose(found[0], first, atol=2e-4)
    np.testing.assert_allclose(found[1, -1], [-0.31387, -0.75402], atol=2e-4)


def test_a_missing_modality_leaves_the_product_of_the_others():
    system = small()
    missing = np.zeros((2, 4), bool)
    found = answer(system, speech=missing)
    # The factor's first row alone: what a code of zeros after the constant 1 gives.
    parameters = params(system)
    factor = parameters["factors"]["speech"]
    parameters["factors"]["speech"] = factor.at[:, 1:].set(0)
    np.testing.assert_allclose(found, answer(system, parameters=parameters), atol=1e-6)
    other = FEATURES | {"speech": np.full_like(FEATURES["speech"], np.nan)}
    np.testing.assert_array_equal(found, answer(system, other, speech=missing))


def test_the_factors_are_those_of_a_full_tensor():
    system = build({"system": "lmf"} | SMALL | {"sizes": {"default": 2}}, ["text", "speech"], 2)
    dims = {m: DIMS[m] for m in ("text", "speech")}
    shapes = system.parameter_shapes(dims)
    parameters = jax.tree_util.tree_map_with_path(lambda k, x: filled(k, x.shape), shapes)
    parameters["factors"]["speech"] *= np.linspace(0.5, 1.5, 3)[:, None, None]
    text, speech = (parameters["factors"][m] for m in dims)
    weights = parameters["answer"]["weights"][0]
    full = np.einsum("r,rko,rlo->klo", weights, text, speech)
    codes = [np.ones((2, 4, k)) * np.arange(1, k + 1) for k in (5, 3)]
    by_name = dict(zip(dims, codes, strict=True))
    terms = _Factors(3, 2).apply({"params": parameters["factors"]}, by_name)
    found = _Sum().apply({"params": parameters["answer"]}, terms)
    expected = np.einsum("buk,bul,klo->buo", *codes, full) + parameters["answer"]["bias"]
    np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_over_words_the_others_are_means_so_far():
    system = small(cells="words")
    reset = np.array([[True, False, True, False]] * 2)
    speech = FEATURES["speech"].copy()
    speech[:, 1] = speech[:, :2].mean(1)
    speech[:, 3] = speech[:, 2:].mean(1)
    visual = FEATURES["visual"].copy()
    visual[:, 1] = visual[:, :2].mean(1)
    visual[:, 3] = visual[:, 2:].mean(1)
    found, _ = system.apply({"params": params(system)}, Inputs.unpadded(FEATURES, reset))
    means = FEATURES | {"speech": speech, "visual": visual}
    expected, _ = small().apply({"params": params(system)}, Inputs.unpadded(means, reset))
    np.testing.assert_allclose(found["answer"], expected["answer"], atol=1e-6)
