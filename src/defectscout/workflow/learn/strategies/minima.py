"""Relax each new predicted minimum with the reference alone."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

from defectscout.minima.settings import MinimaSettings
from defectscout.workflow.learn.questions import Kind, Question, RoundView
from defectscout.workflow.learn.strategies.situation import situation
from defectscout.workflow.learn.strategies.wording import ask_at, going_on, within_budget

ALONE_CALLS: Final = 400
"""Force calls of a relaxation without surrogate: the step limit of relaxations."""
FEWEST_CALLS: Final = 30
"""Force calls that it is worth beginning one with; where fewer are left for each, fewer are begun."""


@dataclass(frozen=True, slots=True)
class Minima:
    """New predicted minima within the window (and the surrogate's error) of the lowest, relaxed by the reference.

    Attributes:
        apart: how structures are told apart.
    """

    apart: MinimaSettings

    def questions(self, view: RoundView) -> tuple[Question, ...]:
        """Relaxations that have been begun, then new ones, the lowest first."""
        state = situation(view, self.apart)
        asked = going_on(view, state, Kind.ALONE, ALONE_CALLS)
        ask_at(view, state, filter(state.is_within, state.new), Kind.ALONE, ALONE_CALLS, asked)
        return _shared(asked, view.calls_left)


def _shared(questions: list[Question], calls_left: int | None) -> tuple[Question, ...]:
    """Calls left are shared out evenly: a single relaxation could use them all up."""
    if calls_left is None or not questions:
        return tuple(questions)
    served = max(1, min(len(questions), calls_left // FEWEST_CALLS))
    share = max(1, calls_left // served)
    shares = [replace(question, max_calls=min(question.max_calls, share)) for question in questions[:served]]
    return within_budget(shares, calls_left)
