"""The search funnel and what it saved (paper, tables II and S12)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from defectscout.core.defect import UNPERTURBED
from defectscout.core.errors import SettingsError
from defectscout.core.frames import RelaxationState
from defectscout.workflow.compare import GROUND_STATE_TOLERANCE, same_supercell
from defectscout.workflow.overview import DefectOverview, Overview
from defectscout.workflow.record import REFERENCE, SCOUT
from defectscout.workflow.stages.candidates import Origin

TYPICAL_CALLS: Final = 64
"""Force calls of a relaxation by FIRE from a sampling structure to 0.03 eV/Å, the mean of four reference-only searches
of neutral cation vacancies with GFN1-xTB: 63 in CdTe (947 calls for 15 structures), 70 in CdSe (1057), 56 in GaCuS2
(846), 67 in CuAsS."""

ORDERS: Final[Mapping[str, int]] = {
    "C1": 1, "Ci": 2, "C2": 2, "Cs": 2, "C2h": 4, "D2": 4, "C2v": 4, "D2h": 8, "C4": 4, "S4": 4, "C4h": 8, "D4": 8,
    "C4v": 8, "D2d": 8, "D4h": 16, "C3": 3, "C3i": 6, "D3": 6, "C3v": 6, "D3d": 12, "C6": 6, "C3h": 6, "C6h": 12,
    "D6": 12, "C6v": 12, "D3h": 12, "D6h": 24, "T": 12, "Th": 24, "O": 24, "Td": 24, "Oh": 48,
}  # fmt: skip
"""Operations of each point group: a structure with fewer has less symmetry."""


@dataclass(frozen=True, slots=True)
class FunnelRow:
    """One line of table II.

    Attributes:
        host: formula.
        defect: label.
        sampling: sampling structures.
        surrogate_minima: distinct minima on the surrogate's surface (of the last round of a loop); 0 without one.
        candidates: structures that the reference relaxed, or has begun to, the checks of a loop among them.
        minima: distinct minima on the reference's surface.
        reference_only_minima: those of the reference-only search; None if there is none that has finished.
        symmetry_broken: whether the point group of the ground state has fewer operations than that of the unperturbed
            structure; None without a ground state.
        found: whether the ground state is as low as that of the reference-only search (within 20 meV) or lower; None
            if there is none to compare with, or if this search may find it yet.
        difference: energy of this ground state less that of the reference-only search, eV; None if either is not
            known.
        finished: whether the search has ended.
    """

    host: str
    defect: str
    sampling: int
    surrogate_minima: int
    candidates: int
    minima: int
    reference_only_minima: int | None
    symmetry_broken: bool | None
    found: bool | None
    difference: float | None
    finished: bool


@dataclass(frozen=True, slots=True)
class TimeRow:
    """One line of table S12. Times are wall times of one relaxation after the other, seconds.

    They are as good as the clock: a machine that did other work at the time, or was slower, shows in them. Force calls
    do not depend on it.

    Attributes:
        host: formula.
        defect: label.
        atoms: in the defect supercell.
        reference_only_calls: reference force calls of a reference-only search.
        reference_only_seconds: its time.
        estimated: whether those two are an estimate, and not of a search that was run to its end. Then each sampling
            structure takes the force calls that its own relaxation with the reference alone has taken, where there is
            one, and else the mean of those of distorted structures, or `TYPICAL_CALLS` where there are none; at the
            mean time of a force call. Relaxations of a reference-only search that has not finished count before those
            of the search itself; those of a learning loop do not count, since what corrects them spares most of
            their calls. A call of a loop takes longer than one of a plain relaxation, whose next structure is close
            to the one before, so that times estimated from it are too long rather than too short.
        calls: reference force calls of this search.
        reference_seconds: their time.
        scouting_seconds: time of the surrogate.
        tuning_seconds: time of tuning it.
        calls_factor: reference-only force calls over those of this search; None before it has finished.
        factor: reference-only time over reference, scouting and tuning time (paper, table S12); None likewise.
        finished: whether the search has ended.
        missed_by: how far its ground state lies above that of the reference-only search, eV, if it has ended without
            it; None if it has it, or if that is not known.
    """

    host: str
    defect: str
    atoms: int
    reference_only_calls: int
    reference_only_seconds: float
    estimated: bool
    calls: int
    reference_seconds: float
    scouting_seconds: float
    tuning_seconds: float
    calls_factor: float | None
    factor: float | None
    finished: bool
    missed_by: float | None = None


@dataclass(frozen=True, slots=True)
class Acceleration:
    """Funnels and times of all defects.

    Attributes:
        funnels: table II.
        times: table S12; without lines for reference-only campaigns themselves, and for defects that the reference
            has not been asked about.
        share_found: of the finished searches with one to compare with, those whose ground state is as low or lower;
            None if there are none.
        calls_saved: mean share of reference force calls that was saved over the same; None likewise, and negative if
            they cost more.
        notes: what was not compared or has no times, and why.
    """

    funnels: tuple[FunnelRow, ...]
    times: tuple[TimeRow, ...]
    share_found: float | None
    calls_saved: float | None
    notes: tuple[str, ...] = ()


def acceleration(overviews: Sequence[Overview], reference_only: Mapping[str, Overview]) -> Acceleration:
    """What each search found for what it took, beside reference-only searches where there are some.

    Args:
        overviews: the campaigns.
        reference_only: reference-only campaigns by the formula of their host.
    """
    notes: list[str] = []
    funnels: list[FunnelRow] = []
    times: list[TimeRow] = []
    saved: list[float] = []
    for overview in overviews:
        for label, item in overview.defects.items():
            other = None
            if not overview.is_reference_only:
                other, reason = counterpart(overview, label, reference_only)
                if reason:
                    notes.append(f"{overview.formula} {label}: {reason}")
            funnel = _funnel(overview.formula, item, other)
            funnels.append(funnel)
            if overview.is_reference_only:
                continue
            if not item.cost.reference_calls:
                notes.append(f"{overview.formula} {label}: no times, since the reference has not been asked yet")
                continue
            time = _time(overview.formula, item, other, funnel)
            times.append(time)
            if item.finished and funnel.found is not None:
                saved.append(1 - time.calls / time.reference_only_calls)
    found = [row.found for row in funnels if row.finished and row.found is not None]
    return Acceleration(
        funnels=tuple(funnels),
        times=tuple(times),
        share_found=sum(found) / len(found) if found else None,
        calls_saved=sum(saved) / len(saved) if saved else None,
        notes=tuple(dict.fromkeys(notes)),
    )


def one_for_each_host(given: Sequence[Overview]) -> dict[str, Overview]:
    """Reference-only campaigns by the formula of their host, as the functions here take them.

    Raises:
        SettingsError: if two are of one host.
    """
    found: dict[str, Overview] = {}
    for overview in given:
        if overview.formula in found:
            raise SettingsError(
                f"--reference-only: both {found[overview.formula].folder} and {overview.folder} are of "
                f"{overview.formula}. Give one for each host."
            )
        found[overview.formula] = overview
    return found


def counterpart(
    overview: Overview, label: str, reference_only: Mapping[str, Overview]
) -> tuple[DefectOverview | None, str]:
    """The reference-only search of the same defect, if energies of the two can be compared.

    Args:
        overview: a campaign.
        label: one of its defects.
        reference_only: reference-only campaigns by the formula of their host.

    Returns:
        The search, finished or not, and an empty reason; or None and why what there is cannot be compared, which is
        empty where there is nothing.
    """
    other = reference_only.get(overview.formula)
    if other is None or label not in other.defects:
        return None, ""
    names = overview.settings.reference.name, other.settings.reference.name
    if names[0] != names[1]:
        return None, f"the reference here is {names[0]}, and that of the reference-only search {names[1]}"
    defects = overview.defects[label].defect, other.defects[label].defect
    if not same_supercell(*defects):
        cells = [f"{one.atoms.get_chemical_formula()}, {one.atoms.get_volume():.1f} Å³" for one in defects]
        if cells[0] == cells[1]:
            return None, "the elements are arranged otherwise in the supercell of the reference-only search"
        return None, f"the supercell here ({cells[0]}) is not that of the reference-only search ({cells[1]})"
    return other.defects[label], ""


def _funnel(host: str, item: DefectOverview, other: DefectOverview | None) -> FunnelRow:
    ground = item.ground_state
    baseline = other.ground_state if other is not None and other.finished else None
    difference = ground.minimum.energy - baseline.minimum.energy if ground and baseline else None
    found = None
    if baseline is not None:
        as_low = difference is not None and difference < GROUND_STATE_TOLERANCE
        found = as_low if as_low or item.finished else None
    return FunnelRow(
        host=host,
        defect=item.defect.label,
        sampling=len(item.sampling),
        surrogate_minima=item.result.candidates.n_minima,
        candidates=sum(one.stage != SCOUT and one.calls > 0 for one in item.descents),
        minima=len(item.result.minima),
        reference_only_minima=len(other.result.minima) if other is not None and other.finished else None,
        symmetry_broken=None
        if ground is None
        else ORDERS[ground.minimum.site_symmetry] < ORDERS[item.result.symmetry_before],
        found=found,
        difference=difference,
        finished=item.finished,
    )


def _time(host: str, item: DefectOverview, other: DefectOverview | None, funnel: FunnelRow) -> TimeRow:
    cost = item.cost
    if other is not None and other.finished:
        calls, seconds, estimated = other.cost.reference_calls, other.cost.reference_seconds, False
    else:
        calls, seconds = _estimated(item, other)
        estimated = True
    spent = cost.reference_seconds + cost.surrogate_seconds + cost.tuning_seconds
    return TimeRow(
        host=host,
        defect=item.defect.label,
        atoms=len(item.defect.atoms),
        reference_only_calls=calls,
        reference_only_seconds=seconds,
        estimated=estimated,
        calls=cost.reference_calls,
        reference_seconds=cost.reference_seconds,
        scouting_seconds=cost.surrogate_seconds,
        tuning_seconds=cost.tuning_seconds,
        calls_factor=calls / cost.reference_calls if item.finished else None,
        factor=seconds / spent if item.finished and spent > 0 else None,
        finished=item.finished,
        missed_by=funnel.difference if item.finished and funnel.found is False else None,
    )


def _estimated(item: DefectOverview, other: DefectOverview | None) -> tuple[int, float]:
    """Force calls and seconds that a reference-only search would take.

    Args:
        item: the search.
        other: a reference-only search that has not finished; its relaxations tell more than those of the search.
    """
    source = other if other is not None and _relaxed_alone(other) else item
    known = _relaxed_alone(source)
    distorted = [calls for label, calls in known.items() if label != UNPERTURBED]
    typical = sum(distorted) / len(distorted) if distorted else TYPICAL_CALLS
    calls = sum(known.get(structure.label, typical) for structure in item.sampling)
    return round(calls), calls * _seconds_per_call(source)


def _relaxed_alone(item: DefectOverview) -> Mapping[str, int]:
    """Force calls of the relaxations by FIRE, with the reference alone, from a sampling structure to convergence."""
    sampled = {one.label for one in item.result.candidates.candidates if one.origin is Origin.SAMPLED}
    return {
        descent.label: descent.calls
        for descent in item.descents
        if descent.stage == REFERENCE and descent.label in sampled and descent.state is RelaxationState.CONVERGED
    }


def _seconds_per_call(item: DefectOverview) -> float:
    """Of relaxations, which go on from one wavefunction to the next, unless there are single points alone."""
    relaxed = [descent for descent in item.descents if descent.stage != SCOUT]
    calls, seconds = sum(one.calls for one in relaxed), sum(one.seconds for one in relaxed)
    return seconds / calls if calls else item.cost.reference_seconds / item.cost.reference_calls
