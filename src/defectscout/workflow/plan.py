"""What a search would do, and roughly how long it would take; nothing is written."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

from defectscout.core.defect import Defect
from defectscout.core.progress import Progress
from defectscout.hosts.settings import HostSettings
from defectscout.relaxation.process import available_cores
from defectscout.surrogates.base import Surrogate
from defectscout.surrogates.charge import with_charge
from defectscout.workflow.settings import SearchSettings
from defectscout.workflow.stages.defects import make_defects
from defectscout.workflow.stages.host import read_host, why_kept
from defectscout.workflow.stages.reference import electronic_states
from defectscout.workflow.stages.scout import load_checked_surrogate, warn_of_unfamiliar

TYPICAL_SCOUTING_STEPS = 75
"""Steps of one surrogate relaxation to 0.03 eV/Å (V_Cd in CdTe, CHGNet: 40 to 110)."""
TYPICAL_REFERENCE_STEPS = 65
"""Steps of one reference relaxation from a sampling structure (V_Cd in CdTe and CdSe, GFN1-xTB: 18 to 125)."""
TYPICAL_REFINEMENT_STEPS = 40
"""Steps of one reference relaxation from a surrogate's minimum, where surrogate and reference differ as those do."""
TYPICAL_HOST_CALLS = 25
"""Force calls of the host's relaxation and its stability test."""
TYPICAL_SHARE_KEPT = 0.27
"""Share of the sampling structures that goes to the reference (paper: 73 % saved)."""


@dataclass(frozen=True, slots=True)
class DefectPlan:
    """What would be done for one defect."""

    label: str
    atoms: int
    excess_charge: int
    sampling: int
    candidates: tuple[int, int]  # fewest and most


@dataclass(frozen=True, slots=True)
class Plan:
    """What a search would do.

    Attributes:
        formula: the host.
        supercell_atoms: atoms of the pristine supercell.
        host_calls: reference force calls for the host; 0 if it is kept as it is.
        defects: what would be done for each defect.
        surrogate_calls: expected surrogate force calls.
        reference_calls: expected reference force calls: a typical number and the most likely bound.
        surrogate_seconds: measured time of one surrogate force call for one structure.
        reference_seconds: measured time of one reference force call on one core.
        workers: reference relaxations at once.
    """

    formula: str
    supercell_atoms: int
    host_calls: int
    defects: tuple[DefectPlan, ...]
    surrogate_calls: int
    reference_calls: tuple[int, int]
    surrogate_seconds: float | None
    reference_seconds: float | None
    workers: int

    @property
    def seconds(self) -> tuple[float, float] | None:
        """Expected wall time, typical and bound, s; None without a measured reference."""
        if self.reference_seconds is None:
            return None
        scouting = self.surrogate_calls * (self.surrogate_seconds or 0.0)
        serial = self.host_calls * self.reference_seconds
        typical, most = (calls * self.reference_seconds / self.workers for calls in self.reference_calls)
        return scouting + serial + typical, scouting + serial + most


def plan(host: str, settings: SearchSettings, progress: Progress) -> Plan:
    """Work out what `search` would do, timing one force call of each method.

    Raises:
        DefectscoutError: whatever `search` would raise before its first relaxation.
    """
    from defectscout.sampling.sample import sample

    prepared = read_host(host, settings)
    defects = make_defects(host, prepared, settings.defects, progress)
    scouting = settings.strategy == "scout"
    plans = []
    for defect in defects:
        count = len(sample(defect, settings.sampling).structures)
        candidates = (min(2, count), count) if scouting else (count, count)
        plans.append(DefectPlan(defect.label, len(defect.atoms), defect.excess_charge, count, candidates))
    total = sum(item.sampling for item in plans)
    typical = max(len(plans), round(total * TYPICAL_SHARE_KEPT)) if scouting else total
    steps = TYPICAL_REFINEMENT_STEPS if scouting else TYPICAL_REFERENCE_STEPS
    has_reference = settings.reference.name != "none"
    relaxes_host = not why_kept(host, settings)
    surrogate = load_checked_surrogate(settings, defects) if scouting else None
    if surrogate is not None:
        warn_of_unfamiliar(surrogate.info, prepared.formula, defects, settings, progress)
    progress.message("Timing one force call of each method.")
    return Plan(
        formula=prepared.formula,
        supercell_atoms=len(prepared.supercell),
        host_calls=_host_calls(settings.host) if relaxes_host else 0,
        defects=tuple(plans),
        surrogate_calls=total * TYPICAL_SCOUTING_STEPS if scouting else 0,
        reference_calls=(typical * steps, total * steps) if has_reference else (0, 0),
        surrogate_seconds=_time_surrogate(surrogate, defects[0]) if surrogate is not None else None,
        reference_seconds=_time_reference(defects, settings) if has_reference else None,
        workers=settings.reference.workers or available_cores(),
    )


def _host_calls(settings: HostSettings) -> int:
    return TYPICAL_HOST_CALLS if settings.rattle else TYPICAL_HOST_CALLS // 2


def _time_surrogate(surrogate: Surrogate, defect: Defect) -> float:
    atoms = with_charge(defect.atoms, defect.charge)
    surrogate.predict([atoms])  # the first call of a model also warms it up
    begin = time.perf_counter()
    surrogate.predict([atoms] * 2)
    return (time.perf_counter() - begin) / 2


def _time_reference(defects: Sequence[Defect], settings: SearchSettings) -> float:
    from defectscout.relaxation.pool import evaluate_in_worker

    electronic_states(settings, defects)  # raises for an element that it lacks
    with evaluate_in_worker(settings.reference.name, defects[0].charge, 1) as evaluate:
        begin = time.perf_counter()
        evaluate(defects[0].atoms)
        return time.perf_counter() - begin
