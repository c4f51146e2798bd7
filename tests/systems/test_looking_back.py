"""What holds of every system whose attention looks back: MulT and FMT."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from configs import fmt, mult
from mman_jax.inference import exported
from mman_jax.inference.answerer import Answerer
from mman_jax.systems import build
from mman_jax.systems.base import parameter_shapes
from tests import tiny
from tests.inference import trained
from tests.inference.test_exported import corpus, laid, loaded, stepped
from tests.layers import references

DIMS = {"speech": 3, "text": 2}
SYSTEMS = {
    "mult": {"units": 6, "heads": 3, "layers": 2, "window": 3},
    "fmt": {
        "widths": {"speech": 4},
        "heads": 2,
        "merge": (3,),
        "hidden": 5,
        "layers": 2,
        "units": 4,
        "window": 3,
    },
}
CONFIGS = {"mult": mult, "fmt": fmt}
both = pytest.mark.parametrize("name", SYSTEMS)
# Two conversations and padding.
CONVERSATIONS = np.array([[0, 0, 0, 0, 0, 0, 1, 1, -1]])
RESET = np.zeros((1, 9), bool)
RESET[0, [0, 6, 8]] = True


def small(config, **changes):
    config.network.update(SYSTEMS[config.network.system] | changes)
    return config


def draw(rows=1, cells=9, seed=0):
    random = np.random.default_rng(seed)
    return {m: random.normal(size=(rows, cells, d)).astype("f4") for m, d in DIMS.items()}


@functools.cache
def make(name):
    """A system, what answers, and parameters of which none is zero."""
    system = build({"system": name} | SYSTEMS[name], list(DIMS), 3)
    params = references.randomise(parameter_shapes(system, DIMS), scale=0.5)
    apply = jax.jit(system.apply, static_argnames="train")
    return system, lambda *given, **more: apply({"params": params}, *given, **more), params


@pytest.fixture(scope="module")
def present():
    """Of speech nothing in cells 1 and 6, of text in 4, and of both in 2."""
    there = {m: np.ones((1, 9), bool) for m in DIMS}
    there["speech"][0, [1, 2, 6]] = there["text"][0, [2, 4]] = False
    return there


@both
def test_an_answer_has_gradients_to_the_past_of_its_conversation_alone(name):
    _, answer, _ = make(name)
    weights = jnp.arange(1.0, 4)
    jacobians = jax.jit(jax.jacrev(lambda x: answer(x, RESET)[0]["answer"] @ weights))(draw())
    steps, conversation = np.arange(9), CONVERSATIONS[0]
    age = steps[:, None] - steps
    expected = (conversation[:, None] == conversation) & (age >= 0)
    if name == "mult":  # the GRU of FMT remembers all of it
        # One cross-modal encoder, whose sources no layer changes, and three layers over itself.
        expected &= age <= (1 + 3) * (3 - 1)
    for m, jacobian in jacobians.items():
        reaches = np.abs(jacobian[0, :, 0]).max(-1) > 0
        np.testing.assert_array_equal(reaches, expected, m)


def test_mult_sees_no_further_than_its_band():
    system = build({"system": "mult"} | SYSTEMS["mult"] | {"window": 2}, list(DIMS), 3)
    reset = np.zeros((1, 9), bool)
    params = references.randomise(parameter_shapes(system, DIMS), scale=0.5)
    variables = {"params": params}
    answer = jax.grad(lambda x: system.apply(variables, x, reset)[0]["answer"][0, 8].sum())
    for gradient in jax.jit(answer)(draw()).values():
        reaches = np.abs(gradient[0]).max(-1) > 0
        np.testing.assert_array_equal(reaches, 8 - np.arange(9) <= (1 + 3) * (2 - 1))


@both
def test_neighbours_in_a_row_and_padding_change_no_answer(name):
    _, answer, _ = make(name)
    packed, _ = answer(draw(), RESET)
    alone = {m: x[:, 6:8] for m, x in draw().items()}
    expected, _ = answer(alone, RESET[:, 6:8])
    np.testing.assert_allclose(packed["answer"][:, 6:8], expected["answer"], atol=1e-6)


@both
def test_one_cell_at_a_time_equals_the_whole(name, present):
    _, answer, _ = make(name)
    whole, last = answer(draw(), RESET, present=present)
    state, found = None, []
    for u in range(9):
        now = {m: x[:, u : u + 1] for m, x in draw().items()}
        there = {m: x[:, u : u + 1] for m, x in present.items()}
        logits, after = answer(now, RESET[:, u : u + 1], state, present=there)
        if state is not None:
            assert jax.tree.map(jnp.shape, after) == jax.tree.map(jnp.shape, state)
        state = after
        found.append(logits["answer"])
    np.testing.assert_allclose(np.concatenate(found, 1), whole["answer"], atol=2e-6)
    for one, other in zip(jax.tree.leaves(state), jax.tree.leaves(last), strict=True):
        np.testing.assert_allclose(one, other, atol=2e-6)


@both
def test_what_is_missing_changes_nothing_and_has_no_gradient(name, present):
    _, answer, _ = make(name)
    broken = {m: np.where(present[m][..., None], x, np.nan) for m, x in draw().items()}
    expected, _ = answer(draw(), RESET, present=present)

    def total(x):
        found = answer(x, RESET, present=present)[0]["answer"]
        return (found**2).sum(), found

    gradients, found = jax.jit(jax.grad(total, has_aux=True))(broken)
    np.testing.assert_array_equal(found, expected["answer"])
    real = CONVERSATIONS >= 0
    for m, gradient in gradients.items():
        reaches = np.abs(np.asarray(gradient)).max(-1) > 0
        np.testing.assert_array_equal(reaches[real], present[m][real])


@both
def test_every_parameter_gets_a_gradient(name):
    system, _, params = make(name)

    def loss(params):
        return (system.apply({"params": params}, draw(), RESET)[0]["answer"] ** 2).sum()

    for path, gradient in jax.tree.leaves_with_path(jax.jit(jax.grad(loss))(params)):
        where = jax.tree_util.keystr(path)
        if "key_bias" in where:  # it adds one number to all scores of a softmax
            assert np.abs(gradient).max() < 1e-3
        elif "norm" not in where:
            # Of each layer and head, not of one of them alone.
            assert (np.abs(gradient).max(tuple(range(-min(2, gradient.ndim), 0))) > 1e-6).all()
        else:
            assert (gradient != 0).all(), where


@both
def test_seeds_are_an_axis(name):
    system, _, params = make(name)
    several = jax.tree.map(lambda x: jnp.stack([x, 0.5 * x]), params)
    one = jax.jit(lambda params: system.apply({"params": params}, draw(), RESET)[0]["answer"])
    for seed, found in enumerate(jax.jit(jax.vmap(one))(several)):
        own = jax.tree.map(lambda x, seed=seed: x[seed], several)
        np.testing.assert_allclose(found, one(own), atol=1e-5)


@both
def test_dropout_acts_in_training_alone(name):
    _, answer, params = make(name)
    rates = {"dropout": 0.5} if name == "fmt" else {"attention_dropout": 0.5}
    system = build({"system": name} | SYSTEMS[name] | rates, list(DIMS), 3)

    @jax.jit
    def train(key):
        given = {"params": params}, draw(), RESET, None, True
        return system.apply(*given, rngs={"dropout": jax.random.key(key)})[0]["answer"]

    one, two, again = (train(key) for key in (0, 1, 0))
    np.testing.assert_array_equal(one, again)
    assert not np.allclose(one, two)
    still, _ = jax.jit(system.apply)({"params": params}, draw(), RESET)
    np.testing.assert_allclose(still["answer"], answer(draw(), RESET)[0]["answer"], atol=1e-6)


# As any other system.


@both
def test_a_trainer_freezes_what_rules_say_and_goes_on_where_it_was(name):
    config = small(tiny.shrink(CONFIGS[name].get_config(), epochs=2))
    config.train.all.rules = (("answer/logits/.*", False), (".*", True))
    trainer, labels = tiny.trainer(config, seeds=2)
    begun = trainer.start("all", [0, 1]).params
    first, last, _ = tiny.kept(trainer.run(labels, [0, 1]))
    before, after = begun["answer"], last.state.params["answer"]
    for part in after:
        same = all(jax.tree.leaves(jax.tree.map(np.array_equal, before[part], after[part])))
        assert same == (part == "logits"), part
    resumed = tiny.last(trainer, labels, [0, 1], first)
    assert all(
        jax.tree.leaves(jax.tree.map(np.array_equal, resumed.state.params, last.state.params))
    )


@both
def test_a_model_answers_turn_by_turn_as_it_answers_a_file_also_exported(name):
    models = [trained.model(CONFIGS[name], change=small)]
    given = corpus()
    expected = models[0].probabilities(given)
    answerer = Answerer(models)
    state, found = answerer.begin(), []
    for u in range(7):
        turn = {m: x[u] for m, x in given.features.items() if given.present[m][u]}
        state, answer = answerer.step(state, turn)
        found.append(list(answer.probabilities.values()))
    np.testing.assert_allclose(found, expected[:7], atol=2e-6)

    pytest.importorskip("flatbuffers", reason="jax.export needs it: pip install '.[export]'")
    features, present, cells = laid(given)
    whole, step = loaded(exported.conversations(models)), loaded(exported.step(models))
    np.testing.assert_allclose(np.asarray(whole(features, present))[cells], expected, atol=2e-6)
    turns = stepped(step, exported.initial_state(models), features, present)
    np.testing.assert_allclose(turns[cells], expected, atol=2e-6)
