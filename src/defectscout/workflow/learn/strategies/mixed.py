"""The default: points at new minima, and a corrected relaxation of the lowest."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from defectscout.minima.settings import MinimaSettings
from defectscout.workflow.learn.questions import Kind, PredictedMinimum, Question, RoundView
from defectscout.workflow.learn.strategies.along import unsure_points
from defectscout.workflow.learn.strategies.carried_over import CarriedOver
from defectscout.workflow.learn.strategies.relaxing import relaxations
from defectscout.workflow.learn.strategies.situation import SURE, Situation, situation
from defectscout.workflow.learn.strategies.wording import ask_at, within_budget

MOST_ALONG: Final = 1
"""Points along trajectories in a round. With three, V_Cd in CdSe spent 13 of 147 force calls on such frames 2 to 5 eV
up."""


@dataclass(frozen=True, slots=True)
class Mixed:
    """What costs least to know about most, and one relaxation.

    In this order:

    1. relaxations that have been begun and lie within the window above the lowest go on, but for one that is nearly at
       rest above what (2) would relax;
    2. the lowest new predicted minimum, if it may lie within the window, is relaxed. In the first round only
       if the reference was asked about it or the surrogate is sure of it: before that
       it is a bond as the untouched model has it, and a relaxation from there costs more calls than a point;
    3. single points at the other new minima that were not asked, the lowest first;
    4. where those are fewer than `settings.points`, a point along a trajectory where the surrogate is not sure;
    5. predicted minima far above the lowest.

    Where the lowest is what the ground state of a related host has become, it is `CarriedOver` that asks.

    Attributes:
        apart: how structures are told apart.
        sure: spread of the force up to which the surrogate counts as sure, eV/Å.
    """

    apart: MinimaSettings
    sure: float = SURE

    def questions(self, view: RoundView) -> tuple[Question, ...]:
        """The questions of a round, the most useful first."""
        if view.carried_over:
            return CarriedOver(self.apart).questions(view)
        state = situation(view, self.apart)
        asked, others = relaxations(view, state, lambda p: view.number > 1 or p.asked or p.spread <= self.sure)
        limit = len(asked) + view.settings.points
        unasked = [predicted for predicted in others if not predicted.asked]
        near = [predicted for predicted in unasked if not state.is_far(predicted)]
        _ask(view, state, near, limit, asked)
        along = min(MOST_ALONG, limit - len(asked))
        asked += unsure_points(view, state, self.apart, along, self.sure, asked)
        _ask(view, state, [predicted for predicted in unasked if state.is_far(predicted)], limit, asked)
        return within_budget(asked, view.calls_left)


def _ask(view: RoundView, state: Situation, minima: list[PredictedMinimum], limit: int, asked: list[Question]) -> None:
    ask_at(view, state, minima[: max(0, limit - len(asked))], Kind.POINT, 1, asked)
