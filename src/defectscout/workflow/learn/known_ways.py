"""Whether a relaxation has come onto the way of another one, so that it would only go that way again."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from itertools import takewhile
from typing import Final

from defectscout.core.defect import Defect, Minimum
from defectscout.core.frames import Frame, RelaxationState
from defectscout.minima.settings import MinimaSettings
from defectscout.relaxation.pool import Stop
from defectscout.workflow.campaign import Campaign
from defectscout.workflow.learn.places import Place
from defectscout.workflow.learn.rounds import tasks_of
from defectscout.workflow.learn.scouting import nearest_fingerprint
from defectscout.workflow.learn.stopping import CALM, AfterFrames, StopAt, first_of, merged
from defectscout.workflow.learn.view import WITHOUT_END
from defectscout.workflow.record import CHECK, REFERENCE, Task

WAY_FRAMES: Final = 2
"""Frames that have to lie on the way; any number of trial steps may lie between them."""

RATTLED: Final = 0.3
"""eV. How much higher those of a check may lie: around a site that is the same its crystal is not at rest yet."""


def on_a_known_way(
    defect: Defect,
    ways: Sequence[Place],
    above: float,
    below: float,
    settings: MinimaSettings,
    earlier: Sequence[Frame] = (),
) -> AfterFrames:
    """A relaxation is merged into the one onto whose way two of its frames have come.

    That is: the site looks the same, by fingerprint, as it did there, at the same energy. The forces have to be small
    enough to tell that it passes by nothing.

    Args:
        defect: which one.
        ways: frames of other relaxations, under the labels of what they ended in, or are on their way to.
        above: how much higher than there the energy may be, eV.
        below: how much lower.
        settings: how structures are told apart.
        earlier: frames of the relaxation before an interruption, without the one that it goes on from.
    """

    def on_the_way(frame: Frame) -> Stop | None:
        prediction = frame.prediction
        if prediction.fmax >= CALM:
            return None
        level = [way for way in ways if -below <= prediction.energy - way.energy <= above]
        distances, which = nearest_fingerprint(defect, [frame.atoms], [way.atoms for way in level], settings)
        return merged(level[which[0]].label if distances[0] <= settings.threshold else "")

    return AfterFrames(on_the_way, WAY_FRAMES, earlier)


def way_of_another(campaign: Campaign, defect: Defect, own: str, earlier: Sequence[Frame]) -> AfterFrames:
    """The rule for a relaxation of the loop: no other one, ended or going on, is repeated.

    A surrogate that has not learned where a relaxation leads predicts a minimum on its way, which is relaxed in the
    next round: in V_Cd of CdSe three relaxations took 23 force calls along the valley that one was going down. Only
    what was begun before it counts, so that no two give way to each other.

    Args:
        campaign: the open campaign.
        defect: which one.
        own: label of the relaxation's task.
        earlier: its frames before an interruption, without the one that it goes on from.
    """
    tasks = list(takewhile(lambda task: task.key.label != own, tasks_of(campaign, defect.label, (REFERENCE,))))
    leads = {task.key.label: _leads_to(task) for task in tasks}
    ways = [
        place for task in tasks if leads[task.key.label] not in ("", own) for place in _frames(campaign, task, leads)
    ]
    settings = campaign.settings.minima
    return on_a_known_way(defect, ways, settings.energy_tolerance, settings.energy_tolerance, settings, earlier)


def way_to_known(
    campaign: Campaign, defect: Defect, known: Sequence[Minimum], highest: float, earlier: Sequence[Frame]
) -> StopAt:
    """The rule for a check: what it would end in is known.

    In V_Cd of CdTe it saved the last four of 17 and of 20 force calls, down to two bonds 0.96 eV up that a relaxation
    of the loop had ended in, and the last five of 28 down to the ground state. Beside minima that matter it may not lie
    lower than that relaxation did with the same site: minima may differ in what lies farther away.

    Args:
        campaign: the open campaign.
        defect: which one.
        known: minima that were known before it.
        highest: energy of the highest minimum that would matter, eV.
        earlier: frames of the check before an interruption, without the one that it goes on from.
    """
    high = [one for one in known if one.energy > highest]
    low = [one for one in known if one.energy <= highest]
    settings = campaign.settings.minima

    def on_the_way_to(ends: Sequence[Minimum], below: float) -> AfterFrames:
        return on_a_known_way(defect, _ways_to(campaign, defect, ends), RATTLED, below, settings, earlier)

    return first_of(on_the_way_to(high, math.inf), on_the_way_to(low, settings.energy_tolerance))


def _ways_to(campaign: Campaign, defect: Defect, minima: Sequence[Minimum]) -> list[Place]:
    """Frames of the loop's relaxations that ended in these minima."""
    ends = {label: one.representative for one in minima for label in one.members}
    tasks = [task for task in tasks_of(campaign, defect.label, (REFERENCE,)) if task.key.label in ends]
    return [place for task in tasks for place in _frames(campaign, task, ends)]


def _leads_to(task: Task) -> str:
    """Label of what a relaxation has ended in, or of itself while it goes on; empty where that is no minimum."""
    if task.state is RelaxationState.MERGED:
        return task.reason
    ends = task.state in (RelaxationState.CONVERGED, RelaxationState.RUNNING)
    return task.key.label if ends and task.reason not in WITHOUT_END else ""


def _frames(campaign: Campaign, task: Task, ends: Mapping[str, str]) -> list[Place]:
    label = ends[task.key.label]
    return [Place(label, frame.atoms, frame.prediction.energy) for frame in campaign.record.frames(task.key)]


def follow_merged(campaign: Campaign, defect: Defect) -> None:
    """What was merged into a relaxation that has itself fallen into another minimum since is merged into that."""
    tasks = {task.key.label: task for task in tasks_of(campaign, defect.label, (REFERENCE, CHECK))}
    for task in tasks.values():
        if task.state is not RelaxationState.MERGED:
            continue
        end, passed = task.reason, {task.key.label}
        while end in tasks and tasks[end].state is RelaxationState.MERGED and end not in passed:
            passed.add(end)
            end = tasks[end].reason
        if end != task.reason:
            campaign.record.finish(task.key, RelaxationState.MERGED, end, task.evaluations)
