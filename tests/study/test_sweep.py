import dataclasses
import pathlib
import runpy
import subprocess
import sys
import types
from typing import ClassVar

import chex
import jax
import numpy as np
import pytest

from configs import mman
from mman_jax.cli.terminal.screen import Screen
from mman_jax.data.cells.utterances import Utterances
from mman_jax.errors import InputError
from mman_jax.study import recipe, sweep
from mman_jax.study.folds import Candidate, Inner, prepare_inner
from mman_jax.study.sweep import Budget, Sweep
from mman_jax.systems import SYSTEMS, build
from mman_jax.systems.mman import papers
from mman_jax.systems.settings import PAIR
from mman_jax.tasks import Classes, Numbers
from mman_jax.trial.config import change, network, of, title
from tests import gallery, tiny
from tests.data import small

optuna = pytest.importorskip("optuna", reason="pip install 'mman_jax[sweep]'")

ROOT = pathlib.Path(__file__).parents[2]
SCREEN = Screen(quiet=True)
MODALITIES = ("speech", "visual", "text")
PARTS = (types.SimpleNamespace(cells=Utterances(small.corpus()), corpus=None),) * 3
INNER = Inner(MODALITIES, Classes("auto", tuple("abcd")), (), ("1", "2", "3"), PARTS, ())


class Stopped(Exception):
    pass


class Stub:
    """Losses by a rule of thumb in place of training."""

    trained: ClassVar[list] = []
    most = 99

    def __init__(self, inner, config, seeds, progress, until=None):
        system = build(network(config), inner.modalities, 4)
        names = [stage.name for stage in system.stages()]
        stages = system.stages()[: names.index(until) + 1] if until else system.stages()
        self.config, self.stages = config, stages

    def train(self, fold, name, before=None):
        Stub.trained.append((self.stages[-1].name, before is not None, fold))
        if len(Stub.trained) > Stub.most:
            raise Stopped
        return fold

    def losses(self, fold, snapshot):
        return {head: np.array([self.loss(head) + 0.01 * fold] * 2) for head in self.heads}

    @property
    def heads(self):
        return [head for stage in self.stages for head in stage.heads]

    def loss(self, head):
        towers, rates = self.config.network, self.config.train
        if head == "fusion":
            return 1 + abs(np.log10(rates.fusion.learning_rate.default) + 2)
        block = (
            towers.early if head == "mma" else towers.unimodal.get(head, towers.unimodal.default)
        )
        best = {"speech": 0.1, "visual": 0.3, "text": 0.5, "mma": 0.6}[head]
        return 1 + abs(block.dropout - best) + rates.label_smoothing


@pytest.fixture
def stub(monkeypatch):
    Stub.trained, Stub.most = [], 999
    monkeypatch.setattr(sweep, "Candidate", Stub)
    monkeypatch.setattr(sweep.Sweep, "_train_before", lambda self, stage: [0, 1, 2])


def swept(budget, storage=None, fields=()):
    made = Sweep(mman.get_config(), INNER, budget, fields)
    found = made.run(storage or optuna.storages.InMemoryStorage(), SCREEN)
    return found, made


def test_each_head_keeps_its_own_best_settings(stub):
    found, made = swept(Budget(30))
    stages = {(stage, before) for stage, before, _ in Stub.trained}
    assert stages == {("towers", False), ("fusion", True)}  # on towers that are trained once
    tables = {head: {t.number: t for t in recipe.best(trials)} for head, trials in made.tables}
    assert list(tables) == ["all", *MODALITIES, "mma", "fusion"]
    for head in MODALITIES:
        trials = tables[head].values()
        path = f"network.unimodal.{head}.dropout"
        best = min(trials, key=lambda trial: trial.value).params[path]
        assert found.network.unimodal[head].dropout == pytest.approx(best, abs=5e-4)
    dropouts = [found.network.unimodal[m].dropout for m in MODALITIES]
    np.testing.assert_allclose(dropouts, [0.1, 0.3, 0.5], atol=0.15)
    assert found.train.label_smoothing == 0
    assert found.train.batch == mman.get_config().train.batch


def test_the_settings_at_the_start_come_first_and_then_single_changes(stub):
    _, made = swept(Budget(8), fields=("dropout", "learning_rate"))
    trials = dict(made.tables)["text"]
    start, *others = [trial.params for trial in trials]
    assert start == {"network.unimodal.text.dropout": 0.3, "train.towers.learning_rate.text": 1e-3}
    single = [{k: v for k, v in params.items() if v != start[k]} for params in others[:3]]
    rate = "train.towers.learning_rate.text"
    assert single == [{rate: 1e-4}, {rate: 3e-3}, {"network.unimodal.text.dropout": 0.5}]


def test_a_hopeless_trial_ends_after_its_first_fold(stub):
    _, made = swept(Budget(25), fields=("dropout",))
    pruned = [t for t in dict(made.tables)["text"] if t.state == optuna.trial.TrialState.PRUNED]
    assert pruned
    assert all(len(trial.intermediate_values) == 1 for trial in pruned)


def test_settings_of_later_stages_are_judged_by_the_whole_system(stub):
    whole, *others = Sweep(of("bc_lstm"), INNER, Budget(1)).phases
    assert "train.fusion.learning_rate.default" in whole.ranges["all"]
    assert (whole.stage, whole.resumes, others) == ("fusion", False, [])
    stages = [
        (phase.stage, phase.resumes) for phase in Sweep(mman.get_config(), INNER, Budget(1)).phases
    ]
    assert stages == [("towers", False), ("towers", False), ("fusion", True)]


def test_an_interrupted_sweep_resumes(stub, tmp_path):
    def storage():
        backend = optuna.storages.journal.JournalFileBackend(str(tmp_path / "log"))
        return optuna.storages.JournalStorage(backend)

    Stub.most = 10
    with pytest.raises(Stopped):
        swept(Budget(6), storage(), fields=("dropout",))
    Stub.most, before = 999, len(Stub.trained)
    found, made = swept(Budget(6), storage(), fields=("dropout",))
    for _, trials in made.tables:
        assert len(trials) == 6
    assert before == 11
    assert found.network.unimodal.text.dropout != 0.3
    Stub.trained.clear()
    again, _ = swept(Budget(6), storage(), fields=("dropout",))
    assert (again, Stub.trained) == (found, [])


def test_what_a_fusion_learns_from_is_kept_if_it_is_not_searched(stub):
    config = mman.get_config()
    config.train.fusion.answers, config.train.refit = "out_of_fold", True
    made = Sweep(config, INNER, Budget(1), ("dropout",))
    found = made.run(optuna.storages.InMemoryStorage(), SCREEN)
    assert (found.train.fusion.answers, found.train.refit) == ("out_of_fold", True)


def test_without_time_the_settings_are_those_at_the_start(stub):
    found, made = swept(Budget(None, hours=0.0))
    assert {len(trials) for _, trials in made.tables} == {1}
    assert found.train.batch == mman.get_config().train.batch
    assert found.network.early == mman.get_config().network.early
    _, made = swept(Budget(6, jobs=2))  # in parallel
    assert {len(trials) for _, trials in made.tables} == {6}


@pytest.mark.parametrize("name", [n for n in SYSTEMS if not SYSTEMS[n].needs])
def test_every_setting_of_every_space_can_be_set(stub, name):
    config = of(name) if name != "mman" else mman.get_config()
    modalities = MODALITIES[:2] if PAIR in SYSTEMS[name].reads else MODALITIES
    made = Sweep(config, dataclasses.replace(INNER, modalities=modalities), Budget(1))
    for phase in made.phases:
        for ranges in phase.ranges.values():
            for end in (0, -1):
                fields = {
                    path: r["choices"][end] if "choices" in r else (r["low"], r["high"])[end]
                    for path, r in ranges.items()
                }
                changed = change(config, sweep._values(fields))
                build(network(changed), modalities, 4)
                for path, value in sweep._values(fields).items():
                    assert sweep._current(changed, path) == value, path


def test_what_cannot_be_searched_is_refused(stub, monkeypatch):
    with pytest.raises(InputError, match="fields: unknown 'droput'; expected 'dropout'"):
        Sweep(mman.get_config(), INNER, Budget(1), ("droput",))
    with pytest.raises(InputError, match="Rozgic, which is not a network"):
        Sweep(of("rozgic"), INNER, Budget(1))
    space = {"network.unit": {"low": 1, "high": 2}}
    monkeypatch.setattr(SYSTEMS["mult"], "search_space", classmethod(lambda cls, head="": space))
    with pytest.raises(InputError, match=r"^search_space: 'network.unit', which its config"):
        Sweep(of("mult"), INNER, Budget(1))


def test_settings_of_classes_are_not_searched_for_numbers(stub):
    inner = dataclasses.replace(INNER, task=Numbers("auto", ("valence",)))
    made = Sweep(mman.get_config(), inner, Budget(1))
    paths = [path for phase in made.phases for of in phase.ranges.values() for path in of]
    assert "train.average" in paths
    assert not [path for path in paths if path.endswith(Numbers.unused_settings)]


@pytest.mark.parametrize("config", [mman.get_config(), mman.get_config("clstm_mma"), of("mult")])
def test_the_config_that_is_written_is_what_was_found(config, tmp_path):
    first = next(iter(config.network))
    found = change(config, {"train.batch": 7, "train.average": 0.98})
    trials = [
        optuna.trial.create_trial(value=1.0 - number / 10, params={}, distributions={})
        for number in range(5)
    ]
    path = tmp_path / "mine.py"
    path.write_text(recipe.source(found, "Tried.", [("all", trials)], "nats"))
    command = [sys.executable, "-m", "ruff", "check", "--ignore=D103", "--config"]  # as in configs
    checked = subprocess.run([*command, ROOT / "ruff.toml", path], capture_output=True, check=False)
    assert checked.stdout == b"All checks passed!\n"
    get_config = runpy.run_path(str(path))["get_config"]
    assert first in get_config().network
    for name in ("network", "train"):
        assert get_config()[name] == found[name]
    assert title(get_config()) == title(config)
    assert "0.6000 trial" in path.read_text()
    if title(config) == "mman":
        for name in papers(MODALITIES):
            assert get_config(name).train.batch == 7


@pytest.mark.parametrize("kind", ["mean", "clstm", "best"])
def test_another_fusion_starts_from_the_same_trained_towers(tmp_path, kind):
    path = gallery.write_corpus(tmp_path, tiny.corpus().select_modalities(["speech", "text"]))
    config = gallery.on(path, tiny.recipe(epochs=1))
    inner = prepare_inner(config, "2")
    towers = Candidate(inner, config, [1], SCREEN, "towers")
    before = towers.trained(towers.train(0, "towers"))
    assert "fusion" not in before.params
    other = Candidate(inner, change(config, {"network.fusion.kind": kind}), [1], SCREEN, "fusion")
    snapshot = other.train(0, "fusion", before)
    assert np.isfinite(other.losses(0, snapshot)["fusion"]).all()
    for name, x in before.params.items():
        chex.assert_trees_all_equal(jax.tree.map(np.asarray, snapshot.state.best[name]), x)


@pytest.mark.e2e
def test_a_whole_sweep_of_a_small_corpus(tmp_path):
    path = gallery.write_corpus(tmp_path, tiny.corpus().select_modalities(["speech"]))
    config = gallery.on(path, tiny.recipe(dropout=0.3, epochs=1))
    inner = prepare_inner(config, "3")
    made = Sweep(config, inner, Budget(2, seeds=1), ("learning_rate", "batch", "answers"))
    found = made.run(optuna.storages.InMemoryStorage(), SCREEN)
    assert [head for head, _ in made.tables] == ["all", "speech", "fusion"]
    assert all(trial.value > 0 for _, trials in made.tables for trial in recipe.best(trials))
    assert found.train.refit == config.train.refit
