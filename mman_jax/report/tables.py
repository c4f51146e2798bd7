"""The paper's tables, from the results of all systems."""

from collections.abc import Mapping, Sequence

import numpy as np

from mman_jax.data.label_names import TABLE_1
from mman_jax.report import figures, published
from mman_jax.report.document import Cell, Table
from mman_jax.report.phrases import (
    Results,
    count,
    headline,
    interval,
    interval_note,
    of_group,
    p_value,
    seconds,
    span,
    title,
)
from mman_jax.tasks import from_results
from mman_jax.tasks.score import NONE, Score, percent, spread

PARTS = ("train", "valid", "test")
FOLDS = (
    "The answers of all folds are scored together for each seed. The first deviation is over the "
    "seeds, the second one over the folds."
)


def systems(results: Results) -> tuple[Table, ...]:
    """Builds the tables of the systems' scores."""
    return (_paper_systems if published.is_comparable(results) else _scored_systems)(results)


def claims(results: Results) -> Table:
    """Builds the table of the paper's claims and their verdicts."""
    score = headline(results)
    rows = tuple(
        (
            claim["claim"],
            Cell(claim["verdict"], claim["verdict"]),
            f"{title(results, claim['first'])} over {title(results, claim['second'])}",
            score.write_gain(claim["difference"]),
            span(claim["interval"], score.write_gain),
            p_value(claim["p"]),
            claim["note"],
        )
        for claim in results["claims"]
    )
    how = (
        "Differences of test accuracy in points"
        if score.is_share
        else f"Reduction of {score.phrase} by the first system"
    )
    return Table(
        "claims",
        f"The paper's claims on this corpus. {how}, averaged over the seeds.",
        ("claim", "verdict", "compared", "difference", "95 % interval", "p", "note"),
        rows,
        words=(0, 1, 2, 6),
    )


def corpus(results: Results) -> Table:
    """Builds Table 1: utterances by class (or target) and part."""
    of_classes = published.is_comparable(results)
    parts, classes = results["corpus"]["parts"], results["classes"]
    sums = {
        name: sum(parts[part]["classes"].get(name, 0) for part in ("train", "valid"))
        for name in classes
    }
    paper = {
        name: tuple(published.table_1(results["protocol"], name, part) for part in TABLE_1)
        for name in classes
    }
    has_paper = results["corpus"]["iemocap"] and all(None not in pair for pair in paper.values())
    head = ["class" if of_classes else "target", "training", "validation", "test"]
    if has_paper:
        head[3:] = ["both", "the paper's training", "test", "the paper's test"]

    def row(
        name: str, of_part: Mapping[str, int], both: int, theirs: Sequence[int | None]
    ) -> tuple:
        train, valid, test = (of_part[part] for part in PARTS)
        if not has_paper:
            return (name, count(train), count(valid), count(test))
        numbers = [train, valid, both, theirs[0], test, theirs[1]]
        return (name, *(count(number) for number in numbers))

    rows = [
        row(name, {part: parts[part]["classes"].get(name, 0) for part in PARTS}, sums[name], theirs)
        for name, theirs in paper.items()
    ]
    scored = {part: sum(parts[part]["classes"].values()) for part in PARTS}
    unscored = {part: parts[part]["utterances"] - scored[part] for part in PARTS}
    if of_classes and any(unscored.values()):
        both = unscored["train"] + unscored["valid"]
        rows.append(row("without a scored label", unscored, both, (None, None)))
    totals = tuple(sum(counts) for counts in TABLE_1.values())
    for unit, theirs in (("utterances", totals), ("conversations", (None, None))):
        numbers = {part: parts[part][unit] for part in PARTS}
        rows.append(row(f"all {unit}", numbers, numbers["train"] + numbers["valid"], theirs))
    notes = []
    if has_paper:
        tests = {name: parts["test"]["classes"].get(name, 0) for name in classes}
        wrong = [name for name in classes if (sums[name], tests[name]) != paper[name]]
        notes.append(
            f"Differs from the paper's Table 1: {', '.join(wrong)}."
            if wrong
            else "The counts are those of the paper's Table 1."
        )
    caption = "Table 1: the utterances of the corpus by class and part."
    if not of_classes:
        caption = "The rated utterances of the corpus by target and part."
    return Table("corpus", caption, tuple(head), tuple(rows), notes=tuple(notes))


def _ensemble(system: Results, score: Score) -> str:
    ensemble = system.get("ensemble")
    return score.write(ensemble["test"][score.key]["mean"]) if ensemble else NONE


def _paper_systems(results: Results) -> tuple[Table, ...]:
    """Builds Table 2: parameters and scores of the paper's systems."""
    chosen = of_group(results, "paper")
    best = max((s["test"]["accuracy"]["mean"] for s in chosen.values()), default=None)
    rows = []
    for name, system in (chosen | of_group(results, "baseline")).items():
        test, parameters = system["test"], system["parameters"]
        accuracy = spread(test["accuracy"])
        rows.append(
            (
                system["title"],
                count(parameters["total"]),
                count(parameters["trainable"]),
                Cell(accuracy, "strong") if test["accuracy"]["mean"] == best else accuracy,
                span(interval(system, "accuracy")),
                spread(test["unweighted_recall"]),
                spread(test["weighted_f1"]),
                _ensemble(system, headline(results)),
                spread(system["validation"]["accuracy"]),
                seconds(system["seconds"]),
                *published.TABLE_2.get(name, (NONE, NONE)),
            )
        )
        if "towers_mean" in system:
            test, valid = (system["towers_mean"][part] for part in ("test", "validation"))
            uar, f1 = spread(test["unweighted_recall"]), spread(test["weighted_f1"])
            ends = span(test["accuracy"].get("interval"))
            own = (spread(test["accuracy"]), ends, uar, f1, "", spread(valid["accuracy"]), "")
            rows.append((f"mean of the towers of {system['title']}", "", "", *own, NONE, NONE))

    def bound(name: str, share: float) -> tuple:
        return (name, "", "", percent(share), *[""] * 8)

    rows.append(bound("majority answer", results["majority_accuracy"]))
    if results["synthetic"]:
        late = results["synthetic"]["ceiling_late_fusion"]
        rows.append(bound("best possible of late fusion", late))
        rows.append(bound("best possible", results["synthetic"]["ceiling"]))
    names = from_results(results).score_names()
    table = Table(
        "systems",
        "Table 2: the systems of the paper. Scores of the test part in per cent, mean ± deviation "
        "over the seeds; in bold the highest mean. The ensemble answers by the mean of all seeds' "
        "probabilities.",
        ("system", "parameters", "trained in the last stage", names["accuracy"], "95 % interval",
         names["unweighted_recall"], names["weighted_f1"], f"ensemble {names['accuracy']}",
         f"validation {names['accuracy']}",
         "seconds to train", "the paper's, on IEMOCAP", "parameters there (million)"),
        tuple(rows),
        notes=(
            *([FOLDS] if any("folds" in s for s in chosen.values()) else ()),
            f"{interval_note(results, names['accuracy'])} The paper's Table 2 has no row for the "
            f"systems marked {NONE}.",
            *([published.WA_UA] if names["accuracy"] == "WA" else ()),
        ),
    )  # fmt: skip
    return (table,)


def tasks(results: Results) -> Table:
    """Builds Table 3: one class against the rest."""
    names = list(dict.fromkeys(task for scores in results["tasks"].values() for task in scores))
    published_tasks = published.TABLE_3 | published.TABLE_3_CITED
    rows = []
    for task in names:
        for system, of_system in results["tasks"].items():
            if task not in of_system:
                continue
            scores = of_system[task]
            always = published.ALL_NO_CITED if system in published.CITED else published.ALL_NO_PAPER
            there = (NONE, NONE)
            if task in published.TASKS and system in published_tasks:
                index = published.TASKS.index(task)
                there = (published_tasks[system][index], always[index])
            rows.append(
                (
                    task,
                    title(results, system),
                    count(scores["utterances"]),
                    spread(scores["accuracy"]),
                    percent(scores["no_accuracy"]),
                    spread(scores["f1"]),
                    *there,
                )
            )
    return Table(
        "tasks",
        "Table 3: one class against the rest: test part, per cent, mean ± deviation over seeds.",
        ("class", "system", "utterances", "accuracy", "always “no”", "F1 of the class",
         "published, on IEMOCAP", "always “no” there"),
        tuple(rows),
        words=(0, 1),
    )  # fmt: skip


def confusion_counts(results: Results) -> Table:
    """Builds the table of the counts of Figure 3, summed over the seeds."""
    rows, notes = [], []
    for system in of_group(results, "paper").values():
        counts = np.asarray(system["test"]["confusion"])
        shares = figures.recalls(counts)
        for index, name in enumerate(results["classes"]):
            numbers = [*counts[index].tolist(), int(counts[index].sum())]
            recall = percent(shares[index, index], 2)
            rows.append((system["title"], name, *(count(number) for number in numbers), recall))
        right, total = int(np.trace(counts)), int(counts.sum())
        share = percent(right / max(total, 1), 2)
        notes.append(f"{system['title']}: {count(right)} of {count(total)} right, {share} %.")
    seeds = len(results["seeds"])
    return Table(
        "confusion_counts",
        "Answers of the test part" + (f", summed over {seeds} seeds." if seeds > 1 else "."),
        ("system", "true", *(f"as {name}" for name in results["classes"]), "all", "recall, %"),
        tuple(rows),
        words=(0, 1),
        notes=tuple(notes),
        folded="The counts behind the figure",
    )


def _scored_systems(results: Results) -> tuple[Table, ...]:
    """Builds the tables of every score of every system, and of single targets."""
    task, chosen, first = from_results(results), results["systems"], headline(results)
    names = task.score_names(next(iter(chosen.values()))["test"])
    scores = {key: task.describe_score(key) for key in names}
    best = min(system["test"][first.key]["mean"] for system in chosen.values())
    rows = []
    for system in chosen.values():
        test = system["test"]
        cells: list[str | Cell] = [score.write_spread(test[key]) for key, score in scores.items()]
        if test[first.key]["mean"] == best:
            cells[0] = Cell(first.write_spread(test[first.key]), "strong")
        rows.append(
            (
                system["title"],
                count(system["parameters"]["total"]),
                *cells,
                span(interval(system, first.key), first.write),
                _ensemble(system, first),
                first.write_spread(system["validation"][first.key]),
                seconds(system["seconds"]),
            )
        )
    constant = first.write(results[task.constant])
    rows.append((task.constant_name, "", constant, *[""] * (len(names) + 3)))
    targets = ", ".join(task.classes)
    table = Table(
        "systems",
        f"The systems on {targets}: scores of the test part, mean ± deviation over the seeds; Acc "
        "and F1 in per cent, in bold the lowest MAE. The ensemble answers by the mean of all "
        "seeds.",
        ("system", "parameters", *names.values(), "95 % interval of MAE", "ensemble MAE",
         "validation MAE", "seconds to train"),
        tuple(rows),
        notes=(
            "≥0: at least 0, or below it. No 0: above 0, or not, without utterances rated exactly "
            "0. Acc3, Acc5, Acc7: clipped to ±1, ±2, ±3 and rounded.",
        ) if "acc7" in names else (),
    )  # fmt: skip
    if len(task.classes) < 2:
        return (table,)
    rows = [
        (system["title"], name, *(scores[key].write_spread(of[key]) for key in task.required))
        for system in chosen.values()
        for name, of in system["test"]["by_target"].items()
    ]
    head = ("system", "target", *task.score_names().values())
    return table, Table("targets", "Test scores by target.", head, tuple(rows), words=(0, 1))
