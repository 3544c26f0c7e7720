"""Strategies: what the learning loop asks the reference in a round."""

from __future__ import annotations

from defectscout.core.errors import UnknownMethodError
from defectscout.minima.settings import MinimaSettings
from defectscout.workflow.learn.questions import Strategy
from defectscout.workflow.learn.strategies.corrected import Corrected
from defectscout.workflow.learn.strategies.minima import Minima
from defectscout.workflow.learn.strategies.mixed import Mixed
from defectscout.workflow.learn.strategies.uncertain import Uncertain

__all__ = ["STRATEGIES", "Corrected", "Minima", "Mixed", "Uncertain", "strategy"]

STRATEGIES = ("mixed", "minima", "uncertain", "corrected")
"""Names, the default first."""


def strategy(name: str, minima: MinimaSettings | None = None) -> Strategy:
    """The strategy of a name (`LearnSettings.ask`).

    Args:
        name: one of `STRATEGIES`.
        minima: how structures are told apart; None for the defaults.

    Raises:
        UnknownMethodError: for any other name.
    """
    apart = minima or MinimaSettings()
    match name:
        case "mixed":
            return Mixed(apart)
        case "minima":
            return Minima(apart)
        case "uncertain":
            return Uncertain(apart)
        case "corrected":
            return Corrected(apart)
    raise UnknownMethodError(f"There is no strategy '{name}' (ask). Choose one of: {', '.join(STRATEGIES)}.")
