"""Whether the lowest minimum is one, or a saddle point of the reference that every surrogate takes for a minimum."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

import numpy as np

from defectscout.core.defect import Defect, Minimum
from defectscout.core.frames import Frame
from defectscout.relaxation.curvature import Curvature, Products, displaced, lowest_curvature, next_probe, products_of
from defectscout.surrogates.base import Surrogate
from defectscout.surrogates.charge import AtCharge
from defectscout.workflow.campaign import Campaign
from defectscout.workflow.learn.questions import Kind, Question
from defectscout.workflow.learn.rounds import LearnRecord, frames_of, tasks_of
from defectscout.workflow.learn.view import Answers
from defectscout.workflow.record import ASK, CHECK, REFERENCE, TaskKey

NEGATIVE: Final = -0.05
"""eV/Å². A lower curvature is a way down. What forward differences and noisy forces make of a soft mode is less."""

SETTLED: Final = 0.1
"""eV/Å². Residual below which the lowest curvature is found. On the way to a negative one, in V_Cd of CdSe, it stood
between 0.15 and 0.36 eV/Å²; around minima there and in CdTe it came below this after 4 to 10 force calls."""

LAST_PROBES: Final = 2
"""It is found as well if so many probes, after the first, which goes in a direction drawn at random,"""

STANDING: Final = 0.1
"""have lowered it by less than this fraction: in a stiff crystal residuals stay large, since differences of forces err.
On the way to the negative one each lowered it by 20 to 40 %."""

DESCENT: Final = 0.2
"""Å. How far off a saddle point a relaxation begins: forces there are still small, and a trust radius is as large."""

LEAST_FALL: Final = 0.002
"""eV. What forces and curvature have to promise within that, or"""

FLAT: Final = 0.03
"""eV/Å². Below this it is no minimum, whatever they promise. Between a saddle point and a minimum curvatures vanish,
and small forces end a relaxation there, too: one in CdSe, off that ridge, 5 meV above the ground state."""


@dataclass(frozen=True, slots=True, eq=False)
class Neighbourhood:
    """What is known of the curvature around a minimum.

    Attributes:
        minimum: the minimum.
        origin: the frame that it is.
        hessian: what the reference has said of it there.
        calls: force calls that were spent on its curvature.
        lowest: its lowest curvature so far; None if nothing is known.
        before: the lowest curvature before the last of those calls, eV/Å²; infinite where that is not known.
    """

    minimum: Minimum
    origin: Frame
    hessian: Products
    calls: int
    lowest: Curvature | None
    before: float

    @property
    def is_saddle(self) -> bool:
        """Whether its curvature is negative."""
        return self.calls > 0 and self.lowest is not None and self.lowest.value < NEGATIVE

    @property
    def is_settled(self) -> bool:
        """Whether more force calls would find no lower curvature that matters."""
        if not self.calls or self.lowest is None:
            return False
        found = self.lowest.residual < SETTLED and self.lowest.value - self.lowest.residual > NEGATIVE
        return found or self.before - self.lowest.value < STANDING * self.lowest.value

    @property
    def leads_down(self) -> bool:
        """Whether there is a way down."""
        return self.is_saddle or (self.is_settled and (self.is_flat or self.fall > LEAST_FALL))

    @property
    def is_flat(self) -> bool:
        """Whether its curvature is too low for a minimum."""
        return self.lowest is not None and self.lowest.value < FLAT

    @property
    def fall(self) -> float:
        """By how much the energy falls along the direction of the lowest curvature within `DESCENT`, eV, by the force
        and the curvature along it."""
        if self.lowest is None:
            return 0.0
        force = abs(float(np.sum(self.lowest.direction * self.origin.prediction.forces)))
        end = DESCENT / float(np.linalg.norm(self.lowest.direction, axis=1).max())
        if self.lowest.value * end > force:
            end = force / self.lowest.value
        return force * end - self.lowest.value * end**2 / 2


def probed(campaign: Campaign, defect: Defect, record: LearnRecord, answers: Answers) -> Neighbourhood | None:
    """What is known of the lowest minimum; None if there is none.

    Args:
        campaign: the open campaign.
        defect: which one.
        record: of its loop.
        answers: what the reference has said so far.
    """
    if not answers.found:
        return None
    minimum = answers.found[0]
    tasks = tasks_of(campaign, defect.label, (REFERENCE, CHECK))
    origin = next(task for task in tasks if task.key.label == minimum.representative).as_relaxation().final
    if origin is None:
        return None
    asked = _probes(record, minimum)
    probes = [task for task in tasks_of(campaign, defect.label, (ASK,)) if task.key.label in asked]
    relaxing, beside = ([frame for _, frame in frames_of(campaign, some)] for some in (tasks, probes))
    calls = sum(task.evaluations for task in probes)
    before = math.inf
    if calls > LAST_PROBES:
        earlier = lowest_curvature(products_of(origin, [*relaxing, *beside[:-LAST_PROBES]]))
        before = math.inf if earlier is None else earlier.value
    hessian = products_of(origin, [*relaxing, *beside])
    return Neighbourhood(minimum, origin, hessian, calls, lowest_curvature(hessian), before)


def _probes(record: LearnRecord, minimum: Minimum) -> set[str]:
    return {one.task for item in record.rounds if (one := item.probing) and one.label == minimum.representative}


def probe(
    campaign: Campaign, defect: Defect, record: LearnRecord, answers: Answers, surrogate: Surrogate
) -> Question | None:
    """A question about the curvature around the lowest minimum, or about what lies below it if it is a saddle point;
    None if neither is to be asked.

    A carried-over ground state in CdSe came to rest 8 to 11 meV above the ground state four times, on a saddle point
    where surrogates have a curvature of 1 eV/Å² and the reference one of -0.1: only the reference can tell.

    Args:
        campaign: the open campaign.
        defect: which one.
        record: of its loop.
        answers: what the reference has said so far.
        surrogate: that was tuned last; it says where to look.
    """
    allowed = campaign.settings.learn.curvature_calls
    known = probed(campaign, defect, record, answers) if allowed else None
    if known is None:
        return None
    label, calls = known.minimum.representative, 2 * campaign.settings.learn.relaxation_calls
    if known.leads_down and known.lowest is not None:
        if _has_descended(record, label):
            return None
        reason = f"the reference falls by {1000 * known.fall:.0f} meV along one direction"
        if known.is_saddle:
            reason = f"the reference's curvature there is {known.lowest.value:.2f} eV/Å² along one direction"
        return Question(label, displaced(known.origin, known.lowest.direction, DESCENT), Kind.DESCEND, calls, reason)
    if known.is_settled or known.calls >= allowed or _has_failed(campaign, defect, record, known.minimum):
        return None
    structure = next_probe(
        known.origin,
        known.hessian,
        AtCharge(surrogate, defect.charge),
        defect.site,
        number=known.calls,
    )
    return Question(label, structure, Kind.PROBE, 1, f"force call {known.calls + 1} on the curvature beside it")


def _has_descended(record: LearnRecord, label: str) -> bool:
    """Whether a relaxation has been led off there."""
    asked = (one for item in record.rounds for one in item.asked)
    return any(one.kind is Kind.DESCEND and one.label == label for one in asked)


def _has_failed(campaign: Campaign, defect: Defect, record: LearnRecord, minimum: Minimum) -> bool:
    """Whether the reference has given no answer beside a minimum: the same question would be asked again."""
    return any(not campaign.record.frames(TaskKey(ASK, defect.label, task)) for task in _probes(record, minimum))
