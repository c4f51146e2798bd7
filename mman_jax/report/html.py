"""Documents as self-contained HTML files, without scripts."""

import base64
import html
import pathlib
import struct

from mman_jax.report.document import Block, Cell, Code, Document, Figure, Paragraph, Section, Table

_STYLE = pathlib.Path(__file__).with_name("style.css")
# Cells of words up to `_SHORT` characters stay on one line; those above `_LONG` become wider.
_SHORT, _LONG = 24, 30
# Smallest width of a picture in pixels; on narrower screens its box scrolls.
_LEGIBLE = 820
_DOTS_A_PIXEL = 150 / 96


def render(document: Document) -> str:
    """Returns the page."""
    links = "".join(
        f'<li><a href="#{_text(section.name)}">{_text(section.title)}</a></li>'
        for section in document.sections
    )
    warning = f'<p class="warning" role="note">{_text(document.warning)}</p>\n'
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f'<title>{_text(document.title)}</title>\n<link rel="icon" href="data:,">\n'
        f"<style>\n{_STYLE.read_text()}</style>\n</head>\n<body>\n<main>\n"
        f"<h1>{_text(document.title)}</h1>\n{warning if document.warning else ''}"
        f'<p class="summary">{_text(document.summary)}</p>\n'
        f'{_section(document.sections[0])}<nav aria-label="Contents"><ul>{links}</ul></nav>\n'
        f"{''.join(_section(section) for section in document.sections[1:])}"
        "</main>\n</body>\n</html>\n"
    )


def _section(section: Section) -> str:
    blocks = "\n".join(_block(block) for block in section.blocks)
    return (
        f'<section id="{_text(section.name)}">\n<h2>{_text(section.title)}</h2>\n{blocks}\n'
        "</section>\n"
    )


def _block(block: Block) -> str:
    match block:
        case Paragraph():
            return f"<p>{_text(block.text)}</p>"
        case Code():
            return _fold(
                f'<div class="box code"><pre>{_text(block.text)}</pre></div>', block.folded
            )
        case Figure():
            return _figure(block)
        case Table():
            return _fold(_table(block), block.folded)


def _fold(content: str, summary: str) -> str:
    if not summary:
        return content
    return f"<details>\n<summary>{_text(summary)}</summary>\n{content}\n</details>"


def _figure(figure: Figure) -> str:
    # A PNG's first chunk has width and height; with known sizes the page does not jump.
    width, height = (
        round(side / _DOTS_A_PIXEL) for side in struct.unpack(">II", figure.png[16:24])
    )
    data = base64.b64encode(figure.png).decode()
    return (
        f'<figure id="{_text(figure.name)}">\n<figcaption>{_text(figure.caption)}</figcaption>\n'
        f'<div class="box picture" tabindex="0"><img alt="{_text(figure.alt)}" width="{width}" '
        f'height="{height}" style="min-width:{min(width, _LEGIBLE)}px" '
        f'src="data:image/png;base64,{data}"></div>\n</figure>'
    )


def _table(table: Table) -> str:
    identifier = _text(table.name)
    head = "".join(
        f'<th scope="col"{_classes(_words(table, column, ""))}>{_text(name)}</th>'
        for column, name in enumerate(table.head)
    )
    rows = "\n".join(
        f"<tr>{''.join(_cell(table, column, cell) for column, cell in enumerate(row))}</tr>"
        for row in table.rows
    )
    notes = "".join(f"<li>{_text(note)}</li>" for note in table.notes)
    return (
        f'<div class="table">\n<p class="caption" id="{identifier}-caption">'
        f'{_text(table.caption)}</p>\n<div class="box" tabindex="0">'
        f'<table id="{identifier}" aria-labelledby="{identifier}-caption">\n'
        f"<thead><tr>{head}</tr></thead>\n<tbody>\n{rows}\n</tbody>\n</table></div>\n"
        + (f'<ul class="notes">{notes}</ul>\n' if notes else "")
        + "</div>"
    )


def _cell(table: Table, column: int, cell: str | Cell) -> str:
    cell = cell if isinstance(cell, Cell) else Cell(cell)
    classes = _words(table, column, cell.text)
    text = _text(cell.text)
    if cell.tone in ("yes", "no", "undecided"):
        classes += ["verdict", cell.tone]
        text = f"<span>{text}</span>"
    elif cell.tone:
        classes.append(cell.tone)
    tag, scope = ("th", ' scope="row"') if column == 0 else ("td", "")
    return f"<{tag}{scope}{_classes(classes)}>{text}</{tag}>"


def _words(table: Table, column: int, text: str) -> list[str]:
    if column not in table.words:
        return []
    if len(text) > _LONG:
        return ["words", "long"]
    return ["words", "short"] if len(text) <= _SHORT else ["words"]


def _classes(names: list[str]) -> str:
    return f' class="{" ".join(names)}"' if names else ""


def _text(text: str) -> str:
    return html.escape(str(text))
