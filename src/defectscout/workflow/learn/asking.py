"""The questions of a round as they are recorded."""

from __future__ import annotations

from collections.abc import Sequence

from defectscout.workflow.learn.answering import task_of
from defectscout.workflow.learn.confirming import led_by
from defectscout.workflow.learn.learner import Learner
from defectscout.workflow.learn.questions import PredictedMinimum, Question, RoundView
from defectscout.workflow.learn.rounds import Asked, LearnRecord, tasks_of
from defectscout.workflow.learn.view import sampling_members


def asked_of(
    learner: Learner,
    record: LearnRecord,
    questions: Sequence[Question],
    number: int,
    view: RoundView | None,
    *,
    of_check: bool = False,
) -> tuple[Asked, ...]:
    """What is recorded of the questions of a round.

    Args:
        learner: whose loop it is.
        record: of the rounds before.
        questions: what is asked.
        number: of the round.
        view: what was known when they were chosen; None where no surrogate scouted.
        of_check: whether the round checks the answer.
    """
    unfinished = view.unfinished if view is not None else {}
    tasks = tasks_of(learner.campaign, learner.defect.label)
    spent = {(task.key.stage, task.key.label): task.evaluations for task in tasks}
    asked = []
    for question in questions:
        stage, task = task_of(question, number, unfinished, of_check=of_check)
        minimum = _predicted_at(view, question)
        asked.append(
            Asked(
                stage=stage,
                task=task,
                label=question.label,
                members=_members(learner, record, question, minimum),
                kind=question.kind,
                reason=question.reason,
                predicted=minimum.minimum.energy if minimum else None,
                spread=minimum.spread if minimum else None,
                calls_before=spent.get((stage, task), 0),
                max_calls=question.max_calls,
            )
        )
    return tuple(asked)


def _members(
    learner: Learner, record: LearnRecord, question: Question, minimum: PredictedMinimum | None
) -> tuple[str, ...]:
    if question.kind.is_of_lowest:
        return led_by(record, question.label)
    return sampling_members(minimum.minimum.members, learner.starts) if minimum else (question.label,)


def _predicted_at(view: RoundView | None, question: Question) -> PredictedMinimum | None:
    """The predicted minimum whose very structure is asked about."""
    if view is None:
        return None
    return next((one for one in view.predicted if one.minimum.atoms == question.atoms), None)
