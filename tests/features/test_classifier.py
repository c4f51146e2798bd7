import flax.linen as nn
import jax.numpy as jnp
import numpy as np
import pytest

from mman_jax.errors import InputError
from mman_jax.features import classifier


class Net(nn.Module):
    classes: int = 2

    @nn.compact
    def __call__(self, x, train):
        x = nn.BatchNorm(use_running_average=not train, momentum=0.5)(x)
        features = nn.relu(nn.Dense(8)(x))
        return features, nn.Dense(self.classes)(nn.Dropout(0.2, deterministic=not train)(features))


def data(count=50, seed=0):
    x = np.random.default_rng(seed).normal(size=(count, 3)).astype(np.float32) + 5
    return x, (x[:, 0] > 5).astype(np.int32)


def fit(x, y, epochs=40, seed=0, **more):
    recipe = classifier.Recipe(epochs, 16, 1e-2, seed)
    return classifier.fit(Net(), lambda chosen, random: x[chosen], y, recipe, **more)


def test_learns_and_keeps_running_statistics():
    x, y = data()
    found = fit(x, y)
    _, logits = Net().apply(found, jnp.asarray(data(200, 1)[0]), train=False)
    assert (logits.argmax(-1) == data(200, 1)[1]).mean() > 0.9
    np.testing.assert_allclose(found["batch_stats"]["BatchNorm_0"]["mean"], 5, atol=0.5)


def test_the_same_seed_gives_the_same_numbers_and_another_others():
    x, y = data()
    first, again, other = fit(x, y, 2), fit(x, y, 2), fit(x, y, 2, seed=1)
    kernel = ["params", "Dense_0", "kernel"]
    values = [f[kernel[0]][kernel[1]][kernel[2]] for f in (first, again, other)]
    np.testing.assert_array_equal(values[0], values[1])
    assert np.abs(values[0] - values[2]).max() > 1e-3


def test_a_rare_class_counts_as_much():
    random = np.random.default_rng(0)
    x = random.normal(size=(400, 3)).astype(np.float32)
    y = np.zeros(400, np.int32)
    y[:20] = 1
    x[:20, 0] += 2  # weighed alike 84 % of them are found, weighed as they come a third
    _, logits = Net().apply(fit(x, y), jnp.asarray(x), train=False)
    assert (logits.argmax(-1) == 1)[:20].mean() > 0.65


def test_progress_is_told_every_epoch():
    told = []
    x, y = data()
    fit(x, y, 3, progress=lambda epoch, loss: told.append((epoch, loss)))
    assert [epoch for epoch, _ in told] == [1, 2, 3]
    assert all(np.isfinite(loss) for _, loss in told)


def test_one_class_and_divergence_are_refused():
    x, y = data()
    with pytest.raises(InputError, match=r"1 classes.*expected at least 2"):
        fit(x, np.zeros_like(y))
    with pytest.raises(InputError, match=r"a loss of (nan|inf) in epoch 1"):
        fit(np.full_like(x, np.nan), y)
