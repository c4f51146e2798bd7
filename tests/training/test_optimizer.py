import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from mman_jax.errors import InputError
from mman_jax.training import checkpoints, optimizer
from mman_jax.training.optimizer import FROZEN, Plateau
from mman_jax.trial import config as configs
from mman_jax.trial.config import derive
from tests import tiny

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


def train(transform, tree, params, gradients):
    """The parameters after one step for each gradient, and the optimizer's state."""
    transformation = optimizer.freeze(lambda _: transform, tree)
    state = transformation.init(params)

    @jax.jit
    def step(params, state, gradient):
        updates, state = transformation.update(gradient, state, params)
        return optimizer.apply_updates(params, updates, tree), state

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


@pytest.mark.parametrize(
    ("rules", "text", "bias", "mma", "fusion"),
    [
        (FUSION_ONLY, FROZEN, FROZEN, FROZEN, "fusion"),
        (
            (("fusion/.*", False), ("towers_.*", True)),
            *("towers_text", "towers_text", "towers_mma", FROZEN),
        ),
        (  # The first rule that matches decides.
            ((".*/bias", False), ("towers_text/.*", True), (".*", False), ("towers_mma/.*", True)),
            *("towers_text", FROZEN, FROZEN, FROZEN),
        ),
    ],
)
def test_labels_name_the_group_that_trains(rules, text, bias, mma, fusion):
    expected = {
        "towers_text": {"clstm": {"kernel": text, "bias": bias}},
        "towers_mma": {"attention": {"kernel": mma}},
        "fusion": {"logits": {"kernel": fusion, "bias": fusion}},
    }
    assert optimizer.labels(draw(), rules) == expected
    assert optimizer.labels(jax.eval_shape(draw), rules) == expected


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
        optimizer.labels(params, rules)


def test_frozen_parameters_stay_bit_equal_and_have_no_moments():
    params = draw()
    # Adding 0.0 to these would change their bits.
    params["towers_mma"]["attention"]["kernel"] = jnp.full((2, 5), -0.0)
    before = jax.tree.map(np.array, params)
    gradients = [draw(seed, 10.0) for seed in range(1, 5)]
    tree = optimizer.labels(params, FUSION_ONLY)
    after, state = train(clipped_adamw(), tree, params, gradients)
    for tower in ("towers_text", "towers_mma"):
        assert_bits_equal(after[tower], before[tower])
    for old, new in zip(
        jax.tree.leaves(before["fusion"]), jax.tree.leaves(after["fusion"]), strict=True
    ):
        assert (np.asarray(new) != old).all()
    shapes = sorted(x.shape for x in jax.tree.leaves(state) if x.ndim)
    assert shapes == sorted(2 * [x.shape for x in jax.tree.leaves(params["fusion"])])
    after, _ = train(clipped_adamw(), optimizer.labels(params, ((".*", False),)), params, [draw(1)])
    assert_bits_equal(after, params)


def test_each_group_is_clipped_by_its_own_norm():
    transform = optax.chain(optax.clip_by_global_norm(1.0), optax.sgd(0.5))
    params = draw()
    gradient = draw(1)
    gradient["towers_text"] = jax.tree.map(lambda x: 1e4 * x, gradient["towers_text"])
    gradient["towers_mma"] = jax.tree.map(lambda x: 1e-3 * x, gradient["towers_mma"])
    tree = optimizer.labels(params, ((".*", True),))
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


def test_a_group_trains_alike_alone_and_with_others():
    params, group = draw(), "towers_text"
    gradients = [draw(seed, scale) for seed, scale in enumerate((0.1, 10.0, 1.0, 100.0), start=1)]
    together, alone = (
        train(clipped_adamw(), optimizer.labels(params, rules), params, gradients)[0]
        for rules in (((".*", True),), ((f"{group}/.*", True), (".*", False)))
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


GROUPS = {"late": "late", "text": FROZEN}


def test_it_is_a_weighted_mean_of_the_steps_so_far():
    # Weights 0.25, 0.5 and 1 of three steps at a decay of one half; what it began at counts not.
    averaging = optimizer.Averaging(0.5)
    average = averaging.start({"late": np.float32(99), "text": np.float32(3)})
    for value in (1.0, 2.0, 4.0):
        params = {"late": np.float32(value), "text": np.float32(3)}
        average = averaging.update(average, params)
    found = averaging.averaged(average, params, GROUPS)
    np.testing.assert_allclose(found["late"], (0.25 + 1 + 4) / 1.75, rtol=1e-6)
    assert found["text"] == 3  # frozen: bit for bit
    # Before the first step it is the parameters; without a decay there is none.
    assert averaging.averaged(averaging.start(params), params, GROUPS)["late"] == 4
    assert optimizer.Averaging().start(params) == ()
    assert optimizer.Averaging().averaged((), params, GROUPS) is params


def test_a_warm_average_forgets_the_early_steps():
    # The decays of the first steps are 1/10, 2/11 and 3/12; at step 90 it is 91/100 or the limit.
    averaging = optimizer.Averaging(0.9, warmup=True)
    start = {"late": np.float32(8), "text": np.float32(3)}
    average, expected = averaging.start(start), 8.0
    assert averaging.averaged(average, start, GROUPS)["late"] == 8
    for step in range(95):
        params = {"late": np.float32(step % 7), "text": np.float32(3)}
        average = averaging.update(average, params)
        decay = min(0.9, (1 + step) / (10 + step))
        expected = decay * expected + (1 - decay) * (step % 7)
        found = averaging.averaged(average, params, GROUPS)
        np.testing.assert_allclose(found["late"], expected, rtol=1e-4)
    assert found["text"] == 3


def test_the_average_is_kept_and_the_iterate_trains_on():
    config = tiny.dense()
    config.train.average = 0.5
    trainer, labels = tiny.trainer(config)
    plain, _ = tiny.trainer(tiny.dense())
    kept = tiny.kept(trainer.run(labels, [0]))
    first = next(iter(plain.run(labels, [0])))
    # The steps are the same; what is kept differs.
    jax.tree.map(
        np.testing.assert_array_equal, kept[0].state.params, jax.device_get(first.state.params)
    )
    own, last = (jax.tree.leaves(x.state.best["towers_text"])[0] for x in (kept[0], first))
    assert not np.allclose(own, last)
    # Frozen towers are those that were kept, bit for bit.
    towers = [s for s in kept if s.stage == "towers"][-1].state.best["towers_text"]
    jax.tree.map(np.testing.assert_array_equal, kept[-1].state.best["towers_text"], towers)


def lr_scales(losses, patience):
    """The factor of each epoch's steps, and last the next one's."""
    lowest, found = optimizer.start_lowest(1), [1.0]
    for epoch, loss in enumerate(losses, 1):
        lowest = optimizer.update_lowest(lowest, epoch, jnp.float32([loss]))
        found.append(
            float(optimizer.reduce_scale(found[-1], Plateau(patience, 0.5), lowest, epoch))
        )
    # The same from all losses together.
    fell = optimizer.reductions(np.float32(losses)[:, None], Plateau(patience, 0.5))[:, 0]
    np.testing.assert_array_equal(np.cumprod(np.where(fell, 0.5, 1)), found[1:])
    return found


def test_rates_fall_where_the_loss_does_not():
    assert lr_scales([3, 2, 1, 0], 2) == [1] * 5
    # Two epochs without a lower loss, and two more; an equal loss is not lower.
    assert lr_scales([3, 3, 4, 5, 3, 9], 2) == [1, 1, 1, 0.5, 0.5, 0.25, 0.25]
    # A lower loss begins the count again.
    assert lr_scales([3, 4, 2, 5, 5], 2) == [1, 1, 1, 1, 1, 0.5]
    assert lr_scales([np.nan, np.nan], 2) == [1, 1, 0.5]


def recipe():
    config = derive(tiny.recipe(epochs=6), "tripathi")
    config.network.update(units=4, dropout=0.2)
    config.train.all.learning_rate.default = 0.1  # the loss soon rises
    config.train.all.plateau = {"patience": 1, "factor": 0.25}
    return config


def test_going_on_from_a_checkpoint_is_the_same_with_rates_that_have_fallen():
    trainer, labels = tiny.trainer(recipe(), seeds=2)
    kept = tiny.kept(trainer.run(labels, [0, 1]))
    found = np.array([snapshot.state.lr_scale for snapshot in kept[:-1]])
    losses = kept[-1].history.valid_loss[:, :, 0]
    expected, scale, lowest = [], np.ones(2), np.full(2, np.inf)
    for loss in losses:
        scale = scale * np.where(loss < lowest, 1, 0.25)
        expected.append(scale)
        lowest = np.minimum(lowest, loss)
    np.testing.assert_allclose(found, expected)
    fallen = int((found < 1).any(1).argmax())
    assert 0 < fallen < len(losses) - 2
    middle = checkpoints.unpack(*checkpoints.pack(kept[fallen]), trainer.stages, trainer.template)
    end = tiny.last(trainer, labels, [0, 1], middle)
    chex.assert_trees_all_equal(jax.tree.map(np.asarray, end.state), kept[-1].state)
    chex.assert_trees_all_equal(end.finished, kept[-1].finished)


@pytest.mark.parametrize(
    ("change", "said"), [({"patience": 0}, "plateau.patience: 0"), ({"factor": 1.5}, "1.5")]
)
def test_numbers_that_cannot_be_are_refused(change, said):
    config = recipe()
    config.train.all.plateau.update(change)
    with pytest.raises(InputError, match=said):
        configs.check(config)


def test_heads_with_losses_of_their_own_have_no_common_plateau():
    config = tiny.dense()
    config.train.towers.plateau = {"patience": 1, "factor": 0.1}
    with pytest.raises(InputError, match="plateau: given for 2 heads"):
        tiny.trainer(config)[0].stage("towers")


def test_adam_l2_puts_the_penalty_into_the_gradient():
    settings = {"optimizer": "adam_l2", "learning_rate": {"default": 0.1}, "clip": 1e9}
    made = optimizer.optimizer(settings | {"weight_decay": 0.5}, "dense")
    param, state = jnp.array([2.0, -1.0]), made.init(jnp.zeros(2))
    expected, first, second = np.array([2.0, -1.0]), np.zeros(2), np.zeros(2)
    for step in (1, 2, 3):
        gradient = np.array([0.3, 0.4]) * step
        updates, state = made.update(jnp.asarray(gradient), state, param)
        param = optax.apply_updates(param, updates)
        penalised = gradient + 0.5 * expected
        first = 0.9 * first + 0.1 * penalised
        second = 0.999 * second + 0.001 * penalised**2
        unbiased = first / (1 - 0.9**step), second / (1 - 0.999**step)
        expected = expected - 0.1 * unbiased[0] / (np.sqrt(unbiased[1]) + 1e-8)
    np.testing.assert_allclose(param, expected, rtol=1e-5)
