"""Energy lowering of each defect (paper, fig. S1)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from defectscout.analysis.lowerings import THRESHOLDS, Lowering, Lowerings
from defectscout.core.errors import NothingFoundError
from defectscout.reporting.analysis_tables import lowering_table
from defectscout.reporting.figure_style import MARKERS, new_figure
from defectscout.reporting.figures.style import (
    SMALL,
    Written,
    colour,
    columns_of_rows,
    defect_text,
    formula_text,
    text_width,
    write,
)

_ROW: Final = 0.2
"""Inches."""

_UNKNOWN: Final = "0.45"
_PAD: Final = {"facecolor": "white", "edgecolor": "none", "pad": 0.6, "alpha": 0.75}
_LETTER: Final = 0.068
"""Width of a character of the smallest font, inches."""


def draw_lowerings(lowerings: Lowerings, path: Path) -> Written:
    """Draw the energy lowering of each defect as a line from zero to a marker, host by host.

    Hosts differ in colour and marker; an open marker stands for a search that has not finished, a cross for what
    rattling alone leads to. Dotted lines stand at the thresholds of table S1. Many defects fill several columns.

    Args:
        lowerings: of all defects.
        path: where to write; the suffix is replaced by .png, .svg and .csv.

    Returns:
        The three files.

    Raises:
        NothingFoundError: if there is no defect.
        MissingExtraError: without matplotlib.
        SettingsError: where nothing can be written.
    """
    if not lowerings.rows:
        raise NothingFoundError("There is no defect whose energy lowering could be drawn.")
    rows = by_host(lowerings.rows)
    hosts = {host: number for number, host in enumerate(dict.fromkeys(row.host for row in rows))}
    thresholds = sorted(item.threshold for item in lowerings.shares) or list(THRESHOLDS)
    energies = [energy for row in rows for energy in (row.lowering, row.rattled) if energy is not None]
    lowest, highest = min([*energies, -0.1]), max([*energies, 0.0])
    columns = columns_of_rows(len(rows))
    width = 2.4 if len(columns) > 1 else 3.6  # of the axes alone
    names = [_names([rows[number] for number in numbers], len(hosts) > 1) for numbers in columns]
    total = sum(width + 0.3 + text_width(column) for column in names)
    with new_figure(total, _ROW * len(columns[0]) + 1.5, 1, len(columns)) as (figure, axes):
        for axis, numbers, texts in zip(axes[0], columns, names, strict=True):
            _column(axis, [rows[number] for number in numbers], hosts)
            axis.set_yticks(range(len(texts)), texts)
            axis.set_ylim(len(columns[0]) - 0.4, -0.6)
            axis.set_xlim(lowest - 0.2 * (highest - lowest), highest + 0.06 * (highest - lowest))
            _thresholds(axis, thresholds, width)
            axis.set_xlabel("energy against relaxed Unperturbed / eV")
        _legend(figure, rows, hosts)
        return write(figure, path, lowering_table(lowerings))


def by_host(rows: Sequence[Lowering]) -> list[Lowering]:
    """Defects of one host together, hosts and defects with the largest lowering first."""
    best: dict[str, float] = {}
    for row in rows:
        best[row.host] = min(best.get(row.host, 0.0), row.lowering or 0.0)
    return sorted(rows, key=lambda row: (best[row.host], row.host, row.lowering or 0.0, row.defect))


def _column(axis: Any, rows: Sequence[Lowering], hosts: Mapping[str, int]) -> None:
    for place, row in enumerate(rows):
        number = hosts[row.host]
        if number % 2:
            axis.axhspan(place - 0.5, place + 0.5, color="0.94", zorder=0, linewidth=0)
        style = {"color": colour(number), "marker": MARKERS[number % len(MARKERS)]}
        if row.lowering is None:
            axis.annotate("not known", (0.02, place), xycoords=("axes fraction", "data"), va="center", fontsize=SMALL,
                          color=_UNKNOWN)  # fmt: skip
        else:
            axis.plot([0, row.lowering], [place, place], color=style["color"], linewidth=1.6, zorder=2)
            axis.plot([row.lowering], [place], linestyle="", markersize=5.5, zorder=4, **style,
                      markerfacecolor=style["color"] if row.finished else "white")  # fmt: skip
            axis.annotate(_energy(row.lowering), (row.lowering, place), (-6, 0), textcoords="offset points", ha="right",
                          va="center", fontsize=SMALL, zorder=3, bbox=_PAD)  # fmt: skip
        if row.rattled is not None:
            axis.plot([row.rattled], [place], linestyle="", marker="x", color="black", markersize=4, zorder=5,
                      markeredgewidth=1.2)  # fmt: skip
    axis.tick_params(axis="y", length=0)
    axis.axvline(0.0, color="black", linewidth=0.8, zorder=1)


def _names(rows: Sequence[Lowering], several: bool) -> list[str]:
    """Defects; with several hosts, the first of each with the host's name before it."""
    above: str | None = None
    names = []
    for row in rows:
        host = "" if row.host == above or not several else f"{formula_text(row.host)}   "
        names.append(f"{host}{defect_text(row.defect)}")
        above = row.host
    return names


def _energy(value: float) -> str:
    return f"{round(value, 2) + 0.0:.2f}".replace("-", "−")


def _thresholds(axis: Any, thresholds: Sequence[float], width: float) -> None:
    """Dotted lines, labelled above."""
    left, right = axis.get_xlim()
    shown = [-threshold for threshold in thresholds if -threshold > left]
    for value in shown:
        axis.axvline(value, color="0.4", linewidth=0.8, linestyle=":", zorder=1)
    for values in joined(sorted(shown), (right - left) / width * _LETTER):
        text = ", ".join(f"{value:g}".replace("-", "−") for value in values)
        axis.annotate(text, (sum(values) / len(values), 1.0), (0, 2), xycoords=("data", "axes fraction"),
                      textcoords="offset points", ha="center", va="bottom", fontsize=SMALL, color="0.3")  # fmt: skip


def joined(values: Sequence[float], letter: float) -> list[list[float]]:
    """Values in groups whose labels, `-2, -1`, do not touch when each is centred over its group.

    Args:
        values: in ascending order.
        letter: width of a character on the scale of the values.
    """
    groups = [[value] for value in values]
    while True:
        spans = [_span(group, letter) for group in groups]
        touching = [n for n in range(len(groups) - 1) if spans[n][1] > spans[n + 1][0]]
        if not touching:
            return groups
        first = touching[-1]
        groups[first : first + 2] = [groups[first] + groups[first + 1]]


def _span(group: Sequence[float], letter: float) -> tuple[float, float]:
    middle, half = sum(group) / len(group), letter * (len(", ".join(f"{value:g}" for value in group)) + 1) / 2
    return middle - half, middle + half


def _legend(figure: Any, rows: Sequence[Lowering], hosts: Mapping[str, int]) -> None:
    from matplotlib.lines import Line2D

    point: dict[str, Any] = {"linestyle": "", "markersize": 5.5}
    handles = [Line2D([], [], color="0.2", marker="o", label="ground state", **point)]
    if not all(row.finished for row in rows):
        handles.append(Line2D([], [], color="0.2", marker="o", markerfacecolor="white", label="so far", **point))
    if any(row.rattled is not None for row in rows):
        handles.append(Line2D([], [], color="black", marker="x", label="by rattling", **point))
    handles.append(Line2D([], [], color="0.4", linestyle=":", linewidth=0.8, label="thresholds"))
    figure.legend(handles=handles, loc="outside lower center", ncols=len(handles), handlelength=1.4)
