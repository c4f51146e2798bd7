"""Compiled functions that trainers share; none is compiled here, since none is called."""

import pytest

from mman_jax.data.parts import prepare
from mman_jax.training import steps
from mman_jax.training.mesh import compiling, make_mesh
from tests import tiny


@pytest.fixture(scope="module")
def parts():
    return prepare(tiny.corpus())


def epochs(trainer, count=1, mesh=None):
    return steps.epochs(trainer.stage("towers"), count, mesh or trainer.mesh, "jit")


def test_equal_trainers_share_their_programs(parts):
    one, other = (tiny.trainer(parts=parts)[0] for _ in range(2))
    assert one is not other
    assert epochs(one) is epochs(other)
    assert epochs(one, count=2) is not epochs(other)
    assert epochs(one, mesh=make_mesh(1, "jit", 1, 2)) is not epochs(other)
    with compiling(quickly=True):
        quick = epochs(one)
    assert quick is not epochs(one)


@pytest.mark.parametrize(
    ("place", "value"),
    [
        ("network.early.dropout", 0.25),
        ("train.towers.learning_rate.default", 0.125),
        ("train.towers.clip", 7.0),
        ("train.towers.rules", (("towers_text/.*", False), (".*", True))),
        ("train.towers.patience", 77),
        ("train.class_weights", True),
        ("train.label_smoothing", 0.125),
        ("train.average", 0.5),
        ("train.select", "recall"),
        ("train.batch", 3),
    ],
)
def test_whatever_changes_training_changes_the_program(place, value, parts):
    plain, changed = tiny.recipe(), tiny.recipe()
    plain.train.class_weights = False
    changed.train.class_weights = False
    changed.update_from_flattened_dict({place: value})
    one, other = (tiny.trainer(config, parts)[0] for config in (plain, changed))
    assert epochs(one) is not epochs(other)


def test_settings_that_change_in_place_are_seen(parts):
    trainer, _ = tiny.trainer(parts=parts)
    before = epochs(trainer)
    trainer.settings.towers.clip = 9.0
    assert epochs(trainer) is not before
    assert epochs(tiny.trainer(parts=parts)[0]) is before
