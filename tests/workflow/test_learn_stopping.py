"""Relaxations that stop early."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from ase import Atoms
from hypothesis import given
from hypothesis import strategies as st

from defectscout.core.defect import UNPERTURBED, Defect, Minimum
from defectscout.core.frames import Frame, Prediction, RelaxationState
from defectscout.minima.settings import MinimaSettings
from defectscout.relaxation.pool import Stop
from defectscout.relaxation.settings import RelaxationSettings
from defectscout.surrogates.base import SurrogateInfo
from defectscout.workflow.learn.rounds import Asked, Round
from defectscout.workflow.learn.stopping import (
    ASTRAY,
    FAR_UP,
    HIGH,
    PAUSED,
    RIGHT_FORCE,
    RIGHT_FRAMES,
    AfterFrames,
    MergedByPrediction,
    StopAt,
    astray,
    ended_too_high,
    far_above,
    first_of,
    furthest_fall,
    lowest_known,
    merged_by_fingerprint,
    paused_at_rest,
    paused_where_wrong,
    rule_of_height,
)
from minima.vacancy_cases import breathing, dimer
from workflow.learn_rounds import asked, frame

APART = MinimaSettings()


def test_merging_needs_fingerprint_energy_and_force(defect: Defect) -> None:
    known = [Minimum("Dimer", ("Dimer",), dimer(defect), -1.0), Minimum("Twin", ("Twin",), dimer(defect), -0.7)]
    merged = merged_by_fingerprint(defect, known, APART)
    assert merged(frame(dimer(defect, (2, 3)), -1.0)) == Stop(RelaxationState.MERGED, "Dimer")
    assert merged(frame(dimer(defect, (2, 3)), -0.69)) == Stop(RelaxationState.MERGED, "Twin")
    assert merged(frame(dimer(defect), -0.85)) is None
    assert merged(frame(dimer(defect), -1.0, force=0.2)) is None
    assert merged(frame(breathing(defect), -1.0)) is None
    assert merged_by_fingerprint(defect, [], APART)(frame(dimer(defect), -1.0)) is None


class Springs:
    """A surrogate that draws every structure to the nearest of some others; each has an energy of its own."""

    def __init__(self, minima: list[tuple[Atoms, float]], error: float = 0.0) -> None:
        self.minima, self.error = minima, error
        self.info = SurrogateInfo("springs", "tests", "", "", frozenset())

    def predict(self, structures: list[Atoms]) -> list[Prediction]:
        return [self.said(atoms) for atoms in structures]

    def said(self, atoms: Atoms) -> Prediction:
        away = [atoms.positions - end.positions for end, _ in self.minima]
        nearest = int(np.argmin([np.linalg.norm(one) for one in away]))
        forces = -2.0 * away[nearest]
        forces[0, 1] += self.error
        return Prediction(float((away[nearest] ** 2).sum()) + self.minima[nearest][1], forces)


def towards(end: Atoms, distance: float, energy: float = 0.0) -> Frame:
    """What the reference says on the way there: the springs are right about its forces."""
    atoms = end.copy()
    atoms.positions[:4] += distance / 2
    said = Springs([(end, energy)]).said(atoms)
    return Frame(atoms, said, 0)


@pytest.fixture
def surrogate(defect: Defect) -> Springs:
    return Springs([(dimer(defect), 0.0), (breathing(defect), 1.0)])


RELAXATION = RelaxationSettings(force=0.01)


def by_prediction(defect: Defect, surrogate: Springs, **more: object) -> MergedByPrediction:
    known = [Minimum("Dimer", ("Dimer",), dimer(defect), -1.0)]
    highest = more.pop("highest", math.inf)
    return MergedByPrediction(surrogate, defect, known, highest, RELAXATION, APART, **more)  # type: ignore[arg-type]


def test_a_surrogate_that_is_right_about_the_path_says_where_it_ends(defect: Defect, surrogate: Springs) -> None:
    merged = by_prediction(defect, surrogate)
    said = [merged(towards(dimer(defect), 0.5 - 0.1 * step)) for step in range(RIGHT_FRAMES)]
    assert said == [None] * (RIGHT_FRAMES - 1) + [Stop(RelaxationState.MERGED, "Dimer")]


def test_a_basin_that_is_not_known_is_followed_to_its_end(defect: Defect, surrogate: Springs) -> None:
    merged = by_prediction(defect, surrogate)
    assert {merged(towards(breathing(defect), 0.5)) for _ in range(6)} == {None}


def test_ends_that_look_alike_but_differ_in_energy_are_two(defect: Defect) -> None:
    """As in merging on the reference's surface."""
    twin = dimer(defect)
    twin.positions += 0.4  # the same fingerprint; for the springs another place
    merged = by_prediction(defect, Springs([(dimer(defect), 0.0), (twin, 0.2)]))
    assert {merged(towards(twin, 0.2)) for _ in range(6)} == {None}


def test_a_surrogate_that_is_wrong_about_the_path_has_no_say(defect: Defect) -> None:
    wrong = Springs([(dimer(defect), 0.0)], error=0.2)
    merged = by_prediction(defect, wrong)
    assert {merged(towards(dimer(defect), 0.5)) for _ in range(6)} == {None}


def test_at_rest_above_what_matters_a_surrogate_need_not_be_right_about_the_path(defect: Defect) -> None:
    wrong = Springs([(dimer(defect), 0.0), (breathing(defect), 1.0)], error=0.2)
    shelf, moving = (replace(towards(dimer(defect), 0.5), prediction=said) for said in _at(defect, 2.0, 0.05, 0.2))
    over = Stop(RelaxationState.UNCONVERGED, HIGH)
    assert by_prediction(defect, wrong, highest=1.5)(shelf) == over
    assert by_prediction(defect, wrong, highest=1.5)(moving) is None
    assert by_prediction(defect, wrong, highest=2.5)(shelf) is None  # what rests there matters
    # Nor where it leads to what is not known.
    away = replace(towards(breathing(defect), 0.5), prediction=shelf.prediction)
    assert by_prediction(defect, wrong, highest=1.5)(away) is None


def _at(defect: Defect, energy: float, *forces: float) -> list[Prediction]:
    return [frame(defect.atoms, energy, force=force).prediction for force in forces]


def test_a_check_pauses_where_it_is_at_rest_and_the_surrogate_wrong(defect: Defect) -> None:
    settings = RelaxationSettings(force=0.1)

    def told(error: float, distance: float) -> Stop | None:
        surrogate = Springs([(dimer(defect), 0.0)], error)
        return paused_where_wrong(surrogate, defect.charge, settings)(towards(dimer(defect), distance))

    assert told(RIGHT_FORCE * 1.1, 0.01) == Stop(RelaxationState.RUNNING, PAUSED)
    assert told(RIGHT_FORCE * 0.9, 0.01) is None  # it may lead on
    assert told(RIGHT_FORCE * 1.1, 1.0) is None  # on the way down nobody leads


def test_an_interrupted_check_goes_on_with_what_it_knew(defect: Defect, surrogate: Springs) -> None:
    frames = [towards(dimer(defect), 0.5 - 0.1 * step) for step in range(RIGHT_FRAMES)]
    assert by_prediction(defect, surrogate, earlier=frames[:-1])(frames[-1]) is not None
    assert by_prediction(defect, surrogate, earlier=frames[1:-1])(frames[-1]) is None


def test_a_relaxation_is_over_where_the_surrogate_was_wrong_by_far() -> None:
    rule = astray(lowest=-3.0)
    near, far = path((-3.0 + FAR_UP - 0.1, 2.0), (-3.0 + FAR_UP + 0.1, 2.0))
    assert rule(near) is None
    assert rule(far) == Stop(RelaxationState.UNCONVERGED, ASTRAY)
    assert rule(replace(far, step=1)) is None  # on the way down


def test_only_a_relaxation_that_begins_ends_for_its_height() -> None:
    (high,) = path((2.0, 2.0))
    item, one = Round(3, "m", 0, (), ()), asked("reference", "Rattled_from_r3")

    def stops(item: Round, one: Asked, lowest: float) -> bool:
        rule = rule_of_height(item, one, lowest, 0.5, ())
        return rule is not None and rule(high) is not None

    assert stops(item, one, 0.0)
    assert not stops(item, replace(one, label=UNPERTURBED), 0.0)  # energy lowerings are measured from it
    assert not stops(item, replace(one, calls_before=1), 0.0)  # it has come down from there
    assert not stops(item, one, math.inf)
    assert not stops(replace(item, number=0), one, 0.0)
    check = rule_of_height(replace(item, of_check=True), one, 0.0, 0.5, ())
    assert isinstance(check, AfterFrames)
    (calm,) = path((2.0, 0.1))
    assert check.says(calm) == Stop(RelaxationState.UNCONVERGED, HIGH)


def test_how_low_there_is_something_is_told_by_relaxations_that_wait_as_well(defect: Defect) -> None:
    """In V_Cd of CdSe one that stood 3.6 eV above the carried-over ground state, which waited, took 12 force calls."""
    item = Round(1, "m", 0, (), (), lowest_before=-3.0)
    unperturbed = [Minimum(UNPERTURBED, (UNPERTURBED,), defect.atoms, 0.0)]
    assert lowest_known(item, unperturbed) == -3.0
    assert lowest_known(replace(item, lowest_before=1.0), unperturbed) == 0.0
    assert lowest_known(replace(item, lowest_before=None), unperturbed) == 0.0
    assert lowest_known(item, []) == math.inf  # single points alone lie anywhere


def test_the_first_round_pauses_sampling_structures_at_rest_and_nothing_else() -> None:
    first, down = Round(0, "", 0, (), ()), path((9.0, 2.0), (2.0, 0.1), (2.1, 0.6), (1.9, 0.14))
    rule = rule_of_height(first, asked("reference", "Dimer"), math.inf, 0.5, ())
    assert rule is not None
    told = [rule(one) for one in down]
    assert told[:3] == [None] * 3
    assert told[3] is not None
    assert told[3].state is RelaxationState.RUNNING
    assert rule_of_height(first, asked("reference", UNPERTURBED), math.inf, 0.5, ()) is None
    # An interruption forgets nothing.
    assert paused_at_rest(down[:3])(down[3]) is not None
    assert paused_at_rest(down[2:3])(down[3]) is None


def path(*points: tuple[float, float]) -> list[Frame]:
    """Frames with these energies (eV) and largest forces (eV/Å)."""
    return [frame(Atoms("H"), energy, force=force) for energy, force in points]


def test_a_check_that_cannot_come_down_far_enough_is_stopped() -> None:
    high = Stop(RelaxationState.UNCONVERGED, HIGH)
    # 2.9 eV with 0.6 eV/Å may fall below 0, 2.6 with 0.2 to 1.2; once is not enough, and trial steps do not matter.
    down = path((9.0, 0.8), (2.9, 0.6), (2.6, 0.2), (3.5, 2.0), (2.5, 0.2))
    rule = far_above(highest=1.0)
    assert [rule(one) for one in down] == [None] * 4 + [high]
    cautious = far_above(highest=1.45)
    assert [cautious(one) for one in down] == [None] * 5  # it may still fall to where it matters


@given(
    st.lists(st.tuples(st.floats(-5, 30), st.floats(0, 5)), min_size=1, max_size=20),
    st.floats(-5, 5),
)
def test_nothing_is_stopped_that_may_end_where_it_matters(points: list[tuple[float, float]], highest: float) -> None:
    """If every frame can reach `highest` with what its force may still bring, the relaxation goes on."""
    kept = [(energy, force) for energy, force in points if energy - furthest_fall(force) <= highest]
    rule = far_above(highest)
    assert all(rule(one) is None for one in path(*kept))


def test_how_far_a_relaxation_may_fall() -> None:
    assert furthest_fall(0.0) == furthest_fall(0.14) == 1.0  # on a shelf the force says nothing
    assert furthest_fall(0.3) == pytest.approx(2.1)
    assert furthest_fall(0.69) == pytest.approx(4.83)
    assert furthest_fall(0.7) == math.inf


def test_a_check_that_ends_too_high_is_over() -> None:
    rule = ended_too_high(1.0, RelaxationSettings(force=0.03))
    low, moving, high = path((0.9, 0.02), (1.1, 0.04), (1.1, 0.02))
    assert [rule(one) for one in (low, moving, high)] == [None, None, Stop(RelaxationState.UNCONVERGED, HIGH)]


def test_an_interrupted_check_goes_on_counting() -> None:
    down = path((2.0, 0.13), (1.9, 0.3), (1.85, 0.5), (1.8, 0.06))
    assert far_above(0.7, down[:-1])(down[-1]) is not None
    assert far_above(0.7, down[2:-1])(down[-1]) is None


def test_the_first_rule_that_stops_a_relaxation_counts_and_all_see_every_frame() -> None:
    seen: list[str] = []

    def rule(name: str, stops: bool) -> StopAt:
        def ask(frame: Frame) -> Stop | None:
            seen.append(name)
            return Stop(RelaxationState.MERGED, name) if stops else None

        return ask

    (one,) = path((0.0, 0.0))
    assert first_of(rule("a", False), rule("b", True), rule("c", True))(one) == Stop(RelaxationState.MERGED, "b")
    assert first_of(rule("d", False))(one) is None
    assert seen == ["a", "b", "c", "d"]
