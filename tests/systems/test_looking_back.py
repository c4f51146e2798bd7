"""What holds of every system whose attention looks back: MulT and FMT."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from configs import fmt, mult
from mman_jax.data.scaling import Scaling
from mman_jax.inference import exported
from mman_jax.inference.answerer import Answerer
from mman_jax.inference.model import Model
from mman_jax.systems import build
from mman_jax.systems.base import parameter_shapes
from tests import tiny
from tests.inference.test_exported import corpus, laid, loaded, stepped
from tests.layers import references

DIMS = {"speech": 3, "text": 2}
FMT = {"widths": {"speech": 4}, "heads": 2, "merge": (3,), "hidden": 5, "layers": 2, "units": 4}
SYSTEMS = {
    "mult": {"units": 6, "heads": 3, "layers": 2, "window": 2},
    "fmt": FMT | {"window": 2},
}
CONFIGS = {"mult": mult, "fmt": fmt}
both = pytest.mark.parametrize("name", SYSTEMS)
# Two conversations and padding.
CONVERSATIONS = np.array([[0, 0, 0, 0, 0, 0, 1, 1, -1]])
RESET = np.zeros((1, 9), bool)
RESET[0, [0, 6, 8]] = True
# Of speech nothing in cells 1 and 6, of text in 4, and of both in 2.
PRESENT = {m: np.ones((1, 9), bool) for m in DIMS}
PRESENT["speech"][0, [1, 2, 6]] = PRESENT["text"][0, [2, 4]] = False


def small(config):
    config.network.update(SYSTEMS[config.network.system])
    return config


def draw(seed=0):
    random = np.random.default_rng(seed)
    return {m: random.normal(size=(1, 9, d)).astype("f4") for m, d in DIMS.items()}


def randomised(system, dims, several=()):
    """Parameters of which none is zero, of so many networks."""
    shapes = jax.tree.map(lambda x: np.empty((*several, *x.shape)), parameter_shapes(system, dims))
    return references.randomise(shapes, scale=0.4)


@functools.cache
def make(name):
    """A system, its parameters and what answers with them."""
    system = build({"system": name} | SYSTEMS[name], list(DIMS), 3)
    params = randomised(system, DIMS)
    apply = jax.jit(system.apply)
    return system, params, lambda *given: apply({"params": params}, *given)


def answer(name, features, reset=RESET, present=PRESENT):
    return make(name)[2](features, reset, None, None, present)


@functools.cache
def gradients(name):
    """By parameters and features; what is missing is NaN. And the answer beside it."""
    system, params, _ = make(name)
    broken = {m: np.where(PRESENT[m][..., None], x, np.nan) for m, x in draw().items()}

    def total(params, x):
        logits, _ = system.apply({"params": params}, x, RESET, present=PRESENT)
        return 100 * (logits["answer"] ** 3).sum(), logits["answer"]

    return jax.jit(jax.grad(total, (0, 1), has_aux=True))(params, broken)


@both
def test_an_answer_has_gradients_to_the_past_of_its_conversation_alone(name):
    system, params, _ = make(name)

    def answers(x):
        return system.apply({"params": params}, x, RESET)[0]["answer"] @ jnp.arange(1.0, 4)

    steps, conversation = np.arange(9), CONVERSATIONS[0]
    age = steps[:, None] - steps
    expected = (conversation[:, None] == conversation) & (age >= 0)
    if name == "mult":  # the GRU of FMT remembers all of it
        # Cross-modal layers read one source that none of them changes; three read themselves.
        expected &= age <= (1 + 3) * (2 - 1)
    for m, jacobian in jax.jit(jax.jacrev(answers))(draw()).items():
        reaches = np.abs(jacobian[0, :, 0]).max(-1) > 0
        np.testing.assert_array_equal(reaches, expected, m)


@both
def test_neighbours_in_a_row_and_padding_change_no_answer(name):
    packed, _ = answer(name, draw())

    def alone(x, rest):
        return np.concatenate([x[:, 6:8], rest[:, 2:]], axis=1)

    features = {m: alone(x, draw(1)[m]) for m, x in draw().items()}
    reset = np.zeros((1, 9), bool)
    reset[0, [0, 2]] = True
    there = {m: alone(x, np.ones((1, 9), bool)) for m, x in PRESENT.items()}
    expected, _ = answer(name, features, reset, there)
    found = packed["answer"][:, 6:8]
    np.testing.assert_allclose(found, expected["answer"][:, :2], rtol=1e-4, atol=1e-5)


@both
def test_one_cell_at_a_time_equals_the_whole(name):
    whole, last = answer(name, draw())
    state, found = jax.tree.map(jnp.zeros_like, last), []
    for u in range(9):
        given = ({m: x[:, u : u + 1] for m, x in both.items()} for both in (draw(), PRESENT))
        now, there = given
        logits, state = make(name)[2](now, RESET[:, u : u + 1], state, None, there)
        found.append(logits["answer"])
    found = np.concatenate(found, axis=1)
    np.testing.assert_allclose(found, whole["answer"], rtol=1e-4, atol=1e-5)
    assert jax.tree.structure(state) == jax.tree.structure(last)
    for one, other in zip(jax.tree.leaves(state), jax.tree.leaves(last), strict=True):
        assert (one.shape, one.dtype) == (other.shape, np.float32)
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-5)


@both
def test_what_is_missing_changes_nothing_and_has_no_gradient(name):
    (_, by_features), found = gradients(name)
    expected, _ = answer(name, draw())
    np.testing.assert_allclose(found, expected["answer"], rtol=1e-4, atol=1e-5)
    for m, gradient in by_features.items():
        reaches = np.abs(np.asarray(gradient)).max(-1) > 0
        np.testing.assert_array_equal(reaches, PRESENT[m])


@both
def test_every_parameter_gets_a_gradient(name):
    (by_params, _), _ = gradients(name)
    for path, gradient in jax.tree.leaves_with_path(by_params):
        where, size = jax.tree_util.keystr(path), np.abs(gradient)
        assert np.isfinite(size).all()
        if "key_bias" in where:  # it adds one number to all scores of a softmax
            continue
        # Of each layer, pair and head, not of one of them alone.
        size = size.max((-2, -1) if "kernel" in where else -1)
        assert (size > 0).all(), where


@both
def test_dropout_acts_in_training_alone(name):
    system, params, _ = make(name)
    if name == "fmt":
        system = build({"system": "fmt"} | SYSTEMS["fmt"] | {"dropout": 0.5}, list(DIMS), 3)

    @jax.jit
    def train(key):
        given = {"params": params}, draw(), RESET, None, True, PRESENT
        return system.apply(*given, rngs={"dropout": key})[0]["answer"]

    one, two, again = (train(jax.random.key(seed)) for seed in (0, 1, 0))
    np.testing.assert_array_equal(one, again)
    assert not np.allclose(one, two)
    assert not np.allclose(one, answer(name, draw())[0]["answer"])


# As any other system.


@both
def test_a_trainer_freezes_what_rules_say_and_goes_on_where_it_was(name):
    config = small(tiny.shrink(CONFIGS[name].get_config(), epochs=2))
    config.train.all.rules = (("answer/logits/.*", False), (".*", True))
    trainer, labels = tiny.trainer(config, seeds=2)
    begun = jax.tree.map(np.array, trainer.start("all", [0, 1]).params)
    first, last, _ = tiny.kept(trainer.run(labels, [0, 1]))
    before, after = begun["answer"], last.state.params["answer"]
    for part in after:
        same = all(jax.tree.leaves(jax.tree.map(np.array_equal, before[part], after[part])))
        assert same == (part == "logits"), part
    resumed = tiny.last(trainer, labels, [0, 1], first)
    same = jax.tree.map(np.array_equal, resumed.state.params, last.state.params)
    assert all(jax.tree.leaves(same))


@both
def test_a_model_answers_turn_by_turn_as_it_answers_a_file_also_exported(name):
    given, classes = corpus(), ("happy", "sad", "angry")
    network = {"system": name} | SYSTEMS[name]
    params = randomised(build(network, list(given.dims), 3), given.dims, several=(2,))
    scaling = Scaling(
        {m: np.full(d, 0.1, "f4") for m, d in given.dims.items()},
        {m: np.full(d, 0.5, "f4") for m, d in given.dims.items()},
    )
    models = [Model(params, scaling, network, given.dims, classes)]
    expected = models[0].probabilities(given)
    answerer = Answerer(models)
    state, found = answerer.begin(), []
    for u in range(7):
        turn = {m: x[u] for m, x in given.features.items() if given.present[m][u]}
        state, said = answerer.step(state, turn)
        found.append(list(said.probabilities.values()))
    np.testing.assert_allclose(found, expected[:7], atol=1e-5)

    pytest.importorskip("flatbuffers", reason="jax.export needs it: pip install 'mman_jax[export]'")
    features, present, cells = laid(given)
    whole, step = loaded(exported.conversations(models)), loaded(exported.step(models))
    np.testing.assert_allclose(np.asarray(whole(features, present))[cells], expected, atol=1e-5)
    turns = stepped(step, exported.initial_state(models), features, present)
    np.testing.assert_allclose(turns[cells], expected, atol=1e-5)
