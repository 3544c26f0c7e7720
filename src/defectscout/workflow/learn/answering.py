"""The reference answers the questions of a round."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from ase import Atoms

from defectscout.core.defect import Defect
from defectscout.core.frames import Relaxation, RelaxationState
from defectscout.core.progress import Progress
from defectscout.relaxation.pool import ReferenceJob, relax_with_reference
from defectscout.relaxation.process import available_cores
from defectscout.relaxation.records import Checkpoint
from defectscout.relaxation.settings import RelaxationSettings
from defectscout.relaxation.steppers import AloneStepper, CorrectedStepper, FireStepper, Stepper
from defectscout.surrogates.base import Surrogate
from defectscout.surrogates.charge import AtCharge
from defectscout.workflow.campaign import Campaign
from defectscout.workflow.learn.confirming import for_confirmation, looking_farther
from defectscout.workflow.learn.questions import CONFIRMED, DESCENDED, Kind, Question
from defectscout.workflow.learn.rounds import Asked, Round, tasks_of
from defectscout.workflow.learn.stopping import StopAt
from defectscout.workflow.record import ASK, CHECK, REFERENCE, Task, TaskKey
from defectscout.workflow.stages.clocks import Clocks

STAGE = "asking"


def task_of(question: Question, number: int, unfinished: Mapping[str, object], *, of_check: bool) -> tuple[str, str]:
    """Stage and label of the task that answers a question."""
    if question.kind.is_one_call:
        return ASK, f"r{number:02d}/{question.label}"
    if question.kind is Kind.CONFIRM:
        return REFERENCE, f"{question.label}{CONFIRMED}"
    if question.kind is Kind.DESCEND:
        return REFERENCE, f"{question.label}{DESCENDED}"
    if question.label in unfinished:
        return REFERENCE, question.label
    if of_check:
        return CHECK, question.label
    return REFERENCE, question.label if number == 0 else f"{question.label}_from_r{number}"


def add_tasks(campaign: Campaign, defect: Defect, asked: Sequence[Asked], structures: Mapping[str, Atoms]) -> None:
    """Add what answers the questions to the record; tasks that go on are there already.

    Args:
        campaign: the open campaign.
        defect: which one.
        asked: the questions.
        structures: the structure of each, by its label.
    """
    for item in asked:
        campaign.record.add_tasks(item.stage, defect.label, [(item.task, structures[item.label])])


def answer_round(
    campaign: Campaign,
    defect: Defect,
    item: Round,
    surrogate: Callable[[Asked], Surrogate],
    stop: Callable[[Asked], StopAt | None],
    progress: Progress,
) -> None:
    """Have the reference answer what is still open of a round's questions, several at once.

    Args:
        campaign: the open campaign.
        defect: which one.
        item: the round.
        surrogate: for a question, what proposes the steps of its relaxation.
        stop: for a question, what tells that its relaxation need not go on.
        progress: told about force calls.
    """
    tasks = {(task.key.stage, task.key.label): task for task in tasks_of(campaign, defect.label)}
    settings = campaign.settings.refinement
    jobs, keys = [], {}
    for one in item.asked:
        task = tasks[one.stage, one.task]
        if task.state.is_finished:
            continue
        # None may be left where a kill came between the last frame and the end: then only the end is told.
        left = max(0, one.max_calls - (task.evaluations - one.calls_before))
        label = f"{one.stage}/{one.task}"
        keys[label] = task.key
        jobs.append(
            ReferenceJob(
                label=label,
                atoms=task.start,
                charge=defect.charge,
                checkpoint=task.checkpoint or _known_before(one, tasks, settings),
                stepper=_stepper(settings, one, surrogate, defect.charge),
                max_calls=left,
                stop=stop(one),
            )
        )
    if not jobs:
        return
    total = sum(one.max_calls for one in item.asked)
    progress.stage(STAGE, total)
    keeper = _Keeper(campaign, keys, total, progress)
    relax_with_reference(
        campaign.settings.reference.name,
        jobs,
        campaign.settings.refinement,
        workers=campaign.settings.reference.workers,
        on_step=keeper.step,
        on_finish=keeper.finish,
    )
    progress.finish(STAGE)


def _known_before(one: Asked, tasks: Mapping[tuple[str, str], Task], settings: RelaxationSettings) -> Checkpoint | None:
    """What a relaxation knows before its first frame."""
    if one.kind is not Kind.CONFIRM:
        return None
    origin = next(tasks[stage, one.label] for stage in (REFERENCE, CHECK) if (stage, one.label) in tasks)
    return looking_farther(origin, settings)


def _stepper(settings: RelaxationSettings, one: Asked, surrogate: Callable[[Asked], Surrogate], charge: int) -> Stepper:
    if one.kind.is_one_call:
        return FireStepper(settings.model_copy(update={"max_steps": 0}))
    if one.kind.goes_on:
        return CorrectedStepper(for_confirmation(settings), AtCharge(surrogate(one), charge))
    if one.kind is Kind.CORRECTED:
        return CorrectedStepper(settings, AtCharge(surrogate(one), charge))
    return AloneStepper(settings, AtCharge(surrogate(one), charge))


class _Keeper:
    """Writes each frame to the record before the next step begins."""

    def __init__(self, campaign: Campaign, keys: Mapping[str, TaskKey], total: int, progress: Progress) -> None:
        self._campaign = campaign
        self._keys = keys
        self._total = total
        self._progress = progress
        self._done = 0
        self._clocks = Clocks(campaign.settings.reference.workers or available_cores())

    def step(self, label: str, checkpoint: Checkpoint) -> None:
        key = self._keys[label]
        self._campaign.record.write_steps([(key, checkpoint)], seconds=self._clocks.step(label))
        self._done += 1
        frame = checkpoint.frame
        detail = f"{key.defect} {key.label}, step {frame.step}, {frame.prediction.fmax:.2f} eV/Å"
        self._progress.advance(STAGE, min(self._done, self._total), detail)

    def finish(self, relaxation: Relaxation) -> None:
        self._clocks.finish(relaxation.label)
        key = self._keys[relaxation.label]
        state, reason = relaxation.state, relaxation.reason
        if key.stage == ASK and state is RelaxationState.UNCONVERGED:
            state, reason = RelaxationState.CONVERGED, ""  # a single point is done when it has its one frame
        self._campaign.record.finish(key, state, reason, relaxation.n_evaluations)
        if state is RelaxationState.FAILED:
            self._progress.warn(f"{key.defect} {key.label}: the reference failed: {reason}")
