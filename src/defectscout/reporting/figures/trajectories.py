"""Energy against step of all relaxations, and which came together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from defectscout.analysis.paths import Paths, RelaxationPath
from defectscout.core.errors import NothingFoundError
from defectscout.core.frames import RelaxationState
from defectscout.reporting.analysis_tables import path_step_table
from defectscout.reporting.figure_style import MARKERS, new_figure
from defectscout.reporting.figures.style import (
    LINES,
    SMALL,
    Written,
    colour,
    name_text,
    numbered,
    pages,
    write,
)
from defectscout.reporting.wording import rank_text

DEFECTS: Final = 6
"""Of one page."""

_LINEAR_UP_TO: Final = 3.0
"""Energies beyond this, eV, need a logarithmic axis: some relaxations begin 60 eV up, and minima differ by 0.1 eV."""

_LINEAR_PART: Final = 0.1
"""Of the logarithmic axis, eV."""

_TICKS: Final = (0.0, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0, 200.0, 500.0, 1000.0)
_RANKS: Final = 7
"""Minima that are told apart; higher ones share the last style."""


@dataclass(frozen=True, slots=True)
class _Panel:
    item: Paths
    surface: str
    paths: tuple[RelaxationPath, ...]


def draw_path_pages(items: Sequence[Paths], path: Path) -> tuple[Path, ...]:
    """Draw any number of defects, several pages if need be: `paths-1.png`, `paths-2.png`, ...

    Arguments and errors as of `draw_paths`.
    """
    items = [item for item in items if any(line.steps for line in item.paths)]
    parts = pages(len(items), DEFECTS)
    if len(parts) < 2:
        return draw_paths(items, path)
    drawn = (
        draw_paths([items[number] for number in part], numbered(path, page, len(parts)))
        for page, part in enumerate(parts)
    )
    return tuple(file for files in drawn for file in files)


def draw_paths(items: Sequence[Paths], path: Path) -> Written:
    """Draw energy against step for all relaxations, one panel for each defect and surface.

    Colour and pattern say in which minimum a relaxation ended on the reference's surface; a diamond and an arrow stand
    where one was stopped because it had fallen into the minimum of another, at the end of which the arrow points. A
    cross stands where one failed. Energies above 0.1 eV are on a logarithmic scale where some are high.

    Args:
        items: one for each defect.
        path: where to write; the suffix is replaced by .png, .svg and .csv.

    Returns:
        The three files.

    Raises:
        NothingFoundError: if no relaxation has made a step.
        MissingExtraError: without matplotlib.
        SettingsError: where nothing can be written.
    """
    panels = [_Panel(item, surface, lines) for item in items for surface, lines in _surfaces(item)]
    if not panels:
        raise NothingFoundError("There is no relaxation to draw: none has made a step.")
    columns = min(2, len(panels))
    rows = -(-len(panels) // columns)
    with new_figure(max(4.1 * columns, 5.2), 2.9 * rows + 0.7, rows, columns) as (figure, axes):
        for axis, panel in zip(axes.flat, panels, strict=False):
            _draw(axis, panel)
        for axis in axes.flat[len(panels) :]:
            axis.set_visible(False)
        _legend(figure, [line for panel in panels for line in panel.paths])
        return write(figure, path, path_step_table(items))


def _surfaces(item: Paths) -> list[tuple[str, tuple[RelaxationPath, ...]]]:
    names = dict.fromkeys(line.surface for line in item.paths if line.steps)
    return [(name, tuple(line for line in item.paths if line.surface == name and line.steps)) for name in names]


def _draw(axis: Any, panel: _Panel) -> None:
    ends = {line.label: (line.steps[-1], line.energies[-1]) for line in panel.paths}
    for line in panel.paths:
        axis.plot(
            line.steps, line.energies, linewidth=1.1, **_line(line.rank), zorder=2 if line.rank is not None else 1
        )
        _end(axis, line, ends.get(line.merged_into))
    _scale(axis, panel.paths)
    last = max(line.steps[-1] for line in panel.paths)
    axis.set_xlim(-0.02 * max(last, 1), 1.05 * max(last, 1))
    axis.xaxis.get_major_locator().set_params(integer=True)
    axis.set_xlabel("ionic step")
    axis.set_ylabel("energy above the lowest / eV")
    axis.set_title(f"{name_text(panel.item.host, panel.item.defect)}, {panel.surface}", loc="left")


def _end(axis: Any, line: RelaxationPath, target: tuple[int, float] | None) -> None:
    at = (line.steps[-1], line.energies[-1])
    style: dict[str, Any] = {"linestyle": "", "color": _line(line.rank)["color"], "zorder": 4}
    if line.state is RelaxationState.MERGED:
        axis.plot(*([value] for value in at), marker="D", markersize=5.5, markerfacecolor="white", **style)
        if target is not None and target != at:
            bend = -0.25 if target[0] >= at[0] else 0.25  # upwards, away from the axis
            axis.annotate("", target, at, zorder=3, arrowprops={
                "arrowstyle": "->", "color": "0.25", "linewidth": 0.9, "connectionstyle": f"arc3,rad={bend}",
                "shrinkA": 4, "shrinkB": 4,
            })  # fmt: skip
    elif line.state is RelaxationState.FAILED:
        axis.plot(*([value] for value in at), marker="x", markersize=6, markeredgewidth=1.4, **style)
    elif line.state.is_finished:
        converged = line.state is RelaxationState.CONVERGED
        bare = "|" if converged else MARKERS[0]
        marker = MARKERS[_style_number(line.rank)] if line.rank is not None else bare
        face = style["color"] if converged else "white"
        axis.plot(*([value] for value in at), marker=marker, markersize=5.5, markerfacecolor=face, **style)
    else:
        axis.plot(*([value] for value in at), marker=5, markersize=5, **style)


def _scale(axis: Any, lines: Sequence[RelaxationPath]) -> None:
    low = min(min(line.energies) for line in lines)
    high = max(max(line.energies) for line in lines)
    if high - low <= _LINEAR_UP_TO:
        room = 0.06 * max(high - low, 0.01)
        axis.set_ylim(low - room, high + room)
        return
    axis.set_yscale("symlog", linthresh=_LINEAR_PART, linscale=0.5)
    ticks = [tick for tick in _TICKS if low <= tick <= 1.3 * high]
    axis.set_yticks(ticks, [f"{tick:g}" for tick in ticks])
    axis.yaxis.set_minor_locator(_no_locator())
    axis.set_ylim(min(low, 0.0) - 0.02, 1.5 * high)


def _no_locator() -> Any:
    from matplotlib.ticker import NullLocator

    return NullLocator()


def _style_number(rank: int | None) -> int:
    return min(rank or 0, _RANKS - 1)


def _line(rank: int | None) -> dict[str, Any]:
    if rank is None:
        return {"color": "0.55", "linestyle": "-"}
    number = _style_number(rank)
    return {"color": colour(number), "linestyle": LINES[number % len(LINES)]}


def _legend(figure: Any, lines: Sequence[RelaxationPath]) -> None:
    from matplotlib.lines import Line2D

    handles = [
        Line2D([], [], marker=MARKERS[number], markersize=5.5, label=_rank_text(number), **_line(number))
        for number in sorted({_style_number(line.rank) for line in lines if line.rank is not None})
    ]
    if any(line.rank is None and line.surface == "reference" for line in lines):
        handles.append(Line2D([], [], label="in no minimum", **_line(None)))
    point: dict[str, Any] = {"linestyle": "", "color": "0.25", "markersize": 5.5}
    states = {line.state for line in lines}
    if RelaxationState.MERGED in states:
        handles.append(Line2D([], [], marker="D", markerfacecolor="white", label="merged, into →", **point))
    if RelaxationState.FAILED in states:
        handles.append(Line2D([], [], marker="x", markeredgewidth=1.4, label="failed", **point))
    if RelaxationState.UNCONVERGED in states:
        handles.append(Line2D([], [], marker="o", markerfacecolor="white", label="not converged", **point))
    if not all(state.is_finished for state in states):
        handles.append(Line2D([], [], marker=5, label="still running", **point))
    figure.legend(handles=handles, loc="outside lower center", ncols=min(4, len(handles)), handlelength=3.0,
                  fontsize=SMALL)  # fmt: skip


def _rank_text(number: int) -> str:
    return rank_text(number) if number < _RANKS - 1 else f"{rank_text(number)} and higher"
