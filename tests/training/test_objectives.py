import numpy as np
import pytest

from mman_jax.data import scales
from mman_jax.errors import InputError
from mman_jax.training.objectives import Classes, Numbers, objective

SETTINGS = {"select": "calibrated", "class_weights": False}


def targets(values):
    return tuple(scales.target(f"t{i}", values[..., i]) for i in range(values.shape[-1]))


def test_the_reference_is_of_training_alone():
    values = np.random.default_rng(0).normal(70, 5, (3, 4, 2)).astype(np.float32)
    about = targets(values)
    training = values[:2].copy()
    training[0, :, 0] = np.nan
    mean, deviation = Numbers("l1", about).reference(training)
    np.testing.assert_allclose(mean, np.nanmean(training, (0, 1)), rtol=1e-5)
    np.testing.assert_allclose(deviation, np.nanstd(training, (0, 1)), rtol=1e-4)


@pytest.mark.parametrize("kind", ["l1", "mse", "ccc"])
def test_the_validation_loss_is_that_of_all_batches(kind):
    random = np.random.default_rng(1)
    values = random.uniform(1, 5, (4, 3, 1)).astype(np.float32)
    answers = random.normal(size=values.shape).astype(np.float32)
    learnt = Numbers(kind, targets(values))
    reference = learnt.reference(values)
    parts = [(answers[i : i + 2], values[i : i + 2], reference) for i in (0, 2)]
    tally = sum(learnt.tally(*part) for part in parts)[None]
    summed = sum(learnt.summed(*part, (1.0,)) for part in parts)[None]
    total, weight = learnt.loss(answers, values, reference, lambda x: x)
    found = learnt.valid_losses(tally, summed)
    assert found.shape == (1, 1)
    assert found[0, 0] == pytest.approx(float(total / weight), rel=1e-4)


def test_what_is_learnt_follows_the_settings():
    about = targets(np.float32([[-1.0], [2.0]]))
    assert objective(SETTINGS, 4, ()) == Classes(4)
    assert objective(SETTINGS, 1, about).kind == "l1"
    assert objective(SETTINGS | {"loss": "mse"}, 1, about).kind == "mse"
    for settings, several, words in (
        ({"loss": "l2"}, about, "unknown 'l2'"),
        ({"loss": "l1"}, (), "'l1', of numbers"),
        ({"select": "recall"}, about, "loss or calibrated"),
    ):
        with pytest.raises(InputError, match=words):
            objective(SETTINGS | settings, 1, several)
