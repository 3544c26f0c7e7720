"""Relaxed energy against the initial distortion (paper, figs S18 and S22; in ShakeNBreak's manner)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from defectscout.core.defect import UNPERTURBED, Defect
from defectscout.core.errors import CampaignError
from defectscout.core.frames import RelaxationState
from defectscout.sampling.labels import DIMER, RATTLED, distortion_of
from defectscout.workflow.compare import same_supercell
from defectscout.workflow.overview import DefectOverview, Descent
from defectscout.workflow.record import SCOUT
from defectscout.workflow.stages.candidates import Origin

REFERENCE_ONLY: Final = "reference only"
SCOUTED: Final = "scouted, then reference"
LEARNED: Final = "learning loop"
NOT_BEGUN: Final = "not begun"
"""Names of series: how the starts of a search were relaxed."""

NOWHERE: Final = "the surrogate took it nowhere that the reference confirmed"
NOT_YET: Final = "not relaxed yet"
"""Why a start has led to no minimum, where nothing more is known."""


@dataclass(frozen=True, slots=True)
class DistortionPoint:
    """Where one sampling structure led.

    Attributes:
        start: its label.
        distortion: bond distortion as a fraction (-0.4 for `Bond_Distortion_-40.0%` and for that of a pair, as
            `snb-plot` draws them); None for `Unperturbed`, `Rattled`, `Dimer` and others that are no point of the
            distortion axis.
        energy: of the lowest minimum that it led to on the reference's surface, less that of the relaxed
            `Unperturbed` structure, or of the ground state if the former is not known (`DistortionPlot.zero`), eV;
            None if it led to no minimum.
        rank: of that minimum, in its own search.
        direct: whether the reference relaxed this very start to that minimum; otherwise the surrogate took it there.
        note: why it led to none; empty if it did.
    """

    start: str
    distortion: float | None
    energy: float | None
    rank: int | None
    direct: bool
    note: str


@dataclass(frozen=True, slots=True)
class DistortionSeries:
    """All starts of one search of one defect.

    Attributes:
        name: `reference only`, `scouted, then reference`, `learning loop`, or `not begun`.
        points: in the order of the distortions; those without one at the end, `Unperturbed`, `Rattled` and `Dimer`
            first.
    """

    name: str
    points: tuple[DistortionPoint, ...]


@dataclass(frozen=True, slots=True)
class DistortionPlot:
    """One defect, with the reference-only search beside it where there is one.

    Attributes:
        host: formula.
        defect: label.
        zero: what energies are relative to, in words: `relaxed Unperturbed` or `ground state`.
        series: the campaign's own first.
    """

    host: str
    defect: str
    zero: str
    series: tuple[DistortionSeries, ...]


def energy_against_distortion(
    host: str, campaign: DefectOverview, reference_only: DefectOverview | None = None
) -> DistortionPlot:
    """Energies of what each start of a search led to, all relative to the same zero.

    That is the relaxed `Unperturbed` structure of the campaign, or else of the reference-only search, or else the
    lowest minimum of either.

    Args:
        host: formula.
        campaign: the defect as searched.
        reference_only: the same defect in a reference-only search of the same supercell with the same reference; see
            `acceleration.counterpart`, which finds it and says where there is none.

    Raises:
        CampaignError: if `reference_only` is of another defect or another supercell, so that energies cannot be
            compared.
    """
    searches = [campaign]
    if reference_only is not None:
        _check_comparable(campaign.defect, reference_only.defect)
        searches.append(reference_only)
    zero, name = _zero(searches)
    return DistortionPlot(
        host=host,
        defect=campaign.defect.label,
        zero=name,
        series=tuple(DistortionSeries(_name(item), _points(item, zero)) for item in searches),
    )


def _check_comparable(one: Defect, other: Defect) -> None:
    if one.label != other.label:
        raise CampaignError(
            f"The reference-only search beside {one.label} is of {other.label}: give that of the same defect."
        )
    if not same_supercell(one, other):
        cells = [f"{item.atoms.get_chemical_formula()}, {item.atoms.get_volume():.1f} Å³" for item in (one, other)]
        raise CampaignError(
            f"{one.label} was searched in another supercell ({cells[0]}) than with the reference only ({cells[1]}): "
            "their energies cannot be compared. Leave the reference-only search out, or run it in the same supercell."
        )


def _zero(searches: Sequence[DefectOverview]) -> tuple[float, str]:
    minima = [minimum for item in searches for minimum in item.result.minima]
    for minimum in minima:
        if minimum.lowering is not None:
            return minimum.minimum.energy - minimum.lowering, "relaxed Unperturbed"
    return min((minimum.minimum.energy for minimum in minima), default=0.0), "ground state"


def _name(item: DefectOverview) -> str:
    """What kind of search it was, by where its candidates come from."""
    origins = {candidate.origin for candidate in item.result.candidates.candidates} - {Origin.BORROWED}
    if Origin.LEARNED in origins or item.result.trust is not None:
        return LEARNED
    if any(descent.stage == SCOUT for descent in item.descents):
        return SCOUTED
    if origins:
        return REFERENCE_ONLY
    return LEARNED if item.descents else NOT_BEGUN


def _points(item: DefectOverview, zero: float) -> tuple[DistortionPoint, ...]:
    points = [_point(item, structure.label, zero) for structure in item.sampling]
    return tuple(sorted(points, key=_place))


def _place(point: DistortionPoint) -> tuple[float, int]:
    """Sorting keeps the order in which structures of one place were sampled."""
    if point.distortion is not None:
        return point.distortion, 0
    named = (UNPERTURBED, RATTLED, DIMER)
    return math.inf, named.index(point.start) if point.start in named else len(named)


def _point(item: DefectOverview, start: str, zero: float) -> DistortionPoint:
    own = [descent for descent in _answers(item, start) if _began_there(item, start)]
    ended = {descent.rank for descent in own if descent.rank is not None}
    led_to = (minimum for minimum in item.result.minima if start in minimum.sampled_by or minimum.rank in ended)
    minimum = next(led_to, None)
    return DistortionPoint(
        start=start,
        distortion=distortion_of(start),
        energy=None if minimum is None else minimum.minimum.energy - zero,
        rank=None if minimum is None else minimum.rank,
        direct=minimum is not None and minimum.rank in ended,
        note=_why_nowhere(item, start, own) if minimum is None else "",
    )


def _answers(item: DefectOverview, label: str) -> list[Descent]:
    """Relaxations of this label on the reference's surface."""
    return [descent for descent in item.descents if descent.stage != SCOUT and descent.label == label]


def _began_there(item: DefectOverview, start: str) -> bool:
    """Whether the reference relaxation called like a sampling structure began from it.

    In a search that only scouts it began from what the surrogate made of it. In a loop that has another name.
    """
    origins = [candidate.origin for candidate in item.result.candidates.candidates if candidate.label == start]
    return not set(origins) & {Origin.SCOUTED, Origin.RATTLED}


def _why_nowhere(item: DefectOverview, start: str, own: Sequence[Descent]) -> str:
    """Why a start has led to no minimum, from what is nearest to it: its own relaxation, scouting, its candidate."""
    known = item.result.candidates
    scouts = [descent for descent in item.descents if descent.stage == SCOUT and descent.label == start]
    stands_for = next((one.label for one in known.candidates if start in one.members), None)
    set_aside = dict(item.result.set_aside)
    if told := next(filter(None, map(_became, own)), ""):
        return told
    if told := dict(known.flagged).get(start, ""):
        return f"scouting: {told}"
    if told := next(filter(None, map(_became, scouts)), ""):
        return f"scouting: {told}"
    if stands_for is not None:
        relaxed = "" if stands_for == start else f"{stands_for}, which stands for it: "
        told = next(filter(None, map(_became, _answers(item, stands_for))), "") or set_aside.get(stands_for, "")
        if told:
            return f"{relaxed}{told}"
    if start in set_aside:
        return set_aside[start]
    return NOWHERE if item.finished else NOT_YET


def _became(descent: Descent) -> str:
    """What became of a relaxation that is in no minimum; empty if it ended as others do."""
    if descent.state is RelaxationState.PENDING:
        return NOT_YET
    if descent.state is RelaxationState.RUNNING:
        return "still relaxing"
    if descent.state is RelaxationState.FAILED:
        return f"failed: {descent.reason}" if descent.reason else "failed"
    if descent.state is RelaxationState.MERGED:
        return f"fell into {descent.reason}, which led to no minimum"
    return descent.reason
