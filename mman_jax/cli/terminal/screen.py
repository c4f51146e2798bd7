"""The output of a command: progress bars on a terminal, plain lines in a log, and tables."""

import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from rich import progress as bars
from rich.console import Console
from rich.markup import escape
from rich.measure import Measurement
from rich.table import Table

from mman_jax.report.phrases import context_columns, not_better, units
from mman_jax.tasks import from_results
from mman_jax.tasks.score import Score, spread
from mman_jax.training.state import Snapshot
from mman_jax.trial.progress import Progress

_WIDEST = 1000
"""Largest width of a table, in characters."""

_SHARES = ("precision", "recall", "f1")

_MOST_GROUPS = 12
"""Largest number of groups in a table."""

Listing = tuple[str, Sequence[str], list[tuple[str, ...]]]
"""Title, columns and rows of a table."""


class Screen(Progress):
    """Writes progress to standard output; in a log, a line every few seconds at most."""

    def __init__(self, every: float = 5.0, quiet: bool = False):
        self.console = Console(highlight=False, soft_wrap=True, quiet=quiet)
        self.every, self._is_log = every, not self.console.is_terminal
        columns = (
            bars.TextColumn("{task.description}"), bars.BarColumn(bar_width=24),
            bars.TextColumn("{task.completed}/{task.total} {task.fields[scores]}"),
            bars.TimeElapsedColumn(),
        )  # fmt: skip
        # In a log, the bars are hidden and only count.
        self._progress = bars.Progress(*columns, console=self.console, disable=self._is_log)
        self._stage, self._bar, self._counter = "", bars.TaskID(0), bars.TaskID(0)
        self._began, self._printed, self._epoch = time.monotonic(), 0.0, 0

    def __enter__(self) -> "Screen":
        self._progress.start()
        return self

    def __exit__(self, *_) -> None:
        if not self._is_log:  # where some versions of rich would print an empty line
            self._progress.stop()

    def line(self, text: str) -> None:
        """Prints a line of text."""
        self.console.print(text, markup=False)

    def notice(self, text: str) -> None:
        """Prints a notice, highlighted."""
        self.console.print(f"note: {text}", style="bold yellow", markup=False)

    def epoch(self, task: str, snapshot: Snapshot, epochs: int, score: Score) -> None:
        """Shows the loss and the validation score of an epoch, as means over the seeds."""
        history, stage = snapshot.history, f"{task}, {snapshot.stage}"
        epoch = len(history.train_loss)
        alive = history.training[-1]
        loss = _mean(history.train_loss[-1], alive)
        valid = _mean(history.valid_accuracy[-1], alive, score.factor)
        valid = f"{valid} %" if score.is_share else f"{score.label} {valid}"
        training = f"{int(np.sum(alive))} of {alive.size} still training"
        scores = f"loss {loss}  valid {valid}  {training}"
        now = time.monotonic()
        fresh = stage != self._stage
        if fresh:
            self._stage, self._bar = stage, self._progress.add_task(stage, total=epochs, scores="")
        self._progress.update(self._bar, completed=epoch, scores=scores)
        is_due = fresh or now - self._printed >= self.every or epoch == epochs
        if self._is_log and is_due:
            # The pace since the last line, because epochs become faster when seeds stop.
            pace = (now - self._printed) / max(epoch - self._epoch, 1)
            times = f"  {pace:.1f} s per epoch, {now - self._began:.0f} s so far"
            self.line(f"{stage}: epoch {epoch}/{epochs}  {scores}{'' if fresh else times}")
            self._printed, self._epoch = now, epoch

    def items(self, total: int, name: str) -> None:
        """Begins to count items, with a bar on a terminal or lines in a log."""
        self._counter = self._progress.add_task(name, total=total, scores="")
        self._printed = time.monotonic()

    def advance(self) -> None:
        """Counts one item; `items` must be called first."""
        self._progress.advance(self._counter)
        if self._is_log and self._due():
            items = self._progress.tasks[self._counter]
            self.line(f"{items.completed} of {items.total} {items.description}")

    def network(self, name: str, epoch: int, loss: float) -> None:
        """Shows an epoch of an auxiliary network."""
        if self._due():
            self.line(f"{name} network: epoch {epoch}, loss {loss:.3g}")

    def _due(self) -> bool:
        now = time.monotonic()
        if now - self._printed < self.every:
            return False
        self._printed = now
        return True

    def table(self, results: dict[str, Any]) -> None:
        """Shows the scores of a trial."""
        system = results["system"]
        if "tasks" in results:
            for name, scores in results["tasks"].items():
                self._scores(f"{system}, {name} or not", system, scores, name)
        else:
            task = from_results(results)
            title = task.title.format(protocol=results["protocol"], names=", ".join(task.classes))
            self._scores(f"{system}, {title}", system, results)
        if "ceiling" in results:
            self.line(
                f"synthetic corpus: the best possible accuracy is {100 * results['ceiling']:.1f} %,"
                f" of late fusion {100 * results['ceiling_late_fusion']:.1f} %"
            )

    def _scores(self, title: str, system: str, results: dict[str, Any], name: str = "") -> None:
        task, test = from_results(results, name), results["test"]
        heads = [results, *results["towers"].values()]
        linear = [("linear baseline", results["baseline"])] if "baseline" in results else []
        # Results of earlier versions lack some scores.
        keys = [k for k in task.score_names(test) if all(k in head["test"] for head in heads)]
        scores = {s.key: s for s in map(task.describe_score, keys) if s.is_brief}
        first, *_ = scores.values()
        towers = [(f"tower {name}", tower) for name, tower in results["towers"].items()]
        if "towers_mean" in results:
            towers.append(("mean of the towers", results["towers_mean"]))
        rows = [
            (
                name,
                *(score.write_spread(head["test"].get(key), True) for key, score in scores.items()),
                first.write_spread(head["validation"][first.key]),
            )
            for name, head in [*(towers if len(towers) > 1 else ()), (system, results), *linear]
        ]
        if len(test[first.key]["per_seed"]) > 1 and "ensemble" in results:
            ensemble = results["ensemble"]["test"]
            means = [score.write(ensemble[key]["mean"]) for key, score in scores.items()]
            rows.append(("ensemble of the seeds", *means, ""))
        for target, values in test.get("by_target", {}).items():
            cells = [
                score.write_spread(values[key]) if key in values else ""
                for key, score in scores.items()
            ]
            rows.append((f"target {target}", *cells, ""))
        constant = first.write(test[task.constant])
        rows.append((task.constant_name, constant, *[""] * len(scores)))
        labels = [score.label for score in scores.values()]
        valid = "valid." if first.is_share else f"valid. {first.label}"
        unit = "per cent" if first.is_share else ""
        self.listing(title, (unit, f"test {labels[0]}", *labels[1:], valid), rows)
        if "interval" in test[first.key]:
            self.line(f"95 % intervals in brackets: {units(results)} resampled")
        for listing in detail_tables(results):
            self.listing(*listing)
        for _, baseline in linear if "interval" in test[first.key] else ():
            difference = baseline["difference"]
            pair = results | {"title": system}, baseline, difference[first.key], difference
            for sentence in not_better(first, *pair, units(results)):
                self.line(sentence)

    def listing(self, title: str, columns: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
        """Prints a table; all columns but the first are aligned to the right."""
        table = Table(title=escape(title), title_justify="left")
        for index, column in enumerate(columns):
            table.add_column(escape(column), justify="right" if index else "left", no_wrap=True)
        for row in rows:
            table.add_row(*map(escape, row))
        # The table is as wide as its rows, so that each row is one line, also in a log.
        wide = self.console.options.update(max_width=_WIDEST)
        table.width = Measurement.get(self.console, wide, table).maximum
        self.console.print(table, crop=False)


def _mean(values: np.ndarray, alive: np.ndarray, factor: float = 1.0) -> str:
    # Only seeds that are still training count; a head without such seeds is shown as "-".
    means = np.where(alive, values, 0).sum(0) / np.maximum(alive.sum(0), 1)
    return "/".join(
        f"{factor * x:.3g}" if any_ else "-" for x, any_ in zip(means, alive.any(0), strict=True)
    )


def detail_tables(scores: Mapping[str, Any]) -> Iterator[Listing]:
    """Yields the tables that the results have data for.

    Args:
        scores: scores of one task, as in `results.json`.
    """
    if "per_class" in scores["test"]:
        yield _class_table(scores)
    if "calibration" in scores["test"]:
        yield _calibration_table(scores)
    if columns := context_columns(from_results(scores).headline, scores):
        head, scored, cut = zip(*columns, strict=True)
        rows = [("test", *scored), ("utterances with more before them", *cut)]
        yield "test, by the utterances of context", ("", *head), rows
    for name, compared in scores.get("groups", {}).items():
        yield _group_table(name, compared)


def _group_table(name: str, compared: Mapping[str, Any]) -> Listing:
    groups = compared["groups"]
    largest = sorted(groups, key=lambda group: -groups[group]["utterances"])[:_MOST_GROUPS]
    rows = [
        (
            group,
            *(spread(groups[group][score]) for score in ("accuracy", "unweighted_recall")),
            *(str(groups[group][count]) for count in ("utterances", "conversations")),
        )
        for group in sorted(largest)
    ]
    gap = compared["gap"]
    if gap:
        low, high = (f"{100 * end:+.1f}" for end in gap["interval"])
        points = f"{100 * gap['difference']:+.1f} ({low} to {high})"
        rows.append((f"gap: {gap['first']} over {gap['second']}", points, "", "", ""))
    title = f"test, by {name}"
    if len(groups) > _MOST_GROUPS:
        title += f": the {_MOST_GROUPS} largest of {len(groups)}"
    if compared["left_out"]:
        title += f"; {len(compared['left_out'])} with one conversation are not in the gap"
    columns = ("per cent", "accuracy", "unweighted recall", "utterances", "conversations")
    return title, columns, rows


def _calibration_table(scores: Mapping[str, Any]) -> Listing:
    parts = {"validation": scores["validation"], "test": scores["test"]}
    rows = [
        (part, *(f"{100 * scored['calibration'][when]:.1f}" for when in ("before", "after")))
        for part, scored in parts.items()
        if "calibration" in scored
    ]
    temperature = f"temperature {scores['test']['calibration']['temperature']:.2f}"
    title = "expected calibration error of the seeds' mean probabilities"
    return title, ("per cent", "uncalibrated", temperature), rows


def _class_table(scores: Mapping[str, Any]) -> Listing:
    rows = [
        (name, *(spread(scored[share]) for share in _SHARES), str(scored["support"]))
        for name, scored in zip(scores["classes"], scores["test"]["per_class"], strict=True)
    ]
    return "test, by class", ("per cent", "precision", "recall", "F1", "utterances"), rows
