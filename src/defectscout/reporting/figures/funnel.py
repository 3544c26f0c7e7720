"""The search funnel, and what it saved (paper, tables II and S12)."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, TypeVar

from defectscout.analysis.acceleration import Acceleration, FunnelRow, TimeRow
from defectscout.core.errors import NothingFoundError
from defectscout.reporting.acceleration_tables import funnel_table, time_table
from defectscout.reporting.figure_style import new_figure
from defectscout.reporting.figures.style import (
    SMALL,
    Written,
    bar_style,
    colour,
    columns_of_rows,
    formula_text,
    name_text,
    text_width,
    write,
)

MOST_ROWS: Final = 60
"""More defects than this are drawn as sums by host."""

_STAGES: Final = ("sampling structures", "surrogate minima", "candidates", "minima")
_ROW: Final = 0.2
"""Height of a bar, inches."""

_Row = TypeVar("_Row", FunnelRow, TimeRow)


@dataclass(frozen=True, slots=True)
class _Funnel:
    name: str
    counts: tuple[int, int, int, int]
    finished: bool


@dataclass(frozen=True, slots=True)
class _Calls:
    name: str
    calls: int
    reference_only: int
    estimated: bool
    factor: float | None
    finished: bool


def draw_funnel(result: Acceleration, path: Path) -> Written:
    """Draw for each defect how many sampling structures became how many minima.

    With more than 60 defects, those of one host are summed.

    Args:
        result: of all defects.
        path: where to write; the suffix is replaced by .png, .svg and .csv.

    Returns:
        The three files.

    Raises:
        NothingFoundError: if there is no defect.
        MissingExtraError: without matplotlib.
        SettingsError: where nothing can be written.
    """
    rows = [_funnel(name, items) for name, items in _named(result.funnels)]
    if not rows:
        raise NothingFoundError("There is no search funnel to draw: no campaign holds a defect yet.")
    stages = [n for n in range(len(_STAGES)) if n != 1 or any(row.counts[1] for row in rows)]
    columns = columns_of_rows(len(rows), most=15, columns=4)
    height = _ROW * (len(stages) + 0.8) * len(columns[0]) + 1.2
    most = max(max(row.counts) for row in rows)
    width = 3.2 + text_width([_with_state(row.name, row.finished) for row in rows])
    with new_figure(width * len(columns), max(height, 2.2), 1, len(columns)) as (figure, axes):
        for axis, numbers in zip(axes[0], columns, strict=True):
            shown = [rows[number] for number in numbers]
            for place, stage in enumerate(stages):
                _bars(axis, [row.counts[stage] for row in shown], place, len(stages), label=_STAGES[stage],
                      **bar_style(place))  # fmt: skip
            _rows(axis, [_with_state(row.name, row.finished) for row in shown], len(columns[0]), 1.12 * max(most, 1))
            axis.set_xlabel("structures")
        handles, labels = axes[0, 0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside lower center", ncols=2 if len(columns) == 1 else len(labels))
        return write(figure, path, funnel_table(result))


def draw_acceleration(result: Acceleration, path: Path) -> Written:
    """Draw reference force calls of each search beside those of a reference-only search, with their ratio.

    Estimates of what a reference-only search would take are hatched, white and named so in the legend. With more than
    60 defects, those of one host are summed.

    Args:
        result: of all defects.
        path: where to write; the suffix is replaced by .png, .svg and .csv.

    Returns:
        The three files.

    Raises:
        NothingFoundError: if there is no search with a surrogate.
        MissingExtraError: without matplotlib.
        SettingsError: where nothing can be written.
    """
    rows = [_calls(name, items) for name, items in _named(result.times)]
    if not rows:
        raise NothingFoundError(
            "There is no acceleration to draw: only searches that a surrogate scouts for are accelerated."
        )
    columns = columns_of_rows(len(rows), most=30, columns=4)
    most = max(max(row.calls, row.reference_only) for row in rows)
    width = 3.8 + text_width([_with_state(row.name, row.finished) for row in rows])
    with new_figure(width * len(columns), max(_ROW * 2.8 * len(columns[0]) + 1.2, 2.2), 1, len(columns)) as (
        figure,
        axes,
    ):
        for axis, numbers in zip(axes[0], columns, strict=True):
            shown = [rows[number] for number in numbers]
            _bars(axis, [row.calls for row in shown], 0, 2, [_factor(row) for row in shown], **_style("search"))
            measured = [0 if row.estimated else row.reference_only for row in shown]
            _bars(axis, measured, 1, 2, ["" if row.estimated else str(row.reference_only) for row in shown],
                  **_style("measured"))  # fmt: skip
            estimated = [row.reference_only if row.estimated else 0 for row in shown]
            _bars(axis, estimated, 1, 2, [f"≈ {row.reference_only}" if row.estimated else "" for row in shown],
                  **_style("estimated"))  # fmt: skip
            _rows(axis, [_with_state(row.name, row.finished) for row in shown], len(columns[0]), 1.2 * max(most, 1))
            axis.set_xlabel("reference force calls")
        _legend(figure, rows)
        return write(figure, path, time_table(result))


def _named(rows: Sequence[_Row]) -> list[tuple[str, list[_Row]]]:
    """Rows by defect, or by host where there are many."""
    if len(rows) <= MOST_ROWS:
        return [(name_text(row.host, row.defect), [row]) for row in rows]
    groups = _grouped((row.host, row) for row in rows)
    return [(f"{formula_text(host)} ({len(items)} defects)", items) for host, items in groups]


_Key = TypeVar("_Key", bound=Hashable)
_Value = TypeVar("_Value")


def _grouped(pairs: Iterable[tuple[_Key, _Value]]) -> list[tuple[_Key, list[_Value]]]:
    groups: dict[_Key, list[_Value]] = defaultdict(list)
    for key, value in pairs:
        groups[key].append(value)
    return list(groups.items())


def _funnel(name: str, rows: Sequence[FunnelRow]) -> _Funnel:
    counts = (
        sum(row.sampling for row in rows),
        sum(row.surrogate_minima for row in rows),
        sum(row.candidates for row in rows),
        sum(row.minima for row in rows),
    )
    return _Funnel(name, counts, all(row.finished for row in rows))


def _calls(name: str, rows: Sequence[TimeRow]) -> _Calls:
    calls, reference_only = sum(row.calls for row in rows), sum(row.reference_only_calls for row in rows)
    factor = rows[0].calls_factor if len(rows) == 1 else (reference_only / calls if calls else None)
    estimated = any(row.estimated for row in rows)
    return _Calls(name, calls, reference_only, estimated, factor, all(row.finished for row in rows))


def _bars(
    axis: Any, values: Sequence[int], place: int, of: int, texts: Sequence[str] | None = None, **style: Any
) -> None:
    height = 1 / (of + 0.8)
    places = [row + (place - (of - 1) / 2) * height for row in range(len(values))]
    axis.barh(places, values, height, **style)
    for at, value, text in zip(places, values, texts or [str(value) for value in values], strict=True):
        axis.annotate(text, (value, at), (3, 0), textcoords="offset points", va="center", fontsize=SMALL)


def _rows(axis: Any, names: Sequence[str], most: int, right: float) -> None:
    axis.set_yticks(range(len(names)), names)
    axis.set_ylim(most - 0.4, -0.6)
    axis.tick_params(axis="y", length=0)
    axis.set_xlim(0, right)
    axis.xaxis.get_major_locator().set_params(integer=True)


def _with_state(name: str, finished: bool) -> str:
    return name if finished else f"{name}\n(unfinished)"


def _factor(row: _Calls) -> str:
    if not row.finished:
        return f"{row.calls} so far"
    if row.factor is None:
        return str(row.calls)
    sign = "≈ " if row.estimated else ""
    return (
        f"{row.calls}  ({sign}{row.factor:.1f}× fewer)"
        if row.factor >= 1
        else f"{row.calls}  ({1 / row.factor:.1f}× more)"
    )


def _style(kind: str) -> dict[str, Any]:
    styles: dict[str, dict[str, Any]] = {
        "search": {"facecolor": colour(0), "edgecolor": "black", "linewidth": 0.6},
        "measured": {"facecolor": colour(1), "edgecolor": "black", "linewidth": 0.6, "hatch": "..."},
        "estimated": {"facecolor": "white", "edgecolor": "0.35", "linewidth": 0.8, "hatch": "////", "linestyle": "--"},
    }
    return styles[kind]


def _legend(figure: Any, rows: Sequence[_Calls]) -> None:
    from matplotlib.patches import Patch

    handles = [Patch(label="this search", **_style("search"))]
    if not all(row.estimated for row in rows):
        handles.append(Patch(label="reference-only search", **_style("measured")))
    if any(row.estimated for row in rows):
        handles.append(Patch(label="reference-only, estimate", **_style("estimated")))
    figure.legend(handles=handles, loc="outside lower center", ncols=len(handles))
