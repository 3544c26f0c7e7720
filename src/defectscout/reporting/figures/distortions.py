"""Energy against distortion, in ShakeNBreak's manner (paper, figs S18 and S22)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from defectscout.analysis.distortions import DistortionPlot, DistortionPoint
from defectscout.core.defect import UNPERTURBED
from defectscout.core.errors import NothingFoundError
from defectscout.reporting.analysis_tables import distortion_table
from defectscout.reporting.figure_style import new_figure
from defectscout.reporting.figures.style import SMALL, Written, line_style, name_text, numbered, pages, write
from defectscout.sampling.labels import DIMER, RATTLED

PANELS: Final = 12
"""Of one page."""

_STEP: Final = 0.17
"""Distance of the columns right of the axis of distortions, in its units."""

_STYLES: Final = {"reference only": 1, "learning loop": 2, "not begun": 3}
"""Number of the style of each search; that of the others is 0. The reference-only search is drawn as open rings."""

_MARKED: Final = ((UNPERTURBED, "Unpert."), (DIMER, "Dimer"), (RATTLED, "Rattled"))
"""Starts with a column of their own, and what it is called."""


def draw_distortion_pages(plots: Sequence[DistortionPlot], path: Path) -> tuple[Path, ...]:
    """Draw any number of defects, several pages if need be: `distortions-1.png`, `distortions-2.png`, ...

    Arguments and errors as of `draw_distortions`.
    """
    parts = pages(len(plots), PANELS)
    if len(parts) < 2:
        return draw_distortions(plots, path)
    drawn = (
        draw_distortions([plots[number] for number in part], numbered(path, page, len(parts)))
        for page, part in enumerate(parts)
    )
    return tuple(file for files in drawn for file in files)


def draw_distortions(plots: Sequence[DistortionPlot], path: Path) -> Written:
    """Draw the energy of the minimum that each start led to, one panel for each defect.

    Bond distortions lie on the axis, and lines join the lowest at each. What is no bond distortion (`Unperturbed`,
    `Dimer`, `Rattled`, others) has a column of its own to the right. The campaign's own search and the reference-only
    search lie over each other, apart in colour, marker and line. A triangle at the upper edge stands for a start that
    led to no minimum, or has not ended yet.

    Args:
        plots: one for each defect.
        path: where to write; the suffix is replaced by .png, .svg and .csv.

    Returns:
        The three files.

    Raises:
        NothingFoundError: if there is no start.
        MissingExtraError: without matplotlib.
        SettingsError: where nothing can be written.
    """
    shown = [plot for plot in plots if any(series.points for series in plot.series)]
    if not shown:
        raise NothingFoundError("There is no energy against distortion to draw: no start has been relaxed.")
    names = list(dict.fromkeys(series.name for plot in shown for series in plot.series if series.points))
    columns = 2 if len(shown) == 4 else min(3, len(shown))
    rows = -(-len(shown) // columns)
    failed = any(point.energy is None for plot in shown for series in plot.series for point in series.points)
    with new_figure(max(3.7 * columns, 5.0), 2.75 * rows + 0.6, rows, columns) as (figure, axes):
        for axis, plot in zip(axes.flat, shown, strict=False):
            _panel(axis, plot)
        for axis in axes.flat[len(shown) :]:
            axis.set_visible(False)
        _legend(figure, names, failed)
        return write(figure, path, distortion_table(shown))


def _panel(axis: Any, plot: DistortionPlot) -> None:
    points = [point for series in plot.series for point in series.points]
    energies = [point.energy for point in points if point.energy is not None]
    low, high = min([*energies, 0.0]), max([*energies, 0.0])
    span = max(high - low, 0.3)
    failed_at = high + 0.2 * span
    axis.set_ylim(low - 0.12 * span, high + 0.3 * span)
    distortions = [point.distortion for point in points if point.distortion is not None]
    edge = max([*(abs(value) for value in distortions), 0.6])
    columns = _columns(points, edge)
    axis.set_xlim(-edge - 0.07, max([edge, *columns.values()]) + 0.1)
    if columns:
        axis.axvline(edge + 0.07, color="0.6", linewidth=0.8)
    axis.axhline(0.0, color="0.75", linewidth=0.8, zorder=0)
    for series in plot.series:
        style, ring = _style(series.name)
        on_axis = [(point.distortion, point.energy) for point in series.points if point.distortion is not None]
        lowest = {x: min(e for at, e in on_axis if at == x and e is not None) for x, y in on_axis if y is not None}
        line = {"color": style["color"], "linestyle": style["linestyle"], "linewidth": 1.2, "zorder": 2}
        axis.plot(*_line(lowest), label=series.name, **line)
        for point in series.points:
            place = columns[_column(point)] if point.distortion is None else point.distortion
            _mark(axis, place, point, failed_at, style, ring)
    ticks = [-0.6, -0.3, 0.0, 0.3, 0.6] if edge <= 0.65 else [-edge, -edge / 2, 0.0, edge / 2, edge]
    axis.set_xticks([*ticks, *columns.values()], [*(f"{tick:g}".replace("-", "−") for tick in ticks), *columns])
    for label in axis.get_xticklabels()[len(ticks) :]:
        label.set(rotation=50, ha="right", rotation_mode="anchor", fontsize=SMALL)
    axis.set_xlabel("bond distortion factor")
    zero = "unperturbed" if plot.zero == "relaxed Unperturbed" else plot.zero
    axis.set_ylabel(f"E − E({zero}) / eV")
    axis.set_title(name_text(plot.host, plot.defect), loc="left")


def _line(lowest: dict[float, float]) -> tuple[list[float], list[float]]:
    places = sorted(lowest)
    return places, [lowest[place] for place in places]


def _column(point: DistortionPoint) -> str:
    return next((short for label, short in _MARKED if point.start == label), "others")


def _columns(points: Sequence[DistortionPoint], edge: float) -> dict[str, float]:
    """Place of each column that is needed."""
    needed = {_column(point) for point in points if point.distortion is None}
    order = [short for short in (*(short for _, short in _MARKED), "others") if short in needed]
    return {short: edge + 0.07 + _STEP * (number + 0.8) for number, short in enumerate(order)}


def _style(name: str) -> tuple[dict[str, Any], bool]:
    """Colour, pattern and marker of a search, and whether its markers are open rings around those of another."""
    number = _STYLES.get(name, 0)
    return line_style(number), number == 1


def _mark(axis: Any, place: float, point: DistortionPoint, failed_at: float, style: dict[str, Any], ring: bool) -> None:
    shape: dict[str, Any] = {
        "linestyle": "",
        "color": style["color"],
        "markerfacecolor": "none" if ring else style["color"],
        "markeredgewidth": 1.1,
        "zorder": 4 if ring else 3,
    }
    size = 8.0 if ring else 4.5
    if point.energy is None:
        axis.plot([place], [failed_at], marker=6, markersize=size + 1, **shape)
    else:
        axis.plot([place], [point.energy], marker=style["marker"], markersize=size, **shape)


def _legend(figure: Any, names: Sequence[str], failed: bool) -> None:
    from matplotlib.lines import Line2D

    handles = []
    for name in names:
        style, ring = _style(name)
        face = "none" if ring else style["color"]
        handles.append(
            Line2D([], [], label=name, markersize=7 if ring else 4.5, markerfacecolor=face, linewidth=1.2, **style)
        )
    if failed:
        handles.append(Line2D([], [], linestyle="", marker=6, color="0.3", label="no minimum (yet)"))
    figure.legend(handles=handles, loc="outside lower center", ncols=len(handles), handlelength=2.6)
