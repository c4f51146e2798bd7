"""Documents of `mman compare` and `mman cross`, from their results."""

import dataclasses
import pathlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from mman_jax.report import published
from mman_jax.report.document import Cell, Code, Document, Paragraph, Section, Table
from mman_jax.report.phrases import count, listed, p_value, span, trained_and_tested, units
from mman_jax.systems import mman
from mman_jax.tasks import from_results
from mman_jax.tasks.score import Score, percent, spread

LEVEL = 0.05
"""Corrected p-values below this level are in bold."""

_CROSSED = ("accuracy", "unweighted_recall")


def document(groups: Sequence[Mapping[str, Any]]) -> Document:
    """Builds the document of `mman compare`, a section for each corpus, protocol and split.

    In a section, trials with other features, or another rule that selected the epochs, are in
    tables of their own; the paired tests are between all trials of the section.

    Args:
        groups: results of `study.compared.compare_groups`.
    """
    sections = []
    for number, results in enumerate(groups, start=1):
        by_kind: dict[str, list[Any]] = {}
        for run in results["runs"]:
            features = [f"{name} ({digest})" for name, digest in run["features"].items()]
            kind = f"Features: {listed(features)}. Epochs selected by: "
            kind += f"{run['selection'] or 'not stated'}."
            kind = kind if features else "Other systems, whose features and selection are unknown."
            by_kind.setdefault(kind, []).append(run)
        tables = [
            dataclasses.replace(table, caption=f"{kind} {table.caption}")
            for kind, table in ((k, scores({**results, "runs": x})) for k, x in by_kind.items())
        ]
        tables += tests_and_parts(results)
        named = [
            dataclasses.replace(x, name=f"{x.name}-{number}-{i}") for i, x in enumerate(tables)
        ]
        corpus = results["corpus"].get("test", results["corpus"])["path"]
        # Pages are published: no folders of this machine in headings.
        title = f"{pathlib.PurePath(corpus).name}, protocol {results['protocol']}"
        same = f"All were {trained_and_tested(results['corpus'])}, protocol {results['protocol']}; "
        same += f"split: {results['split']}. {' '.join(results['notes'])}"
        sections.append(Section(f"group-{number}", title, (Paragraph(same.strip()), *named)))
    count_of_all = sum(len(results["runs"]) for results in groups)
    made = Section("made-section", "Reproduction", (Code(groups[0]["command"]),))
    return Document(
        title=f"{count_of_all} trials compared",
        warning="",
        summary="Trials are compared only with trials on the same utterances, under the same "
        "protocol and split. A modality is followed by the size and the first digits of the "
        "fingerprint of its features.",
        sections=(*sections, made),
    )


def tests_and_parts(results: Mapping[str, Any]) -> Iterator[Table]:
    """Yields the tables of systems, paired tests, calibration and groups, without empty ones."""
    if any(run["sees"] for run in results["runs"]):
        yield systems(results)
    if results["comparisons"]:
        yield tests(results)
    tasks, score = list(results["classes"]), Score(**next(iter(results["scores"].values())))
    has_tasks = len(tasks) > 1
    rows, groups = [], []
    for task in tasks:
        for run in results["runs"]:
            name = run["name"] + (f", {task}" if has_tasks else "")
            errors = run["calibration"][task]
            if errors:
                before, after = (percent(errors.get(when)) for when in ("before", "after"))
                rows.append((name, before, after))
            for column, means in run["groups"][task].items():
                groups += [(name, column, group, score.write(x)) for group, x in means.items()]
    if rows:
        caption = "Expected calibration error of the test part, in per cent."
        head: tuple[str, ...] = ("trial", "as predicted", "with a temperature")
        yield Table("calibration", caption, head, tuple(rows))
    if groups:
        caption = f"Mean {score.phrase}{score.unit} of each group of the test part."
        head = ("trial", "groups by", "group", score.label)
        yield Table("groups", caption, head, tuple(groups), words=(0, 1, 2))


def scores(results: Mapping[str, Any]) -> Table:
    """Builds the table of the scores of each trial."""
    columns = [Score(**score) for score in results["scores"].values()]
    columns = [score for score in columns if score.is_brief or score.key == results["score"]]
    has_tasks = len(results["classes"]) > 1
    rows = tuple(
        (
            run["name"] + (f", {task}" if has_tasks else ""),
            run["system"],
            listed(run["seeds"][task]),
            *(score.write_spread(run["test"][task].get(score.key)) for score in columns),
        )
        for task in results["classes"]
        for run in results["runs"]
    )
    for task in results["classes"]:
        of_task = f", {task}" if has_tasks else ""
        linear: dict[tuple[str, ...], Any] = {}  # runs on the same modalities share a baseline
        for run in results["runs"]:
            if task in run["baseline"]:
                linear.setdefault(tuple(run["modalities"]), run["baseline"][task])
        for modalities, test in linear.items():
            of = f" of {listed(modalities)}" if len(linear) > 1 else ""
            cells = (score.write_spread(test.get(score.key)) for score in columns)
            rows += ((f"linear baseline{of}{of_task}", "linear", "0", *cells),)
        constant = columns[0].write(results["runs"][0]["constant"][task])
        empty = [""] * (len(columns) - 1)
        rows += ((results["constant"][task] + of_task, "", "", constant, *empty),)
    all_shares = all(score.is_share for score in columns)
    shares = "in per cent" if all_shares else "Acc and F1 in per cent"
    return Table(
        "scores",
        f"Scores of the test part, {shares}, mean ± deviation over the seeds.",
        ("trial", "system", "seeds", *(score.label for score in columns)),
        rows,
        words=(0, 1, 2),
    )


def systems(results: Mapping[str, Any]) -> Table:
    """Builds the table of what each trial's system reads, and of its publication."""
    rows = []
    for run in results["runs"]:
        if not run["sees"]:
            continue  # a tower, or results of an earlier version
        # The recipes of MMAN have names of their own, a config may have any.
        named = run["system"] if run["class"] == mman.NAME else run["class"]
        year, reads, published_scores, epoch = published.about(named, run["sees"])
        size = count(run["parameters"])
        rows.append((run["name"], year, reads, size, published_scores, epoch))
    return Table(
        "systems",
        "The systems. Published scores are of other data, splits, classes and selection.",
        ("trial", *published.ABOUT[:2], "parameters", *published.ABOUT[2:]),
        tuple(rows),
        words=(0, 1, 2, 4, 5),
    )


def tests(results: Mapping[str, Any]) -> Table:
    """Builds the table of the paired tests, a row for each pair."""
    has_tasks, score = len(results["classes"]) > 1, Score(**results["scores"][results["score"]])
    voted = any("p_mcnemar" in pair for pair in results["comparisons"])
    rows = tuple(
        (
            f"{pair['first']} over {pair['second']}" + (f", {pair['task']}" if has_tasks else ""),
            score.write_gain(pair["difference"]),
            span(pair["interval"], score.write_gain),
            p_value(pair["p_bootstrap"]),
            _marked(pair["p_bootstrap_holm"]),
            *((count(pair["only_first"]), count(pair["only_second"]), p_value(pair["p_mcnemar"]),
               _marked(pair["p_mcnemar_holm"])) if voted else ()),
        )
        for pair in results["comparisons"]
    )  # fmt: skip
    difference = f"the second trial's {score.label} less the first's"
    if score.higher_is_better:
        difference = f"the first trial's {score.label} less the second's"
    mcnemar = (
        " McNemar's exact test is on the seeds' majority answers, utterances taken as independent."
    )
    return Table(
        "tests",
        f"Paired tests on the test part: {difference}{', in points' if score.is_share else ''}.",
        ("trials", "difference", "95 % interval", "p (bootstrap)", "Holm",
         *(("only the first right", "only the second right", "p (McNemar)", "Holm")
           if voted else ())),
        rows,
        notes=(
            f"The interval and the first p-value are of {count(results['resamples'])} resamples of "
            f"the {units(results)} and of each trial's seeds.{mcnemar * voted} Holm's corrections "
            f"are for the {len(rows)} row{'s' * (len(rows) > 1)} of this table; values below "
            f"{LEVEL} are in bold.",
        ),
    )  # fmt: skip


def _marked(p: float) -> Cell | str:
    return Cell(p_value(p), "strong") if p < LEVEL else p_value(p)


def cross_document(results: Mapping[str, Any]) -> Document:
    """Builds the document of `mman cross`.

    Args:
        results: results of `study.crossed.run`.
    """
    names = from_results(results).score_names()
    sections = (
        *(
            Section(f"{metric}-section", f"Test {names[metric]}", (cross_table(results, metric),))
            for metric in _CROSSED
        ),
        Section("corpora-section", "The corpora", (corpora(results),)),
        Section("made-section", "Reproduction", (Code(results["command"]),)),
    )
    labels = f" Labels: {results['label_map']}." if results["label_map"] else ""
    return Document(
        title=f"{results['system']} across {len(results['corpora'])} corpora",
        warning="",
        summary=f"{results['system']}, protocol {results['protocol']}, classes "
        f"{listed(results['classes'])}, trained on each corpus and tested on each. Another corpus "
        f"is scaled {results['scaled']}.{labels}",
        sections=sections,
    )


def cross_table(results: Mapping[str, Any], metric: str) -> Table:
    """Builds the table of a score, a row for each training and a column for each test corpus."""
    names = [corpus["name"] for corpus in results["corpora"]]
    cells = {(cell["trained"], cell["tested"]): cell["test"] for cell in results["cells"]}
    rows = []
    for name in names:
        texts = {other: spread(cells[name, other][metric]) for other in names}
        marked = [Cell(t, "strong") if other == name else t for other, t in texts.items()]
        rows.append((name, *marked))
    linear = [cells[name, name].get("baseline") for name in names]
    if any(linear):
        rows.append(("linear baseline", *(spread(test and test[metric]) for test in linear)))
    if metric == "accuracy":
        shares = [percent(cells[name, name]["majority_accuracy"]) for name in names]
        rows.append(("majority answer", *shares))
    name = from_results(results).score_names()[metric]
    return Table(
        f"cross_{metric}",
        f"{name[0].upper()}{name[1:]} in per cent, mean ± deviation over the seeds: one row "
        "for each training corpus, one column for each test corpus; bold: the same corpus.",
        ("trained on", *(f"tested on {name}" for name in names)),
        tuple(rows),
    )


def corpora(results: Mapping[str, Any]) -> Table:
    """Builds the table of the corpora, their parts and splits."""
    rows = tuple(
        (
            corpus["name"],
            corpus["path"],
            *(count(corpus["parts"][part]["utterances"]) for part in ("train", "valid", "test")),
            corpus["split"],
            corpus["tested_by_others"],
            listed(results["seeds"][corpus["name"]]),
        )
        for corpus in results["corpora"]
    )
    return Table(
        "corpora",
        "The corpora: utterances of each part, and conversations that test other systems.",
        ("corpus", "read from", "training", "validation", "test", "split", "scored for the others",
         "seeds"),
        rows,
        words=(0, 1, 5, 6, 7),
    )  # fmt: skip
