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


def predict(variables, x):
    _, logits = Net().apply(variables, jnp.asarray(x), train=False)
    return np.asarray(logits.argmax(-1))


def test_it_learns_and_keeps_running_statistics():
    variables, (x, y) = fit(*data()), data(200, 1)
    assert (predict(variables, x) == y).mean() > 0.9
    np.testing.assert_allclose(variables["batch_stats"]["BatchNorm_0"]["mean"], 5, atol=0.5)


def test_seeds_and_progress():
    epochs, losses = [], []

    def progress(epoch, loss):
        epochs.append(epoch)
        losses.append(loss)

    fits = [fit(*data(), 2), fit(*data(), 2, progress=progress), fit(*data(), 2, seed=1)]
    kernels = [variables["params"]["Dense_0"]["kernel"] for variables in fits]
    np.testing.assert_array_equal(kernels[0], kernels[1])
    assert np.abs(kernels[0] - kernels[2]).max() > 1e-3
    assert epochs == [1, 2]
    assert np.isfinite(losses).all()


def test_rare_classes_have_the_same_weight():
    x = np.random.default_rng(0).normal(size=(400, 3)).astype(np.float32)
    y = np.repeat([1, 0], [20, 380]).astype(np.int32)
    x[:20, 0] += 2  # with equal weights 84 % of them are found, without a third
    assert (predict(fit(x, y), x) == 1)[:20].mean() > 0.65


def test_one_class_and_divergence_are_refused():
    x, y = data()
    with pytest.raises(InputError, match=r"1 classes.*expected at least 2"):
        fit(x, np.zeros_like(y))
    with pytest.raises(InputError, match=r"a loss of (nan|inf) in epoch 1"):
        fit(np.full_like(x, np.nan), y)
