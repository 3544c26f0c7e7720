"""The interactive figures of a report, drawn on paper: the same traces, with matplotlib."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np

from defectscout.reporting.figure_style import new_figure
from defectscout.reporting.report.document import Plot
from defectscout.reporting.report.traces import Trace

DPI: Final = 150

_MARKERS: Final = {
    "circle": "o", "square": "s", "diamond": "D", "triangle-up": "^", "triangle-down": "v", "cross": "P", "x": "X",
    "star": "*", "hexagon": "h",
}  # fmt: skip
_LINES: Final[Mapping[str, Any]] = {
    "solid": "-", "dash": (0, (5, 3)), "dot": ":", "dashdot": "-.", "longdash": (0, (9, 3)),
    "longdashdot": (0, (9, 3, 1, 3)),
}  # fmt: skip
_HATCHES: Final = {"": "", "/": "///", ".": "...", "x": "xxx", "-": "---", "+": "+++"}

_POINTS: Final = 0.6
"""Points for each pixel of a marker on a screen."""

MOST_NAMES: Final = 40
"""Categories that are named along an axis; of more, every n-th."""

MOST_IN_LEGEND: Final = 12

_CHARACTERS_AN_INCH: Final = 11
"""Of the names along an axis, side by side."""


def drawing(plot: Plot, width: float, height: float) -> bytes:
    """A figure as a PNG image, `width` × `height` inches.

    Raises:
        MissingExtraError: without matplotlib.
    """
    with new_figure(width, height, 1, 1) as (figure, axes):
        draw(axes[0, 0], plot)
        if not _categories(plot.data):
            fixed(figure, left=0.62 / width, right=1 - 0.1 / width, bottom=0.62 / height, top=1 - 0.1 / height)
        return png(figure)


def fixed(figure: Any, **margins: float) -> None:
    """Place the axes by margins (fractions of the figure), which takes half the time of fitting them to their texts."""
    figure.set_layout_engine(None)
    figure.subplots_adjust(**margins)


def png(figure: Any) -> bytes:
    """A matplotlib figure as a PNG image without a date or a version in it."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=DPI, metadata={"Software": None})
    return buffer.getvalue()


def draw(axes: Any, plot: Plot) -> None:
    """Draw the traces of a figure into axes."""
    names = _categories(plot.data)
    bars = [trace for trace in plot.data if trace["type"] == "bar"]
    for trace in plot.data:
        if trace["type"] == "bar":
            continue
        _scatter(axes, trace, names)
    _bars(axes, bars, names, stacked=plot.layout.get("barmode") == "stack")
    axes.use_sticky_edges = False  # markers at the foot of bars are seen whole
    axes.margins(0.08)
    _axis(axes, "x", plot.layout.get("xaxis", {}))
    _axis(axes, "y", plot.layout.get("yaxis", {}))
    if names:
        every = len(names) // MOST_NAMES + 1
        shown = list(names)[::every]
        turned = (max(map(len, shown)) + 1) * len(shown) > _CHARACTERS_AN_INCH * axes.get_figure().get_figwidth()
        axes.set_xticks([names[name] for name in shown], shown, rotation=45 if turned else 0,
                        ha="right" if turned else "center", fontsize=7)  # fmt: skip
    if plot.layout.get("showlegend", True):
        _legend(axes)


def _categories(data: Sequence[Trace]) -> dict[str, int]:
    """Places of the names along the first axis, in order; none where it has numbers."""
    names: dict[str, int] = {}
    for trace in data:
        for value in trace["x"]:
            if isinstance(value, str):
                names.setdefault(value, len(names))
    return names


def _numbers(values: Sequence[Any], names: Mapping[str, int]) -> np.ndarray:
    plain = [np.nan if value is None else names[value] if isinstance(value, str) else value for value in values]
    return np.array(plain, dtype=float)


def _scatter(axes: Any, trace: Trace, names: Mapping[str, int]) -> None:
    x, y = _numbers(trace["x"], names), _numbers(trace["y"], names)
    label = trace.get("name") if trace.get("showlegend", True) else None
    mode, line, marker = trace.get("mode", "lines"), trace.get("line", {}), trace.get("marker", {})
    if "lines" in mode:
        known = ~np.isnan(y) if trace.get("connectgaps") else slice(None)
        axes.plot(x[known], y[known], color=line.get("color"), linestyle=_LINES[line.get("dash", "solid")],
                  linewidth=0.8 * line.get("width", 2), label=label)  # fmt: skip
    if "markers" in mode:
        _markers(axes, x, y, marker, None if "lines" in mode else label)
    if "text" in mode:
        for place, height, text in zip(x, y, trace["text"], strict=True):
            axes.annotate(text, (place, height), xytext=(7, 0), textcoords="offset points", va="center", fontsize=7)


def _markers(axes: Any, x: np.ndarray, y: np.ndarray, marker: Mapping[str, Any], label: str | None) -> None:
    """Markers, in one go for each kind of marker."""
    count = len(x)
    symbols = _each(marker.get("symbol", "circle"), count)
    sizes = np.array(_each(marker.get("size", 8), count), dtype=float)
    opacities = np.array(_each(marker.get("opacity", 1.0), count), dtype=float)
    for symbol in dict.fromkeys(symbols):
        which = np.array([one == symbol for one in symbols])
        hollow = symbol.endswith("-open")
        colour = marker.get("color")
        axes.scatter(
            x[which],
            y[which],
            s=(_POINTS * sizes[which]) ** 2,
            marker=_MARKERS[symbol.removesuffix("-open")],
            facecolors="none" if hollow else colour,
            edgecolors=colour,
            linewidths=1.0 if hollow else 0.3,
            alpha=None if hollow else opacities[which],
            label=label,
            zorder=3,
        )
        label = None


def _each(value: Any, count: int) -> list[Any]:
    return list(value) if isinstance(value, list | tuple) else [value] * count


def _bars(axes: Any, bars: Sequence[Trace], names: Mapping[str, int], stacked: bool) -> None:
    if not bars:
        return
    width = 0.8 if stacked else 0.8 / len(bars)
    bottoms = np.zeros(len(names))
    for number, trace in enumerate(bars):
        x, y = _numbers(trace["x"], names), np.nan_to_num(_numbers(trace["y"], names))
        shift = 0.0 if stacked else (number - (len(bars) - 1) / 2) * width
        marker = trace.get("marker", {})
        hatches = _each(marker.get("pattern", {}).get("shape", ""), len(x))
        places = x.astype(int)
        axes.bar(x + shift, y, width, bottom=bottoms[places] if stacked else 0.0, color=marker.get("color"),
                 edgecolor="white", linewidth=0.3, label=trace.get("name"),
                 hatch=[_HATCHES[hatch] for hatch in hatches])  # fmt: skip
        bottoms[places] += y


def _axis(axes: Any, which: str, settings: Mapping[str, Any]) -> None:
    set_ = {"x": (axes.set_xlabel, axes.set_xlim, axes.set_xticks), "y": (axes.set_ylabel, axes.set_ylim,
                                                                         axes.set_yticks)}[which]  # fmt: skip
    set_label, set_limits, set_ticks = set_
    set_label(settings.get("title", {}).get("text", ""))
    if "tickvals" in settings:
        texts = settings["ticktext"]
        room = _CHARACTERS_AN_INCH * axes.get_figure().get_figwidth()
        turned = which == "x" and sum(len(str(text)) + 1 for text in texts) > room
        set_ticks(settings["tickvals"], texts, **({"rotation": 45, "ha": "right", "fontsize": 7} if turned else {}))
    if "range" in settings:
        set_limits(*settings["range"])
    if settings.get("rangemode") == "tozero":
        low, high = axes.get_xlim() if which == "x" else axes.get_ylim()
        set_limits(min(low, 0.0) if min(low, 0.0) > -0.2 * high else 0.0, high)
    if settings.get("dtick") == 1:
        from matplotlib.ticker import MaxNLocator

        (axes.xaxis if which == "x" else axes.yaxis).set_major_locator(MaxNLocator(integer=True))


def _legend(axes: Any) -> None:
    handles, labels = axes.get_legend_handles_labels()
    unique = {label: handle for label, handle in zip(labels, handles, strict=True) if label}
    if 1 < len(unique) <= MOST_IN_LEGEND:
        axes.legend(unique.values(), unique.keys(), fontsize=7, loc="best")
