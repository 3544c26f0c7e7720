"""Relaxation of many structures at once with a surrogate."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from ase import Atoms

from defectscout.core.errors import CalculationError
from defectscout.core.frames import Prediction, Relaxation, RelaxationState
from defectscout.relaxation.records import Checkpoint, Start
from defectscout.relaxation.settings import RelaxationSettings
from defectscout.relaxation.steps import ended, finish, next_configuration, record
from defectscout.surrogates.base import Surrogate

OnBatchStep = Callable[[Sequence[tuple[str, Checkpoint]]], None]


def relax_batch(
    surrogate: Surrogate,
    starts: Sequence[Start],
    settings: RelaxationSettings,
    on_step: OnBatchStep | None = None,
) -> tuple[Relaxation, ...]:
    """Relax positions at fixed cell, all structures together; finished ones leave the batch.

    Each structure takes the steps that ASE's FIRE would take with the same model, on
    its own: being in a batch changes nothing but the time.

    Args:
        surrogate: the force field.
        starts: structures to start or to go on from; labels must differ. Constraints are
            not kept: every atom relaxes.
        settings: criterion, step limit and FIRE's parameters.
        on_step: told the frames of each step, once for the whole batch, before the next step begins.

    Returns:
        The ends of all relaxations, in the order of `starts`. One that cannot be
        evaluated fails alone, with the reason.

    Raises:
        ValueError: if two starts have the same label.
    """
    if len({start.label for start in starts}) != len(starts):
        raise ValueError("the labels of a batch must differ")
    done: dict[str, Relaxation] = {}
    running = _sort_out(starts, settings, done)
    while running:
        following = [next_configuration(start, settings) for start in running]
        answers = _evaluate(surrogate, [atoms for atoms, _ in following])
        moved: list[Start] = []
        for start, (atoms, state), answer in zip(running, following, answers, strict=True):
            try:
                if isinstance(answer, CalculationError):
                    raise answer
                moved.append(record(start, atoms, state, answer))
            except (CalculationError, ValueError) as error:
                done[start.label] = finish(start, RelaxationState.FAILED, str(error), wasted=1)
        if on_step is not None and moved:
            on_step([(start.label, start.checkpoint) for start in moved if start.checkpoint is not None])
        running = _sort_out(moved, settings, done)
    return tuple(done[start.label] for start in starts)


def _sort_out(starts: Sequence[Start], settings: RelaxationSettings, done: dict[str, Relaxation]) -> list[Start]:
    """Those that go on; the ends of the others are put into `done`."""
    going_on = []
    for start in starts:
        end = ended(start, settings)
        if end is None:
            going_on.append(start)
        else:
            done[start.label] = end
    return going_on


def _evaluate(surrogate: Surrogate, structures: Sequence[Atoms]) -> list[Prediction | CalculationError]:
    """Predictions of all structures; an error where one alone cannot be evaluated."""
    try:
        return list(surrogate.predict(structures))
    except CalculationError as error:
        if len(structures) == 1:
            return [error]
    answers: list[Prediction | CalculationError] = []
    for atoms in structures:
        answers.extend(_evaluate(surrogate, [atoms]))
    return answers
