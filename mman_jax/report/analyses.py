"""Tables that the paper lacks: tests, positions, folds, ablations, selection, classes, groups."""

from collections.abc import Mapping, Sequence
from typing import Any

from mman_jax.evaluation.evidence import CHANCE, LABELS
from mman_jax.report import figures, tables
from mman_jax.report.document import Block, Figure, Table
from mman_jax.report.phrases import (
    Results,
    context_columns,
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
_REFERENCES = {
    CHANCE: "chance: answers drawn with the frequencies of the labels",
    LABELS: "the labels themselves",
}


def comparisons(results: Results) -> tuple[Table, ...]:
    """Builds the table of paired tests of two systems on the same utterances, if there are any."""
    if not results["comparisons"]:
        return ()
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
    caption = f"Paired tests on the test part: {score.difference}."
    return (Table("comparisons", caption, tuple(head), rows, words=(0, 1)),)


def bin_names(results: Results) -> list[str]:
    """Returns the names of the bins of positions, such as "1", "2 to 5" and "21 on"."""
    names = []
    for limits in results["positions"]["bins"]:
        first, last = limits["from"], limits["to"]
        if last is None:
            names.append(f"{first} on")
        else:
            names.append(str(first) if first == last else f"{first} to {last}")
    return names


def positions(results: Results) -> Table:
    """Builds the table of accuracy by the utterance's position in its conversation."""
    bins = results["positions"]["bins"]
    rows = [
        (title(results, name), *(percent(share) for share in shares))
        for name, shares in results["positions"]["accuracy"].items()
    ]
    rows.append(("utterances", *(count(limits["utterances"]) for limits in bins)))
    return Table(
        "positions_table",
        "Test accuracy by the utterance's position in its conversation, per cent.",
        ("system", *bin_names(results)),
        tuple(rows),
        folded="The numbers behind the figure",
    )


def folds(results: Results) -> tuple[Table, ...]:
    """Builds the tables of scores by fold and of the folds' sizes, if there are folds."""
    score = headline(results)
    systems = {n: s for n, s in results["systems"].items() if "folds" in s}
    if not systems:
        return ()
    first = next(iter(systems.values()))["folds"]
    rows = []
    for name, system in systems.items():
        test = system["test"][score.key]
        per_fold = map(score.write, test["per_fold"])
        pooled = (score.write(test[key]) for key in ("mean", "std", "std_folds"))
        rows.append((title(results, name), *per_fold, *pooled))
    sizes = tuple(
        (
            fold["name"],
            *(
                count(fold["sizes"][part][unit])
                for part in tables.PARTS
                for unit in ("conversations", "utterances")
            ),
        )
        for fold in first
    )
    heads = [
        f"{part}, {unit}"
        for part in ("training", "validation", "test")
        for unit in ("conversations", "scored utterances")
    ]
    return (
        Table(
            "folds",
            f"Test {score.label} of every fold{score.unit}, averaged over the seeds; then of all "
            "folds together, with its deviation over the seeds and that of the folds' means.",
            ("system", *(fold["name"] for fold in first), "all", "± over seeds", "± over folds"),
            tuple(rows),
        ),
        Table("fold_sizes", "Sizes of the folds.", ("fold", *heads), sizes),
    )


def ablations(results: Results) -> tuple[Table, ...]:
    """Builds the table of variants, each compared with the system that it varies, if any."""
    score, chosen = headline(results), of_group(results, "ablation")
    if not chosen:
        return ()
    rows = []
    for name, system in chosen.items():
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
        "the difference from the varied system, in points"
        if score.is_share
        else "its reduction relative to the varied system"
    )
    table = Table(
        "ablations",
        f"Ablations: test {score.phrase}{score.unit}, mean ± deviation over the seeds, and "
        f"{difference}.",
        ("variant", "what differs", "parameters", score.label, "varies", "difference",
         "95 % interval", "p (bootstrap)"),
        tuple(rows),
        words=(0, 1, 4),
    )  # fmt: skip
    return (table,)


def missing(results: Results) -> tuple[Table, ...]:
    """Builds the table of scores with a modality withheld at test time, if there are any."""
    if not results["missing"]:
        return ()
    score = headline(results)
    digits = 1 if score.is_share else 3
    modalities = list(dict.fromkeys(m for scores in results["missing"].values() for m in scores))
    rows = []
    for name, by_modality in results["missing"].items():
        full = results["systems"][name]["test"][score.key]
        cells = []
        for modality in modalities:
            without = by_modality.get(modality)
            if without is None:
                cells.append(NONE)
                continue
            gain = score.write_gain(score.gain(without[score.key], full), digits)
            cells.append(f"{score.write_spread(without[score.key])} ({gain})")
        rows.append((title(results, name), score.write_spread(full), *cells))
    caption = (
        f"Test {score.phrase} with one modality missing at test time{score.unit}, mean ± deviation "
        "over the seeds; in brackets the gain over all modalities"
        + (", in points." if score.is_share else ".")
    )
    head = ("system", "all modalities", *(f"without {name}" for name in modalities))
    return (Table("missing", caption, head, tuple(rows)),)


def context(results: Results) -> tuple[Table, ...]:
    """Builds the table of scores from the last utterances alone, if there are any."""
    score, rows, cut, head = headline(results), [], (), ()
    for name, system in results["systems"].items():
        if columns := context_columns(score, system):
            head, cells, cut = zip(*columns, strict=True)
            rows.append((title(results, name), *cells))
    if not rows:
        return ()
    table = Table(
        "context",
        f"Test {score.phrase}{score.unit} if a system answers each utterance from the last K "
        "before it and itself alone, with 95 % intervals.",
        ("system", *head),
        (*rows, ("utterances with more before them", *cut)),
        notes=(
            "Nothing is trained again: the networks were trained on whole conversations, and start "
            "anew K utterances before each answer, so one that is trained on single utterances can "
            "be better than the column “none”.",
        ),
    )
    return (table,)


def evidence(results: Results) -> Table:
    """Builds the table of the evidence that each system used (SYNTHETIC corpus)."""
    synthetic = results["synthetic"]
    kinds = synthetic["kinds"]
    of_systems = {title(results, name): of for name, of in synthetic["evidence"].items()}
    references = {  # results of an earlier version have none
        _REFERENCES[name]: shares for name, shares in synthetic.get("evidence_beside", {}).items()
    }
    rows = tuple(
        (name, *(percent(of.get(kind)) for kind in kinds))
        for name, of in (of_systems | references).items()
    )
    return Table(
        "evidence",
        "SYNTHETIC corpus: how much of each kind of evidence a system used. Of the utterances on "
        "which the exact filter and one that lacks the kind differ: how often the system agrees "
        "with the first, in per cent of when it agrees with either. 100 is the exact filter, 0 the "
        "one that lacks the kind and uses all others; a system without the kind that uses only "
        "some of the others is between 0 and chance.",
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


def selection(results: Results) -> tuple[Table]:
    """Builds the table of the gain from selecting the epoch on the test part."""
    score = from_results(results).progress
    rows = []
    for system in results["systems"].values():
        # The epoch selected on validation, before retraining on it as well.
        picked = system.get("before_refit", system)["test"][score.key]
        oracle, epochs = system["test_oracle"][score.key], system["best_epoch"]
        rows.append(
            (
                system["title"],
                score.write_spread(picked),
                score.write_spread(oracle),
                score.write_gain(score.gain(oracle, picked), 1 if score.is_share else None),
                " to ".join(map(str, sorted({min(epochs), max(epochs)}))),
            )
        )
    table = Table(
        "selection",
        f"The cost of selecting on the test part: test {score.phrase}{score.unit}, mean ± "
        "deviation over the seeds.",
        ("system", "epoch picked on validation", "epoch picked on test",
         "gain in points" if score.is_share else "gain", "selected epochs"),
        tuple(rows),
        notes=("The test column is not used; it shows how optimistic such scores would be.",),
    )  # fmt: skip
    return (table,)


def refit(results: Results) -> tuple[Table, ...]:
    """Builds the table of the gain from retraining on training and validation, if there are any."""
    score = headline(results)
    retrained = [s for s in results["systems"].values() if score.key in _before(s)]
    if not retrained:
        return ()
    rows = []
    for system in retrained:
        before, after = _before(system)[score.key], system["test"][score.key]
        gain = score.write_gain(score.gain(after, before))
        rows.append((system["title"], score.write_spread(before), score.write_spread(after), gain))
    caption = (
        "Retraining on training and validation together, for the selected number of steps: "
        f"test {score.phrase}{score.unit}, mean ± deviation over the seeds."
    )
    head = ("system", "before retraining", "retrained", "gain")
    return (Table("refit", caption, head, tuple(rows)),)


def _before(system: Results) -> Results:
    return system.get("before_refit", {}).get("test", {})


def by_class(results: Results) -> tuple[Table, ...]:
    """Builds the tables of precision, recall and F1 by class, for each system of the paper."""
    return tuple(
        _classes(name, system["title"], results["classes"], system["test"])
        for name, system in of_group(results, "paper").items()
        if "per_class" in system["test"]
    )


def calibration(results: Results, source: str = "") -> tuple[Block, ...]:
    """Builds the reliability diagrams and the calibration errors of the paper's systems."""
    bins = {
        system["title"]: system["calibration"]["test"]
        for system in of_group(results, "paper").values()
        if system.get("calibration")
    }
    if not bins:
        return ()
    figure = Figure(
        "reliability",
        "Accuracy of answers to the test part by their confidence. Above the diagonal, answers are "
        "underconfident; below it, overconfident. Larger marks have more utterances.",
        f"Reliability diagrams of {listed(list(bins))}, before and after the temperature.",
        figures.reliability(bins, source),
    )
    return figure, _errors(results)


def by_group(results: Results) -> tuple[Table, ...]:
    """Builds the tables of accuracy by speaker, session and other groups, one for each grouping."""
    systems = [s for s in of_group(results, "paper").values() if s.get("groups")]
    names = dict.fromkeys(name for system in systems for name in system["groups"])
    return tuple(_groups(name, [s for s in systems if name in s["groups"]]) for name in names)


def _groups(name: str, systems: Sequence[Mapping[str, Any]]) -> Table:
    first, *_ = groupings = [system["groups"][name] for system in systems]
    rows = [
        (
            group,
            count(sizes["utterances"]),
            count(sizes["conversations"]),
            *(spread(grouping["groups"][group]["accuracy"]) for grouping in groupings),
        )
        for group, sizes in first["groups"].items()
    ]
    gaps = [grouping["gap"] for grouping in groupings]
    if first["gap"]:
        pairs = (f"{gap['first']} over {gap['second']}" for gap in gaps)
        rows.append(("largest gap", "", "", *pairs))
        rows.append(("in points", "", "", *(points(gap["difference"], 1) for gap in gaps)))
        intervals = (span(gap["interval"], lambda x: points(x, 1)) for gap in gaps)
        rows.append(("95 % interval", "", "", *intervals))
    notes = ["The pair was selected by these scores: with many groups, a gap is expected."]
    left = first["left_out"]
    if left:
        notes.append(f"Groups of one conversation, which are not in the gap: {listed(left[:20])}"
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
        cells = [percent(errors[when]) for errors in parts for when in ("before", "after")]
        rows.append((system["title"], f"{parts[0]['temperature']:.2f}", *cells))
    return Table(
        "calibration",
        "Expected calibration error in per cent, 15 bins, of the mean of the seeds' probabilities. "
        "The temperature is fitted on the validation part, and also applied to answers to other "
        "files.",
        ("system", "temperature", "validation", "validation, tempered", "test", "test, tempered"),
        tuple(rows),
    )


def _classes(name: str, title: str, classes: Sequence[str], test: Mapping[str, Any]) -> Table:
    per_class = test["per_class"]
    rows = [
        (label, *(spread(scores[share]) for share in _SHARES), count(scores["support"]))
        for label, scores in zip(classes, per_class, strict=True)
    ]
    total = count(sum(scores["support"] for scores in per_class))
    unweighted = (spread(test["unweighted_recall"]), spread(test["macro_f1"]))
    rows.append(("mean of the classes", NONE, *unweighted, total))
    return Table(
        f"classes_{identifier(name)}",
        f"{title}: the classes of the test part, per cent, mean ± deviation over the seeds. The "
        "means are the unweighted recall and the macro F1.",
        ("class", "precision", "recall", "F1", "utterances"),
        tuple(rows),
    )
