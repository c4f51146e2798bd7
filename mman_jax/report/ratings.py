"""The tables of a study of targets: numbers in place of classes."""

from mman_jax.evaluation import ratings
from mman_jax.report import tables
from mman_jax.report.document import Cell, Table
from mman_jax.report.numbers import NONE, count, number, seconds, spread
from mman_jax.report.tables import Results


def told(name: str, score: dict | None) -> str:
    """Mean ± deviation over the seeds: shares in per cent, all others as they are."""
    return spread(score) if ratings.is_share(name) else spread(score, number)


def named(results: Results) -> str:
    """The targets, as a phrase."""
    return ", ".join(target["name"] for target in results["targets"])


def systems(results: Results) -> Table:
    """Every score of every system."""
    chosen = results["systems"]
    called = ratings.names(next(iter(chosen.values()))["test"])
    best = min(system["test"]["mae"]["mean"] for system in chosen.values())
    rows = []
    for system in chosen.values():
        test = system["test"]
        cells = [told(name, test[name]) for name in called]
        if test["mae"]["mean"] == best:
            cells[0] = Cell(cells[0], "strong")
        interval = " to ".join(number(end) for end in system["interval"])
        together = system.get("ensemble")
        ensemble = number(together["test"]["mae"]["mean"]) if together else NONE
        rows.append(
            (system["title"], count(system["parameters"]["total"]), *cells, interval, ensemble,
             told("mae", system["validation"]["mae"]), seconds(system["seconds"]))
        )  # fmt: skip
    mean = number(results["mean_answer_mae"])
    rows.append(("mean of training", "", mean, *[""] * (len(called) + 3)))
    return Table(
        "systems",
        f"The systems on {named(results)}: scores of the test part, mean ± deviation over the "
        "seeds; Acc and F1 in per cent, in bold the lowest MAE. The ensemble answers by the mean "
        "of all seeds.",
        ("system", "parameters", *called.values(), "95 % interval of MAE", "ensemble MAE",
         "validation MAE", "seconds to train"),
        tuple(rows),
        notes=(
            "≥0: at least 0, or below it. No 0: above 0, or not, without utterances rated exactly "
            "0. Acc3, Acc5, Acc7: clipped to ±1, ±2, ±3 and rounded.",
        ) if "acc7" in called else (),
    )  # fmt: skip


def targets(results: Results) -> tuple[Table, ...]:
    """The scores by target, of several."""
    if len(results["targets"]) < 2:
        return ()
    rows = [
        (system["title"], name, *(told(m, of[m]) for m in ratings.MEASURES))
        for system in results["systems"].values()
        for name, of in system["test"]["by_target"].items()
    ]
    head = ("system", "target", *ratings.names(ratings.MEASURES).values())
    return (Table("targets", "Test scores by target.", head, tuple(rows), words=(0, 1)),)


def corpus(results: Results) -> Table:
    """How many utterances of each part have each target."""
    parts = results["corpus"]["parts"]
    rows = [
        (name, *(count(parts[part]["classes"][name]) for part in tables.PARTS))
        for name in results["classes"]
    ]
    for what in ("utterances", "conversations"):
        rows.append((f"all {what}", *(count(parts[part][what]) for part in tables.PARTS)))
    return Table(
        "corpus",
        "The corpus as it was read: utterances that are rated, by target and part.",
        ("target", "training", "validation", "test"),
        tuple(rows),
    )
