"""What `mman cross` writes: from its results to a document."""

from collections.abc import Mapping
from typing import Any

from mman_jax.evaluation.metrics import names as score_names
from mman_jax.report.document import Cell, Code, Document, Section, Table
from mman_jax.report.numbers import count, listed, percent, spread

_SHOWN = ("accuracy", "unweighted_recall")


def document(found: Mapping[str, Any]) -> Document:
    """The document.

    Args:
        found: what `study.crossed.run` gave.
    """
    called = score_names(found["protocol"])
    sections = (
        *(
            Section(f"{metric}-section", f"Test {called[metric]}", (table(found, metric),))
            for metric in _SHOWN
        ),
        Section("corpora-section", "The corpora", (corpora(found),)),
        Section("made-section", "How it was made", (Code(found["command"]),)),
    )
    labels = f" Labels: {found['label_map']}." if found["label_map"] else ""
    return Document(
        title=f"{found['system']} across {len(found['corpora'])} corpora",
        warning="",
        summary=f"{found['system']}, protocol {found['protocol']}, classes "
        f"{listed(found['classes'])}, trained on each corpus and tested on each. Another corpus is "
        f"scaled {found['scaled']}.{labels}",
        sections=sections,
    )


def table(found: Mapping[str, Any], metric: str) -> Table:
    """A row a corpus trained on, a column a corpus tested on."""
    names = [corpus["name"] for corpus in found["corpora"]]
    cells = {(cell["trained"], cell["tested"]): cell["test"] for cell in found["cells"]}
    rows = []
    for name in names:
        texts = {other: spread(cells[name, other][metric]) for other in names}
        marked = [Cell(t, "strong") if other == name else t for other, t in texts.items()]
        rows.append((name, *marked))
    if metric == "accuracy":
        shares = [percent(cells[name, name]["majority_accuracy"]) for name in names]
        rows.append(("majority answer", *shares))
    called = score_names(found["protocol"])[metric]
    return Table(
        f"cross_{metric}",
        f"{called[0].upper()}{called[1:]} in per cent, mean ± deviation over the seeds: a row a "
        "corpus trained on, a column a corpus tested on; in bold its own test part.",
        ("trained on", *(f"tested on {name}" for name in names)),
        tuple(rows),
    )


def corpora(found: Mapping[str, Any]) -> Table:
    """What was read, and what of it was scored."""
    rows = tuple(
        (
            corpus["name"],
            corpus["path"],
            *(count(corpus["parts"][part]["utterances"]) for part in ("train", "valid", "test")),
            corpus["split"],
            corpus["tested_by_others"],
            listed(found["seeds"][corpus["name"]]),
        )
        for corpus in found["corpora"]
    )
    return Table(
        "corpora",
        "The corpora, utterances a part, and which of them score what other corpora taught.",
        ("corpus", "read from", "training", "validation", "test", "split", "scored for the others",
         "seeds"),
        rows,
        words=(0, 1, 5, 6, 7),
    )  # fmt: skip
