"""The paper's tables, from the results of all systems."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from mman_jax.data.protocols import TABLE_1
from mman_jax.evaluation.metrics import names as score_names
from mman_jax.report import confusion, measure, published
from mman_jax.report.document import Cell, Table
from mman_jax.report.numbers import NONE, count, p_value, percent, seconds, span, spread

Results = Mapping[str, Any]
PARTS = ("train", "valid", "test")
FOLDS = (
    "All folds' answers are scored together, seed by seed. The first deviation is over the seeds, "
    "the second one over the folds."
)


def of_group(results: Results, group: str) -> dict[str, Results]:
    """The systems of a group, in their order."""
    return {k: system for k, system in results["systems"].items() if system["group"] == group}


def title(results: Results, name: str) -> str:
    """What a system is called."""
    system = results["systems"].get(name)
    return system["title"] if system else name


def identifier(name: str) -> str:
    """A system's name as part of the name of a table or a picture."""
    return "".join(c if c.isascii() and c.isalnum() else "_" for c in name)


def place(results: Results) -> str:
    """Where the corpus came from."""
    made = results["synthetic"] is not None
    return "the built-in SYNTHETIC corpus" if made else results["corpus"]["path"]


def claims(results: Results) -> Table:
    """Each claim of the paper, and whether it holds here."""
    told = measure.of(results)
    rows = tuple(
        (
            claim["claim"],
            Cell(claim["verdict"], claim["verdict"]),
            f"{title(results, claim['first'])} over {title(results, claim['second'])}",
            told.difference(claim["difference"]),
            span(claim["interval"], told.difference),
            p_value(claim["p"]),
            claim["note"],
        )
        for claim in results["claims"]
    )
    how = (
        "Differences of test accuracy in points"
        if told.key == "accuracy"
        else f"How much smaller the first system's {told.said} is"
    )
    return Table(
        "claims",
        f"The paper's claims on this corpus. {how}, averaged over the seeds.",
        ("claim", "verdict", "compared", "difference", "95 % interval", "p", "note"),
        rows,
        words=(0, 1, 2, 6),
    )


def corpus(results: Results) -> Table:
    """Table 1: utterances a class and part."""
    parts, classes = results["corpus"]["parts"], results["classes"]
    sums = {
        name: sum(parts[part]["classes"].get(name, 0) for part in ("train", "valid"))
        for name in classes
    }
    paper = {
        name: tuple(published.table_1(results["protocol"], name, part) for part in TABLE_1)
        for name in classes
    }
    beside = results["corpus"]["iemocap"] and all(None not in pair for pair in paper.values())
    head = ["class", "training", "validation", "test"]
    if beside:
        head[3:] = ["both", "the paper's training", "test", "the paper's test"]

    def row(
        name: str, of_part: Mapping[str, int], both: int, theirs: Sequence[int | None]
    ) -> tuple:
        train, valid, test = (of_part[part] for part in PARTS)
        if not beside:
            return (name, count(train), count(valid), count(test))
        shown = [train, valid, both, theirs[0], test, theirs[1]]
        return (name, *(count(number) for number in shown))

    rows = [
        row(name, {part: parts[part]["classes"].get(name, 0) for part in PARTS}, sums[name], theirs)
        for name, theirs in paper.items()
    ]
    scored = {part: sum(parts[part]["classes"].values()) for part in PARTS}
    unscored = {part: parts[part]["utterances"] - scored[part] for part in PARTS}
    if any(unscored.values()):
        both = unscored["train"] + unscored["valid"]
        rows.append(row("without a scored label", unscored, both, (None, None)))
    totals = tuple(sum(counts) for counts in TABLE_1.values())
    for what, theirs in (("utterances", totals), ("conversations", (None, None))):
        numbers = {part: parts[part][what] for part in PARTS}
        rows.append(row(f"all {what}", numbers, numbers["train"] + numbers["valid"], theirs))
    notes = []
    if beside:
        tests = {name: parts["test"]["classes"].get(name, 0) for name in classes}
        wrong = [name for name in classes if (sums[name], tests[name]) != paper[name]]
        notes.append(
            f"Differs from the paper's Table 1: {', '.join(wrong)}."
            if wrong
            else "The counts are those of the paper's Table 1."
        )
    return Table(
        "corpus",
        "Table 1: the corpus as it was read, utterances a class and part.",
        tuple(head),
        tuple(rows),
        notes=tuple(notes),
    )


def _ensemble(system: Results) -> str:
    found = system.get("ensemble")
    return percent(found["test"]["accuracy"]["mean"]) if found else NONE


def systems(results: Results) -> Table:
    """Table 2: parameters and scores of the paper's systems."""
    chosen = of_group(results, "paper")
    best = max((s["test"]["accuracy"]["mean"] for s in chosen.values()), default=None)
    rows = []
    for name, system in chosen.items():
        test, parameters = system["test"], system["parameters"]
        accuracy = spread(test["accuracy"])
        rows.append(
            (
                system["title"],
                count(parameters["total"]),
                count(parameters["trainable"]),
                Cell(accuracy, "strong") if test["accuracy"]["mean"] == best else accuracy,
                span(system["interval"]),
                spread(test["unweighted_recall"]),
                spread(test["weighted_f1"]),
                _ensemble(system),
                spread(system["validation"]["accuracy"]),
                seconds(system["seconds"]),
                *published.TABLE_2.get(name, (NONE, NONE)),
            )
        )

    def bound(what: str, share: float) -> tuple:
        return (what, "", "", percent(share), *[""] * 8)

    rows.append(bound("majority answer", results["majority_accuracy"]))
    if results["synthetic"]:
        late = results["synthetic"]["ceiling_late_fusion"]
        rows.append(bound("best possible of late fusion", late))
        rows.append(bound("best possible", results["synthetic"]["ceiling"]))
    called = score_names(results["protocol"])
    return Table(
        "systems",
        "Table 2: the systems of the paper. Scores of the test part in per cent, mean ± deviation "
        "over the seeds; in bold the highest mean. The ensemble answers by the mean of all seeds' "
        "probabilities.",
        ("system", "parameters", "trained in the last stage", called["accuracy"], "95 % interval",
         called["unweighted_recall"], called["weighted_f1"], f"ensemble {called['accuracy']}",
         f"validation {called['accuracy']}",
         "seconds to train", "the paper's, on IEMOCAP", "parameters there (million)"),
        tuple(rows),
        notes=(
            *([FOLDS] if any("folds" in s for s in chosen.values()) else ()),
            f"The interval is of the mean {called['accuracy']} over the seeds. The paper's Table 2 "
            f"has no row for the systems marked {NONE}.",
            *([published.WA_UA] if called["accuracy"] == "WA" else ()),
        ),
    )  # fmt: skip


def tasks(results: Results) -> Table:
    """Table 3: one class told from the rest."""
    names = list(dict.fromkeys(task for of in results["tasks"].values() for task in of))
    published_tasks = published.TABLE_3 | published.TABLE_3_CITED
    rows = []
    for task in names:
        for system, of_system in results["tasks"].items():
            if task not in of_system:
                continue
            scores = of_system[task]
            known = task in published.TASKS and published_tasks.get(system)
            index = published.TASKS.index(task) if known else None
            always = published.ALL_NO_CITED if system in published.CITED else published.ALL_NO_PAPER
            rows.append(
                (
                    task,
                    title(results, system),
                    count(scores["utterances"]),
                    spread(scores["accuracy"]),
                    percent(scores["no_accuracy"]),
                    spread(scores["f1"]),
                    known[index] if known else NONE,
                    always[index] if known else NONE,
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
    """The counts behind Figure 3, summed over the seeds."""
    rows, notes = [], []
    for system in of_group(results, "paper").values():
        counts = np.asarray(system["test"]["confusion"])
        shares = confusion.recalls(counts)
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
