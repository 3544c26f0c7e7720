"""Whether the lowest minimum is one, or stands on the slope of a soft valley."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from defectscout.core.defect import UNPERTURBED, Defect
from defectscout.core.frames import Frame, RelaxationState
from defectscout.relaxation.corrected import CorrectedState
from defectscout.relaxation.pool import Stop
from defectscout.relaxation.records import Checkpoint
from defectscout.relaxation.settings import RelaxationSettings
from defectscout.relaxation.steppers import CorrectedStepper
from defectscout.surrogates.base import Surrogate
from defectscout.surrogates.charge import AtCharge
from defectscout.workflow.campaign import Campaign
from defectscout.workflow.learn.questions import CONFIRMED, Kind, Question
from defectscout.workflow.learn.rounds import Asked, LearnRecord, Round, tasks_of
from defectscout.workflow.learn.stopping import NOT_THERE, AfterFrames, StopAt
from defectscout.workflow.learn.view import Answers
from defectscout.workflow.record import CHECK, REFERENCE, Task, TaskKey

FELL: Final = 0.1
"""eV. A confirmation that falls by more has left its minimum. The floor of the soft valley in V_Cd of CdSe lies 0.01 eV
below its slope, the ground state there 0.38 eV below a shelf."""

LEFT_MINIMUM: Final = "paused: it has left the minimum that it began from"
"""Reason of a confirmation that the loop goes on with."""

UNFOUNDED: Final = 3
"""Frames above the minimum, after which what was promised is not there. In V_Cd of CdTe one that was promised 20 meV
found itself 46, 16 and 4 meV up, and took two more force calls back to where it began."""


def confirmation(
    campaign: Campaign, defect: Defect, record: LearnRecord, answers: Answers, surrogate: Surrogate
) -> Question | None:
    """A question about what lies around the lowest minimum; None if the surrogate promises nothing lower there.

    Small forces may end a relaxation on the slope of a soft valley. In V_Cd of CdSe three bonds tilt at hardly any
    cost, and relaxations stood 9 meV up, of another fingerprint; FIRE would have ended there as well. The surrogate
    that led them there saw no more within the 0.01 Å that were left of its trust radius. One that has learned from
    their frames does a little farther away; at the 0.2 Å where relaxations begin it once promised 0.3 eV that were not
    there. A shelf looks the same: one loop stood quiet on one there, 0.38 eV up, and a promise of 7 meV led off it.

    It is a relaxation of its own: if it fails, or the budget ends it, the minimum stays what it is.

    Args:
        campaign: the open campaign.
        defect: which one.
        record: of its loop.
        answers: what the reference has said so far.
        surrogate: that was tuned last.
    """
    tasks = {task.key.label: task for task in tasks_of(campaign, defect.label, (REFERENCE, CHECK))}
    calls = 2 * campaign.settings.learn.relaxation_calls
    last = {one.task: one for item in record.rounds for one in item.asked}
    before = {task: one for task, one in last.items() if one.kind.goes_on}
    for task, one in before.items():
        if not tasks[task].state.is_finished:
            return Question(one.label, tasks[task].start, one.kind, calls, "it has not come to its end")
    if not answers.found or not record.model:
        return None
    lowest = answers.found[0]
    # One that has left its minimum was gone on with by the loop, and where it ended is asked about like any other.
    if any(label in before or f"{label}{CONFIRMED}" in last for label in lowest.members):
        return None
    checkpoint = looking_farther(tasks[lowest.representative], campaign.settings.refinement)
    if checkpoint is None:
        return None
    settings = for_confirmation(campaign.settings.refinement)
    promised = CorrectedStepper(settings, AtCharge(surrogate, defect.charge)).promised(checkpoint)
    if promised <= settings.corrected.promise:
        return None
    reason = f"the surrogate promises {1000 * promised:.0f} meV beside the lowest minimum"
    return Question(lowest.representative, checkpoint.frame.atoms, Kind.CONFIRM, calls, reason)


def for_confirmation(settings: RelaxationSettings) -> RelaxationSettings:
    """How a confirmation ends: the surrogate has learned, so that a smaller promise is worth a force call."""
    corrected = settings.corrected.model_copy(update={"promise": settings.corrected.promise_learned})
    return settings.model_copy(update={"corrected": corrected})


def looking_farther(task: Task, settings: RelaxationSettings) -> Checkpoint | None:
    """Where a confirmation of what a relaxation has come to begins; None if no surrogate has led that.

    It knows every point of that relaxation, and its first frame will be number 0.
    """
    checkpoint = task.checkpoint
    if checkpoint is None or not isinstance(checkpoint.optimiser, CorrectedState):
        return None
    optimiser = replace(checkpoint.optimiser, trust=settings.corrected.trust_learned, expected=0.0)
    return Checkpoint(replace(checkpoint.frame, step=-1), optimiser, checkpoint.frame.prediction.energy)


def paused_where_left(lowest: float) -> StopAt:
    """A confirmation pauses when it has left the minimum that it began from.

    That was a shelf or a saddle point, and the surrogate that led it off has not learned there. The loop goes on with
    it, as with any relaxation that it has begun.

    Args:
        lowest: lowest energy before it, eV.
    """

    def ask(frame: Frame) -> Stop | None:
        return Stop(RelaxationState.RUNNING, LEFT_MINIMUM) if frame.prediction.energy < lowest - FELL else None

    return ask


def over_where_unfounded(lowest: float, earlier: Sequence[Frame] = ()) -> AfterFrames:
    """A confirmation is over when it has found itself above the minimum that it began from `UNFOUNDED` times.

    Args:
        lowest: lowest energy before it, eV.
        earlier: frames of it before an interruption, without the one that it goes on from.
    """

    def above(frame: Frame) -> Stop | None:
        return Stop(RelaxationState.UNCONVERGED, NOT_THERE) if frame.prediction.energy > lowest else None

    return AfterFrames(above, UNFOUNDED, earlier)


def has_left(campaign: Campaign, defect: Defect, item: Round) -> bool:
    """Whether the confirmation of a round has left the minimum that it began from."""
    if item.confirming is None or item.lowest_before is None:
        return False
    frames = campaign.record.frames(TaskKey(item.confirming.stage, defect.label, item.confirming.task))
    return min((frame.prediction.energy for frame in frames), default=math.inf) < item.lowest_before - FELL


def settle(campaign: Campaign, defect: Defect, record: LearnRecord) -> None:
    """Where a confirmation went down, what it began from was no minimum, and has become that to which it led, together
    with whatever had fallen into it. Not the unperturbed structure: energy lowerings are measured from it, however
    unstable it is."""
    for item in record.rounds:
        if item.confirming is not None and item.confirming.label != UNPERTURBED:
            _settle(campaign, defect, item.confirming)


def _settle(campaign: Campaign, defect: Defect, one: Asked) -> None:
    tasks = {task.key.label: task for task in tasks_of(campaign, defect.label, (REFERENCE, CHECK))}
    ends = [tasks[label].as_relaxation().final for label in (one.task, one.label)]
    if tasks[one.task].state not in (RelaxationState.CONVERGED, RelaxationState.MERGED) or None in ends:
        return
    low, high = (end.prediction.energy for end in ends if end is not None)
    if low >= high:
        return
    led_to = tasks[one.task].reason or one.task
    for task in tasks.values():
        if task.key.label == one.label or (task.state is RelaxationState.MERGED and task.reason == one.label):
            campaign.record.finish(task.key, RelaxationState.MERGED, led_to, task.evaluations)


def led_by(record: LearnRecord, label: str) -> tuple[str, ...]:
    """Sampling structures that led to the relaxation of this label."""
    asked = (one for item in record.rounds for one in item.asked)
    return next((one.members for one in asked if one.task == label), (label,))
