"""Make the report of campaigns, finished or not."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

from defectscout.analysis.acceleration import Acceleration, acceleration, counterpart
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
from defectscout.reporting.report.citations import citations
from defectscout.reporting.report.costs import cost_sentences
from defectscout.reporting.report.document import Plot, Report, Section
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
from defectscout.reporting.report.sections import section
from defectscout.reporting.table import Column, Table
from defectscout.reporting.wording import count, listed
from defectscout.workflow.overview import DefectOverview, Overview
from defectscout.workflow.settings import write_toml

_NONE: Mapping[str, Overview] = MappingProxyType({})

MOST_HOSTS_IN_TITLE = 4


def build_report(
    overviews: Sequence[Overview], reference_only: Mapping[str, Overview] = _NONE, with_map: bool = False
) -> Report:
    """What is known of all defects of some campaigns.

    Args:
        overviews: the campaigns, in the order in which they are to be shown.
        reference_only: reference-only campaigns to compare with, by the formula of their host.
        with_map: draw the map of all structures, too, which takes a second for every few hundred structures.

    Raises:
        CampaignError: without a campaign.
        MissingExtraError: with a map and without scikit-learn.
    """
    if not overviews:
        raise CampaignError("There is no campaign to report on. Give at least one campaign folder.")
    overviews = beside_each_other(overviews, tuple(reference_only.values()))
    names = campaign_names(overviews)
    compared, notes = _comparable(overviews, reference_only)
    costs, found = acceleration(overviews, compared), _together(overviews)
    sections = tuple(_sections(overviews, names, compared))
    return Report(
        title=_title(overviews),
        subtitle=_subtitle(overviews),
        status=_status(overviews),
        finished=all(overview.finished for overview in overviews),
        answers=tuple(item.answer for item in sections),
        costs=cost_sentences(overviews, costs),
        notes=(*_notes(overviews, names), *notes),
        sections=sections,
        plots=tuple(_plots(overviews, found, costs, with_map)),
        tables=tuple(_tables(overviews, found)),
        methods=methods(overviews),
        citations=citations(overviews),
        settings=tuple((name, write_toml(one.settings)) for name, one in zip(names, overviews, strict=True)),
        versions=_versions(overviews, names),
    )


def _comparable(
    overviews: Sequence[Overview], reference_only: Mapping[str, Overview]
) -> tuple[dict[str, Overview], list[str]]:
    """Those reference-only campaigns that can be compared with, and why the others cannot."""
    kept: dict[str, Overview] = {}
    notes = []
    for formula, baseline in reference_only.items():
        same_host = [overview for overview in overviews if overview.formula == formula]
        why = (
            "it is no reference-only search"
            if not baseline.is_reference_only
            else f"no campaign here is on {formula}"
            if not same_host
            else "its reference is another one"
            if any(one.settings.reference.name != baseline.settings.reference.name for one in same_host)
            else "its supercell is another one"
            if any(len(one.bulk) != len(baseline.bulk) for one in same_host)
            else ""
        )
        if why:
            notes.append(f"{baseline.folder} is not compared with: {why}.")
            continue
        kept[formula] = baseline
        reasons = (counterpart(one, label, kept)[1] for one in same_host for label in one.defects)
        notes += [f"{baseline.folder} is not compared with: {why}." for why in dict.fromkeys(reasons) if why]
        if not baseline.finished:
            notes.append(f"The reference-only search in {baseline.folder} has not ended: its minima are those so far.")
    return kept, notes


def _sections(
    overviews: Sequence[Overview], names: Sequence[str], compared: Mapping[str, Overview]
) -> Iterator[Section]:
    of = [(name, overview, item) for name, overview in zip(names, overviews, strict=True)
          for item in overview.defects.values()]  # fmt: skip
    keys = unique_keys([f"{overview.formula}-{item.defect.label}" for _, overview, item in of])
    for key, (name, overview, item) in zip(keys, of, strict=True):
        baseline = None
        if not overview.is_reference_only:
            baseline, _ = counterpart(overview, item.defect.label, compared)
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


def _hosts(overviews: Sequence[Overview]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(overview.formula for overview in overviews))


def _title(overviews: Sequence[Overview]) -> str:
    hosts = _hosts(overviews)
    where = listed(hosts) if len(hosts) <= MOST_HOSTS_IN_TITLE else f"{len(hosts)} hosts"
    labels = {label for overview in overviews for label in overview.defects}
    what = labels.pop() if len(labels) == 1 and len(hosts) == 1 else "Point defects"
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


def _status(overviews: Sequence[Overview]) -> str:
    items = [item for overview in overviews for item in overview.defects.values()]
    open_ones = sum(not item.finished for item in items)
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
    for overview, name in zip(overviews, names, strict=True):
        for note in (*(f"The host is not stable: {reason}" for reason in overview.host.unstable), *overview.notes):
            yield note if len(overviews) == 1 else f"{name}: {note}"


def _versions(overviews: Sequence[Overview], names: Sequence[str]) -> Table:
    """One column for all campaigns where they agree, else one for each."""
    known = [_provenance(overview) for overview in overviews]
    if all(one == known[0] for one in known):
        known, names = known[:1], ["version"]
    rows = dict.fromkeys(name for one in known for name in one)
    return Table(
        "versions",
        f"Versions that {count(len(overviews), 'campaign').replace('1 campaign', 'the campaign')} began with",
        (Column("package", "package"), *(Column(name, f"version_{number}") for number, name in enumerate(names))),
        tuple((row, *(one.get(row) for one in known)) for row in rows),
    )


def _provenance(overview: Overview) -> dict[str, str]:
    found = dict(overview.packages)
    if overview.surrogate is not None:
        found["surrogate"] = f"{method_name(overview.surrogate.name)} ({overview.surrogate.package})"
        found["surrogate weights"] = overview.surrogate.weights
    if overview.reference is not None:
        found["reference"] = f"{method_name(overview.reference.name)} ({overview.reference.package})"
    return found
