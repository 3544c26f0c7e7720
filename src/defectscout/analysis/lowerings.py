"""How much searching gains over relaxing the unperturbed structure (paper, table S1 and fig. S1)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from defectscout.core.defect import UNPERTURBED
from defectscout.sampling.labels import RATTLED, energy_key
from defectscout.workflow.compare import GROUND_STATE_TOLERANCE
from defectscout.workflow.overview import DefectOverview, Overview
from defectscout.workflow.results import RankedMinimum

THRESHOLDS: Final = (0.05, 0.1, 0.5, 1.0, 2.0)
"""eV, those of table S1."""


@dataclass(frozen=True, slots=True)
class Lowering:
    """What the search of one defect has gained.

    Attributes:
        host: formula.
        defect: label.
        holes: excess charge, e.
        lowering: energy of the ground state less that of the relaxed `Unperturbed` structure, eV; zero or negative
            (the unperturbed relaxation is one of the search's own), and exactly zero where that ended in the ground
            state; None if not known.
        rattled: likewise of the lowest minimum that rattling alone leads to (`Rattled`, or `Bond_Distortion_0.0%`,
            which is a rattle too), through the surrogate or directly; positive if that lies above the relaxed
            `Unperturbed` structure; None if no such start was sampled or if where it led is not known.
        finished: whether the search has ended.
    """

    host: str
    defect: str
    holes: int
    lowering: float | None
    rattled: float | None
    finished: bool


@dataclass(frozen=True, slots=True)
class LoweringShare:
    """One line of table S1.

    Attributes:
        threshold: eV.
        defects: how many defects have a known lowering.
        significant: how many of those are lowered by more than the threshold.
        judged: how many of the significant ones have a rattled start whose end is known.
        by_rattling: how many of those rattling alone takes to the ground state (within 20 meV of it).
    """

    threshold: float
    defects: int
    significant: int
    judged: int
    by_rattling: int


@dataclass(frozen=True, slots=True)
class Lowerings:
    """All defects together: one row for each, the largest lowering first, and table S1."""

    rows: tuple[Lowering, ...]
    shares: tuple[LoweringShare, ...]


def lowerings(overviews: Sequence[Overview], thresholds: Sequence[float] = THRESHOLDS) -> Lowerings:
    """What searching gained, defect by defect and in all.

    Args:
        overviews: the campaigns; a defect that several of them have searched has a row for each.
        thresholds: of table S1, eV.
    """
    rows = [_row(overview.formula, item) for overview in overviews for item in overview.defects.values()]
    rows.sort(key=lambda row: (math.inf if row.lowering is None else row.lowering, row.host, row.defect))
    return Lowerings(tuple(rows), tuple(_share(rows, threshold) for threshold in thresholds))


def _row(host: str, item: DefectOverview) -> Lowering:
    minima = item.result.minima
    rattled = next((minimum for minimum in minima if any(map(is_rattled, minimum.sampled_by))), None)
    lowering = _lowering(minima[0]) if minima else None
    return Lowering(
        host=host,
        defect=item.defect.label,
        holes=item.defect.excess_charge,
        # An unperturbed relaxation that stopped at its step limit may stand below the minimum that it belongs to.
        lowering=None if lowering is None else min(lowering, 0.0),
        rattled=None if rattled is None else _lowering(rattled),
        finished=item.finished,
    )


def is_rattled(label: str) -> bool:
    """Whether a sampling structure is the unperturbed one rattled, and nothing else."""
    return label == RATTLED or energy_key(label) == 0.0


def _lowering(minimum: RankedMinimum) -> float | None:
    """Zero for the minimum of the unperturbed relaxation, whose members differ by what convergence leaves open."""
    return 0.0 if UNPERTURBED in minimum.candidates else minimum.lowering


def _share(rows: Sequence[Lowering], threshold: float) -> LoweringShare:
    known = [(row.lowering, row.rattled) for row in rows if row.lowering is not None]
    significant = [(lowering, rattled) for lowering, rattled in known if lowering < -threshold]
    judged = [(lowering, rattled) for lowering, rattled in significant if rattled is not None]
    return LoweringShare(
        threshold=threshold,
        defects=len(known),
        significant=len(significant),
        judged=len(judged),
        by_rattling=sum(rattled - lowering < GROUND_STATE_TOLERANCE for lowering, rattled in judged),
    )
