"""Documents, independent of HTML and Markdown: sections of paragraphs, tables, figures and code.

All text is plain; the writers of HTML and Markdown escape it.
"""

import dataclasses
from typing import Literal

Tone = Literal["", "strong", "yes", "no", "undecided"]


@dataclasses.dataclass(frozen=True)
class Cell:
    """A highlighted cell: the best of its column, or a verdict."""

    text: str
    tone: Tone = ""


@dataclasses.dataclass(frozen=True)
class Paragraph:
    """A paragraph."""

    text: str


@dataclasses.dataclass(frozen=True)
class Code:
    """Verbatim text, such as a command or settings.

    Attributes:
        text: the lines.
        folded: the label that unfolds it; empty if it is always visible.
    """

    text: str
    folded: str = ""


@dataclasses.dataclass(frozen=True)
class Table:
    """A table.

    Attributes:
        name: an identifier, unique within the document.
        caption: a description.
        head: names of the columns.
        rows: rows, each with one cell for each column.
        words: indices of the columns of words; the others hold numbers.
        notes: lines below the table.
        folded: the label that unfolds it; empty if it is always visible.
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
        name: an identifier, unique within the document, and the file's name without `.png`.
        caption: a description.
        alt: a one-line description for readers who cannot see the picture.
        png: content of the file.
    """

    name: str
    caption: str
    alt: str
    png: bytes = dataclasses.field(repr=False)


Block = Paragraph | Code | Table | Figure


@dataclasses.dataclass(frozen=True)
class Section:
    """A heading and its blocks."""

    name: str
    title: str
    blocks: tuple[Block, ...]


@dataclasses.dataclass(frozen=True)
class Document:
    """A report.

    Attributes:
        title: the title.
        warning: a prominent warning; empty if there is none.
        summary: a paragraph about the study.
        sections: the sections, in order.
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
