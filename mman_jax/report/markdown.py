"""Documents as Markdown (with GitHub's tables), with pictures in separate files."""

import re

from mman_jax.report.document import Block, Cell, Code, Document, Figure, Paragraph, Table

FIGURES = "figures"
# Characters with a meaning in Markdown, tables or formulas.
_MARKS = re.compile(r"([\\`*_\[\]|~$#])")


def render(document: Document) -> str:
    """Returns the content of the file."""
    parts = [f"# {text(document.title)}"]
    if document.warning:
        parts.append(f"> **{text(document.warning)}**")
    parts.append(text(document.summary))
    for section in document.sections:
        parts += [f"## {text(section.title)}", *map(_block, section.blocks)]
    return "\n\n".join(parts) + "\n"


def text(plain: str) -> str:
    """Returns text escaped for Markdown, on one line."""
    line = " ".join(str(plain).split())
    # HTML entities work in every dialect of Markdown.
    line = line.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return _MARKS.sub(r"\\\1", line)


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
