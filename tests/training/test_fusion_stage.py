"""The stage of the fusion: its initial parameters, and the penalty on the distance from them."""

import jax
import numpy as np
import pytest

from mman_jax.data.readers import npz
from mman_jax.study import pooled
from mman_jax.training.state import Outcome, no_stop, retrain_until, selected_loss
from mman_jax.trial.progress import Progress
from mman_jax.trial.runner import run
from mman_jax.types import UNSCORED
from tests import tiny


def fusion_of(params):
    return np.concatenate([np.ravel(x) for x in jax.tree.leaves(params["fusion"])])


def trained(**settings):
    """The start of the fusion, and the last snapshot of its training."""
    config = tiny.dense()
    config.train.select = "loss"
    config.train.fusion.update(settings)
    trainer, labels = tiny.trainer(config)
    towers, snapshot = _stages(trainer, labels)
    start = trainer.start("fusion", [0], towers.state.best).params
    return fusion_of(start), snapshot


def _stages(trainer, labels):
    kept = tiny.kept(trainer.run(labels, [0]))
    return [[s for s in kept if s.stage == stage][-1] for stage in ("towers", "fusion")]


def test_the_start_is_selected_if_training_makes_it_worse():
    rate = {"default": 1e6}
    start, snapshot = trained(from_start=True, learning_rate=rate)
    np.testing.assert_array_equal(fusion_of(snapshot.state.best), start)
    assert snapshot.finished["fusion"].best_epoch.item() == 1
    start, snapshot = trained(learning_rate=rate)
    assert not np.allclose(fusion_of(snapshot.state.best), start)


def test_after_the_first_epoch_training_leaves_the_start():
    start, snapshot = trained(from_start=True)
    assert not np.allclose(fusion_of(snapshot.state.params), start)


def test_a_pull_keeps_the_fusion_near_its_start():
    def distance(pull):
        start, snapshot = trained(pull=pull, learning_rate={"default": 0.1})
        return np.linalg.norm(fusion_of(snapshot.state.params) - start)

    assert distance(100.0) < 0.8 * distance(0.0)


def test_the_tower_with_the_lowest_validation_loss_predicts_alone():
    config = tiny.recipe()
    config.network.fusion.kind = "best"
    trainer, labels = tiny.trainer(config)
    towers, last = _stages(trainer, labels)
    heads, loss = trainer.heads("towers"), selected_loss(last.finished["towers"])
    answers = trainer.answers(last.state.best)
    best = answers[heads[loss[0].argmin()]]
    np.testing.assert_allclose(answers["fusion"]["test"], best["test"], rtol=1e-5)
    # Retraining has learnt from the validation part: the first run's loss decides.
    stop_at = {s: no_stop(1, len(trainer.heads(s)), trainer.epochs(s)) for s in trainer.stages}
    stop_at["towers"] = stop_at["towers"]._replace(valid_loss=-loss)
    finished = {"towers": last.finished["towers"]}
    start = trainer.before("fusion", towers.state.best, finished, [0], stop_at)
    assert start.state.params["fusion"]["choice"].argmax() == loss[0].argmax()


def test_retraining_counts_the_steps_after_the_start():
    for best, expected in ((1, 1), (2, 2), (11, 6)):
        outcome = Outcome(np.array([[best]]), *[None] * 6)
        assert retrain_until(outcome, (3, 6), 80, idle=1).epoch.item() == expected


def test_each_training_without_a_group_is_reported():
    config, reports = tiny.dense(), []
    config.train.fusion.answers = "out_of_fold"
    trainer, labels = tiny.trainer(config)
    rows = labels["train"]
    groups = np.where(rows == UNSCORED, -1, np.indices(rows.shape)[1] % 2)

    def report(snapshot, epochs):
        reports.append((snapshot.stage, len(snapshot.history.train_loss), epochs))

    *_, last = trainer.run(labels, [0], groups=groups, report=report)
    epochs = int(last.finished["towers"].best_epoch.max())
    titles = ("towers, group 1 of 2", "towers, group 2 of 2")
    assert reports == [(x, n + 1, epochs) for x in titles for n in range(epochs)]


@pytest.fixture(scope="module")
def mean(tmp_path_factory):
    """The folder and the results of a run whose fusion is the mean."""
    config, folder = tiny.recipe(epochs=2), tmp_path_factory.mktemp("mean")
    config.network.fusion.kind = "mean"
    config.seeds = 2
    config.data.path = str(folder / "corpus.npz")
    npz.write(tiny.corpus(), config.data.path)
    return folder / "run", run(config, folder / "run", Progress())


def test_a_fusion_without_parameters_takes_one_epoch(mean):
    _, results = mean
    assert results["best_epoch"] == [1, 1]
    assert "fusion" not in results["parameters"]


def test_the_mean_of_the_towers_stands_beside_the_system(mean):
    _, results = mean
    for part in ("validation", "test"):
        for score in ("accuracy", "unweighted_recall", "weighted_f1"):
            assert results["towers_mean"][part][score] == results[part][score]
    assert "interval" in results["towers_mean"]["test"]["accuracy"]


def test_the_mean_of_the_towers_is_pooled_over_folds(mean):
    folder, results = mean
    ((_, task),) = pooled.read({"1": folder, "2": folder})["tasks"].items()
    found = task["towers_mean"]["test"]["accuracy"]
    alone = results["towers_mean"]["test"]["accuracy"]["per_seed"]
    assert found["per_seed"] == pytest.approx(alone)
    assert found["interval"] == task["test"]["accuracy"]["interval"]
