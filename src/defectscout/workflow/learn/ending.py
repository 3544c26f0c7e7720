"""Whether the loop of a defect goes on."""

from __future__ import annotations

from dataclasses import dataclass

from defectscout.evaluation.trust import Ending
from defectscout.workflow.learn.rounds import LearnRecord
from defectscout.workflow.learn.settings import LearnSettings


@dataclass(frozen=True, slots=True)
class Spent:
    """What the loops of all defects have spent so far.

    Attributes:
        calls: force calls of the reference.
        hours: wall time.
    """

    calls: int
    hours: float


@dataclass(frozen=True, slots=True)
class Decision:
    """What comes next: another round, a check of the answer, or the end.

    Attributes:
        ending: why the loop has ended; None while it goes on.
        check: whether the answer is to be checked next.
    """

    ending: Ending | None = None
    check: bool = False


def calls_left(spent: Spent, settings: LearnSettings) -> int | None:
    """Force calls that the budget leaves; None without a limit."""
    return None if settings.max_force_calls is None else max(0, settings.max_force_calls - spent.calls)


def wanted_patience(carried_over: bool, settings: LearnSettings) -> int:
    """Rounds at the end that have to bring nothing new and lower.

    Args:
        carried_over: whether the lowest minimum is what the ground state of a related host has become.
        settings: of the loop.
    """
    return min(settings.patience, settings.related_patience) if carried_over else settings.patience


def decide(record: LearnRecord, unfinished: bool, spent: Spent, patience: int, settings: LearnSettings) -> Decision:
    """Decide after a round.

    Args:
        record: of the defect, with all its rounds answered.
        unfinished: whether a relaxation within the window of the lowest minimum has not come to its end.
        spent: by all defects.
        patience: rounds at the end that have to bring nothing new and lower.
        settings: of the loop.
    """
    budget = _budget(spent, settings)
    if not record.rounds:
        return Decision(budget)
    scouting = record.scouting_rounds
    exhausted = bool(scouting) and not scouting[-1].asked
    nothing_left = exhausted and scouting[-1] is record.rounds[-1]
    if record.is_checked:
        return Decision(Ending.NOTHING_LEFT if exhausted else Ending.QUIET)
    settled = nothing_left or record.is_half_checked or (record.quiet_rounds >= patience and not unfinished)
    if settled and not settings.checks and not settings.curvature_calls:
        return Decision(Ending.NOTHING_LEFT if nothing_left else Ending.QUIET)
    if budget is not None:
        return Decision(budget)
    if settled:
        return Decision(check=True)
    return Decision(Ending.MAX_ROUNDS if len(scouting) >= settings.max_rounds else None)


def _budget(spent: Spent, settings: LearnSettings) -> Ending | None:
    if settings.max_force_calls is not None and spent.calls >= settings.max_force_calls:
        return Ending.MAX_FORCE_CALLS
    if settings.max_hours is not None and spent.hours >= settings.max_hours:
        return Ending.MAX_HOURS
    return None
