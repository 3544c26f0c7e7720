"""Interactive figures over all defects, in plotly's form (traces scatter and bar)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from defectscout.analysis.acceleration import Acceleration, TimeRow
from defectscout.analysis.lowerings import Lowerings
from defectscout.analysis.motifs import MotifGroup
from defectscout.analysis.structure_map import MapPoint, StructureMap
from defectscout.analysis.trend import Trend
from defectscout.reporting.acceleration_tables import funnel_table, time_table
from defectscout.reporting.analysis_tables import lowering_table, map_summary_table, motif_table, trend_table
from defectscout.reporting.report.document import Plot
from defectscout.reporting.report.traces import COLOURS, GREY, Trace, axis, colour, rounded, symbol
from defectscout.reporting.wording import count

UNFINISHED = "Hatched: the search has not ended, and a lower minimum may still be found."


def lowerings_plot(found: Lowerings) -> Plot | None:
    """What searching gained for each defect; None where no lowering is known."""
    rows = [row for row in found.rows if row.lowering is not None]
    if not rows:
        return None
    names = [f"{row.defect} ({row.host})" for row in rows]
    bars: dict[str, object] = {
        "type": "bar",
        "name": "ground state",
        "x": names,
        "y": rounded([row.lowering for row in rows if row.lowering is not None]),
        "marker": {"color": COLOURS[0], "pattern": {"shape": ["" if row.finished else "/" for row in rows]}},
        "hovertemplate": "%{x}<br>%{y:.3f} eV<extra>ground state</extra>",
    }
    rattled = [(name, row.rattled) for name, row in zip(names, rows, strict=True) if row.rattled is not None]
    traces: list[Trace] = [bars]
    if rattled:
        traces.append(
            {
                "type": "scatter",
                "mode": "markers",
                "name": "by rattling alone",
                "x": [name for name, _ in rattled],
                "y": rounded([energy for _, energy in rattled]),
                "marker": {"color": COLOURS[1], "symbol": "diamond", "size": 10, "line": {"width": 1}},
                "cliponaxis": False,
                "hovertemplate": "%{x}<br>%{y:.3f} eV<extra>by rattling alone</extra>",
            }
        )
    caption = [
        "Energy of the ground state less that of the relaxed unperturbed structure, for each defect where both are "
        "known; a diamond marks the lowest minimum that rattling alone leads to."
    ]
    if not all(row.finished for row in rows):
        caption.append(UNFINISHED)
    layout = {"xaxis": axis("", type="category"), "yaxis": axis("energy lowering / eV"), "showlegend": bool(rattled)}
    return Plot(
        "lowerings", "Energy lowering of each defect", " ".join(caption), tuple(traces), layout, lowering_table(found)
    )


def trend_plot(found: Trend) -> Plot | None:
    """Bonds of ground states against holes; None for fewer than two ground states."""
    known = [row for row in found.rows if row.anion_anion is not None]
    if len(known) < 2:
        return None
    names = {
        (item.holes, item.bonds): [
            f"{row.defect} ({row.host})" for row in known if (row.holes, row.anion_anion) == (item.holes, item.bonds)
        ]
        for item in found.shares
    }
    trace = {
        "type": "scatter",
        "mode": "markers+text",
        "x": [item.holes for item in found.shares],
        "y": [item.bonds for item in found.shares],
        "text": [str(item.count) for item in found.shares],
        "textposition": "middle right",
        "cliponaxis": False,
        "customdata": [_some(names[item.holes, item.bonds]) for item in found.shares],
        "marker": {"size": [round(10 + 30 * item.share**0.5, 1) for item in found.shares], "color": COLOURS[0]},
        "hovertemplate": "%{x} holes, %{y} bonds<br>%{customdata}<extra></extra>",
    }
    caption = (
        "Anion–anion bonds that the ground states have made against the holes of their defects. The area of a marker "
        "is the share of the defects with as many holes, the number beside it how many defects there are."
    )
    layout = {
        "xaxis": axis("holes", dtick=1, zeroline=False),
        "yaxis": axis("anion–anion bonds", dtick=1, zeroline=False, rangemode="tozero"),
        "showlegend": False,
    }
    return Plot("bonds", "Excess charge and bonds", caption, (trace,), layout, trend_table(found))


def _some(names: Sequence[str], most: int = 8) -> str:
    return ", ".join(names) if len(names) <= most else f"{', '.join(names[:most])} and {len(names) - most} more"


def motif_plot(groups: Sequence[MotifGroup]) -> Plot | None:
    """How often each motif occurs; None without minima."""
    if not groups:
        return None
    names = [str(group.motif) for group in groups]
    ground = [group.ground_states for group in groups]
    others = [len(group.members) - group.ground_states for group in groups]
    traces = tuple(
        {"type": "bar", "name": name, "x": names, "y": values,
         "marker": {"color": COLOURS[number], "pattern": {"shape": pattern}}}
        for number, (name, values, pattern) in enumerate(
            (("lowest minima", ground, ""), ("metastable minima", others, "/"))
        )
    )  # fmt: skip
    layout = {
        "barmode": "stack",
        "xaxis": axis("", type="category"),
        "yaxis": axis("minima", rangemode="tozero"),
        "showlegend": True,
    }
    caption = "What the minima of all defects are, by what has formed: lowest minima of a defect, and those above it."
    return Plot("motifs", "Reconstruction motifs", caption, traces, layout, motif_table(groups))


def funnel_plot(found: Acceleration) -> Plot | None:
    """From sampling structures to minima, one line for each defect; None without searches."""
    rows = found.funnels
    if not rows:
        return None
    scouted = any(row.surrogate_minima for row in rows)
    stages = ["sampling structures", *(["surrogate minima"] if scouted else []), "reference relaxations", "minima"]
    traces = [
        {
            "type": "scatter",
            "mode": "lines+markers",
            "name": f"{row.defect} ({row.host})",
            "x": stages,
            "y": [row.sampling, *([row.surrogate_minima or None] if scouted else []), row.candidates, row.minima],
            "line": {"color": colour(number), "dash": "solid" if row.finished else "dot"},
            "marker": {"color": colour(number), "symbol": symbol(number), "size": 9},
            "connectgaps": True,
        }
        for number, row in enumerate(rows)
    ]
    caption = "How many structures each stage of a search has left of those before it, for each defect."
    if not all(row.finished for row in rows):
        caption += " Dotted: the search has not ended."
    layout = {
        "xaxis": axis("", type="category"),
        "yaxis": axis("structures", rangemode="tozero"),
        "showlegend": len(rows) <= 20,
    }
    return Plot("funnel", "The search funnel", caption, tuple(traces), layout, funnel_table(found))


def acceleration_plot(found: Acceleration) -> Plot | None:
    """Reference force calls beside those of reference-only searches; None without anything to compare with."""
    rows = [row for row in found.times if row.calls]
    if not rows:
        return None
    names = [f"{row.defect} ({row.host})" for row in rows]
    traces = (
        {
            "type": "bar",
            "name": "reference only",
            "x": names,
            "y": [row.reference_only_calls for row in rows],
            "text": ["estimate" if row.estimated else "" for row in rows],
            "marker": {"color": GREY, "pattern": {"shape": ["/" if row.estimated else "" for row in rows]}},
            "hovertemplate": "%{x}<br>%{y} force calls %{text}<extra>reference only</extra>",
        },
        {
            "type": "bar",
            "name": "this search",
            "x": names,
            "y": [row.calls for row in rows],
            "text": ["" if row.finished else "not ended" for row in rows],
            "marker": {"color": COLOURS[0], "pattern": {"shape": ["" if row.finished else "." for row in rows]}},
            "hovertemplate": "%{x}<br>%{y} force calls %{text}<extra>this search</extra>",
        },
    )
    return Plot(
        "acceleration",
        "Reference force calls, beside a reference-only search",
        _acceleration_caption(rows),
        traces,
        {
            "barmode": "group",
            "xaxis": axis("", type="category"),
            "yaxis": axis("reference force calls", rangemode="tozero"),
            "showlegend": True,
        },
        time_table(found),
    )


def _acceleration_caption(rows: Sequence[TimeRow]) -> str:
    caption = ["Force calls of the reference that each search took, beside those that relaxing every sampling "
               "structure with the reference takes."]  # fmt: skip
    estimated = sum(row.estimated for row in rows)
    if estimated == len(rows):
        caption.append("All of the latter are estimates (hatched): no such search was run.")
    elif estimated:
        caption.append(f"Hatched: an estimate, where no such search was run ({estimated} of {len(rows)}).")
    open_ones = sum(not row.finished for row in rows)
    if open_ones:
        has = "has" if open_ones == 1 else "have"
        caption.append(f"{count(open_ones, 'search', 'searches')} {has} not ended and will take more (dotted).")
    return " ".join(caption)


def map_plots(found: StructureMap) -> Iterator[Plot]:
    """Likeness of all structures in two dimensions: principal components, and t-SNE."""
    first, second = (f"{share:.0%} of the variance" for share in found.explained)
    caption = (
        f"Structures of all relaxations, each beside those that it is like ({found.features}). Large markers are the "
        "ends of relaxations; the darker, the lower in energy."
    )
    table = map_summary_table(found)
    for key, title, names, place in (
        ("map-pca", "Map of structures: principal components", (f"first ({first})", f"second ({second})"), "pca"),
        ("map-tsne", "Map of structures: t-SNE", ("first coordinate", "second coordinate"), "tsne"),
    ):
        layout = {"xaxis": axis(names[0]), "yaxis": axis(names[1]), "showlegend": True}
        yield Plot(key, title, caption, tuple(_clouds(found.points, place)), layout, table)


def _clouds(points: Sequence[MapPoint], place: str) -> Iterator[Trace]:
    groups: dict[str, list[MapPoint]] = {}
    for point in points:
        groups.setdefault(f"{point.defect} ({point.host}), {point.stage}", []).append(point)
    top = sorted(point.energy for point in points)[int(0.9 * (len(points) - 1))] or 1.0
    for number, (name, members) in enumerate(groups.items()):
        places = [point.pca if place == "pca" else point.tsne for point in members]
        yield {
            "type": "scatter",
            "mode": "markers",
            "name": name,
            "x": rounded([x for x, _ in places], 3),
            "y": rounded([y for _, y in places], 3),
            "text": [f"{point.label}, step {point.step}: {point.energy:.2f} eV" for point in members],
            "hovertemplate": f"%{{text}}<extra>{name}</extra>",
            "marker": {
                "color": colour(number),
                "symbol": symbol(number),
                "size": [11 if point.last else 6 for point in members],
                "opacity": rounded([1 - 0.75 * min(point.energy / top, 1.0) for point in members], 2),
            },
        }
