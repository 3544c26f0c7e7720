"""Questions from structures: labels, budgets, reasons."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace

from defectscout.core.defect import Minimum
from defectscout.workflow.learn.questions import Kind, PredictedMinimum, Question, RoundView
from defectscout.workflow.learn.strategies.situation import Situation


def going_on(view: RoundView, state: Situation, kind: Kind, max_calls: int, most: int | None = None) -> list[Question]:
    """Go on with relaxations that have been begun, the lowest first.

    Args:
        view: the round.
        state: which are worth it.
        kind: how.
        max_calls: force calls of each.
        most: how many at most; None for all.
    """
    return [
        Question(
            label=label,
            atoms=view.unfinished[label].atoms,
            kind=kind,
            max_calls=max_calls,
            reason=f"goes on, {state.height(view.unfinished[label].prediction.energy)}, largest force "
            f"{view.unfinished[label].prediction.fmax:.2f} eV/Å",
        )
        for label in state.going_on[:most]
    ]


def ask_at(
    view: RoundView,
    state: Situation,
    minima: Iterable[PredictedMinimum],
    kind: Kind,
    max_calls: int | Callable[[PredictedMinimum], int],
    asked: list[Question],
) -> None:
    """Add questions about predicted minima to those of a round.

    Args:
        view: the round.
        state: what their energies are compared with.
        minima: the minima.
        kind: how they are asked.
        max_calls: force calls that each may take.
        asked: the questions of this round so far, whose labels are taken.
    """
    for predicted in minima:
        calls = max_calls if isinstance(max_calls, int) else max_calls(predicted)
        asked.append(_at_minimum(view, state, predicted, kind, calls, asked))


def _at_minimum(
    view: RoundView,
    state: Situation,
    predicted: PredictedMinimum,
    kind: Kind,
    max_calls: int,
    asked: Sequence[Question],
) -> Question:
    taken = {question.label for question in asked} | view.unfinished.keys()
    if kind is not Kind.POINT:
        # A relaxation of this label may have ended; a record of both under one name would be of neither.
        taken |= {label for minimum in view.found for label in (minimum.representative, *minimum.members)}
    return Question(
        label=free_label(_labels(predicted.minimum), taken),
        atoms=predicted.minimum.atoms,
        kind=kind,
        max_calls=max_calls,
        reason=f"new surrogate minimum, {state.height(predicted.minimum.energy)}",
    )


def free_label(wanted: Sequence[str], taken: Iterable[str]) -> str:
    """The first of `wanted` that is not taken; if all are, the first one with the least number behind it from 2 on."""
    used = set(taken)
    for label in wanted:
        if label not in used:
            return label
    number = 2
    while f"{wanted[0]}_{number}" in used:
        number += 1
    return f"{wanted[0]}_{number}"


def within_budget(questions: Sequence[Question], calls_left: int | None) -> tuple[Question, ...]:
    """As many of the questions, from the first on, as the calls left allow.

    The last one may get fewer calls than it asked for: a relaxation goes on later.
    """
    if calls_left is None:
        return tuple(questions)
    kept: list[Question] = []
    for question in questions:
        if calls_left <= 0:
            break
        kept.append(replace(question, max_calls=min(question.max_calls, calls_left)))
        calls_left -= kept[-1].max_calls
    return tuple(kept)


def _labels(minimum: Minimum) -> tuple[str, ...]:
    return (minimum.representative, *(label for label in minimum.members if label != minimum.representative))
