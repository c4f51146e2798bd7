import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mman_jax.data.parts import prepare
from mman_jax.training import programs
from mman_jax.training.mesh import compiling
from mman_jax.training.programs import out_of_fold
from mman_jax.training.state import StopAt
from mman_jax.types import UNSCORED
from tests import tiny


@pytest.fixture(scope="module")
def parts():
    return prepare(tiny.corpus())


def epochs(trainer, count=1, mesh=None):
    return programs.epochs(trainer.stage("towers"), count, mesh or trainer.mesh, "jit")


def test_equal_trainers_share_their_programs(parts):
    one, other = (tiny.trainer(tiny.dense(), parts)[0] for _ in range(2))
    assert one is not other
    assert epochs(one) is epochs(other)
    assert epochs(one, count=2) is not epochs(other)
    with compiling(quickly=True):
        quick = epochs(one)
    assert quick is not epochs(one)


@pytest.mark.parametrize(
    ("place", "value"),
    [
        ("network.dropout", 0.25),
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
    plain, changed = tiny.dense(), tiny.dense()
    plain.train.class_weights = False
    changed.train.class_weights = False
    changed.update_from_flattened_dict({place: value})
    one, other = (tiny.trainer(config, parts)[0] for config in (plain, changed))
    assert epochs(one) is not epochs(other)


def test_settings_that_change_in_place_are_seen(parts):
    trainer, _ = tiny.trainer(tiny.dense(), parts)
    before = epochs(trainer)
    trainer.settings.towers.clip = 9.0
    assert epochs(trainer) is not before
    assert epochs(tiny.trainer(tiny.dense(), parts)[0]) is before


def test_each_group_gets_the_answers_of_those_that_did_not_see_it():
    groups = np.array([[0, 0, 1], [1, 2, -1], [-1, -1, -1]])
    labels = {"train": np.zeros((3, 3), np.int32)}
    seen, titles = [], []

    def train_and_predict(labels, title):
        titles.append(title)
        seen.append(np.array(labels["train"]))
        return {"text": jnp.full((1, 3, 3, 2), 10.0 + len(seen))}

    found = out_of_fold({"text": jnp.zeros((1, 3, 3, 2))}, groups, labels, train_and_predict)
    expected = np.array([[11, 11, 12], [12, 13, 0], [0, 0, 0]])
    np.testing.assert_array_equal(found["text"][0, :, :, 1], expected)
    assert titles == ["group 1 of 3", "group 2 of 3", "group 3 of 3"]
    for group, classes in enumerate(seen):
        np.testing.assert_array_equal(classes == UNSCORED, groups == group)


def test_a_fusion_learns_from_answers_to_what_the_towers_did_not_see():
    config = tiny.dense(epochs=2)
    config.train.fusion.answers = "out_of_fold"
    trainer, labels = tiny.trainer(config)
    rows = labels["train"].shape
    groups = np.where(labels["train"] == UNSCORED, -1, np.indices(rows)[1] % 2)
    own = tiny.kept(trainer.run(labels, [0], groups=groups))
    as_trained = tiny.kept(trainer.run(labels, [0]))
    towers = [[s for s in kept if s.stage == "towers"][-1] for kept in (own, as_trained)]
    jax.tree.map(np.testing.assert_array_equal, *(s.state.best for s in towers))
    fusions = [kept[-1].state.best["fusion"]["kernel"] for kept in (own, as_trained)]
    assert not np.allclose(*fusions)

    # Resuming in the middle of the fusion has the same end.
    start = next(s for s in own if s.stage == "fusion")
    *_, again = trainer.run(labels, [0], start, groups=groups)
    jax.tree.map(
        np.testing.assert_array_equal, jax.device_get(again.state.best), own[-1].state.best
    )


def test_given_epochs_are_trained_to_and_kept():
    trainer, labels = tiny.trainer(tiny.dense(epochs=3))
    epochs = {"towers": np.int32([[1, 3]]), "fusion": np.int32([[2]])}
    stop_at = {name: StopAt(kept, np.full((1, 3), -1)) for name, kept in epochs.items()}
    *_, end = trainer.run(labels, [0], stop_at=stop_at)
    assert end.finished["towers"].best_epoch.tolist() == [[1, 3]]
    assert end.finished["fusion"].best_epoch.tolist() == [[2]]
