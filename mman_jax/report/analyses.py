"""Tables beyond the paper's: tests, positions, folds, ablations, selection, classes, groups."""

from collections.abc import Mapping, Sequence
from typing import Any

from mman_jax.evaluation.evidence import CHANCE, LABELS
from mman_jax.report import figures, tables
from mman_jax.report.document import Block, Figure, Table
from mman_jax.report.phrases import (
    Results,
    count,
    headline,
    identifier,
    listed,
    of_group,
    p_value,
    span,
    title,
)
from mman_jax.tasks import from_results
from mman_jax.tasks.score import NONE, percent, points, spread

_SHARES = ("precision", "recall", "f1")
_BESIDE = {CHANCE: "chance: answers drawn as often as the labels", LABELS: "the labels themselves"}


def comparisons(results: Results) -> Table:
    """Paired tests of two systems on the same utterances."""
    score = headline(results)
    voted = any("p_mcnemar" in pair for pair in results["comparisons"])
    rows = tuple(
        (
            title(results, pair["first"]),
            title(results, pair["second"]),
            score.write_gain(pair["difference"]),
            span(pair["interval"], score.write_gain),
            p_value(pair["p_bootstrap"]),
            *((p_value(pair["p_mcnemar"]), count(pair["only_first"]), count(pair["only_second"]))
              if voted else ()),
        )
        for pair in results["comparisons"]
    )  # fmt: skip
    head = ["first", "second", "difference", "95 % interval", "p (bootstrap)"]
    if voted:
        head += ["p (McNemar)", "only the first right", "only the second right"]
    return Table(
        "comparisons",
        f"Paired tests on the test part: {score.difference}.",
        tuple(head),
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
    score = headline(results)
    systems = {n: s for n, s in results["systems"].items() if "folds" in s}
    if not systems:
        return ()
    first = next(iter(systems.values()))["folds"]
    rows = []
    for name, system in systems.items():
        test = system["test"][score.key]
        each = map(score.write, test["per_fold"])
        pooled = (score.write(test[what]) for what in ("mean", "std", "std_folds"))
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
            f"Test {score.label} of every fold{score.unit}, the mean over the seeds; then of all "
            "folds together, with its deviation over the seeds and that of the folds' means.",
            ("system", *(fold["name"] for fold in first), "all", "± over seeds", "± over folds"),
            tuple(rows),
        ),
        Table("fold_sizes", "What the folds hold.", ("fold", *heads), sizes),
    )


def ablations(results: Results) -> Table:
    """Variants, each against the system that it varies."""
    score = headline(results)
    rows = []
    for name, system in of_group(results, "ablation").items():
        baseline = system["baseline"]
        difference, interval, p = _against(results, name, baseline)
        rows.append(
            (
                system["title"],
                system["about"],
                count(system["parameters"]["total"]),
                score.write_spread(system["test"][score.key]),
                title(results, baseline) if baseline else NONE,
                score.write_gain(difference),
                span(interval, score.write_gain),
                p_value(p),
            )
        )
    difference = (
        "the difference to the system varied, in points"
        if score.is_share
        else "how much smaller it is than that of the system varied"
    )
    return Table(
        "ablations",
        f"Ablations: test {score.phrase}{score.unit}, mean ± deviation over the seeds, and "
        f"{difference}.",
        ("variant", "what differs", "parameters", score.label, "varies", "difference",
         "95 % interval", "p (bootstrap)"),
        tuple(rows),
        words=(0, 1, 4),
    )  # fmt: skip


def missing(results: Results) -> Table:
    """The score where a modality is withheld at test time."""
    score = headline(results)
    digits = 1 if score.is_share else 3
    modalities = list(dict.fromkeys(m for of in results["missing"].values() for m in of))
    rows = []
    for name, of_system in results["missing"].items():
        whole = results["systems"][name]["test"][score.key]
        cells = []
        for modality in modalities:
            without = of_system.get(modality)
            if without is None:
                cells.append(NONE)
                continue
            gain = score.write_gain(score.gain(without[score.key], whole), digits)
            cells.append(f"{score.write_spread(without[score.key])} ({gain})")
        rows.append((title(results, name), score.write_spread(whole), *cells))
    return Table(
        "missing",
        f"Test {score.phrase} with one modality missing at test time{score.unit}, mean ± deviation "
        "over the seeds; in brackets how much better that is than with all modalities"
        + (", in points." if score.is_share else "."),
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


def selection(results: Results) -> Table:
    """Builds the table of what selecting the epoch on the test part would have added."""
    score = from_results(results).progress
    rows = []
    for system in results["systems"].values():
        # The epoch selected on validation, before retraining on it as well.
        picked = system.get("before_refit", system)["test"][score.key]
        oracle = system["test_oracle"][score.key]
        rows.append(
            (
                system["title"],
                score.write_spread(picked),
                score.write_spread(oracle),
                score.write_gain(score.gain(oracle, picked), 1 if score.is_share else None),
                _range(system["best_epoch"]),
            )
        )
    return Table(
        "selection",
        f"The cost of selecting on the test part: test {score.phrase}{score.unit}, mean ± "
        "deviation over the seeds.",
        ("system", "epoch picked on validation", "epoch picked on test",
         "gain in points" if score.is_share else "gain", "epochs kept"),
        tuple(rows),
        notes=("The second column decides nothing here; it tells how such figures flatter.",),
    )  # fmt: skip


def refit(results: Results) -> tuple[Table, ...]:
    """What training again on training and validation together added; where none did nothing."""
    score = headline(results)
    again = [s for s in results["systems"].values() if score.key in _before(s)]
    if not again:
        return ()
    rows = []
    for system in again:
        before, after = _before(system)[score.key], system["test"][score.key]
        gain = score.write_gain(score.gain(after, before))
        rows.append((system["title"], score.write_spread(before), score.write_spread(after), gain))
    return (
        Table(
            "refit",
            f"Training again on training and validation together, for the steps that were chosen: "
            f"test {score.phrase}{score.unit}, mean ± deviation over the seeds.",
            ("system", "as chosen", "trained again", "better by"),
            tuple(rows),
        ),
    )


def _before(system: Results) -> Results:
    return system.get("before_refit", {}).get("test", {})


def _range(epochs: list[int]) -> str:
    low, high = min(epochs), max(epochs)
    return str(low) if low == high else f"{low} to {high}"


def by_class(results: Results) -> tuple[Table, ...]:
    """Precision, recall and F1 of every class, a table a system of the paper."""
    return tuple(
        _classes(name, system["title"], results["classes"], system["test"])
        for name, system in of_group(results, "paper").items()
        if "per_class" in system["test"]
    )


def calibration(results: Results, source: str = "") -> tuple[Block, ...]:
    """Reliability and expected calibration errors of the paper's systems, with the temperature.

    Args:
        results: of all systems.
        source: see `figures.sign`.
    """
    kept = {
        system["title"]: system["calibration"]["test"]
        for system in of_group(results, "paper").values()
        if system.get("calibration")
    }
    if not kept:
        return ()
    figure = Figure(
        "reliability",
        "How often answers to the test part are right, by how sure they are. Above the diagonal "
        "answers are better than they claim, below it worse. The larger a mark, the more "
        "utterances.",
        f"Reliability diagrams of {listed(list(kept))}, before and after the temperature.",
        figures.reliability(kept, source),
    )
    return figure, _errors(results)


def by_group(results: Results) -> tuple[Table, ...]:
    """Accuracy by speaker, session and whatever else groups utterances: a table a column."""
    systems = [s for s in of_group(results, "paper").values() if s.get("groups")]
    names = dict.fromkeys(name for system in systems for name in system["groups"])
    return tuple(_groups(name, [s for s in systems if name in s["groups"]]) for name in names)


def _groups(name: str, systems: Sequence[Mapping[str, Any]]) -> Table:
    first, *_ = told = [system["groups"][name] for system in systems]
    rows = [
        (
            group,
            count(own["utterances"]),
            count(own["conversations"]),
            *(spread(of["groups"][group]["accuracy"]) for of in told),
        )
        for group, own in first["groups"].items()
    ]
    gaps = [of["gap"] for of in told]
    if first["gap"]:
        pairs = (f"{gap['first']} over {gap['second']}" for gap in gaps)
        rows.append(("largest gap", "", "", *pairs))
        rows.append(("in points", "", "", *(points(gap["difference"], 1) for gap in gaps)))
        intervals = (span(gap["interval"], lambda x: points(x, 1)) for gap in gaps)
        rows.append(("95 % interval", "", "", *intervals))
    notes = ["The pair was picked by these very scores: with many groups a gap is expected."]
    left = first["left_out"]
    if left:
        notes.append(f"Of one conversation, and left out of the gap: {listed(left[:20])}"
                     + (f" and {len(left) - 20} more." if len(left) > 20 else "."))  # fmt: skip
    return Table(
        f"groups_{identifier(name)}",
        f"Accuracy of the test part by {name}, per cent, mean ± deviation over the seeds. The "
        "interval of the largest gap resamples conversations and seeds.",
        (name, "utterances", "conversations", *(system["title"] for system in systems)),
        tuple(rows),
        notes=tuple(notes if first["gap"] else notes[1:]),
        folded=f"Accuracy of {len(first['groups'])} groups" if len(first["groups"]) > 12 else "",
    )


def _errors(results: Results) -> Table:
    rows = []
    for system in of_group(results, "paper").values():
        parts = [system[part].get("calibration") for part in ("validation", "test")]
        if None in parts:
            continue  # of an earlier version
        cells = [percent(own[when]) for own in parts for when in ("before", "after")]
        rows.append((system["title"], f"{parts[0]['temperature']:.2f}", *cells))
    return Table(
        "calibration",
        "Expected calibration error in per cent, 15 bins, of what a model answers: the mean of the "
        "seeds' probabilities. The temperature is fitted on the validation part, and tempers "
        "answers to other files, too.",
        ("system", "temperature", "validation", "validation, tempered", "test", "test, tempered"),
        tuple(rows),
    )


def _classes(name: str, title: str, classes: Sequence[str], test: Mapping[str, Any]) -> Table:
    several = test["per_class"]
    rows = [
        (label, *(spread(own[share]) for share in _SHARES), count(own["support"]))
        for label, own in zip(classes, several, strict=True)
    ]
    total = count(sum(own["support"] for own in several))
    unweighted = (spread(test["unweighted_recall"]), spread(test["macro_f1"]))
    rows.append(("mean of the classes", NONE, *unweighted, total))
    return Table(
        f"classes_{identifier(name)}",
        f"{title}: the classes of the test part, per cent, mean ± deviation over the seeds. The "
        "means are the unweighted recall and the macro F1.",
        ("class", "precision", "recall", "F1", "utterances"),
        tuple(rows),
    )
