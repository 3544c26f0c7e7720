"""Interactive figures of an alloy, in plotly's form (traces scatter and bar)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Final

from defectscout.analysis.alloys import AlloyAnalysis, EnvironmentResult, SiteComparison, SiteResult, Verdict
from defectscout.reporting.alloy_tables import comparison_table, environment_table, site_table
from defectscout.reporting.report.document import Plot
from defectscout.reporting.report.names import key_of
from defectscout.reporting.report.overall import UNFINISHED
from defectscout.reporting.report.traces import COLOURS, GREY, HATCHES, Trace, axis, colour, rounded, symbol
from defectscout.reporting.table import Table, known

_OPEN: Final = "Open symbols: the search has not ended, and a lower minimum may still be found."

_VERDICTS: Final = {
    Verdict.LOWER: COLOURS[0],
    Verdict.SAME: COLOURS[2],
    Verdict.LEVEL: COLOURS[5],
    Verdict.MISSED: COLOURS[4],
    Verdict.OPEN: GREY,
}


def alloy_plots(key: str, found: AlloyAnalysis) -> Iterator[Plot]:
    """Formation energies and bonds by environment for each kind of defect, and a coarse search beside the fine one.

    Args:
        key: of the alloy's part in the report.
        found: the analysis.
    """
    for kind in dict.fromkeys(site.kind for site in found.sites):
        stem = f"{key}-{key_of(kind)}"
        sites = [site for site in found.sites if site.kind == kind]
        environments = [item for item in found.environments if item.kind == kind]
        yield from _spread(stem, found, kind, sites, environments)
        yield from _bonds(stem, found, kind, sites, environments)
    if found.comparisons:
        table = known(comparison_table(replace(found, notes=())))
        yield _minima(found, replace(table, key=f"{key}-minima"))
        yield from _differences(found, replace(table, key=f"{key}-differences"))


def composition_name(found: AlloyAnalysis, site: SiteResult) -> str:
    """A composition where there is little room: `x = 0.185`, or the shares where one number does not tell them."""
    return f"x = {site.x:.3f}" if found.variable else site.composition


def _spread(
    stem: str, found: AlloyAnalysis, kind: str, sites: Sequence[SiteResult], environments: Sequence[EnvironmentResult]
) -> Iterator[Plot]:
    """Formation energies by environment, one symbol for each composition."""
    shown = [site for site in sites if site.relative is not None]
    if not shown:
        return
    spans = [(item.environment, item.energies) for item in environments if item.energies is not None]
    traces: list[Trace] = [
        {
            "type": "scatter",
            "mode": "lines",
            "name": "least to largest",
            "x": [place for name, _ in spans for place in (name, name, None)],
            "y": [value for _, (least, _, most) in spans for value in (*rounded([least, most]), None)],
            "line": {"color": GREY, "width": 5},
            "opacity": 0.45,
            "hoverinfo": "skip",
        },
        {
            "type": "scatter",
            "mode": "markers",
            "name": "mean",
            "x": [name for name, _ in spans],
            "y": rounded([mean for _, (_, mean, _) in spans]),
            "marker": {"color": GREY, "symbol": "x", "size": 11},
            "hovertemplate": "mean of %{x}<br>%{y:.3f} eV<extra></extra>",
        },
    ]
    groups: dict[str, list[SiteResult]] = {}
    for site in shown:
        groups.setdefault(composition_name(found, site), []).append(site)
    for number, (name, members) in enumerate(groups.items()):
        traces.append(
            {
                "type": "scatter",
                "mode": "markers",
                "name": name,
                "x": [site.environment for site in members],
                "y": rounded([site.relative for site in members if site.relative is not None]),
                "text": [f"{site.defect} in {site.supercell}: {site.motif or 'no ground state yet'}"
                         for site in members],
                "marker": {
                    "color": colour(number),
                    "size": 10,
                    "symbol": [symbol(number) + ("" if site.finished else "-open") for site in members],
                },
                "cliponaxis": False,
                "hovertemplate": f"%{{text}}<br>%{{y:.3f}} eV<extra>{name}</extra>",
            }
        )  # fmt: skip
    caption = [
        f"Formation energy of the ground state of {kind} at each site, by the environment of the site and the "
        "composition of the supercell, above the lowest of all, at equal chemical potentials. A bar spans the least to "
        "the largest of an environment, a cross marks the mean."
    ]
    if any(site.formation_energy is None for site in shown):
        caption.append("In supercells without an energy of their own: above the lowest in the same supercell.")
    if not all(site.finished for site in shown):
        caption.append(_OPEN)
    yield Plot(
        f"{stem}-energies",
        f"Formation energies of {kind} by environment",
        " ".join(caption),
        tuple(traces),
        {
            "xaxis": axis("environment", type="category"),
            "yaxis": axis("above the lowest / eV", rangemode="tozero"),
            "showlegend": True,
        },
        replace(known(_energies(found, kind)), key=f"{stem}-energies"),
    )


def _energies(found: AlloyAnalysis, kind: str) -> Table:
    """The points of the figure: what the table of all sites says besides stands there."""
    table = site_table(_only(found, kind))
    wanted = {"x", "composition", "supercell", "realisation", "environment", "new_bonds", "relative_energy_eV"}
    kept = [number for number, column in enumerate(table.columns) if column.key in wanted]
    return replace(
        table,
        columns=tuple(table.columns[number] for number in kept),
        rows=tuple(tuple(row[number] for number in kept) for row in table.rows),
        notes=(),
    )


def _only(found: AlloyAnalysis, kind: str) -> AlloyAnalysis:
    """What was found of one kind of defect."""
    return replace(
        found,
        sites=tuple(site for site in found.sites if site.kind == kind),
        environments=tuple(item for item in found.environments if item.kind == kind),
        notes=(),
    )


def _bonds(
    stem: str, found: AlloyAnalysis, kind: str, sites: Sequence[SiteResult], environments: Sequence[EnvironmentResult]
) -> Iterator[Plot]:
    """How many ground states of each environment have which new bonds."""
    shown = [item for item in environments if item.bonds]
    if not shown:
        return
    kinds = dict.fromkeys(bonds for item in shown for bonds, _ in item.bonds)
    names = [item.environment for item in shown]
    traces = tuple(
        {
            "type": "bar",
            "name": bonds if bonds != "none" else "no new bond",
            "x": names,
            "y": [dict(item.bonds).get(bonds, 0) for item in shown],
            "marker": {
                "color": colour(number),
                "pattern": {"shape": HATCHES[number // len(COLOURS) % len(HATCHES)]},
            },
        }
        for number, bonds in enumerate(kinds)
    )
    caption = f"New bonds between likes that the ground states of {kind} have, by the environment of their sites."
    if not all(site.finished for site in sites):
        caption += " Of searches that have not ended the lowest minimum so far counts."
    table = environment_table(_only(found, kind))
    kept = [number for number, column in enumerate(table.columns)
            if column.key in ("environment", "ground_states", "new_bonds")]  # fmt: skip
    table = replace(
        table,
        key=f"{stem}-bonds",
        columns=tuple(table.columns[number] for number in kept),
        rows=tuple(tuple(row[number] for number in kept) for row in table.rows),
        notes=(),
    )
    few = {"dtick": 1} if max(item.searched for item in shown) < 8 else {}
    layout = {
        "barmode": "stack",
        "xaxis": axis("environment", type="category"),
        "yaxis": axis("ground states", rangemode="tozero", **few),
        "showlegend": True,
    }
    yield Plot(f"{stem}-bonds", f"Bonds of the ground states of {kind} by environment", caption, traces, layout, table)


def _site_names(found: AlloyAnalysis, comparisons: Sequence[SiteComparison]) -> tuple[list[str], str]:
    """Sites in short, with what sets them apart and nothing else, and what these names are made of."""
    sites = [item.fine for item in comparisons]
    parts: list[tuple[str, list[str]]] = [("site", [_place(site) for site in sites])]
    if len({site.kind for site in sites}) > 1:
        parts.insert(0, ("defect", [site.kind for site in sites]))
    if found.variable:
        parts.append((f"x ({found.variable})", [f"{site.x:.3f}" for site in sites]))
    if max(site.realisation for site in sites) > 1:
        parts.append(("realisation", [str(site.realisation) for site in sites]))
    names = [", ".join(texts) for texts in zip(*(texts for _, texts in parts), strict=True)]
    if len(set(names)) == len(names):
        return names, ", ".join(title for title, _ in parts)
    return [f"{site.defect} ({site.supercell})" for site in sites], "site"


def _place(site: SiteResult) -> str:
    """A site's name: `Te3Se` of `v_Cd_Te3Se_0`."""
    name, charge = site.kind.rsplit("_", 1)
    return site.defect.removeprefix(f"{name}_").removesuffix(f"_{charge}")


def _minima(found: AlloyAnalysis, table: Table) -> Plot:
    """Minima of the coarse and of the fine search, site by site."""
    comparisons = found.comparisons
    names, title = _site_names(found, comparisons)
    sides = [("coarse search", [item.coarse for item in comparisons], GREY),
             ("fine search", [item.fine for item in comparisons], COLOURS[0])]  # fmt: skip
    traces = tuple(
        {
            "type": "bar",
            "name": name,
            "x": names,
            "y": [one.minima for one in side],
            "text": [f"from {one.sampling} structures" + ("" if one.finished else ", not ended") for one in side],
            "textposition": "none",
            "marker": {"color": shade, "pattern": {"shape": ["" if one.finished else "/" for one in side]}},
            "hovertemplate": f"%{{x}}<br>%{{y}} minima %{{text}}<extra>{name}</extra>",
        }
        for name, side, shade in sides
    )
    caption = "Distinct minima on the reference's surface that each search has found at the same site."
    if not all(one.finished for item in comparisons for one in (item.fine, item.coarse)):
        caption += f" {UNFINISHED}"
    layout = {
        "barmode": "group",
        "xaxis": axis(title, type="category"),
        "yaxis": axis("minima", rangemode="tozero"),
        "showlegend": True,
    }
    return Plot(table.key, "Minima found by the coarse and the fine search", caption, traces, layout, table)


def _differences(found: AlloyAnalysis, table: Table) -> Iterator[Plot]:
    """Energy of the fine search's ground state less that of the coarse one's."""
    known_ones = [item for item in found.comparisons if item.difference is not None]
    if not known_ones:
        return
    names, title = _site_names(found, known_ones)
    traces = tuple(
        {
            "type": "bar",
            "name": "not ended" if verdict is Verdict.OPEN else verdict.value,
            "x": names,
            "y": [round(item.difference, 4) if item.difference is not None and item.verdict is verdict else None
                  for item in known_ones],
            "text": [item.reconstruction for item in known_ones],
            "textposition": "none",
            "marker": {"color": shade, "pattern": {"shape": "/" if verdict is Verdict.OPEN else ""}},
            "hovertemplate": f"%{{x}}<br>%{{y:.3f}} eV<br>%{{text}}<extra>{verdict.value}</extra>",
        }
        for verdict, shade in _VERDICTS.items()
        if any(item.verdict is verdict for item in known_ones)
    )  # fmt: skip
    caption = (
        "Energy of the fine search's ground state less that of the coarse search's, at the same site: below zero the "
        "fine search has found a lower one, above zero it has missed one."
    )
    layout = {
        "barmode": "stack",  # no two stand at one site
        "xaxis": axis(title, type="category"),
        "yaxis": axis("fine less coarse / eV", zeroline=True),
        "showlegend": True,
    }
    yield Plot(table.key, "Ground states of the fine search, beside the coarse one", caption, traces, layout, table)
