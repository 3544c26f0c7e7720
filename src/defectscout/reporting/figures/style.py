"""What figures of analyses share: names as a journal sets them, patterns that survive greyscale, files."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from defectscout.reporting.evaluation_tables import write_text
from defectscout.reporting.figure_style import COLOURS, MARKERS, save
from defectscout.reporting.table import Table, csv_text

Written = tuple[Path, Path, Path]
"""PNG, SVG and CSV of a figure."""

LINES: Final = ("-", (0, (5, 1.8)), (0, (1, 1.4)), (0, (6, 1.5, 1, 1.5)), (0, (9, 3)))
"""Line patterns, as many as is prime to the numbers of colours and of markers."""

HATCHES: Final = ("", "///", "...", "xxx", "\\\\\\", "+++")
"""Patterns of areas, black on the colours; as many as is prime to their number."""

SMALL: Final = 8
"""The smallest font, pt."""

_ORDER: Final = (0, 1, 5, 4, 3, 6, 7)
"""Of the colours, for groups of data. Black is left out: it is for rims, hatches and what is marked."""

_AMOUNT: Final = re.compile(r"(?<=[A-Za-z)])\d+(?:\.\d+)?")
_LOWERED: Final = str.maketrans("0123456789", "₀₁₂₃₄₅₆₇₈₉")
_CHARGE: Final = re.compile(r"[+-]?\d+")


def defect_text(label: str) -> str:
    r"""A defect's label as it is typeset: `v_Cd_0` becomes `V$_\mathrm{Cd}^{0}$`, in matplotlib's notation.

    What tells inequivalent sites apart follows in the subscript, as in V(Cu, C1, S2.30). A label of another form is
    returned as it is, but for signs that matplotlib would take for mathematics.
    """
    what, *sites, charge = label.split("_") if label.count("_") >= 2 else (label, "")
    if not sites or not _CHARGE.fullmatch(charge):
        return label.replace("$", r"\$")
    inside = r",\,".join(part for part in sites if part)
    return rf"{'V' if what == 'v' else what}$_\mathrm{{{inside}}}^{{{charge}}}$"


def formula_text(formula: str) -> str:
    """A formula with its amounts as subscripts: `Sb2S3` becomes `Sb₂S₃`; what follows a space stays as it is."""
    amounts, space, rest = formula.partition(" ")
    return _AMOUNT.sub(lambda match: match[0].translate(_LOWERED), amounts) + space + rest


def name_text(host: str, defect: str) -> str:
    """A defect and its host."""
    return f"{defect_text(defect)} in {formula_text(host)}"


def text_width(texts: Sequence[str], size: float = 9) -> float:
    """About how wide the widest of some names is, inches; amounts of mathematics count as half."""
    plain = (re.sub(r"\\mathrm|\\,|[${}_^]", "", text) for text in texts)
    return max((len(line) for text in plain for line in text.split("\n")), default=0) * 0.0085 * size


def colour(number: int) -> str:
    """Of a group of data."""
    return COLOURS[_ORDER[number % len(_ORDER)]]


def line_style(number: int) -> dict[str, Any]:
    """Colour, pattern and marker of a line."""
    return {
        "color": colour(number),
        "linestyle": LINES[number % len(LINES)],
        "marker": MARKERS[number % len(MARKERS)],
    }


def bar_style(number: int) -> dict[str, Any]:
    """Colour and hatch of an area."""
    return {
        "facecolor": colour(number),
        "hatch": HATCHES[number % len(HATCHES)],
        "edgecolor": "black",
        "linewidth": 0.6,
    }


def write(figure: Any, path: Path, table: Table) -> Written:
    """Write a figure beside what it shows.

    Args:
        figure: matplotlib's.
        path: where to; its suffix is replaced by .png, .svg and .csv.
        table: the data.

    Raises:
        SettingsError: where nothing can be written.
    """
    return (
        save(figure, path.with_suffix(".png")),
        save(figure, path.with_suffix(".svg")),
        write_text(path.with_suffix(".csv"), csv_text(table)),
    )


def columns_of_rows(count: int, most: int = 60, columns: int = 6) -> list[range]:
    """Rows in columns of equal height.

    Args:
        count: how many rows.
        most: rows of a column, unless more than `columns` columns would be needed.
        columns: at most.
    """
    number = min(-(-count // most), columns)
    height = -(-count // number)
    return [range(start, min(start + height, count)) for start in range(0, count, height)]


def pages(count: int, most: int) -> list[range]:
    """Items in pages of at most so many."""
    return [range(start, min(start + most, count)) for start in range(0, count, most)]


def numbered(path: Path, page: int, of: int) -> Path:
    """The path of one page of several: `distortions.png`, or `distortions-2.png`."""
    return path if of == 1 else path.with_name(f"{path.stem}-{page + 1}{path.suffix}")


def panel_letters(axes: Sequence[Any]) -> None:
    """a), b), ... before the titles of panels, where there are several."""
    if len(axes) > 1:
        for letter, axis in zip("abcdefghij", axes, strict=False):
            axis.set_title(f"{letter}) {axis.get_title(loc='left')}", loc="left")
