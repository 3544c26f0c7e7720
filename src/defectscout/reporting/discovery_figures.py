"""The lowest energy that searches knew after each reference force call, strategy beside strategy."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from defectscout.core.errors import NothingFoundError
from defectscout.core.frames import FloatArray
from defectscout.evaluation.discovery import DiscoveryCurve
from defectscout.reporting.figure_style import COLOURS, MARKERS, new_figure, save

_LINES: Final = (
    ("-", 1.0),
    ((0, (1, 1.4)), 1.5),
    ((0, (4, 1.6)), 1.3),
    ("-", 2.2),
    ((0, (6, 1.5, 1, 1.5)), 1.5),
    ((0, (9, 3)), 1.3),
)
"""Pattern and width, pt, for each strategy in their order, which tell them apart in grey with the markers."""

_ORDER: Final = (2, 7, 1, 0, 4, 5, 3, 6)
"""Of the colours: black for what comes first and is compared with."""

_ROOM: Final = 0.12
"""Fraction of the height of a panel above and below what it shows."""


@dataclass(frozen=True, slots=True, eq=False)
class Panel:
    """What one panel shows.

    Attributes:
        title: the host and its defect.
        curves: of each strategy, one for each seed; relative to the reference-only ground state, eV.
        top: energy up to which it is drawn, eV; what lies higher comes in from above. Without it all is shown.
    """

    title: str
    curves: Mapping[str, Sequence[DiscoveryCurve]]
    top: float | None = None


def draw_discovery(panels: Sequence[Panel], path: Path, tolerance: float = 0.02) -> tuple[Path, Path]:
    """Draw the panels beside each other, force calls on a logarithmic axis.

    Of several seeds of one strategy their median is drawn, and a band from the lowest to the highest; a seed that has
    ended stays where it is. A filled marker stands where a search first knew a structure within `tolerance` of the
    reference-only ground state (the line at zero) or below it, an open one where it ended without; a short
    upright stroke stands at its last call.

    Args:
        panels: one for each host.
        path: where to write; the suffix is replaced by .png and .svg.
        tolerance: in eV.

    Returns:
        The two files.

    Raises:
        NothingFoundError: if there is no curve to draw.
        MissingExtraError: without matplotlib.
        SettingsError: where nothing can be written.
    """
    names = list(dict.fromkeys(name for panel in panels for name, curves in panel.curves.items() if curves))
    if not names:
        raise NothingFoundError("There is no discovery curve to draw: no search has made a force call.")
    columns = min(2, len(panels))
    rows = -(-len(panels) // columns)
    with new_figure(3.6 * columns, 2.6 * rows + 0.6, rows, columns) as (figure, axes):
        for number, (axis, panel) in enumerate(zip(axes.flat, panels, strict=False)):
            _draw(axis, panel, names, tolerance)
            if number % columns == 0:
                axis.set_ylabel("lowest energy known / eV")
            if number + columns >= len(panels):
                axis.set_xlabel("reference force calls")
        for axis in axes.flat[len(panels) :]:
            axis.set_visible(False)
        _legend(figure, names)
        return save(figure, path.with_suffix(".png")), save(figure, path.with_suffix(".svg"))


def _draw(axis: Any, panel: Panel, names: Sequence[str], tolerance: float) -> None:
    low, high = _limits(panel)
    last = max((curve.calls[-1] for curve in _all(panel) if len(curve.calls)), default=1)
    axis.set_xscale("log")
    axis.set_xlim(0.9, 1.35 * last)
    axis.set_ylim(low, high)
    axis.axhline(0.0, color="0.6", linewidth=0.8, zorder=0)
    axis.set_title(panel.title, loc="left")
    for number, name in enumerate(names):
        curves = [curve for curve in panel.curves.get(name, ()) if np.isfinite(curve.energies).any()]
        if not curves:
            continue
        style = _style(number)
        _lines(axis, curves, style)
        for curve in curves:
            _marks(axis, curve, style, tolerance)
    axis.xaxis.set_major_formatter(_plain_number)


def _lines(axis: Any, curves: Sequence[DiscoveryCurve], style: Mapping[str, Any]) -> None:
    calls = np.arange(1, max(int(curve.calls[-1]) for curve in curves) + 1)
    held = np.array([_held(curve, calls) for curve in curves])
    # Before its first energy a seed is higher than anything that can be drawn.
    middle = np.median(held, axis=0)
    known = np.isfinite(middle)
    line = {key: value for key, value in style.items() if key != "marker"}
    steps = DiscoveryCurve(calls[known], middle[known]).steps()
    axis.plot(steps.calls, steps.energies, drawstyle="steps-post", solid_joinstyle="miter", **line)
    if len(curves) > 1:
        low, high = held.min(axis=0), np.minimum(held.max(axis=0), 2 * axis.get_ylim()[1])
        known = np.isfinite(low)
        band = {"step": "post", "color": style["color"], "alpha": 0.2, "linewidth": 0}
        axis.fill_between(calls[known], low[known], high[known], **band)


def _held(curve: DiscoveryCurve, calls: NDArray[np.int64]) -> FloatArray:
    """The curve at these numbers of calls: infinite before its first energy, and constant after its end."""
    energies = np.where(np.isfinite(curve.energies), curve.energies, np.inf)
    at = np.searchsorted(curve.calls, calls, side="right") - 1
    return np.where(at >= 0, energies[np.maximum(at, 0)], np.inf)


def _marks(axis: Any, curve: DiscoveryCurve, style: Mapping[str, Any], tolerance: float) -> None:
    reached = curve.calls_to(tolerance)
    at = int(curve.calls[-1]) if reached is None else reached
    colour = style["color"]
    common = {"linestyle": "", "color": colour, "clip_on": False}
    axis.plot(
        [at], [_held(curve, np.array([at]))[0]], marker=style["marker"], markersize=5.5, zorder=4,
        markerfacecolor="white" if reached is None else colour, **common,
    )  # fmt: skip
    axis.plot([curve.calls[-1]], [curve.lowest], marker="|", markersize=9, markeredgewidth=1.4, zorder=3, **common)


def _limits(panel: Panel) -> tuple[float, float]:
    values = np.concatenate([curve.energies[np.isfinite(curve.energies)] for curve in _all(panel)] or [np.zeros(1)])
    low = min(float(values.min(initial=0.0)), 0.0)
    high = panel.top if panel.top is not None else float(values.max(initial=0.0))
    # A search may have ended above the top, and nothing of it would be seen.
    ends = [curve.lowest for curve in _all(panel) if np.isfinite(curve.lowest)]
    high = max(high, *ends, low + 0.1)
    room = _ROOM * (high - low)
    return low - room, high + room


def _all(panel: Panel) -> Iterator[DiscoveryCurve]:
    return (curve for curves in panel.curves.values() for curve in curves)


def _style(number: int) -> dict[str, Any]:
    pattern, width = _LINES[number % len(_LINES)]
    return {
        "color": COLOURS[_ORDER[number % len(_ORDER)]],
        "linestyle": pattern,
        "linewidth": width,
        "marker": MARKERS[number % len(MARKERS)],
    }


def _plain_number(value: float, _: int) -> str:
    return f"{value:g}"


def _legend(figure: Any, names: Sequence[str]) -> None:
    from matplotlib.lines import Line2D

    handles = [Line2D([], [], label=name, markersize=5.5, **_style(number)) for number, name in enumerate(names)]
    point: dict[str, Any] = {"color": "0.3", "linestyle": "", "markersize": 5.5}
    handles += [
        Line2D([], [], marker="o", label="reached the reference-only ground state", **point),
        Line2D([], [], marker="o", markerfacecolor="white", label="ended without it", **point),
    ]
    figure.legend(handles=handles, loc="outside lower center", ncols=2, handlelength=3.4)
