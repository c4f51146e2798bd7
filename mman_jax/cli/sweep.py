"""Search the settings of every system: `mman sweep --output=mine.py`.

By the mean validation loss over folds inside the training part, several seeds each: neither the
corpus's test part nor its validation part is read. What is searched is the table in
`mman_jax/study/space.py`; what is tried next, and what is given up early, Optuna says (extra:
`[sweep]`). The towers are searched together, then early fusion, then the late fusions on frozen
towers, and last the rule that picks the epoch. The file that is written is a recipe for the other
commands: `mman paper --config=configs/mine.py`. The same command goes on where it
was interrupted, from what lies in `--storage`.
"""

import json
import pathlib
import sys

from absl import flags

from mman_jax.cli.terminal import command, config
from mman_jax.cli.terminal.screen import Screen
from mman_jax.errors import InputError
from mman_jax.files.lock import alone
from mman_jax.files.whole import regular_file, write_whole
from mman_jax.study import recipe, rules, side_by_side, space, trials, workers
from mman_jax.study import sweep as searching
from mman_jax.study.inner import prepare_inner
from mman_jax.study.search import best, library
from mman_jax.study.towers import recipe_of
from mman_jax.systems.mman import papers
from mman_jax.training import objectives
from mman_jax.training.mesh import use_cache
from mman_jax.trial import folder, tasks
from mman_jax.trial.preemption import Preemption
from mman_jax.trial.tested import load_corpus

_CONFIG = command.config_flag("The recipe to start from, which is the first trial.")
_OUTPUT = command.path_flag("output", "The recipe to write, such as configs/mine.py.")
_TRIALS = flags.DEFINE_integer("trials", 40, "Trials of the towers; half as many a fusion.", 1)
_SEEDS = flags.DEFINE_integer("sweep_seeds", 2, "Seeds of each trial.", 1)
_FOLDS = flags.DEFINE_string(
    "sweep_folds",
    "",
    "Folds inside the training part: sessions, speakers or a number; empty: by sessions where there"
    " are three or more, else three.",
)
_FIELDS = flags.DEFINE_string("fields", "", "The settings to search, separated by commas; all.")
_STORAGE = command.path_flag(
    "storage", "The folder of the trials; by default beside the recipe, NAME.sweep.", must=False
)
_HOURS = flags.DEFINE_float("hours", None, "Hours after which nothing new is tried.", 0)
_PROCESSES = flags.DEFINE_integer(
    "processes", 0, "Trials side by side; 0: one a core on CPUs, else one.", 0
)
_SEED = command.seed_flag("Of what is tried.")
_CACHE = command.cache_flag()
_MOST = 10
_UNITS = {
    "l1": "deviations of the training part",
    "mse": "squared deviations of the training part",
    "ccc": "1 - CCC",
}


def main() -> None:
    """Sweeps, and writes the recipe."""
    with command.named_flags("fields", "sweep_folds", "config"):
        _sweep()


def _sweep() -> None:
    output = pathlib.Path(_OUTPUT.value)
    if output.suffix != ".py":
        raise InputError("--output", str(output), "a path that ends in .py")
    regular_file(output)
    space.chosen(_FIELDS.value)  # an unknown one is said before a corpus is read
    start = config.read(_CONFIG).unlock()
    searching.check(start)
    library()
    cache = use_cache(_CACHE.value)
    Preemption.listen()
    inner = prepare_inner(start, _FOLDS.value)
    numbers = bool(tasks.numbers(inner.task))
    names = space.chosen(_FIELDS.value, numbers)
    unit = _UNITS[start.train.loss or objectives.DEFAULT] if numbers else "nats"
    place = pathlib.Path(_STORAGE.value or output.with_suffix(".sweep"))
    count = _PROCESSES.value or workers.default_processes()
    budget = searching.Budget(_TRIALS.value, _SEEDS.value, _HOURS.value, names, _SEED.value)
    chosen = json.loads(start.to_json())
    chosen["sweep"] = {"seeds": budget.seeds, "folds": _FOLDS.value, "fields": list(names),
                       "seed": budget.seed, "processes": count}  # fmt: skip
    with alone(place), Screen() as screen:
        folder.holds(place, chosen)
        folder.claim(place, chosen, load_corpus(start.data))
        for sentence in inner.about:
            screen.line(sentence)
        made = side_by_side.opened(inner, screen, start, _FOLDS.value, count, cache)
        with trials.opened(place / "trials.db") as storage, made as working:
            names = papers(inner.modalities)
            recipes = {name: recipe_of(name, start, config.recipes()) for name in names}
            sweep = searching.Sweep(recipes, inner, storage, budget, screen, working)
            found, accuracies = sweep.run(place / "rules.json")
        _show(screen, sweep, accuracies, unit)
        corpus = pathlib.Path(start.data.path).name if start.data.path else "the synthetic corpus"
        about = f"MMAN and its parts with the settings that a sweep chose on {corpus}."
        groups = (
            f"{len(inner.held.names)} folds inside its training part, {budget.seeds} seeds each"
        )
        told = f"{about}\n\n{groups}."
        source = recipe.source(found, told, sweep.searches, accuracies, unit)
        write_whole(output, source.encode())
        screen.line(f"{output} is written, from {config.shown(start, sys.argv)}")


def _show(screen: Screen, sweep: searching.Sweep, accuracies: rules.Accuracies, unit: str) -> None:
    for rows in sweep.searches:
        for owner, fields in best(rows).values.items():
            if not fields:
                continue
            ordered = sorted(enumerate(rows, 1), key=lambda x, o=owner: (x[1].pruned, x[1].loss(o)))
            lines = []
            for number, row in ordered[:_MOST]:
                loss = f"{row.loss(owner):.4f}{'*' * row.pruned}"
                values = map(str, row.values[owner].values())
                lines.append((str(number), loss, recipe.by_fold(row, owner), *values))
            title = f"{owner}: the best of {len(rows)} trials, loss in {unit} (*: given up early)"
            screen.listing(title, ("trial", "loss", "by fold, seeds", *fields), lines)
    if accuracies:
        lines = [(str(rule), f"{100 * found.mean():.2f}") for rule, found in accuracies.items()]
        screen.listing("what picks the epoch", ("rule", "per cent without a say"), lines)
