from typing import ClassVar

import chex
import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mman_jax.data.parts import prepare
from mman_jax.errors import InputError
from mman_jax.systems import mman
from mman_jax.systems.base import System
from mman_jax.tasks import Classes, tasks
from mman_jax.training.mesh import make_mesh
from mman_jax.training.rows import filled_first
from mman_jax.training.stage import record_failures
from mman_jax.training.state import Record, Snapshot, converged, of_seeds
from mman_jax.training.trainer import Trainer
from mman_jax.trial import results
from tests import tiny


class Pulled(System):
    """A dense layer, and a parameter that a further loss pulls to 3."""

    weight: float = 1.0
    causal: ClassVar[bool] = True

    @nn.compact
    def __call__(self, inputs, state=None, train=False):
        joined = jnp.concatenate([inputs.features[m] for m in self.modalities], axis=-1)
        aim = self.param("aim", nn.initializers.zeros_init(), ())
        return {"answer": nn.Dense(self.outputs, name="logits")(joined), "aim": aim}, ()

    def losses(self, outputs, inputs, labels):
        cells = jnp.float32(inputs.reset.size)
        return {"aim": (self.weight * cells * (outputs["aim"] - 3.0) ** 2, cells)}


class Counted(Pulled):
    """One loss is of padding alone, the other of a class that no utterance has."""

    @nn.compact
    def __call__(self, inputs, state=None, train=False):
        outputs, _ = super().__call__(inputs, state, train)
        return outputs | {"no_aim": self.param("no_aim", nn.initializers.zeros_init(), ())}, ()

    def losses(self, outputs, inputs, labels):
        counts = {"aim": ~inputs.mask, "no_aim": labels == 99}
        cells = {name: jnp.sum(found, dtype=jnp.float32) for name, found in counts.items()}
        return {name: (n * (outputs[name] - 3.0) ** 2, n) for name, n in cells.items()}


def trained(system, shards=(1, 1), **changes):
    parts = prepare(tiny.corpus())
    (task,) = tasks(parts.corpus, "auto")
    own = {"rules": ((".*", True),), "weight_decay": 0.0, "epochs": 3, "clip": 1e9} | changes
    settings = mman.training() | {"batch": 4}
    settings["all"] = settings["towers"] | {"optimizer": "adam"} | own
    mesh = make_mesh(1, "jit", *shards)
    built = system.from_settings({}, list(parts.corpus.dims), len(task.classes))
    trainer = Trainer(built, settings, parts.rows, len(task.classes), mesh)
    return tiny.last(trainer, parts.labels(task), [0]).state


def test_a_further_loss_trains_what_the_head_s_does_not():
    assert float(trained(Pulled).params["aim"][0]) > 0


def test_a_further_loss_of_weight_nothing_changes_nothing():
    class Silent(Pulled):
        weight: float = 0.0

    silent, loud = trained(Silent).params, trained(Pulled).params
    assert float(silent["aim"][0]) == 0
    np.testing.assert_array_equal(silent["logits"]["kernel"], loud["logits"]["kernel"])


def test_a_further_loss_is_given_the_mask_and_the_labels():
    params = trained(Counted).params
    assert float(params["aim"][0]) > 0
    assert float(params["no_aim"][0]) == 0


@pytest.mark.parametrize("name", ["adamw", "adadelta"])
def test_other_optimizers_move_the_parameters(name):
    state = trained(Pulled, optimizer=name, learning_rate={"default": 0.1})
    assert np.abs(state.params["aim"]).max() > 0


def test_an_unknown_optimizer_and_a_stage_without_settings_are_refused():
    with pytest.raises(InputError, match="optimizer: 'adamm'; expected 'adam'"):
        trained(Pulled, optimizer="adamm")
    with pytest.raises(InputError, match="optimizer: adadelta with b2; expected adam"):
        trained(Pulled, optimizer="adadelta", b2=0.9)
    trainer, _ = tiny.trainer(tiny.dense())
    settings = {k: v for k, v in trainer.settings.items() if k != "fusion"}
    with pytest.raises(InputError, match=r"train\.fusion: no settings"):
        Trainer(trainer.system, settings, trainer._host_rows, 4, trainer.mesh)


def test_a_batch_of_empty_rows_is_no_step():
    corpus = tiny.corpus()
    plain = prepare(corpus)
    rows, cells = (x - y for x, y in zip(plain.rows["train"].mask.shape, (1, 0), strict=True))
    shapes = {part: (3 * rows, cells) for part in plain.rows}
    parts = prepare(corpus, plain.split, shapes)
    (task,) = tasks(corpus, "auto")
    settings = mman.training() | {"batch": 4}
    own = {"rules": ((".*", True),), "optimizer": "adam", "epochs": 2}
    settings["all"] = settings["towers"] | own
    built = Pulled.from_settings({}, list(corpus.dims), len(task.classes))
    trainer = Trainer(
        built, settings, parts.rows, len(task.classes), make_mesh(1), conversations=24
    )
    batches = 3 * rows / trainer.stage("all").batch_rows
    assert trainer.steps("all") < batches
    state = tiny.last(trainer, parts.labels(task), [0]).state
    (count,) = {int(x[0]) for x in jax.tree.leaves(state.opt_state) if x.dtype == jnp.int32}
    assert count == 2 * trainer.steps("all")
    order = np.arange(3 * rows)[::-1]
    first, filled = filled_first(jnp.asarray(order), parts.rows["train"])
    assert int(filled) == rows
    assert first[:rows].tolist() == order[-rows:].tolist()


@pytest.fixture(scope="module")
def diverged():
    """Two seeds, of which the second has far too high learning rates."""
    config = tiny.dense(dropout=0.3, epochs=4)
    config.train.towers.learning_rate.default = 1.0
    trainer, labels = tiny.trainer(config, seeds=2)
    state = trainer.start("towers", [0, 1])._replace(lr_scale=np.float32([1.0, 1e38]))
    history = Record(*np.zeros((6, 0, 2, 2), np.float32))
    *_, snapshot = trainer.run(labels, [0, 1], Snapshot("towers", state, history, {}))
    return trainer, labels, snapshot


def test_a_diverged_seed_does_not_change_another(diverged):
    trainer, labels, snapshot = diverged
    alone = tiny.last(trainer, labels, [0])
    for stage, outcome in of_seeds(snapshot.finished, np.array([True, False])).items():
        chex.assert_trees_all_close(outcome, alone.finished[stage], atol=1e-6)
    first = jax.tree.map(lambda x: np.asarray(x)[:1], snapshot.state.best)
    chex.assert_trees_all_close(first, alone.state.best, atol=1e-6)


def test_a_diverged_seed_stops_and_its_failure_is_reported(diverged):
    finished = diverged[2].finished
    towers, heads = finished["towers"], {"towers": tiny.MODALITIES, "fusion": ("fusion",)}
    assert not towers.failed[0].any()
    # The first step makes the parameters huge, the second finds a loss that is not finite.
    assert towers.failed[1].tolist() == [[1, 2]] * 2
    assert (towers.best_epoch[1] == 0).all()
    assert not towers.history.training[1:, 1].any()
    assert all(np.isfinite(x).all() for x in jax.tree.leaves(diverged[2].state.best))
    converging = converged(finished)
    assert converging.tolist() == [True, False]
    test = of_seeds(finished, converging)["fusion"].test[:, 0]
    assert len(Classes("", tuple("abcd")).scores(test)["accuracy"]["per_seed"]) == 1
    (failure,) = results.failures(finished, [7, 8], heads)
    norm = failure.pop("gradient_norm")
    assert failure == {"seed": 8, "stage": "towers", "head": "speech", "epoch": 1, "step": 2}
    assert norm is None or norm >= 0
    text = results.failure(failure | {"gradient_norm": norm})
    assert text.startswith("stage towers, seed 8, speech, epoch 1, step 2: loss or gradient not")
    # A late failure counts, although there was a best epoch.
    failed = finished["fusion"].failed.copy()
    failed[0, 0] = [3, 1]
    late = {"fusion": finished["fusion"]._replace(failed=failed)}
    assert converged(late).tolist() == [False, True]
    assert results.failures(late, [0, 1], {"fusion": ("fusion",)})[0]["epoch"] == 3


def test_a_loss_or_a_gradient_alone_is_a_failure():
    trainer, _ = tiny.trainer(tiny.dense())
    state = jax.tree.map(lambda x: x[0], trainer.start("towers", [0]))
    losses, norms = jnp.array([jnp.nan, 1.0]), jnp.array([1.0, jnp.inf])
    failed = record_failures(state, losses, norms, jnp.int32(4)).failed
    np.testing.assert_array_equal(failed, [[1, 5], [1, 5]])
    fine = record_failures(state, jnp.ones(2), jnp.ones(2), jnp.int32(4)).failed
    assert not np.any(fine)
