"""The corrected relaxations of a round in which single points are asked as well."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

from defectscout.workflow.learn.questions import Kind, PredictedMinimum, Question, RoundView
from defectscout.workflow.learn.stopping import NEARLY_AT_REST
from defectscout.workflow.learn.strategies.situation import Situation
from defectscout.workflow.learn.strategies.wording import ask_at, going_on
from defectscout.workflow.learn.view import LOWER

DOUBTFUL: Final = 0.3
"""eV/Å. Where networks of different rounds disagree by more than this on a force, a minimum may not be one: in V_Cd
of CdSe one that was predicted 0.15 eV above the lowest was 4.9 eV above it."""

FIRST_LOOK: Final = 2
"""Force calls that such a minimum gets; in the next round the relaxation goes on, if it is still worth it."""


def relaxations(
    view: RoundView, state: Situation, is_ready: Callable[[PredictedMinimum], bool]
) -> tuple[list[Question], tuple[PredictedMinimum, ...]]:
    """Go on with what has been begun; with what is left of `settings.relaxations`, begin the lowest new minima.

    What is nearly at rest gives way to new minima that are predicted to lie lower: the last digits of its energy matter
    only if they do not.

    Args:
        view: the round.
        state: what is new and what has been begun.
        is_ready: whether a predicted minimum is trusted enough to relax from it.

    Returns:
        The questions, and the new minima that were not chosen.
    """
    most, calls = view.settings.relaxations, view.settings.relaxation_calls
    ready = [predicted for predicted in state.new if state.is_within(predicted) and is_ready(predicted)]
    begun = going_on(view, state, Kind.CORRECTED, calls)
    giving_way = [question for question in begun if _gives_way(view, question.label, ready)]
    asked = [question for question in begun if question not in giving_way][:most]
    chosen = ready[: max(0, most - len(asked))]
    asked += giving_way[: max(0, most - len(asked) - len(chosen))]
    ask_at(view, state, chosen, Kind.CORRECTED, lambda new: first_calls(new, calls), asked)
    return asked, tuple(predicted for predicted in state.new if not any(predicted is other for other in chosen))


def first_calls(predicted: PredictedMinimum, calls: int) -> int:
    """Force calls of a relaxation in the round that begins it: `calls`, or fewer where the minimum is doubtful."""
    return calls if predicted.asked or predicted.spread <= DOUBTFUL else min(FIRST_LOOK, calls)


def _gives_way(view: RoundView, label: str, ready: Sequence[PredictedMinimum]) -> bool:
    """Whether a relaxation is nearly at rest above the lowest new minimum."""
    stands = view.unfinished[label].prediction
    return stands.fmax < NEARLY_AT_REST and any(one.minimum.energy < stands.energy - LOWER for one in ready[:1])
