"""What the loop has relaxed with the reference, as the candidates of an answer."""

from __future__ import annotations

from collections.abc import Sequence

from defectscout.core.defect import Defect
from defectscout.core.frames import RelaxationState
from defectscout.relaxation.steps import is_met
from defectscout.workflow.campaign import Campaign
from defectscout.workflow.learn.rounds import Asked, LearnRecord, read_records, tasks_of
from defectscout.workflow.learn.view import LEFT, WITHOUT_END, sampling_members
from defectscout.workflow.record import CHECK, REFERENCE, Task
from defectscout.workflow.stages.candidates import Candidate, DefectCandidates, Origin, write_candidates
from defectscout.workflow.stages.sampling import sampling_structures


def record_candidates(campaign: Campaign, defects: Sequence[Defect]) -> dict[str, DefectCandidates]:
    """Write the relaxations of each loop down as candidates, so that answer and exports find them."""
    records = read_records(campaign)
    found = {defect.label: candidates_of_loop(campaign, defect, records[defect.label]) for defect in defects}
    write_candidates(campaign, found)
    return found


def candidates_of_loop(campaign: Campaign, defect: Defect, record: LearnRecord) -> DefectCandidates:
    """The relaxations of a loop that may have ended in a minimum, so far; nothing is written."""
    tasks = {
        task.key.label: task
        for task in tasks_of(campaign, defect.label, (REFERENCE, CHECK))
        if task.state.is_finished and task.reason not in WITHOUT_END
    }
    asked: dict[str, Asked] = {}
    for one in (one for item in record.rounds for one in item.asked if one.task in tasks):
        asked.setdefault(one.task, one)  # as it was asked for first: later rounds only go on with it
    members = _members(campaign, defect, record, tasks, asked)
    candidates = tuple(
        Candidate(label, members[label], Origin.LEARNED, one.predicted)
        for label, one in asked.items()
        if tasks[label].state is not RelaxationState.MERGED
    )
    return DefectCandidates(candidates=candidates, n_minima=len(record.last_predicted))


def _members(
    campaign: Campaign, defect: Defect, record: LearnRecord, tasks: dict[str, Task], asked: dict[str, Asked]
) -> dict[str, tuple[str, ...]]:
    """Sampling structures that led to each relaxation.

    Those that the surrogate took there when it was asked for, those that the surrogate of the last round
    takes there, and those whose own relaxations merged into it.
    """
    sampling = sampling_structures(campaign, defect)
    found = {label: list(one.members) for label, one in asked.items()}
    for minimum in record.last_predicted:
        known = _end(tasks, minimum.known_as)
        if known in found:
            found[known] += sampling_members(minimum.members, sampling)
    for label, task in tasks.items():
        if task.state is RelaxationState.MERGED and task.reason in found and label in asked:
            found[task.reason] += asked[label].members
    return {label: tuple(dict.fromkeys(labels)) for label, labels in found.items()}


def _end(tasks: dict[str, Task], label: str) -> str:
    """Where a relaxation ended: in itself, or in what it was merged into."""
    task = tasks.get(label)
    return task.reason if task is not None and task.state is RelaxationState.MERGED else label


def leave_unfinished(campaign: Campaign, defect: Defect, record: LearnRecord) -> None:
    """Mark what a loop that has ended began and does not go on with; what only waits for its next round at rest is
    converged."""
    settings = campaign.settings.refinement
    for task in _of_loop(campaign, defect, record):
        if task.state.is_finished:
            continue
        last = task.as_relaxation().final
        if last is not None and is_met(last.prediction, settings):
            campaign.record.finish(task.key, RelaxationState.CONVERGED, "", task.evaluations)
        else:
            campaign.record.finish(task.key, RelaxationState.UNCONVERGED, LEFT, task.evaluations)


def take_up_again(campaign: Campaign, defect: Defect, record: LearnRecord) -> None:
    """Undo `leave_unfinished`, for a loop that goes on."""
    for task in _of_loop(campaign, defect, record):
        if task.reason == LEFT:
            state = RelaxationState.RUNNING if task.evaluations else RelaxationState.PENDING
            campaign.record.finish(task.key, state, "", task.evaluations)


def _of_loop(campaign: Campaign, defect: Defect, record: LearnRecord) -> list[Task]:
    """The relaxations that the loop asked for; the record holds those of other charge states' structures, too."""
    asked = {(one.stage, one.task) for item in record.rounds for one in item.asked}
    tasks = tasks_of(campaign, defect.label, (REFERENCE, CHECK))
    return [task for task in tasks if (task.key.stage, task.key.label) in asked]
