"""Corrected relaxations alone."""

from __future__ import annotations

from dataclasses import dataclass

from defectscout.minima.settings import MinimaSettings
from defectscout.workflow.learn.questions import Kind, Question, RoundView
from defectscout.workflow.learn.strategies.situation import situation
from defectscout.workflow.learn.strategies.wording import ask_at, going_on, within_budget


@dataclass(frozen=True, slots=True)
class Corrected:
    """Corrected relaxations of the lowest new predicted minima, `settings.relaxations` in a round.

    Those that have been begun come first. A new minimum is begun at whatever height the surrogate puts
    it, since nothing else is asked that could tell; one that then lies above the window is not gone on with.

    Attributes:
        apart: how structures are told apart.
    """

    apart: MinimaSettings

    def questions(self, view: RoundView) -> tuple[Question, ...]:
        """The relaxations of a round."""
        state = situation(view, self.apart)
        most, calls = view.settings.relaxations, view.settings.relaxation_calls
        asked = going_on(view, state, Kind.CORRECTED, calls, most)
        ask_at(view, state, state.new[: max(0, most - len(asked))], Kind.CORRECTED, calls, asked)
        return within_budget(asked, view.calls_left)
