"""What the interactive figures share: colours, symbols, dashes, axes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

from defectscout.reporting.table import Table

COLOURS: Final = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#D55E00", "#56B4E9")
"""Okabe and Ito's that show on white and on black (jfly.uni-koeln.de/color)."""

GREY: Final = "#8C8C8C"
"""Of what belongs to nothing that is named."""

SYMBOLS: Final = ("circle", "square", "diamond", "triangle-up", "cross", "star", "hexagon")
"""As many as is prime to the number of colours; they tell data apart in grey."""

DASHES: Final = ("solid", "dash", "dot", "dashdot", "longdash", "longdashdot")

HATCHES: Final = ("", "/", ".", "x", "-", "+")
"""Patterns of bars."""

MOST_POINTS: Final = 60
"""Steps of one relaxation that are drawn, first and last among them: more cannot be told apart."""

Trace = Mapping[str, Any]


def colour(index: int | None) -> str:
    """Colour of the index-th of some; grey for None."""
    return GREY if index is None else COLOURS[index % len(COLOURS)]


def symbol(index: int) -> str:
    """Marker of the index-th of some."""
    return SYMBOLS[index % len(SYMBOLS)]


def dash(index: int | None) -> str:
    """Line of the index-th of some."""
    return "dot" if index is None else DASHES[index % len(DASHES)]


def axis(title: str, **more: Any) -> dict[str, Any]:
    """An axis with a title."""
    return {"title": {"text": title}, "automargin": True, **more}


def rounded(values: Sequence[float], digits: int = 4) -> list[float]:
    """Numbers as short as a figure needs them (0.1 meV)."""
    return [round(float(value), digits) + 0.0 for value in values]


def without(table: Table, *keys: str) -> Table:
    """A table without some columns, such as those that say the same in every row."""
    kept = [index for index, column in enumerate(table.columns) if column.key not in keys]
    return replace(
        table,
        columns=tuple(table.columns[index] for index in kept),
        rows=tuple(tuple(row[index] for index in kept) for row in table.rows),
    )
