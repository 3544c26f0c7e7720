"""What is asked where the lowest minimum is what the ground state of a related host has become."""

from __future__ import annotations

from dataclasses import dataclass

from defectscout.minima.settings import MinimaSettings
from defectscout.workflow.learn.questions import Kind, Question, RoundView
from defectscout.workflow.learn.strategies.relaxing import first_calls
from defectscout.workflow.learn.strategies.situation import situation
from defectscout.workflow.learn.strategies.wording import ask_at, going_on, within_budget


@dataclass(frozen=True, slots=True)
class CarriedOver:
    """Relaxations alone, with no single points beside them.

    The surrogate has learned on the related host what bonds are like. What it still gets wrong is single minima, and a
    relaxation from a wrong one ends with its first frame (`stopping.astray`), from which it learns as much as from a
    point. Every round goes on with what has been begun and looks at one new minimum, however high it is predicted, so
    that no round is quiet because nothing was asked.

    Attributes:
        apart: how structures are told apart.
    """

    apart: MinimaSettings

    def questions(self, view: RoundView) -> tuple[Question, ...]:
        """The relaxations of a round."""
        state = situation(view, self.apart)
        most, calls = view.settings.relaxations, view.settings.relaxation_calls
        asked = going_on(view, state, Kind.CORRECTED, calls, most)
        ask_at(view, state, state.new[:most], Kind.CORRECTED, lambda new: first_calls(new, calls), asked)
        return within_budget(asked, view.calls_left)
