"""Every analysis of campaigns by its name: its tables, and its figures."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from defectscout.analysis.acceleration import acceleration, counterpart
from defectscout.analysis.alloys import AlloyAnalysis, analyse_alloy
from defectscout.analysis.distortions import DistortionPlot, energy_against_distortion
from defectscout.analysis.elsewhere import beside_each_other
from defectscout.analysis.lowerings import lowerings
from defectscout.analysis.motifs import motifs
from defectscout.analysis.paths import paths
from defectscout.analysis.structure_map import Features, element_coverage, structure_map
from defectscout.analysis.trend import trend
from defectscout.core.errors import NothingFoundError
from defectscout.reporting.acceleration_tables import funnel_table, time_table
from defectscout.reporting.alloy_tables import comparison_table, environment_table, site_table
from defectscout.reporting.analysis_names import AnalysisName
from defectscout.reporting.analysis_tables import (
    bond_share_table,
    distortion_summary_table,
    distortion_table,
    element_table,
    lowering_share_table,
    lowering_table,
    map_summary_table,
    map_table,
    motif_member_table,
    motif_table,
    off_trend_table,
    path_step_table,
    path_table,
    trend_table,
)
from defectscout.reporting.evaluation_tables import write_text
from defectscout.reporting.figures.alloys import draw_alloy_bonds, draw_alloy_energies, draw_fine_and_coarse
from defectscout.reporting.figures.bonds import draw_bonds
from defectscout.reporting.figures.distortions import draw_distortion_pages
from defectscout.reporting.figures.elements import draw_elements
from defectscout.reporting.figures.funnel import draw_acceleration, draw_funnel
from defectscout.reporting.figures.lowerings import draw_lowerings
from defectscout.reporting.figures.motif_examples import draw_motif_examples, motif_examples
from defectscout.reporting.figures.motifs import draw_motifs
from defectscout.reporting.figures.structure_map import MapColour, draw_map
from defectscout.reporting.figures.trajectories import draw_path_pages
from defectscout.reporting.table import Table, csv_text, known, without
from defectscout.reporting.wording import short_label
from defectscout.workflow.alloys.overview import AlloyOverview
from defectscout.workflow.overview import Overview

Draw = Callable[[Path], tuple[Path, ...]]


@dataclass(frozen=True, slots=True)
class Subject:
    """What is analysed.

    Attributes:
        overviews: the campaigns.
        reference_only: reference-only campaigns to compare with, by the formula of their host.
        features: what the map describes a structure by.
        colour: what colours say on the map; None for the host, or for the energy if there is one host only.
        studies: studies of alloys, whose campaigns are among the overviews.
        coarse: reference-only studies to compare those with.
    """

    overviews: tuple[Overview, ...]
    reference_only: Mapping[str, Overview]
    features: Features = "soap"
    colour: MapColour | None = None
    studies: tuple[AlloyOverview, ...] = ()
    coarse: tuple[AlloyOverview, ...] = ()


@dataclass(frozen=True, slots=True)
class Analysis:
    """The outcome of one analysis.

    Attributes:
        name: which.
        tables: to be read by a person.
        data: tables in full, for files; the first is the main one.
        draws: how to draw each figure, with the stem of its files.
        notes: what could not be read or compared, and why.
    """

    name: AnalysisName
    tables: tuple[Table, ...]
    data: tuple[Table, ...]
    draws: tuple[tuple[str, Draw], ...]
    notes: tuple[str, ...] = ()


def told_apart(overviews: Sequence[Overview]) -> tuple[Overview, ...]:
    """Campaigns of one host under names of their own, `CdTe (run-1)`; the others as they are."""
    times = Counter(overview.formula for overview in overviews)
    names = Counter((overview.formula, overview.folder.resolve().name) for overview in overviews)

    def named(overview: Overview) -> Overview:
        formula, folder = overview.formula, overview.folder.resolve()
        if times[formula] == 1:
            return overview
        name = folder.name if names[formula, folder.name] == 1 else str(overview.folder)
        return replace(overview, host=replace(overview.host, formula=f"{formula} ({name})"))

    return tuple(named(overview) for overview in overviews)


def analyse(name: AnalysisName, subject: Subject) -> Analysis:
    """Do one analysis. Campaigns of one host are told apart by their folders.

    Raises:
        NothingFoundError: if there is nothing to analyse.
        MissingExtraError: without scikit-learn, which the map needs.
        SettingsError: for features that cannot be had.
    """
    if name in _AS_GIVEN:
        return _AS_GIVEN[name](subject)
    told = beside_each_other(subject.overviews, tuple(subject.reference_only.values()))
    overviews = told_apart(told)
    baselines = {
        after.formula: subject.reference_only[before.formula]
        for before, after in zip(subject.overviews, overviews, strict=True)
        if before.formula in subject.reference_only
    }
    return _ANALYSES[name](replace(subject, overviews=overviews, reference_only=baselines))


def write_analysis(analysis: Analysis, folder: Path) -> tuple[tuple[Path, ...], tuple[str, ...]]:
    """Draw the figures of an analysis and write its data.

    Returns:
        The files, and why a figure was not drawn.

    Raises:
        MissingExtraError: without matplotlib.
        SettingsError: where nothing can be written.
    """
    written: list[Path] = []
    missing: list[str] = []
    for stem, draw in analysis.draws:
        try:
            written += draw(folder / f"{stem}.png")
        except NothingFoundError as error:
            missing.append(str(error))
    written += [write_text(folder / f"{table.key}.csv", csv_text(table)) for table in analysis.data]
    return tuple(dict.fromkeys(written)), tuple(missing)


def _bonds(subject: Subject) -> Analysis:
    found = trend(subject.overviews)
    table, off, shares = trend_table(found), off_trend_table(found), bond_share_table(found)
    shown = (without(table, "reasons"), *([off] if off.rows else []), shares)
    return Analysis(AnalysisName.BONDS, shown, (table, shares), (("bonds", lambda path: draw_bonds(found, path)),))


def _motifs(subject: Subject) -> Analysis:
    groups = motifs(subject.overviews)
    return Analysis(
        AnalysisName.MOTIFS,
        (motif_table(groups), motif_member_table(groups)),
        (motif_member_table(groups), motif_table(groups)),
        (
            ("motifs", lambda path: draw_motifs(groups, path)),
            ("motif-examples", lambda path: draw_motif_examples(motif_examples(groups, subject.overviews), path)),
        ),
    )


def _lowerings(subject: Subject) -> Analysis:
    found = lowerings(subject.overviews)
    tables = lowering_table(found), lowering_share_table(found)
    return Analysis(AnalysisName.LOWERINGS, tables, tables, (("lowerings", lambda path: draw_lowerings(found, path)),))


def _distortions(subject: Subject) -> Analysis:
    plots = distortion_plots(subject)
    table = distortion_table(plots)
    ends = distortion_summary_table(plots)
    draw = ("distortions", lambda path: draw_distortion_pages(plots, path))
    return Analysis(AnalysisName.DISTORTIONS, (known(ends),), (table,), (draw,))


def distortion_plots(subject: Subject) -> tuple[DistortionPlot, ...]:
    """Energy against distortion of each defect, beside the reference-only search where one can be compared."""
    plots = []
    for overview in subject.overviews:
        for label, item in overview.defects.items():
            other = None
            if not overview.is_reference_only:
                other, _ = counterpart(overview, label, subject.reference_only)
            plots.append(energy_against_distortion(overview.formula, item, other))
    return tuple(plots)


def _map(subject: Subject) -> Analysis:
    found = structure_map(subject.overviews, subject.features)
    several = len({overview.formula for overview in subject.overviews}) > 1
    colour = subject.colour or (MapColour.HOST if several else MapColour.ENERGY)
    draw = ("structure-map", lambda path: draw_map(found, path, colour))
    return Analysis(AnalysisName.MAP, (map_summary_table(found),), (map_table(found),), (draw,))


def _elements(subject: Subject) -> Analysis:
    coverage = element_coverage(subject.overviews)
    table = element_table(coverage)
    return Analysis(
        AnalysisName.ELEMENTS, (table,), (table,), (("elements", lambda path: draw_elements(coverage, path)),)
    )


def _funnel(subject: Subject) -> Analysis:
    result = acceleration(subject.overviews, subject.reference_only)
    tables = funnel_table(result), time_table(result)
    draws: Sequence[tuple[str, Draw]] = (
        ("funnel", lambda path: draw_funnel(result, path)),
        ("times", lambda path: draw_acceleration(result, path)),
    )
    return Analysis(AnalysisName.FUNNEL, tables, tables, tuple(draws))


def _paths(subject: Subject) -> Analysis:
    items = [paths(overview.formula, item) for overview in subject.overviews for item in overview.defects.values()]
    return Analysis(
        AnalysisName.PATHS,
        (_brief(path_table(items)),),
        (path_table(items), path_step_table(items)),
        (("paths", lambda path: draw_path_pages(items, path)),),
    )


def _brief(table: Table) -> Table:
    """Starts by their short names, and no columns without content."""
    rows = tuple(tuple(short_label(cell) if isinstance(cell, str) else cell for cell in row) for row in table.rows)
    return without(known(replace(table, rows=rows)), "time_s")


def _alloy(subject: Subject) -> Analysis:
    """Study by study: energies of different studies have no common zero."""
    if not subject.studies:
        raise NothingFoundError("No study of an alloy is given: there are campaigns of single hosts only.")
    tables: list[Table] = []
    data: list[Table] = []
    draws: list[tuple[str, Draw]] = []
    notes: list[str] = []
    several = len(subject.studies) > 1
    for study, name in zip(subject.studies, _study_names(subject.studies), strict=True):
        found = analyse_alloy(study, coarse_for(study, subject))
        if several:
            found = replace(found, title=f"{found.title} ({name})")
        made = [site_table(found), environment_table(found), *([comparison_table(found)] if found.comparisons else [])]
        if several:
            made = [replace(table, key=f"{table.key}-{name}") for table in made]
        tables += [_brief_alloy(made[0], found), *(known(_without_realisation(table, found)) for table in made[1:])]
        data += made
        draws += _alloy_draws(found, f"-{name}" if several else "")
        notes += [f"{study.folder}: {note}" for note in found.notes]
    return Analysis(AnalysisName.ALLOY, tuple(tables), tuple(data), tuple(draws), tuple(notes))


def coarse_for(study: AlloyOverview, subject: Subject) -> tuple[AlloyOverview, ...]:
    """The coarse studies that one is compared with: those given as such, then reference-only ones beside it."""
    among = [] if _is_reference_only(study) else [one for one in subject.studies if _is_reference_only(one)]
    chosen = {one.folder.resolve(): one for one in (*reversed(among), *reversed(subject.coarse))}
    return tuple(one for place, one in reversed(chosen.items()) if place != study.folder.resolve())


def _is_reference_only(study: AlloyOverview) -> bool:
    return study.study.search.strategy == "reference-only"


def _study_names(studies: Sequence[AlloyOverview]) -> list[str]:
    """Names of the folders, numbered where they are the same."""
    names = [study.folder.resolve().name for study in studies]
    return [name if names.count(name) == 1 else f"{name}-{number}" for number, name in enumerate(names, start=1)]


def _alloy_draws(found: AlloyAnalysis, suffix: str) -> list[tuple[str, Draw]]:
    draws: list[tuple[str, Draw]] = [
        (f"alloy-sites{suffix}", lambda path: draw_alloy_energies(found, path)),
        (f"alloy-environments{suffix}", lambda path: draw_alloy_bonds(found, path)),
    ]
    if found.comparisons:
        draws.append((f"alloy-comparison{suffix}", lambda path: draw_fine_and_coarse(found, path)))
    return draws


def _brief_alloy(table: Table, found: AlloyAnalysis) -> Table:
    hidden = ("supercell", "share_percent", "sampling_structures", "motif", "point_group", "less_pristine_eV")
    return known(without(_without_realisation(table, found), *hidden))


def _without_realisation(table: Table, found: AlloyAnalysis) -> Table:
    several = any(site.realisation > 1 for site in found.sites)
    return table if several else without(table, "realisation")


_ANALYSES: Mapping[AnalysisName, Callable[[Subject], Analysis]] = {
    AnalysisName.BONDS: _bonds,
    AnalysisName.MOTIFS: _motifs,
    AnalysisName.LOWERINGS: _lowerings,
    AnalysisName.DISTORTIONS: _distortions,
    AnalysisName.FUNNEL: _funnel,
    AnalysisName.PATHS: _paths,
}

_AS_GIVEN: Mapping[AnalysisName, Callable[[Subject], Analysis]] = {
    AnalysisName.MAP: _map,
    AnalysisName.ELEMENTS: _elements,
    AnalysisName.ALLOY: _alloy,
}
"""Those that do not tell campaigns of one host apart, or that do it themselves."""
