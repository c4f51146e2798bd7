"""A small grid of learning rates, scored by validation loss; rates run side by side as seeds."""

from collections.abc import Mapping, Sequence
from typing import Any

import jax
import numpy as np
from ml_collections import ConfigDict

from configs import clstm_ef, clstm_lf
from experiments.study import towers as plan
from experiments.terminal.screen import Screen
from experiments.trial.prepared import load_corpus, prepare_experiment
from mman_jax.training.outcome import Outcome, Snapshot

TOWER_RATES = (1e-4, 3e-4, 1e-3)
FUSION_RATES = {"dense": (1e-3, 3e-3, 1e-2), "clstm": (3e-4, 1e-3, 3e-3)}
FIRST_SEED = 1000

Losses = dict[float, float]


class Sweep:
    """The grid on one corpus."""

    def __init__(self, recipe: ConfigDict, seeds: int, screen: Screen):
        """Reads the corpus; trains nothing yet.

        Args:
            recipe: MMAN's config.
            seeds: for each setting.
            screen: where progress is shown.
        """
        self.recipe, self.screen = recipe, screen
        self.modalities = list(load_corpus(recipe.data).dims)
        self.seeds = [FIRST_SEED + i for i in range(seeds)]
        self._trained: dict[str, tuple[Any, Outcome]] = {}

    def run(self) -> tuple[dict[str, Losses], dict[str, Losses]]:
        """The validation losses by rate of each tower, and of each kind of fusion."""
        towers, fusions = {}, {}
        whole, late = self._copy(), clstm_lf.system(self._copy())
        for system in (whole, clstm_ef.system(self._copy()), late):
            configs = plan.towers(system, self.recipe, self.modalities)
            for name, config in configs.items():
                key = plan.key(name, config)
                if key not in self._trained:
                    losses = self._tower(name, key, config, towers.get(name))
                    towers.setdefault(name, losses)
            if "fusion" in system.network:
                kind = system.network.fusion.kind
                fusions[kind] = self._fusion(system, configs)
        return towers, fusions

    def _tower(self, name: str, key: str, config: ConfigDict, known: Losses | None) -> Losses:
        # A second tower of that name, of other sizes, takes the rate that the first one got.
        rates = TOWER_RATES if known is None else (best(known),)
        default = config.train.towers.learning_rate.default
        experiment, seeds, paces = self._experiment(config, rates, default)
        labels = experiment.labels[experiment.tasks[0].name]
        snapshot = self._last(name, experiment, labels, seeds, None, paces)
        losses = _losses(snapshot.finished["towers"], rates)
        chosen = self._of_rate(rates.index(best(losses)))
        outcome = snapshot.finished["towers"]
        scores = [x[chosen] for x in outcome[:-1]]
        history = jax.tree.map(lambda x: x[:, chosen], outcome.history)
        params = jax.tree.map(lambda x: np.asarray(x)[chosen], snapshot.state.best)
        self._trained[key] = (params, Outcome(*scores, history))
        return losses

    def _fusion(self, system: ConfigDict, towers: Mapping[str, ConfigDict]) -> Losses:
        kind = system.network.fusion.kind
        rates = FUSION_RATES[kind]
        given = system.train.fusion.learning_rate
        experiment, seeds, paces = self._experiment(system, rates, given.default)

        def tile(x, axis=0):
            return np.concatenate([x] * len(rates), axis=axis)

        params, outcomes = {}, {}
        for name, config in towers.items():
            own, outcome = self._trained[plan.key(name, config)]
            params |= jax.tree.map(tile, own)
            scores = [tile(x) for x in outcome[:-1]]
            outcomes[name] = Outcome(
                *scores, jax.tree.map(lambda x: tile(x, axis=1), outcome.history)
            )
        start = experiment.trainer.join(params, outcomes, seeds, paces)
        labels = experiment.labels[experiment.tasks[0].name]
        snapshot = self._last(f"{kind} fusion", experiment, labels, seeds, start, paces)
        return _losses(snapshot.finished["fusion"], rates)

    def _experiment(self, config: ConfigDict, rates: Sequence[float], default: float):
        config = config.copy_and_resolve_references().unlock()
        config.seeds = len(rates) * len(self.seeds)
        paces = np.repeat([rate / default for rate in rates], len(self.seeds))
        return prepare_experiment(config), self.seeds * len(rates), paces

    def _last(self, name, experiment, labels, seeds, start, paces) -> Snapshot:
        snapshot = start
        for snapshot in experiment.trainer.run(labels, seeds, start, paces):
            if len(snapshot.finished) < len(experiment.trainer.stages):
                self.screen.epoch(name, snapshot, experiment.trainer.epochs(snapshot.stage))
        return snapshot

    def _of_rate(self, index: int) -> slice:
        return slice(index * len(self.seeds), (index + 1) * len(self.seeds))

    def _copy(self) -> ConfigDict:
        return self.recipe.copy_and_resolve_references().unlock()


def best(losses: Losses) -> float:
    """The rate with the lowest loss."""
    return min(losses, key=losses.get)


def recipe_source(towers: Mapping[str, Losses], fusions: Mapping[str, Losses], about: str) -> str:
    """The Python source of a recipe with the rates that were chosen, the losses in its docstring.

    Args:
        towers: validation losses by rate, of each tower.
        fusions: the same of each kind of fusion.
        about: what was swept.
    """
    lines = [f'"""{about}', "", "Validation loss by learning rate; the lowest is taken:", ""]
    for name, losses in [*towers.items(), *((f"{k} fusion", v) for k, v in fusions.items())]:
        cells = ", ".join(f"{rate:g}: {loss:.4f}" for rate, loss in losses.items())
        lines.append(f"{name}: {cells}")
    lines += ['"""', "", "from configs import mman", "", "", "def get_config():"]
    lines.append("    config = mman.get_config()")
    lines.append("    towers = config.train.towers.learning_rate")
    lines += [f"    towers.{name} = {best(losses):g}" for name, losses in towers.items()]
    lines.append("    fusion = config.train.fusion.learning_rate")
    named = {"dense": "default"}  # a dense fusion is MMAN's own
    lines += [f"    fusion.{named.get(k, k)} = {best(losses):g}" for k, losses in fusions.items()]
    return "\n".join([*lines, "    return config", ""])


def _losses(outcome: Outcome, rates: Sequence[float]) -> Losses:
    """The validation loss of the epochs that were kept, by rate; infinite where one diverged."""
    kept = np.maximum(outcome.best_epoch[None, :, 0] - 1, 0)
    losses = np.take_along_axis(outcome.history.valid_loss[:, :, 0], kept, axis=0)[0]
    losses = np.where(outcome.best_epoch[:, 0] > 0, losses, np.inf)
    return dict(zip(rates, losses.reshape(len(rates), -1).mean(1).tolist(), strict=True))
