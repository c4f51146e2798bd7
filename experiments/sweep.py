"""Chooses learning rates on validation: `python -m experiments.sweep --output=configs/mine.py`.

A small grid, declared in `experiments/study/grid.py`. The rates of one tower run side by side as
further seeds. What is chosen has the lowest validation loss, the mean over the seeds; no test score
is looked at, and the seeds are others than those of a report. The file that is written is a recipe
for the other commands: `python -m experiments.paper --config=configs/mine.py`.
"""

import pathlib

from absl import flags

from experiments.study.grid import Sweep, recipe_source
from experiments.terminal import command, config
from experiments.terminal.screen import Screen
from mman_jax.errors import InputError
from mman_jax.files.whole import write_whole

_CONFIG = command.config_flag("The recipe to start from.")
_OUTPUT = command.path_flag("output", "The recipe to write, such as configs/mine.py.")
_SEEDS = flags.DEFINE_integer("sweep_seeds", 3, "Seeds for each setting.", 1)


def main() -> None:
    """Sweeps, and writes the recipe."""
    output = pathlib.Path(_OUTPUT.value)
    if output.suffix != ".py":
        raise InputError("--output", str(output), "a path that ends in .py")
    recipe = config.read(_CONFIG).unlock()
    with Screen() as screen:
        towers, fusions = Sweep(recipe, _SEEDS.value, screen).run()
        corpus = pathlib.Path(recipe.data.path).name if recipe.data.path else "the synthetic corpus"
        about = f"MMAN with the learning rates that a sweep chose on {corpus}."
        source = recipe_source(towers, fusions, about)
        write_whole(output, source.encode())
        screen.line(source)


if __name__ == "__main__":
    command.run(main)
