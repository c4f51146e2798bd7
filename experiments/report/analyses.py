"""Tables beyond the paper's: tests, positions, ablations, and what the synthetic corpus tells."""

from experiments.report import tables
from experiments.report.document import Table
from experiments.report.numbers import NONE, count, p_value, percent, points, span, spread
from experiments.report.tables import Results, of_group, title
from mman_jax.evaluation.evidence import CHANCE, LABELS
from mman_jax.evaluation.metrics import names as score_names

_BESIDE = {CHANCE: "chance: answers drawn as often as the labels", LABELS: "the labels themselves"}


def comparisons(results: Results) -> Table:
    """Paired tests of two systems on the same utterances."""
    rows = tuple(
        (
            title(results, pair["first"]),
            title(results, pair["second"]),
            points(pair["difference"]),
            span(pair["interval"], points),
            p_value(pair["p_bootstrap"]),
            p_value(pair["p_mcnemar"]),
            count(pair["only_first"]),
            count(pair["only_second"]),
        )
        for pair in results["comparisons"]
    )
    return Table(
        "comparisons",
        "Paired tests on the test part: the first system's accuracy less the second's, in points.",
        ("first", "second", "difference", "95 % interval", "p (bootstrap)", "p (McNemar)",
         "only the first right", "only the second right"),
        rows,
        words=(0, 1),
    )  # fmt: skip


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
    """Every system's accuracy on every fold, and what the folds hold; of no folds nothing."""
    called = score_names(results["protocol"])["accuracy"]
    systems = {n: s for n, s in results["systems"].items() if "folds" in s}
    if not systems:
        return ()
    first = next(iter(systems.values()))["folds"]
    rows = []
    for name, system in systems.items():
        test = system["test"]["accuracy"]
        each = (percent(share) for share in test["per_fold"])
        pooled = (percent(test["mean"]), percent(test["std"]), percent(test["std_folds"]))
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
            f"Test {called} of every fold, per cent, the mean over the seeds; then of all folds "
            "together, with its deviation over the seeds and that of the folds' means.",
            ("system", *(fold["name"] for fold in first), "all", "± over seeds", "± over folds"),
            tuple(rows),
        ),
        Table("fold_sizes", "What the folds hold.", ("fold", *heads), sizes),
    )


def selection(results: Results) -> Table:
    """What picking the epoch on the test part would have added."""
    rows = []
    for system in results["systems"].values():
        test, oracle = system["test"]["accuracy"], system["test_oracle"]["accuracy"]
        rows.append(
            (
                system["title"],
                spread(test),
                spread(oracle),
                points(oracle["mean"] - test["mean"], 1),
                _range(system["best_epoch"]),
            )
        )
    return Table(
        "selection",
        "The cost of selecting on the test part: test accuracy in per cent, mean ± deviation over "
        "the seeds.",
        ("system", "epoch picked on validation", "epoch picked on test", "gain in points",
         "epochs kept"),
        tuple(rows),
        notes=("The second column decides nothing here; it tells how such figures flatter.",),
    )  # fmt: skip


def ablations(results: Results) -> Table:
    """Variants, each against the system that it varies."""
    rows = []
    for name, system in of_group(results, "ablation").items():
        baseline = system["baseline"]
        difference, interval, p = _against(results, name, baseline)
        rows.append(
            (
                system["title"],
                system["about"],
                count(system["parameters"]["total"]),
                spread(system["test"]["accuracy"]),
                title(results, baseline) if baseline else NONE,
                points(difference),
                span(interval, points),
                p_value(p),
            )
        )
    return Table(
        "ablations",
        "Ablations: test accuracy in per cent, mean ± deviation over the seeds, and the difference "
        "to the system varied, in points.",
        ("variant", "what differs", "parameters", "accuracy", "varies", "difference",
         "95 % interval", "p (bootstrap)"),
        tuple(rows),
        words=(0, 1, 4),
    )  # fmt: skip


def missing(results: Results) -> Table:
    """Accuracy where a modality is withheld at test time."""
    modalities = list(dict.fromkeys(m for of in results["missing"].values() for m in of))
    rows = []
    for name, of_system in results["missing"].items():
        whole = results["systems"][name]["test"]["accuracy"]
        cells = []
        for modality in modalities:
            score = of_system.get(modality)
            if score is None:
                cells.append(NONE)
                continue
            score = score["accuracy"]
            cells.append(f"{spread(score)} ({points(score['mean'] - whole['mean'], 1)})")
        rows.append((title(results, name), spread(whole), *cells))
    return Table(
        "missing",
        "Test accuracy with one modality missing at test time, per cent, mean ± deviation over the "
        "seeds; in brackets the difference to all modalities, in points.",
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


def _range(epochs: list[int]) -> str:
    low, high = min(epochs), max(epochs)
    return str(low) if low == high else f"{low} to {high}"


def _against(results: Results, name: str, baseline: str | None) -> tuple:
    for pair in results["comparisons"]:
        if (pair["first"], pair["second"]) == (name, baseline):
            return pair["difference"], pair["interval"], pair["p_bootstrap"]
        if (pair["first"], pair["second"]) == (baseline, name):
            low, high = pair["interval"]
            return -pair["difference"], [-high, -low], pair["p_bootstrap"]
    return None, None, None
