"""Element coverage on a periodic table (paper, fig. 2b)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from defectscout.analysis.structure_map import ElementCoverage
from defectscout.core.errors import NothingFoundError
from defectscout.reporting.analysis_tables import element_table
from defectscout.reporting.figure_style import new_figure
from defectscout.reporting.figures.style import SMALL, Written, write

_LAST: Final = 103
"""Atomic number of the last element drawn, unless a later one was seen."""

_DARK: Final = 0.55
"""Lightness of a cell below which its text is white."""


def draw_elements(coverage: Sequence[ElementCoverage], path: Path) -> Written:
    """Draw the periodic table: colour and number say how many reference configurations hold an element.

    An element that belongs to a host but of which the reference has evaluated nothing yet has a zero in it; one that
    occurs nowhere is grey.

    Args:
        coverage: elements that occur.
        path: where to write; the suffix is replaced by .png, .svg and .csv.

    Returns:
        The three files.

    Raises:
        NothingFoundError: if no element occurs.
        MissingExtraError: without matplotlib.
        SettingsError: where nothing can be written.
    """
    if not coverage:
        raise NothingFoundError("There is no element to draw: no campaign holds a defect yet.")
    from pymatgen.core import Element

    known = {item.symbol: item for item in coverage}
    last = max(_LAST, *(Element(symbol).Z for symbol in known))
    with new_figure(9.2, 5.4, 1, 1) as (figure, axes):
        axis = axes[0, 0]
        from matplotlib import colormaps
        from matplotlib.cm import ScalarMappable
        from matplotlib.colors import LogNorm

        most = max(item.configurations for item in coverage)
        scale = ScalarMappable(LogNorm(1, max(most, 10)), colormaps["cividis_r"])
        for number in range(1, last + 1):
            element = Element.from_Z(number)
            _cell(axis, element.symbol, _place(element), known.get(element.symbol), scale)
        for row, series in ((6, "57–71"), (7, "89–103")):
            axis.text(3, row, series, ha="center", va="center", fontsize=SMALL, color="0.5")
        axis.set_xlim(0.4, 18.6)
        axis.set_ylim(9.9, 0.4)
        axis.set_aspect("equal")
        axis.set_axis_off()
        bar = figure.colorbar(scale, ax=axis, orientation="horizontal", shrink=0.5, aspect=40, pad=0.01)
        bar.ax.xaxis.set_major_formatter(_plain_number)
        bar.set_label("reference configurations that hold the element")
        return write(figure, path, element_table(coverage))


def _plain_number(value: float, _: int) -> str:
    return f"{value:g}"


def _place(element: Any) -> tuple[float, float]:
    """Column and row; lanthanoids and actinoids lie beneath."""
    if 57 <= element.Z <= 71:
        return element.Z - 57 + 3, 8.4
    if 89 <= element.Z <= 103:
        return element.Z - 89 + 3, 9.4
    return element.group, element.row


def _cell(axis: Any, symbol: str, place: tuple[float, float], item: ElementCoverage | None, scale: Any) -> None:
    from matplotlib.patches import Rectangle

    column, row = place
    face: Any = "0.95"
    if item is not None:
        face = scale.to_rgba(item.configurations) if item.configurations else "white"
    edge: dict[str, Any] = {
        "edgecolor": "black" if item is not None else "0.75",
        "linewidth": 0.9 if item is not None else 0.5,
    }
    axis.add_patch(Rectangle((column - 0.47, row - 0.47), 0.94, 0.94, facecolor=face, zorder=2 if item else 1, **edge))
    if item is None:
        axis.text(column, row, symbol, ha="center", va="center", fontsize=9, color="0.5")
        return
    text = "white" if item.configurations and _lightness(face) < _DARK else "black"
    axis.text(column, row - 0.16, symbol, ha="center", va="center", fontsize=10, weight="bold", color=text, zorder=3)
    axis.text(column, row + 0.24, _short(item.configurations), ha="center", va="center", fontsize=SMALL, color=text,
              zorder=3)  # fmt: skip


def _lightness(colour: tuple[float, float, float, float]) -> float:
    red, green, blue, _ = colour
    return 0.299 * red + 0.587 * green + 0.114 * blue


def _short(count: int) -> str:
    """Such as 950, 12k: what fits a cell."""
    return str(count) if count < 10_000 else f"{count / 1000:.0f}k"
