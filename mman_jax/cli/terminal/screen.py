"""The screen of a command: a live line on a terminal, plain lines in a log, a table at the end."""

import dataclasses
import time
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from rich import progress as bars
from rich.console import Console
from rich.markup import escape
from rich.measure import Measurement
from rich.table import Table

from mman_jax.cli.terminal import details
from mman_jax.cli.terminal.details import percent
from mman_jax.evaluation import metrics, ratings
from mman_jax.training.outcome import Snapshot
from mman_jax.trial.progress import Progress

_WIDEST = 1000
"""Columns of a table at most, whatever names a corpus has."""


@dataclasses.dataclass
class _Items:
    name: str
    total: int
    task: Any
    done: int = 0


class Screen(Progress):
    """Writes to standard output; in a log, an epoch's line at most every few seconds."""

    def __init__(self, every: float = 5.0, quiet: bool = False):
        self.console = Console(highlight=False, soft_wrap=True, quiet=quiet)
        self.every = every
        self._progress: bars.Progress | None = None
        self._task: tuple[str, Any] | None = None
        self._began = self._printed = 0.0
        self._first = 1
        self._items: _Items | None = None

    def __enter__(self) -> "Screen":
        if self.console.is_terminal:
            columns = (
                bars.TextColumn("{task.description}"), bars.BarColumn(bar_width=24),
                bars.TextColumn("{task.completed}/{task.total} {task.fields[scores]}"),
                bars.TimeRemainingColumn(),
            )  # fmt: skip
            self._progress = bars.Progress(*columns, console=self.console)
            self._progress.start()
        return self

    def __exit__(self, *_) -> None:
        if self._progress:
            self._progress.stop()

    def line(self, text: str) -> None:
        """A line of its own."""
        self.console.print(text, markup=False)

    def notice(self, text: str) -> None:
        """Something that must not be missed."""
        self.console.print(f"note: {text}", style="bold yellow", markup=False)

    def epoch(self, task: str, snapshot: Snapshot, epochs: int, numbers: bool = False) -> None:
        """An epoch that ended: means over the seeds of its loss and its validation accuracy; of
        numbers, of its CCC."""
        history, stage = snapshot.history, f"{task}, {snapshot.stage}"
        epoch = len(history.train_loss)
        alive = history.training[-1]
        loss = _mean(history.train_loss[-1], alive)
        valid = _mean(history.valid_accuracy[-1], alive, 1 if numbers else 100)
        valid = f"CCC {valid}" if numbers else f"{valid} %"
        training = f"{int(np.sum(alive))} of {alive.size} train on"
        scores = f"loss {loss}  valid {valid}  {training}"
        now = time.monotonic()
        fresh = not self._task or self._task[0] != stage
        if fresh:
            self._began, self._first, self._printed = now, epoch, 0.0
        left = (now - self._began) / max(epoch - self._first, 1) * (epochs - epoch)
        if self._progress:
            if fresh:
                self._task = (stage, self._progress.add_task(stage, total=epochs, scores=""))
            self._progress.update(self._task[1], completed=epoch, scores=scores)
            return
        self._task = (stage, None)
        if now - self._printed >= self.every or epoch == epochs:
            ahead = "" if fresh else f"  at most {left:.0f} s left"
            self.line(f"{stage}: epoch {epoch}/{epochs}  {scores}{ahead}")
            self._printed = now

    def items(self, total: int, name: str) -> None:
        """From now on `advance` counts these: a bar on a terminal, in a log a line now and then."""
        task = self._progress.add_task(name, total=total, scores="") if self._progress else None
        self._items, self._printed = _Items(name, total, task), time.monotonic()

    def advance(self) -> None:
        """One of the items more."""
        items = self._items
        items.done += 1
        if self._progress:
            self._progress.advance(items.task)
        elif self._due():
            self.line(f"{items.done} of {items.total} {items.name}")

    def network(self, name: str, epoch: int, loss: float) -> None:
        """An epoch of a network that is trained on the side."""
        if self._due():
            self.line(f"{name} network: epoch {epoch}, loss {loss:.3g}")

    def _due(self) -> bool:
        now = time.monotonic()
        if now - self._printed < self.every:
            return False
        self._printed = now
        return True

    def table(self, results: dict[str, Any]) -> None:
        """The scores of a run."""
        system, names = results["system"], metrics.names(results["protocol"])
        if "tasks" in results:
            for name, task in results["tasks"].items():
                self._table(f"{system}, {name} or not", system, task, names)
        elif "targets" in results:
            self._numbers(system, results)
        else:
            self._table(f"{system}, {results['protocol']}", system, results, names)
        if "ceiling" in results:
            self.line(
                f"synthetic corpus: the best possible accuracy is {100 * results['ceiling']:.1f} %,"
                f" of late fusion {100 * results['ceiling_late_fusion']:.1f} %"
            )

    def _table(
        self, title: str, system: str, scores: dict[str, Any], names: dict[str, str]
    ) -> None:
        table = Table(title=title, title_justify="left")
        heads = [scores, *scores["towers"].values()]
        # Results of earlier versions lack some.
        known = [m for m in metrics.METRICS if all(m in head["test"] for head in heads)]
        first, *others = (names[m] for m in known)
        for column in ("per cent", f"test {first}", *others, "valid."):
            justify = "left" if column == "per cent" else "right"
            table.add_column(column, justify=justify, no_wrap=True)
        rows = [(f"tower {name}", tower) for name, tower in scores["towers"].items()]
        if len(rows) > 1:
            rows.append((system, scores))
        else:
            rows = [(system, scores)]
        for name, row in rows:
            test = [percent(row["test"][m]) for m in known]
            table.add_row(name, *test, percent(row["validation"]["accuracy"]))
        if len(scores["test"]["accuracy"]["per_seed"]) > 1 and "ensemble" in scores:
            test = [f"{100 * scores['ensemble']['test'][m]['mean']:.1f}" for m in known]
            table.add_row("ensemble of the seeds", *test)
        table.add_row("majority answer", f"{100 * scores['test']['majority_accuracy']:.1f}")
        self._whole(table)
        for listed in details.of(scores):
            self.listing(*listed)

    def _numbers(self, system: str, scores: dict[str, Any]) -> None:
        """The scores of numbers; shares in per cent, all others as they are."""
        targets = ", ".join(target["name"] for target in scores["targets"])
        called = ratings.names(scores["test"])
        rows = [(f"tower {name}", tower) for name, tower in scores["towers"].items()]
        rows = [*(rows if len(rows) > 1 else ()), (system, scores)]
        lines = [
            [
                name,
                *(_score(m, row["test"][m]) for m in called),
                _score("mae", row["validation"]["mae"]),
            ]
            for name, row in rows
        ]
        if len(scores["test"]["mae"]["per_seed"]) > 1 and "ensemble" in scores:
            alone = {m: scores["ensemble"]["test"][m] for m in called}
            lines.append(["ensemble of the seeds", *(_score(m, x) for m, x in alone.items()), ""])
        for name, of in scores["test"].get("by_target", {}).items():
            lines.append([f"target {name}", *(_score(m, of.get(m)) for m in called), ""])
        mean = f"{scores['test']['mean_answer_mae']:.3f}"
        lines.append(["mean of training", mean, *[""] * len(called)])
        columns = ["", *(f"test {n}" if m == "mae" else n for m, n in called.items()), "valid. MAE"]
        self.listing(f"{system}, {targets} (Acc and F1 in per cent)", columns, lines)

    def listing(self, title: str, columns: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
        """A table of any words; all columns but the first hold numbers."""
        table = Table(title=escape(title), title_justify="left")
        for index, column in enumerate(columns):
            table.add_column(escape(column), justify="right" if index else "left", no_wrap=True)
        for row in rows:
            table.add_row(*map(escape, row))
        self._whole(table)

    def _whole(self, table: Table) -> None:
        # As wide as its rows are: what reads a log finds each in one line, with all its letters.
        wide = self.console.options.update(max_width=_WIDEST)
        table.width = Measurement.get(self.console, wide, table).maximum
        self.console.print(table, crop=False)


def _score(name: str, score: dict[str, Any] | None) -> str:
    if score is None:
        return ""
    if ratings.is_share(name):
        return percent(score)
    seeds = f" ± {score['std']:.3f}" if len(score["per_seed"]) > 1 else ""
    folds = f" (folds ± {score['std_folds']:.3f})" if "std_folds" in score else ""
    return f"{score['mean']:.3f}" + seeds + folds


def _mean(values: np.ndarray, alive: np.ndarray, factor: float = 1.0) -> str:
    # Of the seeds that train on: one that stopped in all its heads shows nothing more.
    means = np.where(alive, values, 0).sum(0) / np.maximum(alive.sum(0), 1)
    return "/".join(
        f"{factor * x:.3g}" if any_ else "-" for x, any_ in zip(means, alive.any(0), strict=True)
    )
