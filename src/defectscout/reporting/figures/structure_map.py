"""Map of structures: principal components and t-SNE (paper, figs 2c, S6 and S22)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from enum import StrEnum
from pathlib import Path
from typing import Any, Final

from defectscout.analysis.structure_map import MapPoint, StructureMap
from defectscout.core.errors import NothingFoundError
from defectscout.evaluation.metrics import LOW_ENERGY
from defectscout.reporting.analysis_tables import map_table
from defectscout.reporting.figure_style import MARKERS, new_figure
from defectscout.reporting.figures.style import Written, colour, formula_text, panel_letters, write

MOST_IN_LEGEND: Final = 24
"""Hosts that the legend names; it says how many there are besides."""


class MapColour(StrEnum):
    """What colours say on the map; the markers say the host, or with `STAGE` the stage."""

    HOST = "host"
    ENERGY = "energy"
    STAGE = "stage"


def draw_map(structures: StructureMap, path: Path, by: MapColour = MapColour.HOST) -> Written:
    """Draw the two maps beside each other, each structure a point, ends of relaxations large and rimmed.

    Args:
        structures: with their places.
        path: where to write; the suffix is replaced by .png, .svg and .csv.
        by: what colours say. Energies are above the lowest structure of the same defect and surface; those over 5 eV
            share the last colour.

    Returns:
        The three files.

    Raises:
        NothingFoundError: if there is no structure.
        MissingExtraError: without matplotlib.
        SettingsError: where nothing can be written.
    """
    if not structures.points:
        raise NothingFoundError("There is no structure to draw a map of.")
    # Low energies on top: they are what a search is about.
    points = sorted(structures.points, key=lambda point: (point.last, -point.energy))
    groups = list(dict.fromkeys(_group(point, by) for point in structures.points))
    markers = {group: MARKERS[number % len(MARKERS)] for number, group in enumerate(groups)}
    top = min(LOW_ENERGY, max(point.energy for point in points)) or 1.0
    with new_figure(8.6, 4.2, 1, 2) as (figure, axes):
        left, right = axes[0]
        drawn = None
        for axis, places in ((left, [point.pca for point in points]), (right, [point.tsne for point in points])):
            for group in groups:
                for last in (False, True):
                    chosen = [n for n, point in enumerate(points) if _group(point, by) == group and point.last is last]
                    drawn = _scatter(
                        axis,
                        [places[n] for n in chosen],
                        markers[group],
                        last,
                        [points[n].energy for n in chosen] if by is MapColour.ENERGY else colour(groups.index(group)),
                        top,
                    )
            axis.set_xticks([])
            axis.set_yticks([])
            axis.margins(0.06)
        first, second = structures.explained
        left.set(xlabel=f"PC 1 ({100 * first:.0f} % of the variance)", ylabel=f"PC 2 ({100 * second:.0f} %)")
        right.set(xlabel="t-SNE 1", ylabel="t-SNE 2")
        left.set_title("principal components", loc="left")
        right.set_title("t-SNE", loc="left")
        panel_letters((left, right))
        if by is MapColour.ENERGY:
            over = max(point.energy for point in points) > top
            bar = figure.colorbar(drawn, ax=right, extend="max" if over else "neither", pad=0.02)
            bar.set_label("energy above the lowest / eV")
        _legend(figure, points, groups, markers, by)
        return write(figure, path, map_table(structures))


def _group(point: MapPoint, by: MapColour) -> str:
    return point.stage if by is MapColour.STAGE else point.host


def _scatter(
    axis: Any,
    places: Sequence[tuple[float, float]],
    marker: str,
    last: bool,
    colours: Sequence[float] | str,
    top: float,
) -> Any:
    x, y = [place[0] for place in places], [place[1] for place in places]
    shape: dict[str, Any] = {
        "marker": marker,
        "s": 42 if last else 12,
        "edgecolors": "black" if last else "none",
        "linewidths": 0.8 if last else 0.0,
        "alpha": 1.0 if last else 0.75,
        "zorder": 3 if last else 2,
        "rasterized": len(places) > 2000,
    }
    if isinstance(colours, str):
        return (
            axis.scatter(x, y, color=colours, **shape) if not last else axis.scatter(x, y, facecolor=colours, **shape)
        )
    return axis.scatter(x, y, c=colours, cmap="viridis", vmin=0.0, vmax=top, **shape)


def _legend(
    figure: Any, points: Sequence[MapPoint], groups: Sequence[str], markers: Mapping[str, str], by: MapColour
) -> None:
    from matplotlib.lines import Line2D

    handles = []
    for number, group in enumerate(groups[:MOST_IN_LEGEND]):
        face = "0.6" if by is MapColour.ENERGY else colour(number)
        text = group if by is MapColour.STAGE else formula_text(group)
        handles.append(Line2D([], [], linestyle="", marker=markers[group], color=face, markersize=6, label=text))
    if len(groups) > MOST_IN_LEGEND:
        handles.append(Line2D([], [], linestyle="", label=f"and {len(groups) - MOST_IN_LEGEND} more"))
    if any(point.last for point in points):
        end: dict[str, Any] = {"markersize": 7, "markeredgecolor": "black", "color": "white"}
        handles.append(Line2D([], [], linestyle="", marker="o", label="end of a relaxation", **end))
    figure.legend(handles=handles, loc="outside lower center", ncols=min(6, len(handles)), handlelength=1.0)
