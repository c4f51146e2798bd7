"""What the report says, in order: from results to a document."""

import json
import pathlib

from mman_jax.report import analyses, beside, pictured, ratings, scores, selection, tables
from mman_jax.report.document import Block, Code, Document, Paragraph, Section, Table
from mman_jax.report.numbers import count, listed, percent, seconds
from mman_jax.report.sources import trained_and_tested
from mman_jax.report.tables import Results

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
        + ("a SYNTHETIC corpus" if pictured.mark(results) else path),
        warning=SYNTHETIC if pictured.mark(results) else "",
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
        Section("confusion-section", "What is taken for what", pictured.confusion(results)),
        Section("classes-section", "Class by class", scores.by_class(results)),
        Section("sure-section", "Calibration", scores.calibration(results, pictured.mark(results))),
        Section("groups-section", "Group by group", scores.by_group(results)),
        Section("tests-section", "Paired tests", _comparisons(results)),
        Section("positions-section", "Accuracy by position", pictured.positions(results)),
        Section("attention-section", "Attention", pictured.attention(results)),
        Section("curves-section", "Learning curves", pictured.curves(results)),
        Section("seeds-section", "Spread over the seeds", pictured.seeds(results)),
        Section("selection-section", "Selecting on the test part", (selection.selection(results),)),
        Section("refit-section", "Training again", selection.refit(results)),
        Section("ablations-section", "Ablations", _ablations(results)),
        Section("missing-section", "With a modality missing", _missing(results)),
        Section("evidence-section", "What the evidence is", _evidence(results)),
        Section("made-section", "How it was made", _made(results)),
    )


def _of_targets(results: Results) -> tuple[Section, ...]:
    """The sections of a study that predicts numbers."""
    return (
        Section("claims-section", "The paper's claims", _claims(results)),
        Section("corpus-section", "The corpus", _corpus(results)),
        Section(
            "systems-section", "The systems", (ratings.systems(results), *ratings.targets(results))
        ),
        Section("folds-section", "The folds", analyses.folds(results)),
        Section("tests-section", "Paired tests", _comparisons(results)),
        Section("positions-section", "Error by position", pictured.positions(results)),
        Section("attention-section", "Attention", pictured.attention(results)),
        Section("curves-section", "Learning curves", pictured.curves(results)),
        Section("seeds-section", "Spread over the seeds", pictured.seeds(results)),
        Section("selection-section", "Selecting on the test part", (selection.selection(results),)),
        Section("refit-section", "Training again", selection.refit(results)),
        Section("ablations-section", "Ablations", _ablations(results)),
        Section("missing-section", "With a modality missing", _missing(results)),
        Section("made-section", "How it was made", _made(results)),
    )


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


def _comparisons(results: Results) -> Blocks:
    return (analyses.comparisons(results),) if results["comparisons"] else ()


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
