"""What a search would do, and roughly how long it would take; nothing is written."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from defectscout.core.defect import Defect, Host
from defectscout.core.progress import Progress
from defectscout.hosts.settings import HostSettings
from defectscout.relaxation.process import available_cores
from defectscout.surrogates.base import Surrogate
from defectscout.surrogates.charge import with_charge
from defectscout.surrogates.model_folder import is_model_folder
from defectscout.workflow.campaign import source_of
from defectscout.workflow.learn.settings import LearnSettings
from defectscout.workflow.related_minima import related_structures
from defectscout.workflow.settings import SearchSettings
from defectscout.workflow.settling import settled
from defectscout.workflow.stages.defects import make_defects
from defectscout.workflow.stages.host import read_host, why_kept
from defectscout.workflow.stages.reference import electronic_states
from defectscout.workflow.stages.scout import load_checked_surrogate, warn_of_unfamiliar

TYPICAL_SCOUTING_STEPS = 75
"""Steps of one surrogate relaxation to 0.03 eV/Å (V_Cd in CdTe, CHGNet: 40 to 110)."""
TUNED_SCOUTING_STEPS = 190
"""The same with a surrogate that was tuned on defects, whose surface is more rugged (V_Cd in Cd(Te,Se), M3GNet: 66 to
220, and a fifth of them to the limit of 500)."""
TYPICAL_REFERENCE_STEPS = 65
"""Steps of one reference relaxation from a sampling structure (V_Cd in CdTe and CdSe, GFN1-xTB: 18 to 125)."""
TYPICAL_REFINEMENT_STEPS = 40
"""Steps of one reference relaxation from a surrogate's minimum, where surrogate and reference differ as those do."""
CORRECTED_REFINEMENT_STEPS = 16
"""The same in steps that the surrogate proposes (V_Cd in Cd(Te,Se), M3GNet, GFN1-xTB: 5 to 30)."""
TYPICAL_HOST_CALLS = 25
"""Force calls of the host's relaxation and its stability test."""
TYPICAL_SHARE_KEPT = 0.27
"""Share of the sampling structures that goes to the reference (paper: 73 % saved)."""


LEARNING_CALLS = 45
"""Force calls for one defect before the checks of a learning search on a first host (V_Cd in CdTe and CdSe, V_Ga in
GaCuS2 and V_Cu in CuAsS, M3GNet, GFN1-xTB: 23 to 64)."""
CHECK_CALLS = 13
"""Force calls of one check, a relaxation by the reference alone (V_Cd in CdTe and CdSe, 23 of them: 4 to 29)."""
CURVATURE_CALLS = 10
"""Force calls on the curvature around a minimum (V_Cd in CdTe and CdSe: 4 to 12)."""
LEARNING_ROUNDS = 5
"""Rounds of scouting of a learning search (V_Cd in CdTe: three that bring something lower, then two quiet ones)."""
LEARNING_SCOUTING_STEPS = 100
"""Steps of one relaxation to 0.01 eV/Å with a surrogate that is tuned (V_Cd in CdTe, M3GNet, three rounds: means of
73, 94 and 145)."""
AT_ONCE_WHILE_LEARNING = 1.5
"""Force calls that run side by side in a learning search, on average: each relaxation goes step by step, and
only single points and checks run beside it."""


@dataclass(frozen=True, slots=True)
class DefectPlan:
    """What would be done for one defect.

    Attributes:
        label: the defect.
        atoms: of its supercell.
        excess_charge: holes.
        sampling: sampling structures.
        candidates: fewest and most that would go to the reference; None if the search learns, and asks as it does.
    """

    label: str
    atoms: int
    excess_charge: int
    sampling: int
    candidates: tuple[int, int] | None


@dataclass(frozen=True, slots=True)
class Plan:
    """What a search would do.

    Attributes:
        formula: the host.
        supercell_atoms: atoms of the pristine supercell.
        host_calls: reference force calls for the host; 0 if it is kept as it is.
        defects: what would be done for each defect.
        surrogate_calls: expected surrogate force calls of scouting.
        reference_calls: expected reference force calls: a typical number and the most likely bound.
        surrogate_seconds: measured time of one surrogate force call for one structure.
        reference_seconds: measured time of one reference force call on one core.
        workers: reference relaxations at once.
        strategy: `learn`, `scout` or `reference-only`.
        rounds: rounds of scouting.
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
    strategy: str = "scout"
    rounds: int = 1

    @property
    def learns(self) -> bool:
        """Whether the surrogate is tuned on the way, which takes time that `seconds` leaves out."""
        return self.strategy == "learn"

    @property
    def seconds(self) -> tuple[float, float] | None:
        """Expected wall time without tuning, typical and bound, s; None without a measured reference."""
        if self.reference_seconds is None:
            return None
        scouting = self.surrogate_calls * (self.surrogate_seconds or 0.0)
        serial = self.host_calls * self.reference_seconds
        at_once = min(self.workers, AT_ONCE_WHILE_LEARNING) if self.learns else self.workers
        typical, most = (calls * self.reference_seconds / at_once for calls in self.reference_calls)
        return scouting + serial + typical, scouting + serial + most


@dataclass(frozen=True, slots=True)
class Timings:
    """Measured times of one force call, s; None for what is not used.

    Attributes:
        surrogate: of one structure, by the surrogate.
        reference: on one core, by the reference.
    """

    surrogate: float | None
    reference: float | None


def plan(host: str, output: str | Path, settings: SearchSettings, progress: Progress) -> Plan:
    """Work out what `search` would do, timing one force call of each method.

    Args:
        host: as `search` takes it.
        output: campaign folder; a campaign in it says what an earlier surrogate was asked for, nothing else.
        settings: as asked for.
        progress: told about the work.

    Raises:
        DefectscoutError: whatever `search` would raise before its first relaxation.
    """
    settings = settled(settings, source_of(host), Path(output), True, progress)
    prepared = read_host(host, settings)
    defects = make_defects(host, prepared, settings.defects, progress)
    surrogate = load_checked_surrogate(settings, defects) if settings.strategy != "reference-only" else None
    if surrogate is not None:
        warn_of_unfamiliar(surrogate.info, prepared.formula, defects, settings, progress)
    timings = measure(surrogate, defects, settings, progress)
    return plan_of(prepared, defects, settings, timings, relaxes_host=not why_kept(host, settings))


def measure(
    surrogate: Surrogate | None, defects: Sequence[Defect], settings: SearchSettings, progress: Progress
) -> Timings:
    """Time one force call of each method on the first defect."""
    progress.message("Timing one force call of each method.")
    return Timings(
        surrogate=_time_surrogate(surrogate, defects[0]) if surrogate is not None else None,
        reference=_time_reference(defects, settings) if settings.reference.name != "none" else None,
    )


def plan_of(
    host: Host, defects: Sequence[Defect], settings: SearchSettings, timings: Timings, relaxes_host: bool
) -> Plan:
    """What a search of these defects would do.

    Args:
        host: with its supercell.
        defects: those that are searched.
        settings: settled ones.
        timings: of one force call.
        relaxes_host: whether the host is relaxed first.
    """
    from defectscout.sampling.sample import sample

    plans = []
    for defect, related in zip(defects, related_structures(settings, host, defects), strict=True):
        count = len(sample(defect, settings.sampling).structures) + len(related.structures)
        plans.append(
            DefectPlan(
                label=defect.label,
                atoms=len(defect.atoms),
                excess_charge=defect.excess_charge,
                sampling=count,
                candidates=_candidates(settings, count),
            )
        )
    rounds = _rounds(settings)
    has_reference = settings.reference.name != "none"
    return Plan(
        formula=host.formula,
        supercell_atoms=len(host.supercell),
        host_calls=_host_calls(settings.host) if relaxes_host else 0,
        defects=tuple(plans),
        surrogate_calls=rounds * sum(item.sampling for item in plans) * _scouting_steps(settings),
        reference_calls=_reference_calls(settings, plans) if has_reference else (0, 0),
        surrogate_seconds=timings.surrogate,
        reference_seconds=timings.reference,
        workers=settings.reference.workers or available_cores(),
        strategy=settings.strategy,
        rounds=rounds,
    )


def _candidates(settings: SearchSettings, sampling: int) -> tuple[int, int] | None:
    match settings.strategy:
        case "learn":
            return None
        case "reference-only":
            return sampling, sampling
        case _:
            return min(2, sampling), sampling


def _rounds(settings: SearchSettings) -> int:
    """Rounds of scouting."""
    match settings.strategy:
        case "learn":
            return min(LEARNING_ROUNDS, settings.learn.max_rounds)
        case "reference-only":
            return 0
        case _:
            return 1


def _scouting_steps(settings: SearchSettings) -> int:
    if settings.strategy == "learn":
        return LEARNING_SCOUTING_STEPS
    tuned = is_model_folder(Path(settings.surrogate.name).expanduser())
    return TUNED_SCOUTING_STEPS if tuned else TYPICAL_SCOUTING_STEPS


def _refinement_steps(settings: SearchSettings) -> int:
    """Reference steps of one candidate of a search that scouts once."""
    corrected = settings.refinement.optimiser == "corrected"
    return CORRECTED_REFINEMENT_STEPS if corrected else TYPICAL_REFINEMENT_STEPS


def _reference_calls(settings: SearchSettings, defects: Sequence[DefectPlan]) -> tuple[int, int]:
    """Force calls for all defects, without those for the host: a typical number and the most likely bound."""
    total = sum(defect.sampling for defect in defects)
    match settings.strategy:
        case "learn":
            return learning_calls(settings.learn, [defect.sampling for defect in defects])
        case "reference-only":
            return total * TYPICAL_REFERENCE_STEPS, total * TYPICAL_REFERENCE_STEPS
        case _:
            typical = max(len(defects), round(total * TYPICAL_SHARE_KEPT))
            steps = _refinement_steps(settings)
            return typical * steps, total * steps


def learning_calls(settings: LearnSettings, sampling: Sequence[int]) -> tuple[int, int]:
    """Reference force calls of a learning search: a typical number, and all its rounds with all that they may ask.

    Args:
        settings: of the loop.
        sampling: number of sampling structures of each defect.
    """
    typical = most = 0
    for count in sampling:
        checks = min(settings.checks, count - 1)
        relaxed = 1 + 2 * settings.first_relaxations  # the unperturbed structure, and twice the calls for the others
        first = relaxed * settings.relaxation_calls + min(settings.first_points, count - 1)
        if settings.ask == "minima":  # each new minimum is relaxed by the reference alone
            asked = count * TYPICAL_REFINEMENT_STEPS
        else:
            points = settings.points if settings.ask != "corrected" else 0
            asked = settings.max_rounds * (settings.relaxations * settings.relaxation_calls + points)
        probes = settings.curvature_calls
        off_saddle = probes + 2 * settings.relaxation_calls if probes else 0  # and that is probed in its turn
        bound = first + asked + checks * TYPICAL_REFERENCE_STEPS + probes + off_saddle
        typical += min(LEARNING_CALLS + checks * CHECK_CALLS + min(probes, CURVATURE_CALLS), bound)
        most += bound
    budget = settings.max_force_calls
    return (typical, most) if budget is None else (min(typical, budget), min(most, budget))


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
