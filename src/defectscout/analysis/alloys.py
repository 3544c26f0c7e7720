"""An alloy's defects by site and composition, and a fine search beside a coarse one (paper, fig. 4 and table S15)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

from defectscout.analysis.alloy_counterparts import Counterpart, Place, counterparts, told_of_each_other
from defectscout.analysis.alloy_words import (
    NO_BONDS,
    alloy_title,
    bond_words,
    composition_variable,
    environment_order,
    kind_of,
)
from defectscout.analysis.lowerings import lowerings
from defectscout.analysis.motifs import motif_of
from defectscout.core.errors import NothingFoundError
from defectscout.minima.distinct import group_structures
from defectscout.minima.site import track_site
from defectscout.workflow.alloys.overview import AlloyOverview
from defectscout.workflow.alloys.study import SearchedSite, StudiedSupercell
from defectscout.workflow.compare import GROUND_STATE_TOLERANCE
from defectscout.workflow.overview import DefectOverview, Overview


@dataclass(frozen=True, slots=True)
class SiteResult:
    """One defect at one site of one supercell.

    Attributes:
        supercell: name of its campaign's folder.
        formula: of the supercell.
        composition: shares of the elements on the mixed sublattices, in words.
        x: share of the first element that is substituted for the host's own.
        realisation: number among those of its composition, from 1.
        defect: label.
        kind: of the defect and its charge, alike for all environments, such as `v_Cd_0`.
        environment: of the site, such as `Te3Se`.
        sites: sites of the supercell that it stands for.
        share: of the element's sites in the supercell that have this environment, 0 to 1.
        sampling: sampling structures.
        surrogate_minima: distinct minima on the surrogate's surface; 0 without a surrogate.
        minima: distinct minima on the reference's surface.
        bonds: kinds of the ground state's new bonds between likes, `Se–Te` or `Te–Te + Se–Te`; `none` where there is
            none; empty before there is a ground state.
        symmetry: point group of the ground state's supercell; empty before there is one.
        motif: of the ground state, in words; empty before there is one.
        lowering: energy of the ground state less that of the relaxed `Unperturbed` structure, eV; None if not known.
        formation_energy: energy of the ground state less that of the pristine supercell, eV: the formation energy
            less its chemical potentials; None if either is not known.
        relative: formation energy above the lowest of its kind in the study, eV; among supercells without an energy of
            their own, above the lowest in the same supercell; None before there is a ground state.
        confidence: high, moderate or low.
        finished: whether its search has ended.
    """

    supercell: str
    formula: str
    composition: str
    x: float
    realisation: int
    defect: str
    kind: str
    environment: str
    sites: int
    share: float
    sampling: int
    surrogate_minima: int
    minima: int
    bonds: str
    symmetry: str
    motif: str
    lowering: float | None
    formation_energy: float | None
    relative: float | None
    confidence: str
    finished: bool

    @property
    def reconstruction(self) -> str:
        """New bonds of the ground state; without any its point group, or `none` where no symmetry is left to name."""
        if self.bonds != NO_BONDS or self.symmetry == "C1":
            return self.bonds
        return self.symmetry


class Verdict(StrEnum):
    """How the ground state of a fine search stands to that of a coarse one."""

    LOWER = "lower"  # by more than 20 meV
    SAME = "same"  # within 20 meV and the same structure
    LEVEL = "level"  # within 20 meV and another structure
    MISSED = "missed"  # higher by more than 20 meV
    OPEN = "open"  # one of the two has not ended, or has no ground state


@dataclass(frozen=True, slots=True)
class SiteComparison:
    """One line of table S15.

    Attributes:
        fine: of the search with more sampling structures.
        coarse: of the other one, at the same site.
        difference: energy of the fine search's ground state less that of the coarse one's, eV; None if not known.
        verdict: what that means.
    """

    fine: SiteResult
    coarse: SiteResult
    difference: float | None
    verdict: Verdict

    @property
    def reconstruction(self) -> str:
        """The change of the ground state as table S15 has it: `Se–Te → Te–Te`, `Td → Te–Te`; empty without both."""
        if not (self.fine.bonds and self.coarse.bonds):
            return ""
        return f"{self.coarse.reconstruction} → {self.fine.reconstruction}"


@dataclass(frozen=True, slots=True)
class EnvironmentResult:
    """What the ground states of one environment have in common, over compositions and realisations.

    Attributes:
        kind: defect and charge, such as `v_Cd_0`.
        environment: such as `Te3Se`.
        searched: sites with a ground state.
        bonds: kinds of new bonds and how many ground states have them, most frequent first.
        energies: least, mean and largest relative formation energy, eV; None if none is known.
    """

    kind: str
    environment: str
    searched: int
    bonds: tuple[tuple[str, int], ...]
    energies: tuple[float, float, float] | None


@dataclass(frozen=True, slots=True)
class AlloyAnalysis:
    """A study, analysed.

    Attributes:
        title: the alloy in words, such as `Cd(Te,Se)`.
        sites: one for each defect, by composition, realisation and environment.
        environments: one for each environment.
        comparisons: those sites that a coarse search has, too; empty without one.
        variable: the element whose share `x` is; empty where one number does not tell a composition.
        notes: what could not be read or compared, and why.
    """

    title: str
    sites: tuple[SiteResult, ...]
    environments: tuple[EnvironmentResult, ...]
    comparisons: tuple[SiteComparison, ...]
    variable: str = ""
    notes: tuple[str, ...] = ()


def analyse_alloy(study: AlloyOverview, coarse: Sequence[AlloyOverview] = ()) -> AlloyAnalysis:
    """Analyse a study, beside coarse ones of the same supercells.

    Two searches compare if reference, supercell and atoms are the same (see `alloy_counterparts.counterparts`). Where
    one of the two has a lower minimum, the other's confidence is low.

    Raises:
        NothingFoundError: no supercell has come to its defects.
    """
    if not any(overview.defects for overview in study.campaigns.values()):
        raise NothingFoundError(
            f"The study in {study.folder} has no defect to analyse yet: {' '.join(study.notes) or 'it is empty'} Go on "
            f"with its supercells first, as in: defectscout resume {study.folder / _first_name(study)}"
        )
    found, reasons = counterparts(study, coarse)
    told, others = told_of_each_other(study, coarse, found)
    notes = [*study.notes, *reasons]
    sites = _sites(told, notes)
    coarse_sites = [{_place(site): site for site in _sites(one, [])} for one in others]
    comparisons = tuple(
        _compared(site, found[_place(site)], study, coarse, coarse_sites) for site in sites if _place(site) in found
    )
    if coarse:
        notes += _without_counterpart(sites, found)
    return AlloyAnalysis(
        title=alloy_title(study.study.supercells),
        sites=sites,
        environments=_environments(sites, study.study.supercells),
        comparisons=comparisons,
        variable=composition_variable(study.study.supercells),
        notes=tuple(dict.fromkeys(notes)),
    )


def _first_name(study: AlloyOverview) -> str:
    return next((item.name for item in study.study.supercells), "")


def _place(site: SiteResult) -> Place:
    return site.supercell, site.defect


def _sites(study: AlloyOverview, notes: list[str]) -> tuple[SiteResult, ...]:
    """Sorted by composition, realisation and environment."""
    found: list[SiteResult] = []
    energies: dict[Place, float] = {}
    order: dict[Place, tuple[object, ...]] = {}
    for supercell in study.study.supercells:
        overview = study.campaigns.get(supercell.name)
        if overview is None:
            continue
        lowered = {row.defect: row.lowering for row in lowerings([overview]).rows}
        for label, item in overview.defects.items():
            site = supercell.site_of(label)
            if site is None:
                notes.append(f"{label} in {supercell.name} stands at no site of the study: it is left out.")
                continue
            result = _site(supercell, site, overview, item, lowered[label])
            place = _place(result)
            if item.ground_state is not None:
                energies[place] = item.ground_state.minimum.energy
            environment = environment_order(site.environment, supercell.occupations)
            shares = tuple(share for held in supercell.occupations for _, share in held.fractions)
            order[place] = (result.x, shares, supercell.realisation, result.kind, environment, label)
            found.append(result)
    found.sort(key=lambda site: order[_place(site)])
    return _with_relative(found, energies)


def _site(
    supercell: StudiedSupercell, site: SearchedSite, overview: Overview, item: DefectOverview, lowering: float | None
) -> SiteResult:
    ground, pristine = item.ground_state, overview.host.energy
    motif = "" if ground is None else motif_of(item.defect, ground.minimum, item.result.symmetry_before)[1]
    return SiteResult(
        supercell=supercell.name,
        formula=supercell.formula,
        composition=supercell.composition,
        x=supercell.x,
        realisation=supercell.realisation,
        defect=item.defect.label,
        kind=kind_of(item.defect, site),
        environment=site.environment,
        sites=site.sites,
        share=site.share,
        sampling=len(item.sampling),
        surrogate_minima=item.result.candidates.n_minima,
        minima=len(item.result.minima),
        bonds="" if ground is None else bond_words(ground.minimum),
        symmetry="" if ground is None else ground.minimum.site_symmetry,
        motif=motif,
        lowering=lowering,
        formation_energy=None if ground is None or pristine is None else ground.minimum.energy - pristine,
        relative=None,
        confidence=item.result.confidence.level,
        finished=item.finished,
    )


def _with_relative(sites: Sequence[SiteResult], energies: Mapping[Place, float]) -> tuple[SiteResult, ...]:
    """Sites with their energies above the lowest; supercells compare only by formation energies."""

    def scale(site: SiteResult) -> tuple[str, str]:
        return ("" if site.formation_energy is not None else site.supercell), site.kind

    def energy(site: SiteResult) -> float | None:
        return site.formation_energy if site.formation_energy is not None else energies.get(_place(site))

    lowest: dict[tuple[str, str], float] = {}
    for site in sites:
        if (value := energy(site)) is not None:
            lowest[scale(site)] = min(value, lowest.get(scale(site), value))
    return tuple(
        replace(site, relative=None if (value := energy(site)) is None else value - lowest[scale(site)])
        for site in sites
    )


def _environments(sites: Sequence[SiteResult], supercells: Sequence[StudiedSupercell]) -> tuple[EnvironmentResult, ...]:
    """Kind by kind, those with the most atoms of the parent's own elements first."""
    occupations = supercells[0].occupations
    groups: dict[tuple[str, str], list[SiteResult]] = {}
    for site in sites:
        groups.setdefault((site.kind, site.environment), []).append(site)
    order = sorted(groups, key=lambda key: (key[0], environment_order(key[1], occupations)))
    return tuple(_environment(*key, groups[key]) for key in order)


def _environment(kind: str, environment: str, members: Sequence[SiteResult]) -> EnvironmentResult:
    answered = [site for site in members if site.bonds]
    bonds = Counter(site.bonds for site in answered)
    energies = [site.relative for site in members if site.relative is not None]
    return EnvironmentResult(
        kind=kind,
        environment=environment,
        searched=len(answered),
        bonds=tuple(sorted(bonds.items(), key=lambda item: (-item[1], item[0]))),
        energies=(min(energies), sum(energies) / len(energies), max(energies)) if energies else None,
    )


def _compared(
    site: SiteResult,
    counterpart: Counterpart,
    study: AlloyOverview,
    coarse: Sequence[AlloyOverview],
    coarse_sites: Sequence[Mapping[Place, SiteResult]],
) -> SiteComparison:
    overview = study.campaigns[site.supercell]
    fine = overview.defects[site.defect]
    other = coarse[counterpart.study].campaigns[counterpart.supercell].defects[counterpart.label]
    one, two = fine.ground_state, other.ground_state
    difference = None if one is None or two is None else one.minimum.energy - two.minimum.energy
    verdict = Verdict.OPEN
    if difference is not None and fine.finished and other.finished:
        verdict = _verdict(difference, overview, fine, other)
    return SiteComparison(
        fine=site,
        coarse=coarse_sites[counterpart.study][counterpart.supercell, counterpart.label],
        difference=difference,
        verdict=verdict,
    )


def _verdict(difference: float, overview: Overview, fine: DefectOverview, coarse: DefectOverview) -> Verdict:
    """As `workflow.compare` judges: by energy within its tolerance, and by fingerprint."""
    if difference < -GROUND_STATE_TOLERANCE:
        return Verdict.LOWER
    if difference > GROUND_STATE_TOLERANCE:
        return Verdict.MISSED
    minima = [item.result.ground_state.minimum for item in (fine, coarse)]
    groups = group_structures(
        [minimum.atoms for minimum in minima],
        [track_site(item.defect, minimum.atoms) for item, minimum in zip((fine, coarse), minima, strict=True)],
        [minimum.energy for minimum in minima],
        overview.settings.minima,
    )
    return Verdict.SAME if len(groups) == 1 else Verdict.LEVEL


def _without_counterpart(sites: Sequence[SiteResult], found: Mapping[Place, Counterpart]) -> list[str]:
    """Which defects have no coarse search, supercell by supercell."""
    missing: dict[str, list[str]] = {}
    for site in sites:
        if _place(site) not in found:
            missing.setdefault(site.supercell, []).append(site.defect)
    return [f"No coarse search to compare with: {', '.join(labels)} in {name}." for name, labels in missing.items()]
