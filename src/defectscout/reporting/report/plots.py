"""Interactive figures of one defect, in plotly's form (traces scatter and bar)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any, Final

from defectscout.analysis.distortions import DistortionPlot, DistortionPoint, DistortionSeries
from defectscout.analysis.paths import Paths, RelaxationPath
from defectscout.core.defect import UNPERTURBED
from defectscout.core.frames import RelaxationState
from defectscout.learning.frame_sampling import spaced
from defectscout.reporting.analysis_tables import distortion_table, path_table
from defectscout.reporting.report.document import Plot
from defectscout.reporting.report.traces import MOST_POINTS, Trace, axis, colour, dash, rounded, symbol, without
from defectscout.reporting.table import Column, Table
from defectscout.reporting.wording import count, listed, rank_text, short_label
from defectscout.workflow.overview import DefectOverview

SO_FAR: Final = "The search has not ended: this is what it has found so far."

_APART: Final = 15.0
"""Where starts without a distortion stand beside the others, per cent."""

_CUT: Final = 1.0
"""eV that a figure of relaxations shows above their ends, at least."""

_NARROWEST: Final = 0.2
"""eV that the axis of a figure of distortions spans, at least."""

_END_SYMBOLS: Final = {
    RelaxationState.CONVERGED: "circle",
    RelaxationState.MERGED: "triangle-down",
    RelaxationState.UNCONVERGED: "square-open",
    RelaxationState.FAILED: "x",
}
_RUNNING: Final = "circle-open"

Places = dict[str, float]
"""Where each start stands on the axis of distortions, per cent."""


def distortion_plot(key: str, found: DistortionPlot, finished: bool) -> Plot | None:
    """Energy of where each start led against its distortion; None if no start has led anywhere yet."""
    if not any(point.energy is not None for series in found.series for point in series.points):
        return None
    places, beside = _places(found.series)
    traces = [trace for number, series in enumerate(found.series) for trace in _series_traces(number, series, places)]
    inside = sorted({place for start, place in places.items() if start not in beside})
    shown = inside if len(inside) <= 15 else inside[:: len(inside) // 12 + 1]
    ticks = [*shown, *(places[start] for start in beside)]
    texts = [*(f"{place:g}" for place in shown), *(short_label(start) for start in beside)]
    lost = sum(point.energy is None for series in found.series for point in series.points)
    caption = [
        f"Energy of the minimum that each start led to, relative to the {found.zero}, for {found.defect} in "
        f"{found.host} ({listed([series.name for series in found.series])}). A diamond marks the unperturbed start, an "
        "open symbol a start that the surrogate took there before the reference relaxed it."
    ]
    same = ("host", "defect", "relative_to", *(("search",) if len(found.series) == 1 else ()))
    if lost:
        led = "has led" if lost == 1 else "have led"
        caption.append(f"{count(lost, 'start')} {led} to no minimum; the table says why.")
    if not finished:
        caption.append(SO_FAR)
    return Plot(
        key=f"{key}-distortions",
        title="Energy against distortion",
        caption=" ".join(caption),
        data=tuple(traces),
        layout={
            "xaxis": axis("bond distortion / %", tickvals=ticks, ticktext=texts, zeroline=False),
            "yaxis": axis("energy / eV", **_no_narrower(found.series)),
            "showlegend": len(found.series) > 1,
        },
        table=replace(without(distortion_table([found]), *same), key=f"{key}-distortions"),
    )


def _no_narrower(series: Sequence[DistortionSeries]) -> dict[str, Any]:
    """An axis of at least `_NARROWEST`: differences of a few meV are none between minima."""
    energies = [point.energy for one in series for point in one.points if point.energy is not None]
    lack = _NARROWEST - (max(energies) - min(energies))
    return {"range": rounded([min(energies) - lack / 2, max(energies) + lack / 2])} if lack > 0 else {}


def _places(series: Sequence[DistortionSeries]) -> tuple[Places, list[str]]:
    points = {point.start: point for one in series for point in one.points}
    places = {start: 100 * point.distortion for start, point in points.items() if point.distortion is not None}
    beside = [start for start in points if start not in places and start != UNPERTURBED]
    right = max(places.values(), default=0.0)
    if UNPERTURBED in points:
        places[UNPERTURBED] = 0.0
    return places | {start: right + _APART * (number + 1) for number, start in enumerate(beside)}, beside


def _series_traces(number: int, series: DistortionSeries, places: Places) -> Iterator[Trace]:
    known = [point for point in series.points if point.energy is not None]
    along = sorted((point for point in known if point.distortion is not None), key=lambda point: places[point.start])
    beside = [point for point in known if point.distortion is None]
    style = {"color": colour(number), "dash": dash(number), "width": 1.5}
    distinct = len({places[point.start] for point in along}) == len(along)
    if along:
        mode = "lines+markers" if distinct else "markers"
        yield _points(number, series, along, places) | {"mode": mode, "line": style}
    if beside:
        yield _points(number, series, beside, places) | {"mode": "markers", "showlegend": not along}


def _points(number: int, series: DistortionSeries, points: Sequence[DistortionPoint], places: Places) -> dict[str, Any]:
    return {
        "type": "scatter",
        "name": series.name,
        "legendgroup": series.name,
        "x": rounded([places[point.start] for point in points], 1),
        "y": rounded([point.energy for point in points if point.energy is not None]),
        "text": [
            f"{point.start}: {rank_text(point.rank) if point.rank is not None else 'no known minimum'}"
            for point in points
        ],
        "hovertemplate": "%{text}<br>%{y:.3f} eV",
        "marker": {
            "color": colour(number),
            "size": [13 if point.start == UNPERTURBED else 9 for point in points],
            "symbol": [
                ("diamond" if point.start == UNPERTURBED else symbol(number)) + ("" if point.direct else "-open")
                for point in points
            ],
        },
    }


def path_plots(key: str, found: Paths, finished: bool) -> Iterator[Plot]:
    """Energy against step of all relaxations, a figure for each surface."""
    for surface in ("reference", "surrogate"):
        paths = [path for path in found.paths if path.surface == surface and path.energies]
        if paths:
            yield _path_plot(f"{key}-paths-{surface}", found, surface, paths, finished)


def _path_plot(key: str, found: Paths, surface: str, paths: Sequence[RelaxationPath], finished: bool) -> Plot:
    top, hidden = _cut(paths)
    ranks = sorted({path.rank for path in paths if path.rank is not None})
    groups: list[int | None] = [*ranks, *([None] if any(path.rank is None for path in paths) else [])]
    traces = [trace for rank in groups for trace in _group(rank, [path for path in paths if path.rank == rank])]
    caption = [
        f"Energy of each relaxation of {found.defect} in {found.host} on the {surface}'s surface, above the lowest end "
        "of any. A circle marks an end that converged, a triangle one that fell into a known minimum, an open square a "
        "relaxation that stopped short, a cross a failure, an open circle one that goes on."
    ]
    if hidden:
        caption.append(f"The axis ends at {top:.1f} eV; {count(hidden, 'relaxation')} began above it.")
    if not finished:
        caption.append(SO_FAR)
    table = path_table([replace(found, paths=tuple(paths))])
    return Plot(
        key=key,
        title=f"Relaxations with the {surface}",
        caption=" ".join(caption),
        data=tuple(traces),
        layout={
            "xaxis": axis("step", rangemode="tozero"),
            "yaxis": axis("energy / eV", range=[round(-0.03 * top, 4), round(top, 4)]),
            "showlegend": True,
        },
        table=replace(without(table, "host", "defect", "surface", "time_s"), key=key),
    )


def _cut(paths: Sequence[RelaxationPath]) -> tuple[float, int]:
    """Where the energy axis ends: well above all ends, below starts that are far too high to see anything."""
    highest = max(max(path.energies) for path in paths)
    ends = max(path.energies[-1] for path in paths)
    top = min(1.05 * highest, max(2.0 * ends, ends + _CUT)) or 1.0
    return top, sum(path.energies[0] > top for path in paths)


def _group(rank: int | None, paths: Sequence[RelaxationPath]) -> Iterator[Trace]:
    name = "in no minimum of the reference" if rank is None else f"to the {rank_text(rank)}"
    for number, path in enumerate(paths):
        picks = spaced(len(path.energies), MOST_POINTS)
        yield {
            "type": "scatter",
            "mode": "lines",
            "name": name,
            "legendgroup": name,
            "showlegend": number == 0,
            "x": [path.steps[pick] for pick in picks],
            "y": rounded([path.energies[pick] for pick in picks], 3),
            "line": {"color": colour(rank), "dash": dash(rank), "width": 1.5},
            "hovertemplate": f"{path.label}, step %{{x}}<br>%{{y:.3f}} eV<extra>{path.state.value}</extra>",
        }
    yield {
        "type": "scatter",
        "mode": "markers",
        "name": name,
        "legendgroup": name,
        "showlegend": False,
        "x": [path.steps[-1] for path in paths],
        "y": rounded([path.energies[-1] for path in paths], 3),
        "text": [_end(path) for path in paths],
        "marker": {
            "color": colour(rank),
            "size": 9,
            "symbol": [_END_SYMBOLS.get(path.state, _RUNNING) for path in paths],
        },
        "hovertemplate": "%{text}<br>%{y:.3f} eV<extra></extra>",
    }


def _end(path: RelaxationPath) -> str:
    into = f" into {path.merged_into}" if path.merged_into else ""
    return f"{path.label}: {path.state.value}{into} after {count(path.calls, 'force call')}"


def ladder_plot(key: str, item: DefectOverview) -> Plot | None:
    """Energies of the minima as levels, with those on the surrogate's surface beside; None for fewer than two."""
    minima = item.result.minima
    if len(minima) < 2:
        return None
    scouted = any(minimum.surrogate_energy is not None for minimum in minima)
    traces: list[Trace] = []
    for number, minimum in enumerate(minima):
        name = rank_text(minimum.rank)
        style = {"color": colour(number), "width": 3}
        energy, guess = minimum.relative_energy, minimum.surrogate_energy
        common = {"type": "scatter", "mode": "lines", "name": name, "legendgroup": name}
        hover = f"{name}: %{{y:.3f}} eV<extra></extra>"
        line = style | {"dash": dash(number)}
        traces.append(common | {"x": [0.7, 1.3], "y": rounded([energy, energy]), "line": line, "hovertemplate": hover})
        if guess is not None:
            traces += [
                common | {"x": [1.7, 2.3], "y": rounded([guess, guess]), "line": line, "hovertemplate": hover,
                          "showlegend": False},
                common | {"x": [1.3, 1.7], "y": rounded([energy, guess]), "showlegend": False, "hoverinfo": "skip",
                          "line": {"color": colour(number), "width": 1, "dash": "dot"}},
            ]  # fmt: skip
    caption = [f"Energies of the {len(minima)} minima of {item.defect.label} above the lowest."]
    if scouted:
        caption.append(
            "Right: the minima of the surrogate that the reference's relaxations began from, above the lowest of those."
        )
    if not item.finished:
        caption.append(SO_FAR)
    ticks = {"tickvals": [1, 2], "ticktext": ["reference", "surrogate"], "range": [0.5, 2.5]}
    only = {"tickvals": [1], "ticktext": ["reference"], "range": [0.5, 1.5]}
    return Plot(
        key=f"{key}-ladder",
        title="Minima",
        caption=" ".join(caption),
        data=tuple(traces),
        layout={
            "xaxis": {**(ticks if scouted else only), "showgrid": False, "zeroline": False},
            "yaxis": axis("energy above the lowest / eV"),
            "showlegend": True,
        },
        table=_ladder_table(key, item),
    )


def _ladder_table(key: str, item: DefectOverview) -> Table:
    return Table(
        f"{key}-ladder",
        "Minima",
        (
            Column("minimum", "minimum"),
            Column("reference", "relative_energy_eV", "eV", numeric=True),
            Column("surrogate", "surrogate_relative_energy_eV", "eV", numeric=True),
        ),
        tuple((rank_text(one.rank), one.relative_energy, one.surrogate_energy) for one in item.result.minima),
    )
