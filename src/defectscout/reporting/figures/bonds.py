"""Holes, and the bonds that they make (paper, fig. 3)."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any, Final

import numpy as np

from defectscout.analysis.trend import BondKind, ChargeAndBonds, Trend
from defectscout.core.errors import NothingFoundError
from defectscout.reporting.analysis_tables import trend_table
from defectscout.reporting.figure_style import new_figure
from defectscout.reporting.figures.style import SMALL, Written, bar_style, colour, panel_letters, write

_UNIT: Final = 0.62
"""Inches for one hole, or one bond."""

_DIAMETER: Final = 0.86
"""Of the circle of 100 %, as a fraction of the distance of two circles."""


def draw_bonds(trend: Trend, path: Path) -> Written:
    """Draw how many holes the defects have, and how many bonds their ground states have made.

    a) Histogram of holes; hatched: defects without a ground state yet. b) Anion–anion bonds against holes; size,
    colour and label of a circle say which percentage of the defects with so many holes it stands for. c) New bonds of
    each kind for each defect, in the mean. Without any ground state there is a) alone.

    Args:
        trend: of all defects.
        path: where to write; the suffix is replaced by .png, .svg and .csv.

    Returns:
        The three files.

    Raises:
        NothingFoundError: if there is no defect.
        MissingExtraError: without matplotlib.
        SettingsError: where nothing can be written.
    """
    if not trend.rows:
        raise NothingFoundError("There is no defect whose holes and bonds could be drawn.")
    holes = [row.holes for row in trend.rows]
    first, last = min(0, *holes), max(2, *holes)
    bonds = max((item.bonds for item in trend.shares), default=0)
    panels = 3 if trend.shares else 1
    width, height = _UNIT * (last - first + 1) + 0.9, _UNIT * max(bonds + 1, 3) + 1.0
    with new_figure(panels * max(width, 2.6), max(height, 2.8), 1, panels) as (figure, axes):
        shown = list(axes[0])
        _histogram(shown[0], trend)
        if trend.shares:
            _kinds(shown[2], trend.rows)
        for axis in shown:
            axis.set_xlim(first - 0.6, last + 0.6)
            axis.set_xticks(range(first, last + 1))
            axis.set_xlabel("holes" if first == 0 else "holes (negative: excess electrons)")
        if trend.shares:
            shown[1].set_ylim(-0.6, max(bonds, 2) + 0.6)
            shown[1].set_yticks(range(max(bonds, 2) + 1))
            shown[1].set_ylabel("anion–anion bonds formed")
            rho = "" if trend.spearman is None else f" (Spearman ρ = {trend.spearman:.2f})".replace("-", "−")
            shown[1].set_title(f"bonds against holes{rho}", loc="left")
        panel_letters(shown)
        if trend.shares:
            figure.draw_without_rendering()  # the circles are measured by the finished axes
            _circles(shown[1], trend)
        return write(figure, path, trend_table(trend))


def _histogram(axis: Any, trend: Trend) -> None:
    answered = Counter(row.holes for row in trend.rows if row.anion_anion is not None)
    waiting = Counter(row.holes for row in trend.rows if row.anion_anion is None)
    values = sorted(answered | waiting)
    filled = [answered[value] for value in values]
    rim = {"edgecolor": "black", "linewidth": 0.6}
    axis.bar(values, filled, 0.7, facecolor=colour(0), label="with a ground state", **rim)
    if waiting:
        empty = [waiting[value] for value in values]
        axis.bar(values, empty, 0.7, filled, facecolor="white", hatch="///", label="no ground state yet", **rim)
        axis.legend(loc="upper left", handlelength=1.4)
    totals = [answered[value] + waiting[value] for value in values]
    for value, total in zip(values, totals, strict=True):
        axis.annotate(str(total), (value, total), (0, 2), textcoords="offset points", ha="center", fontsize=SMALL)
    axis.set_ylim(0, max(totals) * (1.4 if waiting else 1.15))
    axis.yaxis.get_major_locator().set_params(integer=True)
    axis.set_ylabel("defects")
    axis.set_title("holes of each defect", loc="left")


def _circles(axis: Any, trend: Trend) -> None:
    across = np.diff(axis.transData.transform([(0, 0), (1, 1)]), axis=0)[0]
    full = _DIAMETER * float(min(across)) * 72 / axis.figure.dpi
    shares = np.array([item.share for item in trend.shares])
    places = [(item.holes, item.bonds) for item in trend.shares]
    axis.scatter(*zip(*places, strict=True), s=full**2 * shares, c=shares, cmap="cividis_r", vmin=0.0, vmax=1.0,
                 edgecolors="black", linewidths=0.6, zorder=3)  # fmt: skip
    for place, share in zip(places, shares, strict=True):
        diameter = full * float(np.sqrt(share))
        inside = diameter > 30
        axis.annotate(
            f"{100 * share:.0f} %", place, (0, 0 if inside else diameter / 2 + 1.5), textcoords="offset points",
            ha="center", va="center" if inside else "bottom", fontsize=SMALL, zorder=4,
            color="white" if inside and share > 0.5 else "black",
        )  # fmt: skip


def _kinds(axis: Any, rows: tuple[ChargeAndBonds, ...]) -> None:
    known = [row for row in rows if row.anion_anion is not None]
    values = sorted({row.holes for row in known})
    counts = {
        BondKind.ANION_ANION: [row.anion_anion or 0 for row in known],
        BondKind.CATION_CATION: [row.cation_cation or 0 for row in known],
        BondKind.MIXED: [row.mixed or 0 for row in known],
    }
    top, totals = 0.0, [0.0] * len(values)
    for number, (kind, bonds) in enumerate(counts.items()):
        means = [
            float(np.mean([n for n, row in zip(bonds, known, strict=True) if row.holes == value])) for value in values
        ]
        places = [value + 0.26 * (number - 1) for value in values]
        axis.bar(places, means, 0.26, label=str(kind), **bar_style(number))
        totals = [total + mean for total, mean in zip(totals, means, strict=True)]
        top = max(top, *means)
    for value, total in zip(values, totals, strict=True):
        if not total:  # without a bar it would look as if nothing were known
            axis.annotate("0", (value, 0), (0, 2), textcoords="offset points", ha="center", fontsize=SMALL)
    axis.set_ylim(0, 1.45 * max(top, 0.7))
    axis.set_ylabel("new bonds of each defect, mean")
    axis.set_title("bonds of each kind", loc="left")
    axis.legend(loc="upper left", handlelength=1.6, ncols=1)
