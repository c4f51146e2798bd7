"""A document as Markdown (GitHub's tables), its pictures in files beside it."""

import re
from collections.abc import Mapping
from typing import Any

from mman_jax.report.document import (
    Block,
    Cell,
    Code,
    Document,
    Figure,
    Paragraph,
    Section,
    Table,
)
from mman_jax.tasks import from_results

FIGURES = "figures"
# Characters that mean something in Markdown, a table or a formula.
_MARKS = re.compile(r"([\\`*_\[\]|~$#])")


def render(document: Document) -> str:
    """The whole file."""
    parts = [f"# {text(document.title)}"]
    if document.warning:
        parts.append(f"> **{text(document.warning)}**")
    parts.append(text(document.summary))
    parts += [_section(section) for section in document.sections]
    return "\n\n".join(parts) + "\n"


def overview(results: Mapping[str, Any]) -> str:
    """A row a system, as README.md shows them: per cent, mean ± deviation over the seeds.

    The paper's systems come first, then the ablations.

    Args:
        results: a report's `results.json`.
    """
    systems = results["systems"].values()
    names = from_results(results).score_names()
    scores = f"test {names['accuracy']} | {names['unweighted_recall']} | {names['weighted_f1']}"
    lines = [
        f"| system | parameters | {scores} | ensemble | validation | if selected on test |",
        "|---|---:|---:|---:|---:|---:|---:|---:|",
    ]
    lines += [_system(system) for system in systems if system["group"] == "paper"]
    majority = 100 * results["majority_accuracy"]
    lines.append(f"| majority answer | | {majority:.1f} | | | | | |")
    lines += [_system(system) for system in systems if system["group"] == "ablation"]
    return "\n".join(lines) + "\n"


def claims(results: Mapping[str, Any]) -> str:
    """A row a claim, as README.md shows them: verdict, difference, its interval and p-value.

    Args:
        results: a report's `results.json`.
    """
    lines = [
        "| the paper's claim | here | difference in points | 95 % interval | p |",
        "|---|---|---:|---:|---:|",
    ]
    for claim in results["claims"]:
        low, high = (f"{100 * x:+.1f}" for x in claim["interval"])
        p = f"{claim['p']:.3f}" if claim["p"] >= 0.001 else "< 0.001"
        lines.append(
            f"| {claim['claim']} | {claim['verdict']} | {100 * claim['difference']:+.1f} "
            f"| {low} to {high} | {p} |"
        )
    return "\n".join(lines) + "\n"


def text(plain: str) -> str:
    """Text that Markdown shows as it is, on one line."""
    line = " ".join(str(plain).split())
    # HTML's characters as HTML writes them: that holds in every dialect.
    line = line.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return _MARKS.sub(r"\\\1", line)


def _section(section: Section) -> str:
    return "\n\n".join([f"## {text(section.title)}", *map(_block, section.blocks)])


def _block(block: Block) -> str:
    match block:
        case Paragraph():
            return text(block.text)
        case Code():
            return _code(block)
        case Figure():
            picture = f"![{text(block.alt)}]({FIGURES}/{block.name}.png)"
            return f"{picture}\n\n{text(block.caption)}"
        case Table():
            return _table(block)


def _code(code: Code) -> str:
    longest = max(map(len, re.findall("`+", code.text)), default=0)
    fence = "`" * max(3, longest + 1)
    title = f"{text(code.folded)}:\n\n" if code.folded else ""
    return f"{title}{fence}\n{code.text}\n{fence}"


def _table(table: Table) -> str:
    rules = ["---" if column in table.words else "---:" for column in range(len(table.head))]
    lines = [
        _row(map(text, table.head)),
        _row(rules),
        *(_row(map(_cell, row)) for row in table.rows),
    ]
    notes = "".join(f"\n\n{text(note)}" for note in table.notes)
    return f"{text(table.caption)}\n\n" + "\n".join(lines) + notes


def _row(cells) -> str:
    return "| " + " | ".join(cells) + " |"


def _cell(cell: str | Cell) -> str:
    if isinstance(cell, Cell):
        return f"**{text(cell.text)}**" if cell.tone and cell.text else text(cell.text)
    return text(cell)


def _system(system: Mapping[str, Any]) -> str:
    scores = [system["test"][name] for name in ("accuracy", "unweighted_recall", "weighted_f1")]
    scores += [system["validation"]["accuracy"], system["test_oracle"]["accuracy"]]
    cells = [f"{100 * score['mean']:.1f} ± {100 * score['std']:.1f}" for score in scores]
    together = system.get("ensemble")
    accuracy = f"{100 * together['test']['accuracy']['mean']:.1f}" if together else ""
    cells.insert(len(scores) - 2, accuracy)
    name = system["title"]
    if system["group"] == "ablation":
        name = f"*{name}: {system['about']}*"
    total = f"{system['parameters']['total']:,}".replace(",", " ")
    return f"| {name} | {total} | {' | '.join(cells)} |"
