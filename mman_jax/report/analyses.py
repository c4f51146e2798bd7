"""Tables beyond the paper's: tests, positions, ablations, and what the synthetic corpus tells."""

import functools

from mman_jax.evaluation.evidence import CHANCE, LABELS
from mman_jax.report import measure, tables
from mman_jax.report.document import Table
from mman_jax.report.numbers import (
    NONE,
    count,
    p_value,
    percent,
    span,
)
from mman_jax.report.tables import Results, of_group, title

_BESIDE = {CHANCE: "chance: answers drawn as often as the labels", LABELS: "the labels themselves"}


def comparisons(results: Results) -> Table:
    """Paired tests of two systems on the same utterances."""
    told = measure.of(results)
    voted = told.key == "accuracy"
    rows = tuple(
        (
            title(results, pair["first"]),
            title(results, pair["second"]),
            told.difference(pair["difference"]),
            span(pair["interval"], told.difference),
            p_value(pair["p_bootstrap"]),
            *((p_value(pair["p_mcnemar"]), count(pair["only_first"]), count(pair["only_second"]))
              if voted else ()),
        )
        for pair in results["comparisons"]
    )  # fmt: skip
    head = ("first", "second", "difference", "95 % interval", "p (bootstrap)")
    if voted:
        head += ("p (McNemar)", "only the first right", "only the second right")
    return Table(
        "comparisons",
        f"Paired tests on the test part: {told.better}.",
        head,
        rows,
        words=(0, 1),
    )


def bin_names(results: Results) -> list[str]:
    """What the bins of positions are called: "1", "2 to 5", "21 on"."""
    names = []
    for each in results["positions"]["bins"]:
        first, last = each["from"], each["to"]
        if last is None:
            names.append(f"{first} on")
        else:
            names.append(str(first) if first == last else f"{first} to {last}")
    return names


def positions(results: Results) -> Table:
    """Accuracy by the place of the utterance in its conversation."""
    bins = results["positions"]["bins"]
    rows = [
        (title(results, name), *(percent(share) for share in shares))
        for name, shares in results["positions"]["accuracy"].items()
    ]
    rows.append(("utterances", *(count(each["utterances"]) for each in bins)))
    return Table(
        "positions_table",
        "Test accuracy by the utterance's place in its conversation, per cent.",
        ("system", *bin_names(results)),
        tuple(rows),
        folded="The numbers behind the figure",
    )


def folds(results: Results) -> tuple[Table, ...]:
    """Every system's score on every fold, and what the folds hold; of no folds nothing."""
    told = measure.of(results)
    systems = {n: s for n, s in results["systems"].items() if "folds" in s}
    if not systems:
        return ()
    first = next(iter(systems.values()))["folds"]
    rows = []
    for name, system in systems.items():
        test = system["test"][told.key]
        each = map(told.value, test["per_fold"])
        pooled = (told.value(test[what]) for what in ("mean", "std", "std_folds"))
        rows.append((title(results, name), *each, *pooled))
    sizes = tuple(
        (
            fold["name"],
            *(
                count(fold["sizes"][part][what])
                for part in tables.PARTS
                for what in ("conversations", "utterances")
            ),
        )
        for fold in first
    )
    heads = [
        f"{part}, {what}"
        for part in ("training", "validation", "test")
        for what in ("conversations", "scored utterances")
    ]
    return (
        Table(
            "folds",
            f"Test {told.called} of every fold{told.unit}, the mean over the seeds; then of all "
            "folds together, with its deviation over the seeds and that of the folds' means.",
            ("system", *(fold["name"] for fold in first), "all", "± over seeds", "± over folds"),
            tuple(rows),
        ),
        Table("fold_sizes", "What the folds hold.", ("fold", *heads), sizes),
    )


def ablations(results: Results) -> Table:
    """Variants, each against the system that it varies."""
    told = measure.of(results)
    rows = []
    for name, system in of_group(results, "ablation").items():
        baseline = system["baseline"]
        difference, interval, p = _against(results, name, baseline)
        rows.append(
            (
                system["title"],
                system["about"],
                count(system["parameters"]["total"]),
                told.spread(system["test"][told.key]),
                title(results, baseline) if baseline else NONE,
                told.difference(difference),
                span(interval, told.difference),
                p_value(p),
            )
        )
    difference = (
        "the difference to the system varied, in points"
        if told.key == "accuracy"
        else "how much smaller it is than that of the system varied"
    )
    return Table(
        "ablations",
        f"Ablations: test {told.said}{told.unit}, mean ± deviation over the seeds, and "
        f"{difference}.",
        ("variant", "what differs", "parameters", told.called, "varies", "difference",
         "95 % interval", "p (bootstrap)"),
        tuple(rows),
        words=(0, 1, 4),
    )  # fmt: skip


def missing(results: Results) -> Table:
    """The score where a modality is withheld at test time."""
    told = measure.of(results)
    change = functools.partial(told.difference, digits=1 if told.key == "accuracy" else 3)
    modalities = list(dict.fromkeys(m for of in results["missing"].values() for m in of))
    rows = []
    for name, of_system in results["missing"].items():
        whole = results["systems"][name]["test"][told.key]
        cells = []
        for modality in modalities:
            score = of_system.get(modality)
            if score is None:
                cells.append(NONE)
                continue
            score = score[told.key]
            cells.append(f"{told.spread(score)} ({change(told.gain(score, whole))})")
        rows.append((title(results, name), told.spread(whole), *cells))
    return Table(
        "missing",
        f"Test {told.said} with one modality missing at test time{told.unit}, mean ± deviation "
        "over the seeds; in brackets how much better that is than with all modalities"
        + (", in points." if told.key == "accuracy" else "."),
        ("system", "all modalities", *(f"without {name}" for name in modalities)),
        tuple(rows),
    )


def evidence(results: Results) -> Table:
    """SYNTHETIC corpus: how much of each kind of evidence a system used."""
    synthetic = results["synthetic"]
    kinds = synthetic["kinds"]
    of_systems = {title(results, name): of for name, of in synthetic["evidence"].items()}
    beside = {  # results of an earlier version have none
        _BESIDE[name]: of for name, of in synthetic.get("evidence_beside", {}).items()
    }
    rows = tuple(
        (name, *(percent(of.get(kind)) for kind in kinds))
        for name, of in (of_systems | beside).items()
    )
    return Table(
        "evidence",
        "SYNTHETIC corpus: how much of each kind of evidence a system used. Of the utterances on "
        "which the exact filter and one that lacks the kind differ: how often the system sides "
        "with the first, in per cent of when it sides with either. 100 is the exact filter, 0 the "
        "one that lacks the kind and uses all else; a system without the kind that uses only some "
        "of the rest is between 0 and chance.",
        ("system", *kinds),
        rows,
        notes=tuple(f"{kind}: {about}" for kind, about in kinds.items()),
    )


def _against(results: Results, name: str, baseline: str | None) -> tuple:
    for pair in results["comparisons"]:
        if (pair["first"], pair["second"]) == (name, baseline):
            return pair["difference"], pair["interval"], pair["p_bootstrap"]
        if (pair["first"], pair["second"]) == (baseline, name):
            low, high = pair["interval"]
            return -pair["difference"], [-high, -low], pair["p_bootstrap"]
    return None, None, None
