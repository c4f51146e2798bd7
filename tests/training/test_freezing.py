import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from mman_jax.errors import InputError
from mman_jax.training import freezing
from mman_jax.training.freezing import FROZEN

FUSION_ONLY = (("fusion/.*", True), ("towers_.*", False))


def draw(seed=0, scale=1.0):
    rng = np.random.default_rng(seed)

    def normal(*shape):
        return jnp.asarray(scale * rng.normal(size=shape), jnp.float32)

    return {
        "towers_text": {"clstm": {"kernel": normal(3, 4), "bias": normal(4)}},
        "towers_mma": {"attention": {"kernel": normal(2, 5)}},
        "fusion": {"logits": {"kernel": normal(6, 2), "bias": normal(2)}},
    }


def train(transform, tree, params, gradients, compiled=True):
    """The parameters after one step a gradient, and the optimizer's state."""
    optimizer = freezing.freeze(lambda _: transform, tree)
    state = optimizer.init(params)

    def step(params, state, gradient):
        updates, state = optimizer.update(gradient, state, params)
        return freezing.apply_updates(params, updates, tree), state

    step = jax.jit(step) if compiled else step
    for gradient in gradients:
        params, state = step(params, state, gradient)
    return params, state


def clipped_adamw():
    return optax.chain(optax.clip_by_global_norm(1.0), optax.adamw(1e-2, weight_decay=0.1))


def assert_bits_equal(actual, expected):
    for a, b in zip(jax.tree.leaves(actual), jax.tree.leaves(expected), strict=True):
        np.testing.assert_array_equal(
            np.asarray(a).view(np.uint32), np.asarray(b).view(np.uint32), strict=True
        )


def test_labels_name_the_group_that_trains():
    assert freezing.labels(draw(), FUSION_ONLY) == {
        "towers_text": {"clstm": {"kernel": FROZEN, "bias": FROZEN}},
        "towers_mma": {"attention": {"kernel": FROZEN}},
        "fusion": {"logits": {"kernel": "fusion", "bias": "fusion"}},
    }
    towers = freezing.labels(draw(), (("fusion/.*", False), ("towers_.*", True)))
    assert towers == {
        "towers_text": {"clstm": {"kernel": "towers_text", "bias": "towers_text"}},
        "towers_mma": {"attention": {"kernel": "towers_mma"}},
        "fusion": {"logits": {"kernel": FROZEN, "bias": FROZEN}},
    }


def test_the_first_rule_that_matches_decides():
    rules = ((".*/bias", False), ("towers_text/.*", True), (".*", False), ("towers_mma/.*", True))
    assert freezing.labels(draw(), rules) == {
        "towers_text": {"clstm": {"kernel": "towers_text", "bias": FROZEN}},
        "towers_mma": {"attention": {"kernel": FROZEN}},
        "fusion": {"logits": {"kernel": FROZEN, "bias": FROZEN}},
    }


@pytest.mark.parametrize(
    "rules",
    [
        (),
        # A rule matches whole paths: neither a part of one nor a beginning covers it.
        (("fusion/.*", True), ("towers_text/.*", True), ("attention/kernel", True)),
        (("fusion/.*", True), ("towers_text/.*", True), ("towers_mma", True)),
    ],
)
def test_a_parameter_without_a_rule_is_refused_by_its_path(rules):
    params = draw() if rules else {"towers_mma": draw()["towers_mma"]}
    with pytest.raises(InputError, match="no rule covers towers_mma/attention/kernel"):
        freezing.labels(params, rules)


def test_labels_of_shapes_equal_labels_of_parameters():
    shapes = jax.eval_shape(draw)
    assert freezing.labels(shapes, FUSION_ONLY) == freezing.labels(draw(), FUSION_ONLY)


@pytest.mark.parametrize("compiled", [True, False])
def test_frozen_parameters_stay_bit_equal_and_the_others_move(compiled):
    params = draw()
    # Adding 0.0 to these would change their bits.
    params["towers_mma"]["attention"]["kernel"] = jnp.full((2, 5), -0.0)
    before = jax.tree.map(np.array, params)
    tree = freezing.labels(params, FUSION_ONLY)
    gradients = [draw(seed, 10.0) for seed in range(1, 5)]
    after, _ = train(clipped_adamw(), tree, params, gradients, compiled)
    for tower in ("towers_text", "towers_mma"):
        assert_bits_equal(after[tower], before[tower])
    for old, new in zip(
        jax.tree.leaves(before["fusion"]), jax.tree.leaves(after["fusion"]), strict=True
    ):
        assert (np.asarray(new) != old).all()


def test_nothing_is_kept_for_frozen_parameters():
    params = draw()
    _, state = train(clipped_adamw(), freezing.labels(params, FUSION_ONLY), params, [draw(1)])
    shapes = sorted(x.shape for x in jax.tree.leaves(state) if x.ndim)
    trained = [x.shape for x in jax.tree.leaves(params["fusion"])]
    assert shapes == sorted(2 * trained)  # Adam's two moments


def test_each_group_is_clipped_by_its_own_norm():
    transform = optax.chain(optax.clip_by_global_norm(1.0), optax.sgd(0.5))
    params = draw()
    gradient = draw(1)
    gradient["towers_text"] = jax.tree.map(lambda x: 1e4 * x, gradient["towers_text"])
    gradient["towers_mma"] = jax.tree.map(lambda x: 1e-3 * x, gradient["towers_mma"])
    tree = freezing.labels(params, ((".*", True),))
    after, _ = train(transform, tree, params, [gradient])
    for name, group in gradient.items():
        norm = np.sqrt(sum(np.sum(np.square(x)) for x in jax.tree.leaves(group)))
        expected = jax.tree.map(
            lambda p, g, n=norm: np.asarray(p) - 0.5 * np.asarray(g) / max(n, 1),
            params[name],
            group,
        )
        for a, b in zip(jax.tree.leaves(after[name]), jax.tree.leaves(expected), strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("group", ["towers_text", "towers_mma", "fusion"])
def test_a_group_trains_alike_alone_and_beside_others(group):
    params = draw()
    gradients = [draw(seed, scale) for seed, scale in enumerate((0.1, 10.0, 1.0, 100.0), start=1)]
    together, _ = train(
        clipped_adamw(), freezing.labels(params, ((".*", True),)), params, gradients
    )
    alone, _ = train(
        clipped_adamw(),
        freezing.labels(params, ((f"{group}/.*", True), (".*", False))),
        params,
        gradients,
    )
    only, _ = train(
        clipped_adamw(),
        {group: jax.tree.map(lambda _: group, params[group])},
        {group: params[group]},
        [{group: g[group]} for g in gradients],
    )
    for a, b, c in zip(*(jax.tree.leaves(x[group]) for x in (together, alone, only)), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-6)
        np.testing.assert_allclose(a, c, rtol=1e-6)


def test_all_frozen_is_allowed_and_changes_nothing():
    params = draw()
    tree = freezing.labels(params, ((".*", False),))
    after, _ = train(clipped_adamw(), tree, params, [draw(1)])
    assert_bits_equal(after, params)
