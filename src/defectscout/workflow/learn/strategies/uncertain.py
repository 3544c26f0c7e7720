"""Single points where the surrogate is least sure."""

from __future__ import annotations

from dataclasses import dataclass

from defectscout.minima.settings import MinimaSettings
from defectscout.workflow.learn.questions import Question, RoundView
from defectscout.workflow.learn.strategies.along import unsure_points
from defectscout.workflow.learn.strategies.relaxing import relaxations
from defectscout.workflow.learn.strategies.situation import SURE, situation
from defectscout.workflow.learn.strategies.wording import within_budget


@dataclass(frozen=True, slots=True)
class Uncertain:
    """Points along trajectories by spread and diversity; the lowest minimum is relaxed once the surrogate is sure.

    Attributes:
        apart: how structures are told apart.
        sure: spread of the force up to which it is, eV/Å. A minimum that the reference was asked
            about counts as sure: tuning on the answer kept it.
    """

    apart: MinimaSettings
    sure: float = SURE

    def questions(self, view: RoundView) -> tuple[Question, ...]:
        """Corrected relaxations, then points, the least sure first."""
        state = situation(view, self.apart)
        asked, _ = relaxations(view, state, lambda predicted: predicted.asked or predicted.spread <= self.sure)
        asked += unsure_points(view, state, self.apart, view.settings.points, self.sure, asked)
        return within_budget(asked, view.calls_left)
