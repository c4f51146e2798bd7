"""The sections of the report, in order."""

import json
import pathlib
from collections.abc import Callable

from mman_jax.report import analyses, figures, published, tables
from mman_jax.report import attention as maps_of_attention
from mman_jax.report.document import Block, Code, Document, Figure, Paragraph, Section, Table
from mman_jax.report.phrases import (
    Results,
    against_baseline,
    count,
    headline,
    identifier,
    listed,
    of_group,
    seconds,
    title,
    trained_and_tested,
)
from mman_jax.tasks import from_results
from mman_jax.tasks.score import Score, percent

SYNTHETIC = (
    "SYNTHETIC: a program generated every utterance. Scores say nothing about real speech "
    "or about the paper's corpus."
)
Blocks = tuple[Block, ...]


def document(results: Results) -> Document:
    """Builds the report; sections without content are left out."""
    path = pathlib.PurePath(results["corpus"]["path"]).name
    score = headline(results)
    by_position = score.phrase.capitalize() if score.higher_is_better else "Error"
    sections: dict[str, tuple[str, Callable[[Results], Blocks]]] = {
        "claims": ("The paper's claims", _claims),
        "corpus": ("The corpus", _corpus),
        "systems": ("The systems", _systems),
        "folds": ("The folds", analyses.folds),
        "tasks": ("One class against the rest", _tasks),
        "cited": ("Comparison with other work", _cited),
        "confusion": ("Confusions", confusion),
        "classes": ("Class by class", analyses.by_class),
        "sure": ("Calibration", lambda x: analyses.calibration(x, mark(x))),
        "groups": ("Group by group", analyses.by_group),
        "tests": ("Paired tests", analyses.comparisons),
        "positions": (f"{by_position} by position", positions),
        "context": ("How much context matters", analyses.context),
        "attention": ("Attention", attention),
        "curves": ("Learning curves", curves),
        "seeds": ("Spread over the seeds", seeds),
        "selection": ("Selection on the test part", analyses.selection),
        "refit": ("Training again", analyses.refit),
        "ablations": ("Ablations", analyses.ablations),
        "missing": ("Missing modalities", analyses.missing),
        "evidence": ("Kinds of evidence", _evidence),
        "made": ("Reproduction", _made),
    }
    return Document(
        title="The systems of the MMAN paper on "
        + ("a SYNTHETIC corpus" if mark(results) else path),
        warning=SYNTHETIC if mark(results) else "",
        summary=_summary(results),
        sections=tuple(
            Section(f"{name}-section", title, blocks)
            for name, (title, build) in sections.items()
            if (blocks := build(results))
        ),
    )


def _summary(results: Results) -> str:
    corpus, seeds, task = results["corpus"], results["seeds"], from_results(results)
    systems = len(of_group(results, "paper"))
    ablations, cited = (len(of_group(results, group)) for group in ("ablation", "cited"))
    scored = len(results["utterances"]["position"])
    predicted = task.introduction.format(
        protocol=results["protocol"], names=listed(results["classes"])
    )
    failed = [
        f"{system['title']} seed {place['seed']} ({place['head']}, epoch {place['epoch']}, step "
        f"{place['step']})"
        for system in results["systems"].values()
        for place in system.get("failed", ())
    ]
    left_out = ""
    if failed:
        left_out = f" Left out of every score, since training failed: {'; '.join(failed)}."
    return (
        f"{systems} systems of Pan, Luo, Yang and Li (Interspeech 2020)"
        + (f", {cited} that they cite" if cited else "")
        + (f" and {ablations} variants" if ablations else "")
        + f", {trained_and_tested(corpus)}: {count(corpus['utterances'])} utterances in "
        f"{count(corpus['conversations'])} conversations; {count(scored)} are scored in the test "
        f"part. {predicted} {'Seeds' if len(seeds) > 1 else 'One seed:'} {listed(seeds)}. Each "
        "seed's epoch was selected on the validation part." + left_out
    )


def _claims(results: Results) -> Blocks:
    if not results["claims"]:
        return (Paragraph("No two systems that the paper compares were trained here."),)
    return (tables.claims(results),)


def _corpus(results: Results) -> Blocks:
    corpus = results["corpus"]
    origins = [
        f"{count(corpus[unit])} {unit}" if corpus[unit] is not None else f"{unit} unknown"
        for unit in ("sessions", "speakers")
    ]
    sizes = listed([f"{name} {count(size)}" for name, size in corpus["dimensions"].items()])
    text = (
        f"Read from {corpus['path']}: {count(corpus['utterances'])} utterances, "
        f"{count(corpus['conversations'])} conversations, {', '.join(origins)}. "
        f"Features of an utterance: {sizes}. Split: {corpus['split'].rstrip('.')}."
    )
    return Paragraph(text), tables.corpus(results)


def _systems(results: Results) -> Blocks:
    sentences = against_baseline(results)
    paragraphs = [Paragraph(f"{'. '.join(sentences)}.")] if sentences else []
    return (*tables.systems(results), *paragraphs)


def _tasks(results: Results) -> Blocks:
    if not published.is_comparable(results):
        return ()
    if results["tasks"] is None:
        why = "its four tasks need IEMOCAP's labels, which this corpus does not have."
        if results["corpus"]["iemocap"]:
            why = "its four tasks are trained with the protocol auto only."
        return (Paragraph(f"The paper's Table 3 is left out: {why}"),)
    return tables.tasks(results), published.cited_tasks()


def _cited(results: Results) -> Blocks:
    if not published.is_comparable(results):
        return ()
    return *published.together(results), published.cited(results)


def _evidence(results: Results) -> Blocks:
    synthetic = results["synthetic"]
    if synthetic is None:
        return ()
    text = (
        f"SYNTHETIC corpus. The best accuracy of any causal model is "
        f"{percent(synthetic['ceiling'])} per cent; that of a late fusion of predictions from "
        f"single modalities is {percent(synthetic['ceiling_late_fusion'])} per cent. Both are "
        "computed, not trained."
    )
    return Paragraph(text), analyses.evidence(results)


def _made(results: Results) -> Blocks:
    source = "The code's revision is not known."
    if results["revision"]:
        source = f"Revision {results['revision']} of the code."
    versions = tuple(results["versions"].items())
    settings = json.dumps(results["config"], indent=2, sort_keys=True, ensure_ascii=False)
    return (
        Code(results["command"]),
        Paragraph(f"{source} The study took {seconds(results['seconds'])} seconds."),
        Table("versions", "Versions of the software.", ("part", "version"), versions, words=(0, 1)),
        Code(settings, folded="All settings"),
    )


def mark(results: Results) -> str:
    """Returns the notice on pictures; empty for a real corpus."""
    return "SYNTHETIC corpus" if results["synthetic"] is not None else ""


def confusion(results: Results) -> Blocks:
    """Builds the confusion matrices and the table of their counts."""
    paper = of_group(results, "paper").values()
    systems = [system for system in paper if "confusion" in system["test"]]
    if not systems:
        return ()
    counts = {system["title"]: system["test"]["confusion"] for system in systems}
    png = figures.confusions(counts, results["classes"], mark(results))
    figure = Figure(
        "confusion",
        "Figure 3: normalised confusion matrices of the test part, all seeds summed. Each row is a "
        "true class; the diagonal holds the recalls, in per cent.",
        f"Confusion matrices of {listed(list(counts))}.",
        png,
    )
    return figure, tables.confusion_counts(results)


def positions(results: Results) -> Blocks:
    """Builds the figure and table of scores by the utterance's position in its conversation."""
    bins, score = analyses.bin_names(results), headline(results)
    lines = {
        title(results, name): values
        for name, values in results["positions"][score.key].items()
        if name in of_group(results, "paper")
    }
    if not bins or not lines:
        return ()
    figure = Figure(
        "positions",
        f"Test {score.phrase} by the utterance's position in its conversation, which shows the "
        "value of the preceding utterances.",
        f"One line for each system over the positions {listed(bins)}.",
        figures.positions(bins, lines, mark(results), _axis(score), score.factor),
    )
    return (figure, analyses.positions(results)) if score.is_share else (figure,)


def attention(results: Results) -> Blocks:
    """Draws the attention weights of the test part, and those through one conversation."""
    blocks = []
    for name, system in of_group(results, "paper").items():
        weights = system["attention"]
        if weights is None:
            continue
        title, modalities, talk = system["title"], weights["modalities"], weights["conversation"]
        maps = {"all utterances": weights["mean"], **weights["by_class"]}
        slug, classes = identifier(name), tuple(weights["by_class"])
        groups = " and by true class" if classes else ""
        blocks += [
            Figure(
                f"attention_{slug}",
                f"{title}: mean attention weights over the test part, of all utterances{groups}. "
                "Each row is a query and sums to one.",
                f"Attention of {title} between {listed(modalities)}, one map for all utterances"
                + (" and one for each class." if classes else "."),
                maps_of_attention.by_class(modalities, maps, mark(results)),
            ),
            Figure(
                f"conversation_{slug}",
                f"{title}: attention weights through conversation {talk['id']}, one map for "
                "each query, with labels and answers below.",
                f"Attention of {title} by utterance of one conversation of {len(talk['labels'])}.",
                maps_of_attention.through_time(
                    modalities,
                    talk["weights"],
                    talk["labels"],
                    talk["answers"],
                    results["classes"] if classes else (),
                    mark(results),
                ),
            ),
        ]
    return tuple(blocks)


def curves(results: Results) -> Blocks:
    """Draws the learning curves of systems and of the heads that they train first."""
    heads = []
    for system in of_group(results, "paper").values():
        for name, curve in system["curves"].items():
            head = system["towers"].get(name, system)
            is_system = len(system["curves"]) == 1 or head is system
            title = system["title"] if is_system else f"{system['title']}: {name}"
            heads.append(figures.Panel(title, curve, head["best_epoch"]))
    if not heads:
        return ()
    caption = (
        "Loss by epoch, averaged over the seeds still training; a panel for each system and each "
        "head that it trains first. Ticks at the bottom: the selected epochs of the seeds."
    )
    alt = f"Training and validation loss of {len(heads)} systems and heads."
    return (Figure("curves", caption, alt, figures.curves(heads, mark(results))),)


def seeds(results: Results) -> Blocks:
    """Draws every seed's score, and reference scores."""
    task, score = from_results(results), headline(results)
    values = {s["title"]: s["test"][score.key]["per_seed"] for s in results["systems"].values()}
    lines = {task.constant_name: results[task.constant]}
    if results["synthetic"]:
        lines["best possible of late fusion"] = results["synthetic"]["ceiling_late_fusion"]
        lines["best possible"] = results["synthetic"]["ceiling"]
    figure = Figure(
        "seeds",
        f"Test {score.phrase} of every seed (dots) and their mean (bars).",
        f"Test {score.phrase} of {len(values)} systems, {len(results['seeds'])} dots each.",
        figures.seeds(values, lines, mark(results), _axis(score), score.factor),
    )
    return (figure,)


def _axis(score: Score) -> str:
    if score.is_share:
        return f"test {score.phrase}, per cent"
    return f"test {score.label}, in the targets' units"
