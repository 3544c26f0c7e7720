"""Make the report of campaigns, finished or not."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace

from defectscout.analysis.acceleration import Acceleration, acceleration, counterpart
from defectscout.analysis.alloys import analyse_alloy
from defectscout.analysis.distortions import energy_against_distortion
from defectscout.analysis.elsewhere import beside_each_other
from defectscout.analysis.lowerings import Lowerings, lowerings
from defectscout.analysis.motifs import MotifGroup, motifs
from defectscout.analysis.paths import paths
from defectscout.analysis.structure_map import element_coverage, structure_map
from defectscout.analysis.trend import Trend, trend
from defectscout.core.errors import CampaignError, NothingFoundError
from defectscout.reporting.analysis_tables import (
    bond_share_table,
    element_table,
    lowering_share_table,
    motif_member_table,
)
from defectscout.reporting.report.alloys import Alloy, alloy_part
from defectscout.reporting.report.baselines import baselines
from defectscout.reporting.report.citations import citations
from defectscout.reporting.report.costs import cost_sentences
from defectscout.reporting.report.document import AlloyPart, Plot, Report, Section
from defectscout.reporting.report.methods import methods
from defectscout.reporting.report.names import campaign_names, method_name, unique_keys
from defectscout.reporting.report.overall import (
    acceleration_plot,
    funnel_plot,
    lowerings_plot,
    map_plots,
    motif_plot,
    trend_plot,
)
from defectscout.reporting.report.plots import distortion_plot, ladder_plot, path_plots
from defectscout.reporting.report.provenance import settings_of, versions
from defectscout.reporting.report.sections import section
from defectscout.reporting.report.subject import Subject, missing
from defectscout.reporting.table import Table
from defectscout.reporting.wording import count, listed
from defectscout.workflow.alloys.overview import AlloyOverview
from defectscout.workflow.overview import DefectOverview, Overview

MOST_HOSTS_IN_TITLE = 4

MOST_NAMED = 4
"""Campaigns that are named one by one where a note is on several."""


def build_report(
    campaigns: Sequence[Overview],
    reference_only: Sequence[Overview] = (),
    studies: Sequence[AlloyOverview] = (),
    coarse: Sequence[AlloyOverview] = (),
    with_map: bool = False,
) -> Report:
    """What is known of all defects of some campaigns, and of alloys.

    Args:
        campaigns: those of no study, in the order in which they are to be shown.
        reference_only: reference-only campaigns to compare with.
        studies: of alloys, shown after the campaigns.
        coarse: reference-only studies to compare with.
        with_map: draw the map of all structures, too, which takes a second for every few hundred structures.

    Raises:
        CampaignError: without a campaign that has come to its defects.
        SettingsError: if two reference-only searches fit one campaign.
        MissingExtraError: with a map and without scikit-learn.
    """
    subject = Subject(tuple(campaigns), tuple(studies), tuple(reference_only), tuple(coarse))
    if not subject.overviews:
        raise CampaignError(_nothing(studies))
    alone = [item for study in coarse for item in study.campaigns.values()]
    overviews = beside_each_other(subject.overviews, (*reference_only, *alone))
    names = campaign_names(overviews, studies)
    compared, noted = baselines(overviews, names, (*reference_only, *alone))
    alloys, unlike = _alloys(subject)
    # In figures and tables over all defects campaigns of one host are told apart.
    told = tuple(replace(overview, host=replace(overview.host, formula=name))
                 for name, overview in zip(names, overviews, strict=True))  # fmt: skip
    costs, found = acceleration(told, compared), _together(told)
    sections = tuple(_sections(overviews, names, compared))
    parts = tuple(_parts(alloys, coarse))
    notes = (
        *_missing_notes(alloys, studies),
        *_notes(overviews, names),
        # Which supercells of coarse studies are compared with, and which are not, is said with the alloys.
        *(note for folder, note in noted if not alloys or all(one.folder != folder for one in alone)),
        *unlike,
    )
    return Report(
        title=_title(subject, alloys),
        subtitle=_subtitle(overviews),
        status=_status(subject),
        finished=subject.finished,
        answers=tuple(item.answer for item in sections),
        costs=cost_sentences(told, costs),
        notes=tuple(dict.fromkeys(notes)),
        sections=sections,
        plots=tuple(_plots(told, found, costs, with_map)),
        tables=tuple(_tables(overviews, found)),
        methods=methods(overviews, alloys),
        citations=citations(overviews, studies),
        settings=tuple(settings_of(subject, names, alloys)),
        versions=versions(overviews, names),
        alloys=parts,
    )


def _nothing(studies: Sequence[AlloyOverview]) -> str:
    if not studies:
        return "There is no campaign to report on. Give at least one campaign folder."
    notes = " ".join(note for study in studies for note in study.notes)
    return f"No supercell of {listed([str(study.folder) for study in studies])} has come to its defects yet. {notes}"


def _alloys(subject: Subject) -> tuple[list[Alloy], list[str]]:
    """Studies that have come to a defect, analysed, and why some coarse ones are compared with none of them."""
    alloys: list[Alloy] = []
    notes: list[str] = []
    coarse = [study for study in subject.coarse if study.study.search.strategy == "reference-only"]
    matched: list[AlloyOverview] = []
    for study in subject.studies:
        names = {item.name for item in study.study.supercells}
        own = [one for one in coarse if names & {item.name for item in one.study.supercells}]
        matched += own
        with suppress(NothingFoundError):  # its notes say why
            alloys.append(Alloy(study, analyse_alloy(study, own)))
    if subject.studies:
        for one in subject.coarse:
            if one not in coarse:
                notes.append(f"{one.folder} is not compared with: it is no reference-only search.")
            elif one not in matched:
                notes.append(f"{one.folder} is not compared with: it has none of the supercells that are shown here.")
    return alloys, notes


def _parts(alloys: Sequence[Alloy], coarse: Sequence[AlloyOverview]) -> Iterator[AlloyPart]:
    keys = unique_keys([f"alloy-{alloy.found.title}" for alloy in alloys])
    for key, alloy in zip(keys, alloys, strict=True):
        names = {item.coarse.supercell for item in alloy.found.comparisons}
        own = [one for one in coarse if names & set(one.campaigns)]
        yield alloy_part(key, alloy, own)


def _missing_notes(alloys: Sequence[Alloy], studies: Sequence[AlloyOverview]) -> Iterator[str]:
    """Supercells that have not come to their defects, and what was not compared."""
    found = {alloy.overview.folder: alloy for alloy in alloys}
    for study in studies:
        notes = found[study.folder].found.notes if study.folder in found else study.notes
        for note in notes:
            yield note if len(studies) == 1 else f"{study.folder.resolve().name}: {note}"


def _sections(
    overviews: Sequence[Overview], names: Sequence[str], compared: Mapping[str, Overview]
) -> Iterator[Section]:
    of = [(name, overview, item) for name, overview in zip(names, overviews, strict=True)
          for item in overview.defects.values()]  # fmt: skip
    keys = unique_keys([f"{overview.formula}-{item.defect.label}" for _, overview, item in of])
    for key, (name, overview, item) in zip(keys, of, strict=True):
        baseline = None
        if name in compared and not overview.is_reference_only:
            baseline, _ = counterpart(overview, item.defect.label, {overview.formula: compared[name]})
        yield section(name, key, overview, item, baseline, tuple(_defect_plots(key, overview, item, baseline)))


def _defect_plots(
    key: str, overview: Overview, item: DefectOverview, baseline: DefectOverview | None
) -> Iterator[Plot]:
    levels = ladder_plot(key, item)
    if levels is not None:
        yield levels
    fell = distortion_plot(key, energy_against_distortion(overview.formula, item, baseline), item.finished)
    if fell is not None:
        yield fell
    yield from path_plots(key, paths(overview.formula, item), item.finished)


@dataclass(frozen=True, slots=True)
class _Together:
    """What all defects have in common; None of a single one."""

    lowerings: Lowerings
    trend: Trend
    motifs: tuple[MotifGroup, ...]


def _together(overviews: Sequence[Overview]) -> _Together | None:
    if sum(len(overview.defects) for overview in overviews) < 2:
        return None
    return _Together(lowerings(overviews), trend(overviews), motifs(overviews))


def _plots(
    overviews: Sequence[Overview], found: _Together | None, costs: Acceleration, with_map: bool
) -> Iterator[Plot]:
    shown = [funnel_plot(costs), acceleration_plot(costs)]
    if found is not None:
        shown[:0] = [lowerings_plot(found.lowerings), trend_plot(found.trend), motif_plot(found.motifs)]
    yield from (plot for plot in shown if plot is not None)
    if with_map:
        try:
            yield from map_plots(structure_map(overviews))
        except NothingFoundError:
            return  # fewer than three structures: the funnel says how few there are


def _tables(overviews: Sequence[Overview], found: _Together | None) -> Iterator[Table]:
    if found is not None:
        tables = (
            lowering_share_table(found.lowerings),
            bond_share_table(found.trend),
            motif_member_table(found.motifs),
        )
        yield from (table for table in tables if table.rows)
    yield element_table(element_coverage(overviews))


def _title(subject: Subject, alloys: Sequence[Alloy]) -> str:
    alone = subject.campaigns
    hosts = tuple(dict.fromkeys((*(one.formula for one in alone), *(alloy.found.title for alloy in alloys))))
    where = listed(hosts) if len(hosts) <= MOST_HOSTS_IN_TITLE else f"{len(hosts)} hosts"
    kinds = {label for overview in alone for label in overview.defects}
    kinds |= {site.kind for alloy in alloys for site in alloy.found.sites}
    what = kinds.pop() if len(kinds) == 1 and len(hosts) == 1 else "Point defects"
    return f"{what} in {where}: structures and energies"


def _subtitle(overviews: Sequence[Overview]) -> str:
    surrogates = list(dict.fromkeys(_surrogate(overview) for overview in overviews))
    references = dict.fromkeys(method_name(overview.settings.reference.name) for overview in overviews)
    sizes = sorted({overview.host.supercell_atoms for overview in overviews})
    cells = f"supercell of {sizes[0]} atoms" if len(sizes) == 1 else f"supercells of {sizes[0]} to {sizes[-1]} atoms"
    return f"Surrogate: {listed(surrogates)}; reference: {listed(list(references))}; {cells}"


def _surrogate(overview: Overview) -> str:
    if overview.is_reference_only:
        return "none (reference only)"
    name = method_name(overview.settings.surrogate.name)
    return f"{name} (tuned during the search)" if overview.settings.strategy == "learn" else name


def _status(subject: Subject) -> str:
    left = sum(missing(study) for study in subject.studies)
    total = sum(len(study.study.supercells) for study in subject.studies)
    status = _searches([item for overview in subject.overviews for item in overview.defects.values()], left == 0)
    if not left:
        return status
    have = "has" if left == 1 else "have"
    whose = "its" if left == 1 else "their"
    return f"{status} {left} of {count(total, 'supercell')} {have} not come to {whose} defects."


def _searches(items: Sequence[DefectOverview], is_all: bool) -> str:
    open_ones = sum(not item.finished for item in items)
    if not open_ones and not is_all:
        have = "search has" if len(items) == 1 else "searches have"
        return f"The {have} ended in those supercells that have been begun."
    if not open_ones:
        return "The search has ended." if len(items) == 1 else f"The searches of all {len(items)} defects have ended."
    if len(items) == 1:
        return "The search has not ended: what it has found so far is shown, and a lower minimum may still be found."
    have = "has" if open_ones == 1 else "have"
    return (
        f"{open_ones} of {len(items)} searches {have} not ended: what they have found so far is shown and marked, and "
        "lower minima may still be found."
    )


def _notes(overviews: Sequence[Overview], names: Sequence[str]) -> Iterator[str]:
    """What must be said of campaigns; what is the same for several is said once."""
    whose: dict[str, list[str]] = {}
    for overview, name in zip(overviews, names, strict=True):
        for note in (*(f"The host is not stable: {reason}" for reason in overview.host.unstable), *overview.notes):
            whose.setdefault(note, []).append(name)
    for note, which in whose.items():
        if len(which) == len(overviews):
            yield note
        else:
            yield f"{listed(which) if len(which) <= MOST_NAMED else f'{len(which)} campaigns'}: {note}"
