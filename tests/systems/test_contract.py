"""What every system of one stage must do, whatever its network is: a row each."""

import functools
import io

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import export as exporting

from mman_jax.cli import export
from mman_jax.data.parts import prepare
from mman_jax.data.protocols import tasks
from mman_jax.inference import stream
from mman_jax.inference.answerer import Answerer
from mman_jax.inference.model import Model
from mman_jax.systems import build
from mman_jax.systems.base import parameter_shapes
from mman_jax.training.mesh import make_mesh
from mman_jax.training.trainer import Trainer
from tests import tiny

DIMS = {"voice": 4, "text": 3}
# Small sizes of each.
SETTINGS = {
    "mfm": {
        "private": {"default": 3, "text": 4},
        "shared": 3,
        "private_factor": {"default": 3},
        "shared_factor": 4,
        "hidden": {"default": 3, "text": 4},
        "memory": 4,
        "inner": (5, 4, 3, 4),
        "discrepancy": 0.5,
    },
    "raven": {"projection": 4, "frames": 3, "hidden": 5},
    "tripathi": {"units": 6},
}
# A kernel that acts from one step to the next, in a sequence of one step.
IDLE = {"mfm": ("decoder_", "kernel_hidden"), "raven": ("frames_", "kernel_hidden")}
FORGETS = {"tripathi"}  # an utterance is answered from itself alone
UTTERANCES = 6


def small(name, modalities=DIMS, classes=3):
    return build({"system": name} | SETTINGS[name], list(modalities), classes)


def drawn(seed=0):
    random = np.random.default_rng(seed)
    return {m: random.normal(size=(2, UTTERANCES, d)).astype("f4") for m, d in DIMS.items()}


def lacking():
    """The voice misses an utterance, the text another one, and one has nothing at all."""
    there = {m: np.ones((2, UTTERANCES), bool) for m in DIMS}
    there["voice"][0, 1] = there["text"][0, 2] = False
    for name in DIMS:
        there[name][0, 3] = False
    return there


STARTS = np.zeros((2, UTTERANCES), bool)
STARTS[:, 0] = True


ALL_THERE = {m: np.ones((2, UTTERANCES), bool) for m in DIMS}


@functools.cache
def parameters(name):
    """Biases, too, are not zero: else what must not pass could not be seen to pass."""
    random = np.random.default_rng(1)

    def draw(x):
        scale = 1.5 * x.shape[0] ** -0.5 if len(x.shape) > 1 else 0.2
        return scale * random.normal(size=x.shape).astype("f4")

    return jax.tree.map(draw, parameter_shapes(small(name), DIMS))


@functools.cache
def answering(name):
    def answer(params, features, reset, present):
        return small(name).apply({"params": params}, features, reset, present=present)[0]["answer"]

    return jax.jit(answer)


@pytest.mark.parametrize("name", SETTINGS)
def test_neighbours_in_a_row_and_padding_change_no_answer(name):
    features, answer = drawn(), answering(name)
    packed = STARTS.copy()
    packed[:, [2, 5]] = True  # the last one is padding
    found = answer(parameters(name), features, packed, ALL_THERE)
    alone = {m: np.zeros_like(x) for m, x in features.items()}
    for m, x in features.items():
        alone[m][:, :3] = x[:, 2:5]
    expected = answer(parameters(name), alone, STARTS, ALL_THERE)
    np.testing.assert_allclose(found[:, 2:5], expected[:, :3], atol=1e-6)


@pytest.mark.parametrize("name", SETTINGS)
def test_an_answer_depends_on_no_later_utterance(name):
    def third(features):
        return jnp.sum(answering(name)(parameters(name), features, STARTS, ALL_THERE)[:, 2] ** 2)

    for gradient in jax.jit(jax.grad(third))(drawn()).values():
        moved = np.abs(gradient).max(axis=(0, 2))
        assert not moved[3:].any()
        assert (moved[:2] > 0).all() == (name not in FORGETS)
        assert moved[2] > 0


@pytest.mark.parametrize("name", SETTINGS)
def test_turn_by_turn_it_answers_as_it_does_whole(name):
    system, features, present = small(name), drawn(), lacking()
    whole = jax.nn.softmax(answering(name)(parameters(name), features, STARTS, present))[0]
    state = stream.init_state(system, parameters(name), {m: x[0, 0] for m, x in features.items()})
    assert bool(jax.tree.leaves(state)) == (name not in FORGETS)
    step = jax.jit(functools.partial(stream.step, system))
    for u in range(UTTERANCES):
        now, there = ({m: x[0, u] for m, x in g.items()} for g in (features, present))
        state, found = step(parameters(name), state, now, there)
        np.testing.assert_allclose(found, whole[u], atol=1e-5)


@functools.cache
def graded(name):
    """In training, of the answers and of what is sown."""

    def loss(params, features, present):
        (logits, _), sown = small(name).apply(
            {"params": params}, features, STARTS, present=present, train=True, mutable=["losses"],
            rngs={"dropout": jax.random.key(0)},
        )  # fmt: skip
        return sum(map(jnp.sum, jax.tree.leaves(sown))) + jnp.sum(logits["answer"][..., 0])

    return jax.jit(jax.value_and_grad(loss, (0, 1)))


@pytest.mark.parametrize("name", SETTINGS)
def test_missing_values_reach_no_answer_and_no_gradient(name):
    features, present = drawn(), lacking()
    broken = {m: np.where(present[m][..., None], x, np.float32("nan")) for m, x in features.items()}
    expected, _ = graded(name)(parameters(name), features, present)
    found, (by_params, by_features) = graded(name)(parameters(name), broken, present)
    np.testing.assert_array_equal(found, expected)
    assert all(np.isfinite(x).all() for x in jax.tree.leaves(by_params))
    for m, gradient in by_features.items():
        assert not np.asarray(gradient)[~present[m]].any()
        assert np.asarray(gradient)[present[m]].any()


@pytest.mark.parametrize("name", SETTINGS)
def test_every_parameter_has_a_gradient(name):
    _, (gradients, _) = graded(name)(parameters(name), drawn(), ALL_THERE)
    for path, gradient in jax.tree_util.tree_leaves_with_path(gradients):
        where = jax.tree_util.keystr(path)
        idle = name in IDLE and all(part in where for part in IDLE[name])
        assert bool(np.asarray(gradient).any()) != idle, where


@pytest.mark.parametrize("name", SETTINGS)
def test_seeds_are_an_axis(name):
    one = parameters(name)
    two = jax.tree.map(lambda x: jnp.stack([0.5 * x, x]), one)
    found = jax.jit(jax.vmap(answering(name), (0, None, None, None)))(
        two, drawn(), STARTS, ALL_THERE
    )
    expected = answering(name)(one, drawn(), STARTS, ALL_THERE)
    np.testing.assert_allclose(found[1], expected, atol=1e-6)
    assert np.abs(found[0] - expected).max() > 1e-3


@pytest.mark.parametrize("name", SETTINGS)
def test_trained_frozen_resumed_saved_answered_and_exported(name, tmp_path):
    parts = prepare(tiny.corpus((5, 2, 2)))
    corpus, classes = parts.corpus, parts.corpus.label_names
    system = small(name, corpus.dims, len(classes))
    frozen = {"mfm": "code", "raven": "lstm", "tripathi": "dense"}[name]
    stage = {
        "rules": ((f"{frozen}/.*", False), (".*", True)),
        "optimizer": "adam",
        "learning_rate": {"default": 1e-2},
        "clip": 1e9,
        "epochs": 2,
        "patience": 2,
    }
    settings = {"batch": 2, "max_epochs": 2, "select": "loss", "class_weights": False, "all": stage}
    mesh = make_mesh(2, "jit", 1, 1)
    trainer = Trainer(system, settings, parts.rows, len(classes), mesh)
    (labels,) = (parts.labels(task) for task in tasks(corpus, "auto"))
    snapshots = tiny.kept(trainer.run(labels, [0, 1]))
    resumed = tiny.last(trainer, labels, [0, 1], snapshots[1]).state
    jax.tree.map(np.testing.assert_array_equal, resumed.params, snapshots[-1].state.params)
    before = snapshots[0].state.params
    for group, same in jax.tree.map(np.array_equal, before, resumed.params).items():
        assert all(jax.tree.leaves(same)) == (group == frozen), group

    network = {"system": name} | SETTINGS[name]
    params = jax.tree.map(np.asarray, resumed.best)
    Model(params, parts.scaling, network, corpus.dims, classes).save(tmp_path / "model")
    model = Model.load(tmp_path / "model")
    whole = model.probabilities(corpus)
    answerer = Answerer([model])
    state = answerer.begin()
    for u in range(corpus.lengths[0]):
        state, said = answerer.step(state, {m: x[u] for m, x in corpus.features.items()})
        np.testing.assert_allclose([*said.probabilities.values()], whole[u], atol=1e-5)
    pytest.importorskip("flatbuffers", reason="jax.export needs flatbuffers")
    files = export.contents([model])
    length = int(corpus.lengths[0])
    given = {m: x[None, :length] for m, x in corpus.features.items()}
    present = {m: np.ones((1, length), bool) for m in given}
    call = exporting.deserialize(bytearray(files["conversation.jax"])).call
    np.testing.assert_allclose(call(given, present)[0], whole[:length], atol=1e-5)
    call = exporting.deserialize(bytearray(files["step.jax"])).call
    state = np.load(io.BytesIO(files["state.npy"]))[None]
    for u in range(2):
        now = ({m: x[:, u] for m, x in given.items()}, {m: x[:, u] for m, x in present.items()})
        state, found = call(state, *now)
        np.testing.assert_allclose(found[0], whole[u], atol=1e-5)
