"""Relaxations by the reference alone that a surrogate foresees to end too high."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import pytest
from ase import Atoms

from defectscout.core.defect import Defect
from defectscout.core.errors import CalculationError
from defectscout.core.frames import Frame, Prediction, RelaxationState
from defectscout.relaxation.pool import Stop
from defectscout.relaxation.settings import RelaxationSettings
from defectscout.surrogates.base import SurrogateInfo
from defectscout.workflow.learn.foreseen import (
    FALL_FRAMES,
    FORESEEN,
    LEAST_MARGIN,
    MARGIN_OF_FALL,
    RIGHT_FALL,
    Foresight,
    high_by_prediction,
)
from defectscout.workflow.learn.stopping import StopAt
from minima.vacancy_cases import CUBIC, dimer, vacancy

CONSTANT = 7.0
"""eV. What the surrogate's energies are off by."""

STOPPED = Stop(RelaxationState.UNCONVERGED, FORESEEN)


@dataclass(frozen=True)
class Spring:
    """A surrogate that draws every atom to where it is in `end`; it cannot evaluate what lies beyond `reach`, Å."""

    end: Atoms
    reach: float = np.inf

    @property
    def info(self) -> SurrogateInfo:
        return SurrogateInfo("spring", "tests", "", "", frozenset())

    def predict(self, structures: Sequence[Atoms]) -> list[Prediction]:
        away = [atoms.positions - self.end.positions for atoms in structures]
        if any(np.abs(one).max() > self.reach for one in away):
            raise CalculationError("too far")
        return [Prediction(CONSTANT + float((one**2).sum()), -2.0 * one) for one in away]


@pytest.fixture(scope="module")
def defect() -> Defect:
    return vacancy(CUBIC)


def on_the_way(end: Atoms, heights: Sequence[float], *, steepness: float = 1.0, ends_at: float = 2.0) -> list[Frame]:
    """What the reference says of structures these heights, eV, above `end` on the spring's surface.

    Its own surface falls `steepness` times as fast, and ends at `ends_at`, eV.
    """
    frames = []
    for step, height in enumerate(heights):
        atoms = end.copy()
        atoms.positions[0, 0] += np.sqrt(height)
        frames.append(Frame(atoms, Prediction(ends_at + steepness * height, np.zeros((len(atoms), 3))), step))
    return frames


def rule(
    defect: Defect,
    highest: float,
    surrogate: Spring | None = None,
    relaxation: RelaxationSettings = RelaxationSettings(),  # noqa: B008
    earlier: Sequence[Frame] = (),
) -> StopAt:
    foresight = Foresight(surrogate or Spring(dimer(defect)), defect.charge, relaxation)
    return high_by_prediction(foresight, highest, earlier)


FALL = (4.0, 3.0, 2.0, 1.5, 1.0, 0.8)


def told(rule: StopAt, frames: Sequence[Frame]) -> list[Stop | None]:
    return [rule(frame) for frame in frames]


def test_a_check_that_is_foreseen_to_end_too_high_is_over(defect: Defect) -> None:
    said = told(rule(defect, highest=2.0 - LEAST_MARGIN - 0.1), on_the_way(dimer(defect), FALL))
    assert said[:FALL_FRAMES] == [None] * (FALL_FRAMES - 1) + [STOPPED]


def test_the_margin_is_a_part_of_what_is_still_to_come(defect: Defect) -> None:
    high = (16.0, 12.0, 8.0, 6.0)
    margin = MARGIN_OF_FALL * high[-1]
    assert margin > LEAST_MARGIN
    frames = on_the_way(dimer(defect), high)
    assert told(rule(defect, highest=2.0 - margin - 0.1), frames)[-1] == STOPPED
    assert told(rule(defect, highest=2.0 - margin + 0.1), frames)[-1] is None


def test_a_check_that_may_end_where_it_matters_goes_on(defect: Defect) -> None:
    assert set(told(rule(defect, highest=2.0 - LEAST_MARGIN + 0.1), on_the_way(dimer(defect), FALL))) == {None}


@pytest.mark.parametrize("steepness", [1.0 + 2 * RIGHT_FALL, 1.0 - 2 * RIGHT_FALL])
def test_a_surrogate_that_is_wrong_about_the_fall_has_no_say(defect: Defect, steepness: float) -> None:
    frames = on_the_way(dimer(defect), FALL, steepness=steepness)
    assert set(told(rule(defect, highest=-9.0), frames)) == {None}


def test_on_a_shelf_no_surrogate_has_been_right(defect: Defect) -> None:
    """The reference falls by less there than the surrogate errs by, however little that is."""
    frames = on_the_way(dimer(defect), FALL)
    shelf = [replace(frame, prediction=replace(frame.prediction, energy=5.0)) for frame in frames]
    assert set(told(rule(defect, highest=-9.0), shelf)) == {None}


def test_a_surrogate_has_to_relax_to_an_end(defect: Defect) -> None:
    frames = on_the_way(dimer(defect), FALL)
    assert set(told(rule(defect, highest=-9.0, relaxation=RelaxationSettings(max_steps=1)), frames)) == {None}


def test_frames_that_the_surrogate_cannot_evaluate_begin_the_count_anew(defect: Defect) -> None:
    frames = on_the_way(dimer(defect), FALL)
    short_sighted = Spring(dimer(defect), reach=1.9)  # not the first, which lies 2 Å away
    said = told(rule(defect, highest=-9.0, surrogate=short_sighted), frames)
    assert said[: FALL_FRAMES + 1] == [None] * FALL_FRAMES + [STOPPED]


def test_an_interrupted_check_goes_on_with_what_it_knew(defect: Defect) -> None:
    frames = on_the_way(dimer(defect), FALL)[:FALL_FRAMES]
    assert rule(defect, highest=-9.0, earlier=frames[:-1])(frames[-1]) == STOPPED
    assert rule(defect, highest=-9.0, earlier=frames[1:-1])(frames[-1]) is None
