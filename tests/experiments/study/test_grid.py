import runpy

import numpy as np
import pytest

from experiments.study import grid
from experiments.terminal.screen import Screen
from mman_jax.data.readers import npz
from tests import tiny


def test_the_written_recipe_has_the_rates_of_the_lowest_losses(tmp_path):
    source = grid.recipe_source(
        {"speech": {1e-4: 0.7, 1e-3: 0.6}, "mma": {1e-4: 0.5, 1e-3: float("inf")}},
        {"dense": {1e-2: 0.3, 1e-3: 0.4}},
        "Tried.",
    )
    path = tmp_path / "mine.py"
    path.write_text(source)
    config = runpy.run_path(str(path))["get_config"]()
    assert config.train.towers.learning_rate.to_dict() == {
        "default": 3e-4, "speech": 1e-3, "mma": 1e-4,
    }  # fmt: skip
    assert config.train.fusion.learning_rate.default == 1e-2
    assert "speech: 0.0001: 0.7000, 0.001: 0.6000" in source


@pytest.fixture(scope="module")
def swept(tmp_path_factory):
    path = tmp_path_factory.mktemp("sweep") / "corpus.npz"
    npz.write(tiny.corpus(), path)
    config = tiny.recipe(dropout=0.3, epochs=2)
    config.data.path = str(path)
    made = grid.Sweep(config, 2, Screen(quiet=True))
    return made, made.run()


def test_every_tower_and_fusion_gets_a_loss_for_each_rate(swept):
    _, (towers, fusions) = swept
    assert set(towers) == {"speech", "text", "mma", "ef"}
    assert all(set(losses) == set(grid.TOWER_RATES) for losses in towers.values())
    assert {kind: tuple(losses) for kind, losses in fusions.items()} == grid.FUSION_RATES
    assert all(np.isfinite(list(x.values())).all() for x in [*towers.values(), *fusions.values()])


def test_a_rate_side_by_side_is_that_rate_alone(swept):
    made, (towers, _) = swept
    config = made.recipe.copy_and_resolve_references().unlock()
    config.seeds, config.first_seed = 2, grid.FIRST_SEED
    config.train.towers.learning_rate.default = 1e-3
    alone, labels = tiny.trainer(config, seeds=2)
    outcome = tiny.last(alone, labels, made.seeds).finished["towers"]
    head = list(alone.system.towers).index("mma")
    kept = outcome.best_epoch[None, :, head] - 1
    losses = np.take_along_axis(outcome.history.valid_loss[:, :, head], kept, 0)
    assert towers["mma"][1e-3] == pytest.approx(losses.mean(), rel=1e-4)
