import dataclasses
import pathlib
import runpy
import subprocess
import sys

import numpy as np
import pytest

from configs import mman
from mman_jax.cli.terminal.screen import Screen
from mman_jax.data.readers import npz
from mman_jax.errors import InputError
from mman_jax.study import attempts, recipe, rules, space, sweep
from mman_jax.study.inner import Folds, Inner, prepare_inner
from mman_jax.study.side_by_side import Workers
from mman_jax.study.towers import recipe_of
from mman_jax.study.trials import opened
from mman_jax.systems import build
from mman_jax.systems.mman import papers
from mman_jax.trial.config import derive, network, title
from tests import tiny

pytest.importorskip("optuna", reason="pip install 'mman_jax[sweep]'")

ROOT = pathlib.Path(__file__).parents[2]
SCREEN = Screen(quiet=True)
BUDGET = sweep.Budget(trials=8, seeds=2, hours=None, names=space.NAMES)
MODALITIES = ("speech", "visual", "text")


class Stopped(Exception):
    pass


class Stub(Workers):
    """Losses by a rule of thumb, in place of training; ends where it is told to."""

    def __init__(self, count=1, results=99):
        super().__init__(None, SCREEN, None, count)
        self.results = results

    def begin(self, work, *task):
        if work is attempts.frozen_towers:
            return lambda: ({}, 1.0)
        if work is attempts.of_towers:
            return lambda: (self.attempt(*task), 1.0)
        return super().begin(work, *task)

    def attempt(self, config, towers, seeds, search, rows):
        self.results -= 1
        if self.results < 0:
            raise Stopped
        return self.losses(config, towers, search, rows)

    def losses(self, config, towers, search, rows):
        base = 0.3 + config.train.label_smoothing
        losses = {}
        for index, name in enumerate(towers):
            early = name in ("mma", "ef")
            block = config.network.early if early else config.network.unimodal.get(name)
            dropout = block.dropout if block else 0.7
            losses[name] = np.full((3, 2), base + abs(dropout - 0.2 * index))
        first = {name: x[:1] for name, x in losses.items()}
        if search.hopeless(rows, first):
            return first, True
        return losses, False


def swept(folder, monkeypatch, budget=BUDGET, workers=None, rule_accuracies=None):
    """What a sweep finds where training is stubbed, and its rows."""

    def fused(inner, config, owner, *_):
        rate = config.train.fusion.learning_rate.default
        return {owner: np.full((3, 2), rate)}, False

    monkeypatch.setattr(attempts, "of_fusion", fused)
    found = rule_accuracies or {}
    monkeypatch.setattr(
        rules, "measure", lambda inner, config, rule, *_: np.full((3, 2), found.get(rule, 0.5))
    )
    groups = Folds(("1", "2", "3"), (), ())
    inner = Inner(MODALITIES, 4, (), groups, groups)
    with opened(folder / "trials.db") as storage:
        recipes = {name: mman.get_config(name) for name in papers(MODALITIES)}
        made = sweep.Sweep(recipes, inner, storage, budget, SCREEN, workers or Stub())
        return made.run(folder / "rules.json"), made.searches


def values(searches):
    return [[row.values for row in rows] for rows in searches]


def test_the_recipe_is_the_best_trial_of_every_search(tmp_path, monkeypatch):
    (found, _), searches = swept(tmp_path, monkeypatch)
    config = found["mman"]
    assert [len(rows) for rows in searches] == [8, 4, 4, 4]
    towers = min((r for r in searches[0] if not r.pruned), key=lambda r: r.loss(space.ALL_TOWERS))
    assert (
        towers.values["text"].items()
        <= (
            config.network.unimodal.text.to_dict()
            | {"hidden": config.network.unimodal.text.hidden[0]}
            | {"learning_rate": config.train.towers.learning_rate.text}
        ).items()
    )
    rates = [row.values[space.DENSE]["learning_rate"] for row in searches[2]]
    assert config.train.fusion.learning_rate.default == min(rates)
    assert found["clstm_lf"].train.fusion.learning_rate.default in [
        row.values[space.CLSTM]["learning_rate"] for row in searches[3]
    ]


def test_trials_are_given_up_after_their_first_fold(tmp_path, monkeypatch):
    budget = dataclasses.replace(BUDGET, trials=16)
    _, (towers, *_) = swept(tmp_path, monkeypatch, budget)
    pruned = [row for row in towers if row.pruned]
    assert 4 < len(pruned) < 14
    assert all(len(row.losses["text"]) == 1 for row in pruned)


@pytest.mark.parametrize("count", [1, 2])
def test_a_sweep_goes_on_where_it_was_killed(count, tmp_path, monkeypatch):
    whole, interrupted = tmp_path / "whole", tmp_path / "interrupted"
    whole.mkdir()
    interrupted.mkdir()
    (config, accuracies), searches = swept(whole, monkeypatch, workers=Stub(count))
    for results in (3, 2):
        with pytest.raises(Stopped):
            swept(interrupted, monkeypatch, workers=Stub(count, results))
    (again, same), others = swept(interrupted, monkeypatch, workers=Stub(count))
    assert values(others) == values(searches)
    assert again == config
    assert {str(rule): x.tolist() for rule, x in same.items()} == {
        str(rule): x.tolist() for rule, x in accuracies.items()
    }
    more = dataclasses.replace(BUDGET, trials=10)
    _, (towers, *_) = swept(interrupted, monkeypatch, more, Stub(count))
    assert [row.values for row in towers[:8]] == [row.values for row in searches[0]]
    assert len(towers) == 10


def test_fusions_are_searched_again_where_other_towers_are_found(tmp_path, monkeypatch):
    (before, _), _ = swept(tmp_path, monkeypatch)
    tried = []
    attempt = Stub.attempt

    def counted(self, config, towers, *rest):
        tried.append(towers)
        return attempt(self, config, towers, *rest)

    monkeypatch.setattr(Stub, "attempt", counted)
    (after, _), _ = swept(tmp_path, monkeypatch)
    assert (after, tried) == (before, [])
    monkeypatch.setattr(Stub, "losses", lambda self, config, towers, *_: (
        {name: np.full((3, 2), 0.01) for name in towers}, False,
    ))  # fmt: skip
    more = dataclasses.replace(BUDGET, trials=9)
    (after, _), _ = swept(tmp_path, monkeypatch, more)
    assert after != before
    assert tried.count(("ef",)) == 4


def test_the_rule_is_the_best_where_nothing_had_a_say_and_of_equals_the_simplest(
    tmp_path, monkeypatch
):
    (config, accuracies), _ = swept(tmp_path, monkeypatch)
    assert (config.train.select, config.train.smoothing) == ("loss", 0.0)  # all are equal
    assert list(accuracies) == [*rules.plain(), rules.Rule("loss", 0.5)]
    better = {rules.Rule("recall", 0.0): 0.6, rules.Rule("recall", 0.5): 0.7}
    (tmp_path / "rules.json").unlink()
    (config, _), searches = swept(tmp_path, monkeypatch, rule_accuracies=better)
    assert (config.train.select, config.train.smoothing) == ("recall", 0.5)
    assert (config.train.refit, config.train.fusion.answers) == (
        mman.get_config().train.refit, mman.get_config().train.fusion.answers,
    )  # fmt: skip
    assert len(searches[0]) == 8


def test_without_time_the_recipe_is_the_one_given(tmp_path, monkeypatch):
    (config, accuracies), searches = swept(
        tmp_path, monkeypatch, dataclasses.replace(BUDGET, hours=0.0)
    )
    assert [len(rows) for rows in searches] == [1, 1, 1, 1]
    assert accuracies == {}
    before, config = mman.get_config().train, config["mman"]
    assert config.train.batch == before.batch
    assert config.train.towers.learning_rate.text == before.towers.learning_rate.default


def test_only_the_named_settings_change(tmp_path, monkeypatch):
    budget = dataclasses.replace(BUDGET, names=("input_dropout",))
    (config, _), searches = swept(tmp_path, monkeypatch, budget)
    assert len(searches) == 2  # towers and early fusion; late fusions have none
    lines = recipe.source(config, "x", searches, {}, "nats").splitlines()
    changed = [line for line in lines if line.startswith("        ")]
    assert changed
    given = ('"train.select', '"train.smoothing')  # those of the config it began with
    changed = [line for line in changed if not line.strip().startswith(given)]
    assert all("input_dropout" in line or "unimodal" in line for line in changed)
    assert config["mman"].network.early.dropout == mman.get_config().network.early.dropout


def test_the_recipe_that_is_written_is_what_was_found_and_makes_every_system(tmp_path, monkeypatch):
    (config, accuracies), searches = swept(tmp_path, monkeypatch)
    source = recipe.source(config, "Tried.", searches, accuracies, "1 - CCC")
    path = tmp_path / "mine.py"
    path.write_text(source)
    checked = [sys.executable, "-m", "ruff", "check", "--ignore=D103", "--config"]
    checked += [ROOT / "ruff.toml", path]  # D103: as in configs
    assert (
        subprocess.run(checked, capture_output=True, check=False).stdout == b"All checks passed!\n"
    )
    get_config = runpy.run_path(str(path))["get_config"]
    assert get_config() == get_config("mman")
    for system, found in config.items():
        for name in ("network", "train"):
            assert get_config(system)[name] == found[name]
    assert "from mman_jax.configs import mman" in source
    docstring = source.split('"""')[1]
    assert "Validation loss in 1 - CCC: mean" in docstring
    for owner in (space.ALL_TOWERS, *MODALITIES, "mma", "ef", space.DENSE, space.CLSTM):
        assert f"\n{owner}: " in docstring
    assert "50.00" in docstring
    makes_every_system(path)


def makes_every_system(path):
    get_config = runpy.run_path(str(path))["get_config"]
    configs = [get_config(name) for name in papers(MODALITIES)]
    for config in (*configs, derive(get_config(), "bc_lstm")):
        names = [n for n in config.data.modalities.split(",") if n] or MODALITIES
        build(network(config), names, 4)


def test_the_recipe_that_was_searched_on_mosi_makes_every_system():
    makes_every_system(ROOT / "experiments/results/recipe/mosi_text.py")


def test_another_system_s_config_is_refused():
    sweep.check(mman.get_config())
    for config in (mman.get_config("clstm_ef"), derive(mman.get_config(), "bc_lstm")):
        with pytest.raises(InputError, match=f"config: the system {title(config)}; expected"):
            sweep.check(config)


def test_a_whole_sweep_of_a_small_corpus(tmp_path, monkeypatch):
    npz.write(tiny.corpus().select_modalities(["speech"]), tmp_path / "corpus.npz")
    config = tiny.recipe(dropout=0.3, epochs=1)
    config.data.path = str(tmp_path / "corpus.npz")
    monkeypatch.setattr(rules, "SELECT", ("calibrated",))
    inner = prepare_inner(config, "3")
    budget = sweep.Budget(1, 1, None, ("learning_rate", "batch"))
    with opened(tmp_path / "trials.db") as storage:
        recipes = {n: recipe_of(n, config, mman.get_config) for n in papers(("speech",))}
        made = sweep.Sweep(recipes, inner, storage, budget, SCREEN, Workers(inner, SCREEN))
        found, accuracies = made.run(tmp_path / "rules.json")
    losses = [rows[0].losses for rows in made.searches]
    assert [set(x) for x in losses] == [{"speech", "mma"}, {"ef"}, {space.DENSE}, {space.CLSTM}]
    assert all(x.shape == (3, 1) and (x > 0).all() for own in losses for x in own.values())
    assert [str(rule) for rule in accuracies] == ["calibrated", "calibrated, smoothing 0.5"]
    assert all(x.shape == (3, 1) and (x > 0).all() for x in accuracies.values())
    assert found["mman"].train.select == "calibrated"
