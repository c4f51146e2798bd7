"""What the report says, in order: from results to a document."""

import json
import pathlib

from experiments.report import (
    analyses,
    attention,
    beside,
    confusion,
    figures,
    ratings,
    scores,
    tables,
)
from experiments.report.document import Block, Code, Document, Figure, Paragraph, Section, Table
from experiments.report.numbers import count, listed, percent, seconds
from experiments.report.sources import trained_and_tested
from experiments.report.tables import Results

SYNTHETIC = (
    "SYNTHETIC: every utterance was drawn by a program. Nothing here says anything about people, "
    "nor about the paper's corpus."
)
Blocks = tuple[Block, ...]


def document(results: Results) -> Document:
    """The whole report."""
    path = pathlib.PurePath(results["corpus"]["path"]).name
    sections = _of_targets(results) if results.get("targets") else _of_classes(results)
    return Document(
        title="The systems of the MMAN paper on "
        + ("a SYNTHETIC corpus" if _mark(results) else path),
        warning=SYNTHETIC if _mark(results) else "",
        summary=_summary(results),
        sections=tuple(section for section in sections if section.blocks),
    )


def _of_classes(results: Results) -> tuple[Section, ...]:
    """The sections of a study that predicts classes."""
    return (
        Section("claims-section", "The paper's claims", _claims(results)),
        Section("corpus-section", "The corpus", _corpus(results)),
        Section("systems-section", "The systems", (tables.systems(results),)),
        Section("folds-section", "The folds", analyses.folds(results)),
        Section("tasks-section", "One class against the rest", _tasks(results)),
        Section("cited-section", "Beside other work", _cited(results)),
        Section("confusion-section", "What is taken for what", _confusion(results)),
        Section("classes-section", "Class by class", scores.by_class(results)),
        Section("sure-section", "Calibration", scores.calibration(results, _mark(results))),
        Section("groups-section", "Group by group", scores.by_group(results)),
        Section("tests-section", "Paired tests", _comparisons(results)),
        Section("positions-section", "Accuracy by position", _positions(results)),
        Section("attention-section", "Attention", _attention(results)),
        Section("curves-section", "Learning curves", _curves(results)),
        Section("seeds-section", "Spread over the seeds", _seeds(results)),
        Section("selection-section", "Selecting on the test part", (analyses.selection(results),)),
        Section("ablations-section", "Ablations", _ablations(results)),
        Section("missing-section", "With a modality missing", _missing(results)),
        Section("evidence-section", "What the evidence is", _evidence(results)),
        Section("made-section", "How it was made", _made(results)),
    )


def _of_targets(results: Results) -> tuple[Section, ...]:
    """The sections of a study that predicts numbers."""
    claims = (ratings.claims(results),) if results["claims"] else _claims(results)
    compared = (ratings.comparisons(results),) if results["comparisons"] else ()
    return (
        Section("claims-section", "The paper's claims", claims),
        Section("corpus-section", "The corpus", _corpus(results)),
        Section(
            "systems-section", "The systems", (ratings.systems(results), *ratings.targets(results))
        ),
        Section("tests-section", "Paired tests", compared),
        Section("positions-section", "Error by position", _positions(results)),
        Section("curves-section", "Learning curves", _curves(results)),
        Section("seeds-section", "Spread over the seeds", _seeds(results)),
        Section("selection-section", "Selecting on the test part", (ratings.selection(results),)),
        Section("made-section", "How it was made", _made(results)),
    )


def _mark(results: Results) -> str:
    return "SYNTHETIC corpus" if results["synthetic"] is not None else ""


def _summary(results: Results) -> str:
    corpus, seeds = results["corpus"], results["seeds"]
    many = len(tables.of_group(results, "paper"))
    ablations, cited = (len(tables.of_group(results, group)) for group in ("ablation", "cited"))
    scored = len(results["utterances"]["position"])
    return (
        f"{many} systems of Pan, Luo, Yang and Li (Interspeech 2020)"
        + (f", {cited} that they cite" if cited else "")
        + (f" and {ablations} variants" if ablations else "")
        + f", {trained_and_tested(corpus)}: {count(corpus['utterances'])} utterances in "
        f"{count(corpus['conversations'])} conversations; {count(scored)} are scored in the test "
        + (
            f"part. Predicted: {listed(results['classes'])}. "
            if results.get("targets")
            else f"part. Protocol {results['protocol']}, classes {listed(results['classes'])}. "
        )
        + f"{'Seeds' if len(seeds) > 1 else 'One seed:'} {listed(seeds)}. Each seed's epoch was "
        "picked on the validation part." + _failed(results)
    )


def _failed(results: Results) -> str:
    places = [
        f"{system['title']} seed {place['seed']} ({place['head']}, epoch {place['epoch']}, step "
        f"{place['step']})"
        for system in results["systems"].values()
        for place in system.get("failed", ())
    ]
    return (
        f" Left out of every score, since training failed: {'; '.join(places)}." if places else ""
    )


def _claims(results: Results) -> Blocks:
    if not results["claims"]:
        return (Paragraph("No two systems that the paper compares were trained here."),)
    return (tables.claims(results),)


def _corpus(results: Results) -> Blocks:
    corpus = results["corpus"]
    told = [
        f"{count(corpus[what])} {what}" if corpus[what] is not None else f"{what} not told"
        for what in ("sessions", "speakers")
    ]
    sizes = listed([f"{name} {count(size)}" for name, size in corpus["dimensions"].items()])
    text = (
        f"Read from {corpus['path']}: {count(corpus['utterances'])} utterances, "
        f"{count(corpus['conversations'])} conversations, {', '.join(told)}. "
        f"Features of an utterance: {sizes}. Split: {corpus['split'].rstrip('.')}."
    )
    return Paragraph(text), (ratings if results.get("targets") else tables).corpus(results)


def _tasks(results: Results) -> Blocks:
    if results["tasks"] is None:
        return (
            Paragraph(
                "The paper's Table 3 is left out: its four tasks need IEMOCAP's labels, which this "
                "corpus does not have."
            ),
        )
    return tables.tasks(results), beside.cited_tasks()


def _cited(results: Results) -> Blocks:
    found = beside.together(results)
    return (*((found,) if found else ()), beside.cited(results))


def _confusion(results: Results) -> Blocks:
    systems = tables.of_group(results, "paper").values()
    if not systems:
        return ()
    counts = {system["title"]: system["test"]["confusion"] for system in systems}
    png = confusion.confusions(counts, results["classes"], _mark(results))
    figure = Figure(
        "confusion",
        "Figure 3: normalised confusion matrices of the test part, all seeds summed. Each row is a "
        "true class; the diagonal holds the recalls, in per cent.",
        f"Confusion matrices of {listed(list(counts))}.",
        png,
    )
    return figure, tables.confusion_counts(results)


def _comparisons(results: Results) -> Blocks:
    return (analyses.comparisons(results),) if results["comparisons"] else ()


def _positions(results: Results) -> Blocks:
    bins, numbers = analyses.bin_names(results), bool(results.get("targets"))
    lines = {
        tables.title(results, name): shares
        for name, shares in results["positions"]["mae" if numbers else "accuracy"].items()
        if name in tables.of_group(results, "paper")
    }
    if not bins or not lines:
        return ()
    what = "mean absolute error" if numbers else "accuracy"
    figure = Figure(
        "positions",
        f"Test {what} by the utterance's place in its conversation: what the utterances before it "
        "are worth.",
        f"A line a system over the places {listed(bins)}.",
        figures.positions(bins, lines, _mark(results), _unit(results)),
    )
    return (figure,) if numbers else (figure, analyses.positions(results))


def _attention(results: Results) -> Blocks:
    blocks = []
    for name, system in tables.of_group(results, "paper").items():
        kept = system["attention"]
        if kept is None:
            continue
        title, modalities, talk = system["title"], kept["modalities"], kept["conversation"]
        maps = {"all utterances": kept["mean"], **kept["by_class"]}
        slug = tables.identifier(name)
        blocks += [
            Figure(
                f"attention_{slug}",
                f"{title}: mean attention weights over the test part, of all utterances and by "
                "true class. Each row is a query and sums to one.",
                f"Attention of {title} between {listed(modalities)}, one map for all utterances "
                "and one a class.",
                attention.by_class(modalities, maps, _mark(results)),
            ),
            Figure(
                f"conversation_{slug}",
                f"{title}: attention weights through conversation {talk['id']}, a map a query, "
                "with labels and answers beneath.",
                f"Attention of {title} by utterance of one conversation of {len(talk['labels'])}.",
                attention.through_time(
                    modalities,
                    talk["weights"],
                    talk["labels"],
                    talk["answers"],
                    results["classes"],
                    _mark(results),
                ),
            ),
        ]
    return tuple(blocks)


def _curves(results: Results) -> Blocks:
    heads = []
    for system in tables.of_group(results, "paper").values():
        for name, curve in system["curves"].items():
            tower = system["towers"].get(name)
            own = len(system["curves"]) == 1 or tower is None
            title = system["title"] if own else f"{system['title']}: {name}"
            heads.append(figures.Panel(title, curve, (tower or system)["best_epoch"]))
    if not heads:
        return ()
    caption = (
        "Loss by epoch, the mean over the seeds still training; a panel a system, and one each of "
        "its towers. Ticks at the bottom: the epochs that the seeds kept."
    )
    alt = f"Training and validation loss of {len(heads)} systems and towers."
    return (Figure("curves", caption, alt, figures.curves(heads, _mark(results))),)


def _seeds(results: Results) -> Blocks:
    numbers = bool(results.get("targets"))
    what, score = ("mean absolute error", "mae") if numbers else ("accuracy", "accuracy")
    accuracy = {s["title"]: s["test"][score]["per_seed"] for s in results["systems"].values()}
    if numbers:
        lines = {"mean of training": results["mean_answer_mae"]}
    else:
        lines = {"majority answer": results["majority_accuracy"]}
    if results["synthetic"]:
        lines["best possible of late fusion"] = results["synthetic"]["ceiling_late_fusion"]
        lines["best possible"] = results["synthetic"]["ceiling"]
    figure = Figure(
        "seeds",
        f"Test {what} of every seed (dots) and their mean (bars).",
        f"Test {what} of {len(accuracy)} systems, {len(results['seeds'])} dots each.",
        figures.seeds(accuracy, lines, _mark(results), _unit(results)),
    )
    return (figure,)


def _unit(results: Results) -> figures.Unit:
    return figures.ERROR if results.get("targets") else figures.ACCURACY


def _ablations(results: Results) -> Blocks:
    return (analyses.ablations(results),) if tables.of_group(results, "ablation") else ()


def _missing(results: Results) -> Blocks:
    return (analyses.missing(results),) if results["missing"] else ()


def _evidence(results: Results) -> Blocks:
    synthetic = results["synthetic"]
    if synthetic is None:
        return ()
    text = (
        f"SYNTHETIC corpus. The best that any causal model can reach is "
        f"{percent(synthetic['ceiling'])} per cent; the best of a late fusion of predictions from "
        f"single modalities is {percent(synthetic['ceiling_late_fusion'])} per cent. Both are "
        "computed, not trained."
    )
    return Paragraph(text), analyses.evidence(results)


def _made(results: Results) -> Blocks:
    revision = results["revision"]
    source = (
        f"Revision {revision} of the code." if revision else "The code's revision is not known."
    )
    versions = tuple(results["versions"].items())
    settings = json.dumps(results["config"], indent=2, sort_keys=True, ensure_ascii=False)
    return (
        Code(results["command"]),
        Paragraph(f"{source} It took {seconds(results['seconds'])} seconds in all."),
        Table("versions", "What it ran on.", ("part", "version"), versions, words=(0, 1)),
        Code(settings, folded="All settings"),
    )
