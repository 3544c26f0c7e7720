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
from defectscout.relaxation.steps import is_met
from defectscout.surrogates.base import Surrogate
from defectscout.surrogates.charge import AtCharge
from defectscout.workflow.campaign import Campaign
from defectscout.workflow.learn.questions import Kind, Question
from defectscout.workflow.learn.rounds import Asked, Round
from defectscout.workflow.learn.stopping import StopAt
from defectscout.workflow.record import ASK, CHECK, REFERENCE, TaskKey
from defectscout.workflow.stages.clocks import Clocks

STAGE = "asking"


def task_of(question: Question, number: int, unfinished: Mapping[str, object], *, of_check: bool) -> tuple[str, str]:
    """Stage and label of the task that answers a question."""
    if question.kind is Kind.POINT:
        return ASK, f"r{number:02d}/{question.label}"
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
    tasks = {(task.key.stage, task.key.label): task for stage in {one.stage for one in item.asked}
             for task in campaign.record.tasks(stage, defect.label)}  # fmt: skip
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
                checkpoint=task.checkpoint,
                stepper=_stepper(settings_for(campaign, one, task.key), one, surrogate, defect.charge),
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


def settings_for(campaign: Campaign, one: Asked, key: TaskKey) -> RelaxationSettings:
    """How a relaxation ends: one that was at rest when this round began needs less of a reason to go on.

    The surrogate has learned from its frames since, so that a smaller promise is worth a force call.
    """
    settings = campaign.settings.refinement
    if not one.calls_before:
        return settings
    before = campaign.record.frames(key)[: one.calls_before]
    if not before or not is_met(before[-1].prediction, settings):
        return settings
    corrected = settings.corrected.model_copy(update={"promise": settings.corrected.promise_learned})
    return settings.model_copy(update={"corrected": corrected})


def _stepper(settings: RelaxationSettings, one: Asked, surrogate: Callable[[Asked], Surrogate], charge: int) -> Stepper:
    if one.kind is Kind.POINT:
        return FireStepper(settings.model_copy(update={"max_steps": 0}))
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
