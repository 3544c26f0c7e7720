"""What a strategy is shown before it chooses the questions of a round."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from ase import Atoms

from defectscout.core.defect import Defect, Minimum, SamplingStructure
from defectscout.core.frames import FloatArray, Frame, RelaxationState
from defectscout.minima.distinct import distinct_minima
from defectscout.workflow.campaign import Campaign
from defectscout.workflow.learn.foreseen import FORESEEN
from defectscout.workflow.learn.questions import CONFIRMED, Kind, PredictedMinimum, RoundView, Spread
from defectscout.workflow.learn.rounds import Round, frames_of, tasks_of
from defectscout.workflow.learn.scouting import ASKED_DISTANCE, Scouted, finished, nearest_fingerprint
from defectscout.workflow.learn.stopping import ASTRAY, HIGH, NOT_THERE
from defectscout.workflow.record import ASK, CHECK, REFERENCE, Task

LEFT = "left where it was: too far above the lowest minimum"
"""Reason of a relaxation that the loop has begun and not gone on with."""

WITHOUT_END = (LEFT, HIGH, FORESEEN, ASTRAY, NOT_THERE)
"""Reasons of relaxations that ended in no minimum of their own, however they look."""

LOWER: Final = 0.02
"""eV. An energy that is not lower by more than this is no news."""

ONE_MINIMUM = 0.1
"""eV. Two minima of one surrogate that lie farther apart in energy are two, however alike their fingerprints are."""


@dataclass(frozen=True, slots=True, eq=False)
class LowPoint:
    """A single point below every minimum and relaxation, from which nothing was relaxed.

    The reference itself says that there is something lower, whatever the next surrogate makes of it: V_Cd in CdTe once
    had a point at three Te-Te bonds 0.10 eV below the lowest minimum, and the surrogate that had learned it no longer
    led there from any start.

    Attributes:
        task: label of the single point's task.
        atoms: the structure.
        energy: of the reference, eV.
    """

    task: str
    atoms: Atoms
    energy: float


@dataclass(frozen=True, slots=True, eq=False)
class Answers:
    """What the reference has said of a defect so far.

    Attributes:
        frames: every frame that it has evaluated.
        found: distinct minima, lowest first; their members are labels of tasks.
        unfinished: the lowest frame of each relaxation that goes on, by its task's label; the last one may be a trial
            that was turned down.
        ended: label and start of each relaxation that failed or fell into a minimum that was known.
        refused: structures of single points that failed.
        calls: force calls.
        low_point: the lowest single point that waits to be relaxed; None if there is none.
    """

    frames: tuple[Frame, ...]
    found: tuple[Minimum, ...]
    unfinished: dict[str, Frame]
    ended: dict[str, Atoms]
    refused: tuple[Atoms, ...]
    calls: int
    low_point: LowPoint | None = None

    @property
    def lowest(self) -> float | None:
        """Lowest energy of any frame, eV."""
        return min((frame.prediction.energy for frame in self.frames), default=None)

    @property
    def lowest_relaxed(self) -> float | None:
        """Lowest energy of a minimum, or of a relaxation on its way to one, eV: what windows are measured from.

        A single point does not count: it may be of a structure whose host fell apart.
        """
        energies = [minimum.energy for minimum in self.found]
        energies += [frame.prediction.energy for frame in self.unfinished.values()]
        return min(energies, default=None)


def read_answers(campaign: Campaign, defect: Defect) -> Answers:
    """What the record holds of the reference's answers about a defect."""
    tasks = tasks_of(campaign, defect.label)
    frames = frames_of(campaign, tasks)
    relaxations = [task for task in tasks if task.key.stage in (REFERENCE, CHECK)]
    unfinished: dict[str, Frame] = {}
    for task, frame in frames:
        if task.key.stage == REFERENCE and task.state is RelaxationState.RUNNING:
            lowest = unfinished.setdefault(task.key.label, frame)
            unfinished[task.key.label] = min(lowest, frame, key=lambda one: one.prediction.energy)
    without_end = (RelaxationState.FAILED, RelaxationState.MERGED)
    answers = Answers(
        frames=tuple(frame for _, frame in frames),
        found=_found(campaign, defect, relaxations),
        unfinished=unfinished,
        ended={task.key.label: task.start for task in relaxations if task.state in without_end},
        refused=tuple(t.start for t in tasks if t.key.stage == ASK and t.state is RelaxationState.FAILED),
        calls=sum(task.evaluations for task in tasks),
    )
    return replace(answers, low_point=_low_point(frames, relaxations, answers.lowest_relaxed))


def _low_point(
    frames: Sequence[tuple[Task, Frame]], relaxations: Sequence[Task], lowest: float | None
) -> LowPoint | None:
    if lowest is None:
        return None
    points = [
        LowPoint(task.key.label, frame.atoms, frame.prediction.energy)
        for task, frame in frames
        if task.key.stage == ASK and frame.prediction.energy < lowest - LOWER
    ]
    # A relaxation that began there and failed, or fell into a minimum that is known, has settled it.
    waiting = [
        point
        for point in points
        if not any(np.allclose(task.start.positions, point.atoms.positions, atol=1e-6) for task in relaxations)
    ]
    return min(waiting, key=lambda point: point.energy, default=None)


def found_before(campaign: Campaign, defect: Defect, item: Round) -> tuple[Minimum, ...]:
    """Distinct minima that the reference had found before a round, also when some of the round is answered."""
    own = {(one.stage, one.task) for one in item.asked}
    tasks = tasks_of(campaign, defect.label, (REFERENCE, CHECK))
    return _found(campaign, defect, [task for task in tasks if (task.key.stage, task.key.label) not in own])


def _found(campaign: Campaign, defect: Defect, tasks: Sequence[Task]) -> tuple[Minimum, ...]:
    ended = finished(
        [task.as_relaxation() for task in tasks if task.state.is_finished and task.reason not in WITHOUT_END]
    )
    return distinct_minima(defect, ended, campaign.settings.minima).minima


def is_unfinished(answers: Answers, last: Round | None, window: float) -> bool:
    """Whether something within `window` (eV) of the lowest waits for the reference.

    That is a single point below everything that was relaxed, a relaxation that was begun, or a minimum that the
    surrogate of the last round predicts and that was not relaxed.

    A single point at the minimum does not settle it: in V_Cd of CdSe one with three bonds, predicted at the height
    of the lowest known, was found 0.8 eV above that, and led to the ground state 2.1 eV below.
    """
    lowest = answers.lowest_relaxed
    if lowest is None:
        return False
    if answers.low_point is not None:
        return True
    if any(frame.prediction.energy <= lowest + window for frame in answers.unfinished.values()):
        return True
    if last is None or last.of_check:
        return False
    # The energy is that of the minimum to the last bit; its label may have been taken when it was asked about.
    relaxed = {one.predicted for one in last.asked if one.kind is not Kind.POINT}
    return any(
        not minimum.known_as and minimum.energy <= lowest + window and minimum.energy not in relaxed
        for minimum in last.predicted
    )


def is_carried_over(answers: Answers, related: Sequence[str]) -> bool:
    """Whether the lowest that was relaxed, or is being relaxed, is what the ground state of a related host has become.

    Args:
        answers: what the reference has said so far.
        related: sampling structures that come from related hosts.
    """
    standing = [(minimum.energy, minimum.members) for minimum in answers.found]
    standing += [(frame.prediction.energy, (label,)) for label, frame in answers.unfinished.items()]
    lowest = min(standing)[1] if standing else ()
    return not set(related).isdisjoint(label.partition(CONFIRMED)[0] for label in lowest)


def scouting_starts(sampling: Sequence[SamplingStructure], answers: Answers) -> tuple[SamplingStructure, ...]:
    """What is scouted: the sampling structures, the minima found so far, and what relaxations have come to."""
    found = [SamplingStructure(minimum.representative, minimum.atoms) for minimum in answers.found]
    going_on = [SamplingStructure(label, frame.atoms) for label, frame in answers.unfinished.items()]
    known = {start.label for start in (*found, *going_on)}
    # `Unperturbed` is a sampling structure and the relaxation of it: what it has become says more.
    return (*(start for start in sampling if start.label not in known), *found, *going_on)


def round_view(
    campaign: Campaign,
    defect: Defect,
    number: int,
    scouted: Scouted,
    answers: Answers,
    spread: Spread,
    calls_left: int | None,
    *,
    carried_over: bool = False,
) -> RoundView:
    """Everything that a strategy knows, with each predicted minimum told from what is known."""
    return RoundView(
        defect=defect,
        number=number,
        predicted=_predicted(campaign, defect, scouted, answers, spread),
        trajectories=scouted.trajectories,
        answered=answers.frames,
        found=answers.found,
        unfinished=answers.unfinished,
        spread=spread,
        calls_left=calls_left,
        settings=campaign.settings.learn,
        carried_over=carried_over,
    )


def _predicted(
    campaign: Campaign, defect: Defect, scouted: Scouted, answers: Answers, spread: Spread
) -> tuple[PredictedMinimum, ...]:
    settings = campaign.settings.minima
    structures = [minimum.atoms for minimum in scouted.minima]
    if not structures:
        return ()
    to_found, which = nearest_fingerprint(defect, structures, [minimum.atoms for minimum in answers.found], settings)
    asked = [*(frame.atoms for frame in answers.frames), *answers.refused]
    to_asked, _ = nearest_fingerprint(defect, structures, asked, settings)
    spreads: FloatArray = spread(structures)
    to_ended, which_ended = nearest_fingerprint(defect, structures, list(answers.ended.values()), settings)
    found = {minimum.representative: minimum for minimum in answers.found}
    leads_to = {label: minimum.energy for minimum in scouted.minima for label in minimum.members}
    predicted = []
    for k, minimum in enumerate(scouted.minima):
        known = next((label for label in minimum.members if label in found), "")
        if known and len(found[known].new_bonds) != len(minimum.new_bonds):
            # The surrogate takes the known one to another structure, which may lie below it: a relaxation that ends
            # on a flat shoulder looks like that (V_Cd in CdTe, two Te–Te bonds on the way to three).
            known = ""
        if not known and to_found[k] <= settings.threshold:
            label = answers.found[which[k]].representative
            known = label if abs(minimum.energy - leads_to.get(label, minimum.energy)) <= ONE_MINIMUM else ""
        if not known and to_ended[k] <= settings.threshold:
            known = list(answers.ended)[which_ended[k]]  # where it leads is known, or cannot be found out
        predicted.append(
            PredictedMinimum(
                minimum=_going_on(minimum, answers),
                spread=float(spreads[k]),
                known_as=known,
                asked=bool(to_asked[k] <= ASKED_DISTANCE * settings.threshold),
            )
        )
    return tuple(predicted)


def _going_on(minimum: Minimum, answers: Answers) -> Minimum:
    """The minimum under the name of an unfinished relaxation that leads to it, so that this one is gone on with."""
    label = next((label for label in minimum.members if label in answers.unfinished), None)
    return replace(minimum, representative=label) if label is not None else minimum


def sampling_members(members: Sequence[str], sampling: Sequence[SamplingStructure]) -> tuple[str, ...]:
    """Those members that are sampling structures."""
    labels = {structure.label for structure in sampling}
    return tuple(label for label in members if label in labels)
