"""Tables of alloys."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Final

from defectscout.analysis.alloys import AlloyAnalysis, SiteComparison, SiteResult, Verdict
from defectscout.reporting.analysis_tables import FINISHED, UNFINISHED_NOTE, count
from defectscout.reporting.table import Cell, Column, Table
from defectscout.reporting.wording import count as counted
from defectscout.workflow.compare import GROUND_STATE_TOLERANCE

_DEFECT: Final = Column("defect", "defect")
_ENVIRONMENT: Final = Column("environment", "environment")
_RELATIVE_NOTE: Final = (
    "Relative energy: formation energy above the lowest of the same defect and charge, at equal chemical potentials."
)
_CHARGE_NOTE: Final = (
    "Energies of charged defects in different supercells leave out how far the band edges lie apart, and corrections "
    "for the supercells' size."
)
_ALONE_NOTE: Final = (
    "Supercells without an energy of their own (hosts that were kept as given): relative to the lowest in the same "
    "supercell."
)


def site_table(found: AlloyAnalysis) -> Table:
    """One line for each defect at each site."""
    notes = _energy_notes(found.sites)
    if not all(site.finished for site in found.sites):
        notes.append(UNFINISHED_NOTE)
    return Table(
        "alloy-sites",
        f"Defects of {found.title} by site",
        (
            *_composition_columns(found),
            Column("supercell", "supercell"),
            count("realisation", "realisation"),
            _DEFECT,
            _ENVIRONMENT,
            count("sites", "sites"),
            Column("share of sites", "share_percent", "%", digits=1, numeric=True),
            count("structures", "sampling_structures"),
            count("surrogate minima", "surrogate_minima"),
            count("minima", "minima"),
            Column("new bonds", "new_bonds"),
            Column("what it is", "motif"),
            Column("point group", "point_group"),
            Column("energy lowering", "lowering_eV", "eV", numeric=True, signed=True),
            Column("relative energy", "relative_energy_eV", "eV", numeric=True),
            Column("less pristine supercell", "less_pristine_eV", "eV", numeric=True),
            Column("confidence", "confidence"),
            FINISHED,
        ),
        tuple(
            (*_composition(found, site), site.supercell, site.realisation, site.defect, site.environment, site.sites,
             100 * site.share, site.sampling, site.surrogate_minima or None, site.minima, site.bonds, site.motif,
             site.symmetry, site.lowering, site.relative, site.formation_energy, site.confidence, site.finished)
            for site in found.sites
        ),
        tuple(notes),
    )  # fmt: skip


def environment_table(found: AlloyAnalysis) -> Table:
    """One line for each environment: bonds of its ground states, spread of its formation energies."""
    rows: list[tuple[Cell, ...]] = []
    energies = _energy_notes(found.sites)
    for item in found.environments:
        least, mean, most = item.energies or (None, None, None)
        bonds = ", ".join(f"{kind} ({number})" for kind, number in item.bonds)
        spread = None if least is None or most is None else most - least
        rows.append((item.kind, item.environment, item.searched, bonds, least, mean, most, spread))
    return Table(
        "alloy-environments",
        f"Ground states of {found.title} by environment",
        (
            _DEFECT,
            _ENVIRONMENT,
            count("ground states", "ground_states"),
            Column("new bonds (ground states)", "new_bonds"),
            Column("lowest", "lowest_relative_energy_eV", "eV", numeric=True),
            Column("mean", "mean_relative_energy_eV", "eV", numeric=True),
            Column("highest", "highest_relative_energy_eV", "eV", numeric=True),
            Column("spread", "spread_eV", "eV", numeric=True),
        ),
        tuple(rows),
        (*(["Lowest, mean, highest: relative energies of the ground states."] if energies else []), *energies),
    )


def comparison_table(found: AlloyAnalysis) -> Table:
    """Table S15: minima of the coarse and the fine search, energy difference, and the change of the bonds.

    Notes beneath it: share of the sites at which the fine search is lower, by how much on average, and how many ground
    states it has missed.
    """
    return Table(
        "alloy-comparison",
        f"Coarse and fine searches of {found.title}",
        (
            *_composition_columns(found),
            count("realisation", "realisation"),
            _DEFECT,
            _ENVIRONMENT,
            count("coarse structures", "coarse_structures"),
            count("coarse minima", "coarse_minima"),
            count("fine structures", "fine_structures"),
            count("fine surrogate minima", "fine_surrogate_minima"),
            count("fine minima", "fine_minima"),
            Column("fine less coarse", "fine_less_coarse_eV", "eV", numeric=True, signed=True),
            Column("fine search is", "verdict"),
            Column("reconstruction", "reconstruction"),
        ),
        tuple(
            (*_composition(found, item.fine), item.fine.realisation, item.fine.kind, item.fine.environment,
             item.coarse.sampling, item.coarse.minima, item.fine.sampling,
             item.fine.surrogate_minima or None, item.fine.minima, item.difference, str(item.verdict),
             item.reconstruction)
            for item in found.comparisons
        ),
        comparison_notes(found.comparisons),
    )  # fmt: skip


def comparison_notes(comparisons: Sequence[SiteComparison]) -> tuple[str, ...]:
    """What the comparisons say in all, and how to read them; nothing without any."""
    if not comparisons:
        return ()
    numbers = Counter(item.verdict for item in comparisons)
    judged = len(comparisons) - numbers[Verdict.OPEN]
    notes: list[str] = []
    if judged:
        lower = [item.difference for item in comparisons if item.verdict is Verdict.LOWER and item.difference]
        mean = f", by {-sum(lower) / len(lower):.2f} eV on average over those" if lower else ""
        missed = numbers[Verdict.MISSED]
        notes += [
            f"The fine search finds a lower ground state at {len(lower)} of {counted(judged, 'site')} "
            f"({len(lower) / judged:.0%}){mean}.",
            f"It misses the coarse search's ground state at {missed} of {counted(judged, 'site')}.",
        ]
    if numbers[Verdict.LEVEL]:
        notes.append(
            f"At {counted(numbers[Verdict.LEVEL], 'site')} the two ground states are level: other structures, within "
            f"{1000 * GROUND_STATE_TOLERANCE:.0f} meV."
        )
    if numbers[Verdict.OPEN]:
        notes.append(f"At {counted(numbers[Verdict.OPEN], 'site')} one of the searches has not ended: nothing is said.")
    if even := sum(item.fine.sampling <= item.coarse.sampling for item in comparisons):
        notes.append(f"At {counted(even, 'site')} the fine search has no more structures than the coarse one.")
    notes.append(
        "Minima: on the reference's surface, but for those of the surrogate. Reconstruction: new bonds of the coarse "
        "search's ground state → of the fine one's; a point group, or none, where there are no new bonds."
    )
    return tuple(notes)


def _composition_columns(found: AlloyAnalysis) -> tuple[Column, ...]:
    if found.variable:
        return (Column(f"x ({found.variable})", "x", numeric=True),)
    return (Column("composition", "composition"),)


def _composition(found: AlloyAnalysis, site: SiteResult) -> tuple[Cell, ...]:
    return (site.x if found.variable else site.composition,)


def _energy_notes(sites: Sequence[SiteResult]) -> list[str]:
    known = [site for site in sites if site.relative is not None]
    if not known:
        return []
    notes = [_RELATIVE_NOTE]
    if any(site.formation_energy is None for site in known):
        notes.append(_ALONE_NOTE)
    if any(not site.kind.endswith("_0") for site in known):
        notes.append(_CHARGE_NOTE)
    return notes
