"""One table, written once and shown everywhere: terminal, CSV, Markdown, JSON, report."""

from __future__ import annotations

import csv
import io
import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final, Literal

if TYPE_CHECKING:
    from rich.table import Table as RichTable

Cell = str | int | float | bool | None
"""What a cell holds; None and NaN where nothing is known."""

UNKNOWN = "–"
"""What a reader sees for None and NaN."""

_LONGEST_WORD: Final = 16
"""Characters of a word that the terminal does not break."""


@dataclass(frozen=True, slots=True)
class Column:
    """A column.

    Attributes:
        name: what a reader sees.
        key: name in files, with its unit: `lowering_eV`.
        unit: shown beside the name; empty for none.
        digits: decimals of floats for a reader; files keep all that are known.
        numeric: whether it is aligned and sorted as numbers.
        signed: whether a plus sign is shown.
    """

    name: str
    key: str
    unit: str = ""
    digits: int = 3
    numeric: bool = False
    signed: bool = False

    @property
    def heading(self) -> str:
        return f"{self.name} / {self.unit}" if self.unit else self.name

    def text(self, cell: Cell) -> str:
        """A cell as a reader sees it."""
        if cell is None or (isinstance(cell, float) and math.isnan(cell)):
            return UNKNOWN
        if isinstance(cell, bool):
            return "yes" if cell else "no"
        if isinstance(cell, float):
            rounded = round(cell, self.digits) + 0.0  # no "-0.000"
            return f"{rounded:{'+' if self.signed and rounded else ''}.{self.digits}f}"
        return f"{cell:+d}" if self.signed and isinstance(cell, int) and cell else str(cell)


@dataclass(frozen=True, slots=True)
class Table:
    """A table.

    Attributes:
        key: stem of its files: lower case, words joined by `-`.
        title: one line.
        columns: of every row.
        rows: cells in the order of the columns.
        notes: what a reader must know to read it right.
    """

    key: str
    title: str
    columns: tuple[Column, ...]
    rows: tuple[tuple[Cell, ...], ...]
    notes: tuple[str, ...] = ()

    def texts(self) -> list[list[str]]:
        """All cells as a reader sees them."""
        return [[column.text(cell) for column, cell in zip(self.columns, row, strict=True)] for row in self.rows]


def without(table: Table, *keys: str) -> Table:
    """The table without some of its columns, where there is little room."""
    kept = [number for number, column in enumerate(table.columns) if column.key not in keys]
    return replace(
        table,
        columns=tuple(table.columns[number] for number in kept),
        rows=tuple(tuple(row[number] for number in kept) for row in table.rows),
    )


def known(table: Table) -> Table:
    """The table without the columns in which nothing is known of any row."""
    empty = {
        column.key
        for number, column in enumerate(table.columns)
        if all(row[number] in ("", None) or column.text(row[number]) == UNKNOWN for row in table.rows)
    }
    return without(table, *empty) if table.rows else table


def csv_text(table: Table) -> str:
    """The table as CSV, numbers in full, nothing where nothing is known."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow([column.key for column in table.columns])
    writer.writerows([_plain(cell) for cell in row] for row in table.rows)
    return text.getvalue()


def records(table: Table) -> list[dict[str, Cell]]:
    """The table as JSON-ready records: numbers in full, null where nothing is known."""
    return [{column.key: _finite(cell) for column, cell in zip(table.columns, row, strict=True)} for row in table.rows]


def markdown_text(table: Table) -> str:
    """The table as Markdown, with its notes beneath; its title is left to whoever places it."""
    if not table.rows:
        return "\n".join(["*Nothing to show.*", *(f"\n{note}" for note in table.notes)]) + "\n"
    head = [_escaped(column.heading) for column in table.columns]
    rule = ["---:" if column.numeric else ":---" for column in table.columns]
    lines = [head, rule, *([_escaped(cell) for cell in row] for row in table.texts())]
    text = "\n".join(f"| {' | '.join(line)} |" for line in lines)
    return "\n\n".join([text, *table.notes]) + "\n"


def rich_table(table: Table) -> RichTable:
    """The table for the terminal; a console narrower than `least_width` cuts it off."""
    from rich.table import Table as RichTable
    from rich.text import Text

    shown = RichTable(
        title=table.title,
        title_justify="left",
        title_style="bold",
        caption="\n".join(table.notes) or None,
        caption_justify="left",
        box=None,
        pad_edge=False,
        show_edge=False,
        header_style="underline",
    )
    for column, width in zip(table.columns, _least_widths(table), strict=True):
        justify: Literal["left", "right"] = "right" if column.numeric else "left"
        shown.add_column(Text(column.heading), justify=justify, overflow="fold", min_width=width)
    for row in table.texts():
        shown.add_row(*(Text(cell) for cell in row))
    return shown


def least_width(table: Table) -> int:
    """Characters that the table needs on the terminal to be seen whole."""
    widths = _least_widths(table)
    return sum(widths) + 2 * len(widths)  # two blanks between columns


def _least_widths(table: Table) -> list[int]:
    """Of each column, so that no word but very long ones is broken."""
    texts = [[column.heading for column in table.columns], *table.texts()]
    longest = ([len(word) for row in texts for word in row[number].split()] for number in range(len(table.columns)))
    return [min(_LONGEST_WORD, max(lengths, default=1)) for lengths in longest]


def _plain(cell: Cell) -> Cell:
    finite = _finite(cell)
    return "" if finite is None else finite


def _finite(cell: Cell) -> Cell:
    return None if isinstance(cell, float) and not math.isfinite(cell) else cell


def _escaped(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")
