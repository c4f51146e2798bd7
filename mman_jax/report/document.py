"""A report before it is HTML or Markdown: sections of paragraphs, tables, figures and code.

All text here is plain; what writes it down escapes it.
"""

import dataclasses
from typing import Literal

Tone = Literal["", "strong", "yes", "no", "undecided"]


@dataclasses.dataclass(frozen=True)
class Cell:
    """A cell that stands out: the best of its column, or a verdict."""

    text: str
    tone: Tone = ""


@dataclasses.dataclass(frozen=True)
class Paragraph:
    """A paragraph."""

    text: str


@dataclasses.dataclass(frozen=True)
class Code:
    """Text as it was typed or written by a machine.

    Attributes:
        text: lines.
        folded: what to click on to see it; empty: it is always seen.
    """

    text: str
    folded: str = ""


@dataclasses.dataclass(frozen=True)
class Table:
    """A table.

    Attributes:
        name: an identifier, its own within the document.
        caption: what it shows.
        head: the columns' names.
        rows: as many cells each as `head`.
        words: the columns that hold words; the others hold numbers.
        notes: lines below.
        folded: what to click on to see it; empty: it is always seen.
    """

    name: str
    caption: str
    head: tuple[str, ...]
    rows: tuple[tuple[str | Cell, ...], ...]
    words: tuple[int, ...] = (0,)
    notes: tuple[str, ...] = ()
    folded: str = ""

    def __post_init__(self):
        for row in self.rows:
            if len(row) != len(self.head):
                raise ValueError(
                    f"table {self.name}: {len(row)} cells under {len(self.head)} names"
                )

    @property
    def plain(self) -> tuple[tuple[str, ...], ...]:
        """The rows' text alone."""
        return tuple(tuple(x.text if isinstance(x, Cell) else x for x in row) for row in self.rows)


@dataclasses.dataclass(frozen=True)
class Figure:
    """A picture.

    Attributes:
        name: an identifier, its own within the document, and the file's name without `.png`.
        caption: what it shows.
        alt: the same for who cannot see it, in a line.
        png: the bytes.
    """

    name: str
    caption: str
    alt: str
    png: bytes = dataclasses.field(repr=False)


Block = Paragraph | Code | Table | Figure


@dataclasses.dataclass(frozen=True)
class Section:
    """A heading and what stands under it."""

    name: str
    title: str
    blocks: tuple[Block, ...]


@dataclasses.dataclass(frozen=True)
class Document:
    """A whole report.

    Attributes:
        title: its title.
        warning: what nobody must overlook; empty: nothing.
        summary: what was done, in a paragraph.
        sections: in order.
    """

    title: str
    warning: str
    summary: str
    sections: tuple[Section, ...]

    @property
    def figures(self) -> tuple[Figure, ...]:
        """All figures, in order."""
        blocks = (block for section in self.sections for block in section.blocks)
        return tuple(block for block in blocks if isinstance(block, Figure))
