"""The jobs of a study: each is an ordinary trial, of a system or of a tower that several share."""

import dataclasses
import pathlib
import re
from collections.abc import Mapping, Sequence

from ml_collections import ConfigDict

from mman_jax.files.lock import alone
from mman_jax.study import towers as shared
from mman_jax.training.programs import ANSWERS
from mman_jax.trial import experiment
from mman_jax.trial.progress import Progress

_PATIENCE = 60.0
"""Seconds to wait for a folder: what was killed may take a moment to end."""


@dataclasses.dataclass(frozen=True)
class Job:
    """A trial to run.

    Attributes:
        name: for the progress.
        config: of the trial.
        folder: of the trial.
        towers: the folders of the trials of the towers that it fuses; none: it trains its own.
        looks: whether its attention and missing modalities are analysed.
        shown: the boards where its learning curves go, too.
    """

    name: str
    config: ConfigDict
    folder: pathlib.Path
    towers: Mapping[str, pathlib.Path] = dataclasses.field(default_factory=dict)
    looks: bool = False
    shown: Sequence[str] = ()

    @property
    def done(self) -> bool:
        """Whether the trial is finished."""
        return (self.folder / "results.json").is_file()

    @property
    def trains_towers(self) -> bool:
        """Whether its fusion's stage trains towers, too: with it, or again without some rows."""
        fusion = self.config.train.fusion
        trained = any(trains and re.match(r"towers|\.\*", rule) for rule, trains in fusion.rules)
        return trained or fusion.answers != ANSWERS[0]

    def run(self, progress: Progress) -> None:
        """Runs the trial, or goes on with it.

        Raises:
            InputError: as `experiment.run`; and if another process works in its folder.
        """
        with alone(self.folder, patience=_PATIENCE):
            experiment.run(self.config, self.folder, progress, self.shown, self.towers, self.looks)


def plan(
    systems: Sequence[shared.System],
    modalities: Sequence[str],
    workdir: pathlib.Path,
    fold: str = "",
) -> tuple[list[Job], dict[str, list[pathlib.Path]]]:
    """What to train, towers first; and for each system its own folder and then its towers'.

    A tower that is one of the systems by itself is trained as that, and once.

    Args:
        systems: to train.
        modalities: of the corpus, in order.
        workdir: gets `systems` and `towers`.
        fold: its name, for the progress.
    """
    before = f"{fold}: " if fold else ""
    towers: dict[str, Job] = {}
    apart = [system for system in systems if system.trained_apart]
    systems = [system for system in systems if not system.trained_apart]
    needed = {s.name: shared.towers(s.config, modalities) for s in systems}
    keys = {s: {n: shared.key(n, c) for n, c in of.items()} for s, of in needed.items()}
    folders = {s.name: [workdir / "systems" / s.name] for s in systems}
    looks = {s.name: s.group == shared.PAPER for s in systems}
    for system in systems:
        if system.alone:
            (key,) = keys[system.name].values()
            own = folders[system.name][0]
            title = f"{before}{system.title}"
            towers[key] = Job(title, system.config, own, looks=looks[system.name])
    fusions = []
    for system in systems:
        if system.alone:
            continue
        for name, key in keys[system.name].items():
            tower = needed[system.name][name]
            title, place = f"{before}tower {name}", workdir / "towers" / key
            towers.setdefault(key, Job(title, tower, place))
        own = {name: towers[key].folder for name, key in keys[system.name].items()}
        whole = folders[system.name][0]
        folders[system.name] += own.values()
        title = f"{before}{system.title}"
        fusions.append(Job(title, system.config, whole, own, looks=looks[system.name]))
    # What takes longest starts first, so that no process is left with it at the end: the cited
    # systems in their order; a fusion that trains its towers, too; then the towers that it waits
    # for, attention before the others.
    long = [job for job in fusions if job.trains_towers]
    rest = [job for job in fusions if not job.trains_towers]
    urgent = {folder for job in long for folder in job.towers.values()}
    ordered = sorted(
        towers.values(),
        key=lambda job: (job.folder not in urgent, "early" not in job.config.network),
    )
    cited = []
    for system in apart:
        folders[system.name] = [workdir / "systems" / system.name]
        cited.append(Job(f"{before}{system.title}", system.config, *folders[system.name]))
    return [*cited, *long, *ordered, *rest], folders
