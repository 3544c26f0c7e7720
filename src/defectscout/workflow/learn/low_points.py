"""Relaxations from single points that lie below everything that was relaxed."""

from __future__ import annotations

from collections.abc import Sequence

from defectscout.core.defect import SamplingStructure
from defectscout.minima.settings import MinimaSettings
from defectscout.workflow.learn.questions import Kind, Question, RoundView
from defectscout.workflow.learn.rounds import LearnRecord
from defectscout.workflow.learn.scouting import ASKED_DISTANCE, nearest_fingerprint
from defectscout.workflow.learn.strategies.wording import free_label, within_budget
from defectscout.workflow.learn.view import LowPoint, sampling_members
from defectscout.workflow.record import ASK


def with_low_point(
    view: RoundView,
    questions: Sequence[Question],
    point: LowPoint | None,
    record: LearnRecord,
    sampling: Sequence[SamplingStructure],
    apart: MinimaSettings,
) -> tuple[Question, ...]:
    """The questions of a round, with a relaxation from a single point that lies below everything that was relaxed.

    It comes first, in place of relaxations that would be begun elsewhere; if one of those stands where the point does,
    by fingerprint, that one will do.

    Args:
        view: the round.
        questions: what the strategy asks.
        point: the lowest such point; None if there is none.
        record: of the loop, which holds what the point was asked for.
        sampling: the sampling structures.
        apart: how structures are told apart.
    """
    if point is None:
        return tuple(questions)
    relaxed = [question.atoms for question in questions if question.kind is not Kind.POINT]
    distances, _ = nearest_fingerprint(view.defect, [point.atoms], relaxed, apart)
    if distances[0] <= ASKED_DISTANCE * apart.threshold:
        return tuple(questions)
    others = [question for question in questions if question.kind is Kind.POINT or question.label in view.unfinished]
    asked_as = {(one.stage, one.task): one for item in record.rounds for one in item.asked}[ASK, point.task]
    taken = {question.label for question in others} | view.unfinished.keys()
    taken |= {label for minimum in view.found for label in (minimum.representative, *minimum.members)}
    label = free_label((*sampling_members(asked_as.members, sampling), asked_as.label), taken)
    reason = "a single point there lies below everything that was relaxed"
    first = Question(label, point.atoms, Kind.CORRECTED, view.settings.relaxation_calls, reason)
    return within_budget([first, *others], view.calls_left)
