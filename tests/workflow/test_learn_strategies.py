"""What is asked in a round of learning: within the budget, nothing twice, the most useful first."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
from ase import Atoms
from hypothesis import given, settings
from hypothesis import strategies as st

from defectscout.core.defect import Minimum
from defectscout.core.errors import UnknownMethodError
from defectscout.core.frames import Frame, Prediction
from defectscout.minima.places import fingerprint_distances
from defectscout.minima.settings import MinimaSettings
from defectscout.workflow.learn.questions import Kind, PredictedMinimum, Question, RoundView
from defectscout.workflow.learn.settings import LearnSettings
from defectscout.workflow.learn.strategies import STRATEGIES, strategy
from defectscout.workflow.learn.strategies.along import thinned
from defectscout.workflow.learn.strategies.relaxing import FIRST_LOOK
from defectscout.workflow.learn.strategies.situation import FAR_ABOVE
from defectscout.workflow.learn.strategies.wording import free_label, within_budget
from minima.vacancy_cases import CUBIC, breathing, dimer, vacancy

DEFECT = vacancy(CUBIC)
APART = MinimaSettings()
STRUCTURES = {
    "Unperturbed": DEFECT.atoms,
    "Dimer": dimer(DEFECT),
    "Bond_Distortion_-30.0%": dimer(DEFECT, length=3.3),
    "Bond_Distortion_-60.0%": dimer(DEFECT, length=2.3),
    "Bond_Distortion_20.0%": breathing(DEFECT, 0.12),
    "Bond_Distortion_-10.0%": breathing(DEFECT, -0.15),
}
"""By the start that leads to it; all distinct by fingerprint."""


def frame(atoms: Atoms, energy: float = 0.0, step: int = 0, force: float = 0.2) -> Frame:
    forces = np.zeros((len(atoms), 3))
    forces[0, 0] = force
    return Frame(atoms, Prediction(energy, forces), step)


def path(label: str, energy: float = 0.0, steps: int = 6) -> tuple[Frame, ...]:
    """A relaxation from 0.3 Å away, whose steps shrink and whose energy falls by half an eV."""
    start = DEFECT.atoms.positions + np.random.default_rng(len(label)).normal(scale=0.3, size=(len(DEFECT.atoms), 3))
    end, frames = STRUCTURES[label].positions, []
    for step in range(steps):
        left = 0.0 if step == steps - 1 else 0.4**step
        atoms = DEFECT.atoms.copy()
        atoms.positions = end + left * (start - end)
        frames.append(frame(atoms, energy + 0.5 * left, step))
    return tuple(frames)


def predicted(
    label: str, energy: float, known_as: str = "", asked: bool = False, spread: float = 1.0, members: Sequence[str] = ()
) -> PredictedMinimum:
    return PredictedMinimum(
        Minimum(label, (label, *members), STRUCTURES[label], energy), spread, known_as=known_as, asked=asked
    )


def spread_by_distance(structures: Sequence[Atoms]) -> np.ndarray:
    """As unsure as the farthest atom is displaced."""
    return np.array([np.linalg.norm(a.positions - DEFECT.atoms.positions, axis=1).max() for a in structures])


def sure(structures: Sequence[Atoms]) -> np.ndarray:
    return np.zeros(len(structures))


EMPTY = RoundView(DEFECT, 2, (), {}, (), (), {}, spread_by_distance, None, LearnSettings())


def view(*minima: PredictedMinimum, **changes: object) -> RoundView:
    trajectories = {p.minimum.representative: path(p.minimum.representative, p.minimum.energy) for p in minima}
    ordered = tuple(sorted(minima, key=lambda p: p.minimum.energy))
    return replace(EMPTY, predicted=ordered, trajectories=trajectories, **changes)  # type: ignore[arg-type]


def kinds(questions: Sequence[Question]) -> list[tuple[str, Kind]]:
    return [(question.label, question.kind) for question in questions]


@st.composite
def views(draw: st.DrawFn) -> RoundView:
    labels = draw(st.lists(st.sampled_from(sorted(STRUCTURES)), unique=True))
    energies = st.floats(-2.0, 6.0)
    known = [label for label in labels if draw(st.booleans())]
    minima = [
        predicted(
            label,
            draw(energies),
            known_as=label if label in known else "",
            asked=draw(st.booleans()),
            spread=draw(st.sampled_from([0.01, 1.0, np.nan])),
        )
        for label in labels
    ]
    begun = draw(st.lists(st.sampled_from(sorted(STRUCTURES.keys() - set(known))), unique=True, max_size=2))
    # Every answered minimum is among the structures that were answered, as it is in the loop.
    answered = [frame(p.minimum.atoms) for p in minima if p.known_as or p.asked]
    return view(
        *minima,
        number=draw(st.integers(1, 3)),
        answered=(*answered, *(frame(STRUCTURES[label]) for label in begun)),
        found=tuple(Minimum(label, (label,), STRUCTURES[label], draw(energies)) for label in known),
        unfinished={label: frame(STRUCTURES[label], draw(energies)) for label in begun},
        spread=draw(st.sampled_from([spread_by_distance, sure, lambda structures: np.full(len(structures), np.nan)])),
        calls_left=draw(st.none() | st.integers(0, 60)),
        settings=LearnSettings(points=draw(st.integers(0, 5)), relaxations=draw(st.integers(0, 2))),
    )


@pytest.mark.parametrize("name", STRATEGIES)
@settings(max_examples=25, deadline=None, derandomize=True)
@given(seen=views())
def test_every_strategy_keeps_the_rules(name: str, seen: RoundView) -> None:
    asked = strategy(name).questions(seen)
    assert all(question.max_calls >= 1 for question in asked)
    if seen.calls_left is not None:
        assert sum(question.max_calls for question in asked) <= seen.calls_left
    assert len({question.label for question in asked}) == len(asked)
    assert all(question.max_calls == 1 for question in asked if question.kind is Kind.POINT)
    begun = [question for question in asked if question.label in seen.unfinished]
    for question in begun:
        assert question.kind is not Kind.POINT
        assert question.atoms is seen.unfinished[question.label].atoms
    new = [question for question in asked if question.label not in seen.unfinished]
    if name != "minima":
        assert sum(question.kind is not Kind.POINT for question in asked) <= seen.settings.relaxations
        assert sum(question.kind is Kind.POINT for question in asked) <= seen.settings.points
    # Nothing that is known is asked again, no point twice, and nothing that a relaxation has reached.
    closed = [minimum.atoms for minimum in seen.found] + [frame.atoms for frame in seen.unfinished.values()]
    for question in new:
        others = closed + [other.atoms for other in new if other is not question]
        if question.kind is Kind.POINT:
            others += [frame.atoms for frame in seen.answered]
        if others:
            assert fingerprint_distances(DEFECT, [question.atoms, *others], APART)[0, 1:].min() > APART.threshold


@pytest.mark.parametrize("name", STRATEGIES)
def test_nothing_left_to_ask_ends_the_loop(name: str) -> None:
    known = Minimum("Dimer", ("Dimer",), STRUCTURES["Dimer"], -1.0)
    done = view(predicted("Dimer", -1.0, known_as="Dimer"), found=(known,), spread=sure)
    assert strategy(name).questions(done) == ()
    assert strategy(name).questions(EMPTY) == ()


@pytest.mark.parametrize("name", STRATEGIES)
def test_without_calls_nothing_is_asked(name: str) -> None:
    assert strategy(name).questions(view(predicted("Dimer", -1.0), calls_left=0)) == ()
    assert strategy(name).questions(view(predicted("Dimer", -1.0), calls_left=1))[0].max_calls == 1


def test_unknown_strategy() -> None:
    with pytest.raises(UnknownMethodError, match=r"mixed, minima, uncertain, corrected"):
        strategy("greedy")


def test_mixed_asks_points_before_it_relaxes_from_an_untouched_surrogate() -> None:
    seen = view(predicted("Unperturbed", 0.0), predicted("Dimer", 0.4), number=1, spread=sure)
    expected = [("Unperturbed", Kind.POINT), ("Dimer", Kind.POINT)]
    assert kinds(strategy("mixed").questions(seen)) == expected
    asked_before = view(predicted("Unperturbed", 0.0, asked=True), predicted("Dimer", 0.4), number=1, spread=sure)
    assert kinds(strategy("mixed").questions(asked_before)) == [
        ("Unperturbed", Kind.CORRECTED),
        ("Dimer", Kind.POINT),
    ]
    certain = view(predicted("Unperturbed", 0.0), predicted("Dimer", 0.4, spread=0.05), number=1, spread=sure)
    assert kinds(strategy("mixed").questions(certain)) == [("Dimer", Kind.CORRECTED), ("Unperturbed", Kind.POINT)]


def test_mixed_relaxes_the_lowest_and_points_at_the_others() -> None:
    seen = view(predicted("Dimer", -1.0), predicted("Unperturbed", 0.0), predicted("Bond_Distortion_20.0%", 0.7))
    asked = strategy("mixed").questions(seen)
    assert kinds(asked)[:3] == [
        ("Dimer", Kind.CORRECTED),
        ("Unperturbed", Kind.POINT),
        ("Bond_Distortion_20.0%", Kind.POINT),
    ]
    assert asked[0].max_calls == FIRST_LOOK  # the networks disagree there
    agreed = view(predicted("Dimer", -1.0, spread=0.2), predicted("Unperturbed", 0.0))
    assert strategy("mixed").questions(agreed)[0].max_calls == seen.settings.relaxation_calls
    # Points are left, for structures on the way.
    assert len(asked) == 1 + seen.settings.points
    assert all("unsure by" in question.reason for question in asked[3:])


def test_mixed_asks_relaxations_alone_where_a_ground_state_was_carried_over() -> None:
    """One that was begun goes on, and one new minimum is looked at, however high it is predicted."""
    begun = {"Bond_Distortion_20.0%": frame(STRUCTURES["Bond_Distortion_20.0%"], -1.0)}
    minima = (predicted("Dimer", 1.2), predicted("Unperturbed", 1.5, spread=0.1))
    seen = view(*minima, unfinished=begun, spread=sure, carried_over=True)
    asked = strategy("mixed").questions(seen)
    assert kinds(asked) == [("Bond_Distortion_20.0%", Kind.CORRECTED), ("Dimer", Kind.CORRECTED)]
    assert [question.max_calls for question in asked] == [seen.settings.relaxation_calls, FIRST_LOOK]
    assert kinds(strategy("mixed").questions(replace(seen, calls_left=12))) == [
        ("Bond_Distortion_20.0%", Kind.CORRECTED)
    ]
    (alone,) = strategy("mixed").questions(view(minima[1], carried_over=True))
    assert (alone.kind, alone.max_calls) == (Kind.CORRECTED, seen.settings.relaxation_calls)
    assert strategy("mixed").questions(replace(EMPTY, carried_over=True)) == ()
    # A strategy that was chosen by name asks what it always asks.
    assert kinds(strategy("corrected").questions(seen)) == [("Bond_Distortion_20.0%", Kind.CORRECTED)]


def test_mixed_goes_on_before_it_begins() -> None:
    begun = {"Bond_Distortion_20.0%": frame(STRUCTURES["Bond_Distortion_20.0%"], -1.0)}
    seen = view(predicted("Dimer", -1.2), unfinished=begun, spread=sure)
    asked = strategy("mixed").questions(seen)
    assert kinds(asked) == [("Bond_Distortion_20.0%", Kind.CORRECTED), ("Dimer", Kind.POINT)]
    assert "goes on, 0.00 eV above the lowest known" in asked[0].reason
    assert "0.20 eV below the lowest known" in asked[1].reason


def test_what_is_nearly_at_rest_gives_way_to_what_lies_lower() -> None:
    def asked(force: float, *new: PredictedMinimum, number: int = 2, relaxations: int = 1) -> list[tuple[str, Kind]]:
        begun = {"Bond_Distortion_20.0%": frame(STRUCTURES["Bond_Distortion_20.0%"], -1.0, force=force)}
        chosen = LearnSettings(relaxations=relaxations)
        seen = view(*new, unfinished=begun, spread=sure, number=number, settings=chosen)
        return kinds(strategy("mixed").questions(seen))

    lower, gone_on = predicted("Dimer", -1.2), ("Bond_Distortion_20.0%", Kind.CORRECTED)
    assert asked(0.1, lower) == [("Dimer", Kind.CORRECTED)]
    assert asked(0.1, lower, relaxations=2) == [gone_on, ("Dimer", Kind.CORRECTED)]
    # Not while it moves, nor for what is no lower, or is not relaxed yet.
    assert asked(0.2, lower)[0] == gone_on
    assert asked(0.1, predicted("Dimer", -1.01))[0] == gone_on
    assert asked(0.1, lower, number=1)[0] == gone_on


def test_mixed_leaves_relaxations_above_the_window() -> None:
    begun = {"Dimer": frame(STRUCTURES["Dimer"], 0.8)}
    known = Minimum("Unperturbed", ("Unperturbed",), STRUCTURES["Unperturbed"], 0.0)
    seen = view(predicted("Unperturbed", 0.0, known_as="Unperturbed"), unfinished=begun, found=(known,), spread=sure)
    assert strategy("mixed").questions(seen) == ()
    # ... unless the surrogate says that it ends within: what it reached is asked under its label.
    there = view(
        predicted("Unperturbed", 0.0, known_as="Unperturbed"),
        replace(
            predicted("Bond_Distortion_20.0%", 0.3),
            minimum=Minimum("Bond_Distortion_20.0%", (), STRUCTURES["Dimer"], 0.3),
        ),
        unfinished=begun,
        found=(known,),
        spread=sure,
    )
    assert kinds(strategy("mixed").questions(there)) == [("Dimer", Kind.CORRECTED)]


def test_far_minima_come_last() -> None:
    far = predicted("Bond_Distortion_-60.0%", 0.2 + FAR_ABOVE)
    seen = view(predicted("Dimer", 0.0, asked=True), predicted("Unperturbed", 0.1), far)
    seen = replace(seen, settings=LearnSettings(points=4))
    asked = strategy("mixed").questions(seen)
    assert kinds(asked)[:2] == [("Dimer", Kind.CORRECTED), ("Unperturbed", Kind.POINT)]
    # Points on the way to the others come before it.
    assert asked[-1].label == far.minimum.representative
    assert "_step_" in asked[2].label
    fewer = replace(seen, settings=LearnSettings(points=2))
    assert far.minimum.representative not in {q.label for q in strategy("mixed").questions(fewer)}
    sure_of_it = strategy("mixed").questions(replace(seen, spread=sure))
    assert [question.label for question in sure_of_it] == ["Dimer", "Unperturbed", "Bond_Distortion_-60.0%"]
    assert [q.label for q in strategy("minima").questions(seen)] == ["Dimer", "Unperturbed"]


def test_mixed_asks_one_point_along_a_trajectory() -> None:
    seen = replace(view(predicted("Dimer", 0.0, asked=True)), settings=LearnSettings(points=3))
    along = [question.label for question in strategy("mixed").questions(seen) if "_step_" in question.label]
    assert len(along) == 1
    assert len(strategy("uncertain").questions(seen)) > 1


def test_the_window_widens_with_the_error_of_the_surrogate() -> None:
    """A surrogate that is 0.4 eV wrong about a minimum that is known may be as wrong about others."""
    known = Minimum("Unperturbed", ("Unperturbed",), STRUCTURES["Unperturbed"], 0.0)
    for error, expected in ((0.0, ()), (0.4, ("Dimer",))):
        seen = view(predicted("Unperturbed", error, known_as="Unperturbed"), predicted("Dimer", 0.65), found=(known,))
        assert tuple(q.label for q in strategy("minima").questions(seen)) == expected


def test_minima_shares_the_calls_that_are_left() -> None:
    seen = view(predicted("Dimer", 0.0), predicted("Unperturbed", 0.2))
    assert [q.max_calls for q in strategy("minima").questions(replace(seen, calls_left=100))] == [50, 50]
    assert [q.max_calls for q in strategy("minima").questions(replace(seen, calls_left=40))] == [40]
    assert {q.kind for q in strategy("minima").questions(seen)} == {Kind.ALONE}


def test_corrected_takes_the_lowest_at_any_height() -> None:
    seen = view(predicted("Dimer", 0.0), predicted("Unperturbed", 2.0))
    assert kinds(strategy("corrected").questions(seen)) == [("Dimer", Kind.CORRECTED)]
    two = replace(seen, settings=LearnSettings(relaxations=2))
    assert [q.label for q in strategy("corrected").questions(two)] == ["Dimer", "Unperturbed"]


def test_uncertain_points_are_unsure_and_diverse() -> None:
    seen = view(predicted("Dimer", 0.0), predicted("Unperturbed", 0.2))
    asked = strategy("uncertain").questions(seen)
    assert len(asked) == seen.settings.points
    structures = [question.atoms for question in asked]
    assert spread_by_distance(structures).min() > 0.1
    distances = fingerprint_distances(DEFECT, structures, APART)
    assert distances[np.triu_indices(len(structures), 1)].min() > APART.threshold
    # Sampling structures themselves are not among them.
    firsts = [frames[0].atoms for frames in seen.trajectories.values()]
    assert not any(atoms is first for atoms in structures for first in firsts)


def test_uncertain_keeps_away_from_what_was_answered() -> None:
    seen = view(predicted("Dimer", 0.0))
    first = strategy("uncertain").questions(seen)
    again = strategy("uncertain").questions(replace(seen, answered=tuple(frame(q.atoms) for q in first)))
    assert not {question.label for question in first} & {question.label for question in again}


def test_uncertain_relaxes_once_it_is_sure() -> None:
    seen = view(predicted("Dimer", 0.0, spread=0.05), spread=sure)
    assert kinds(strategy("uncertain").questions(seen)) == [("Dimer", Kind.CORRECTED)]


def test_frames_with_high_energy_are_not_asked() -> None:
    seen = view(predicted("Dimer", 0.0))
    high = [replace(f, prediction=replace(f.prediction, energy=50.0 - f.step)) for f in seen.trajectories["Dimer"][:-1]]
    asked = strategy("uncertain").questions(
        replace(seen, trajectories={"Dimer": (*high, seen.trajectories["Dimer"][-1])})
    )
    assert [question.atoms for question in asked] == [seen.trajectories["Dimer"][-1].atoms]


def test_a_label_of_another_relaxation_is_not_taken() -> None:
    """A question under the label of a relaxation that has been begun would go on with that one."""
    begun = {"Dimer_2": frame(STRUCTURES["Bond_Distortion_20.0%"], 5.0)}
    known = Minimum("Unperturbed", ("Unperturbed", "Dimer"), STRUCTURES["Unperturbed"], 0.5)
    seen = view(predicted("Dimer", 0.0, members=("Rattled",)), unfinished=begun, found=(known,), spread=sure)
    assert kinds(strategy("mixed").questions(seen)) == [("Rattled", Kind.CORRECTED)]
    ended = replace(seen, found=(replace(known, members=("Unperturbed", "Dimer", "Rattled")),))
    assert kinds(strategy("mixed").questions(ended)) == [("Dimer_3", Kind.CORRECTED)]


def test_a_minimum_that_a_relaxation_leads_to_goes_on_with_it() -> None:
    """The surrogate leads it from where it stands (outside the window) to a structure of another fingerprint."""
    begun = {"Dimer": frame(breathing(DEFECT, 0.05), 0.9)}
    known = Minimum("Unperturbed", ("Unperturbed",), STRUCTURES["Unperturbed"], 0.0)
    seen = view(predicted("Dimer", -0.2), unfinished=begun, found=(known,), spread=sure)
    assert kinds(strategy("mixed").questions(seen)) == [("Dimer", Kind.CORRECTED)]
    assert strategy("mixed").questions(seen)[0].atoms is begun["Dimer"].atoms
    high = view(predicted("Dimer", 0.9), unfinished=begun, found=(known,), spread=sure)
    assert strategy("mixed").questions(high) == ()


def test_free_labels() -> None:
    assert free_label(["a", "b"], []) == "a"
    assert free_label(["a", "b"], ["a"]) == "b"
    assert free_label(["a"], ["a", "a_2"]) == "a_3"


def test_budget_cuts_the_last_question() -> None:
    one = Question("a", DEFECT.atoms, Kind.CORRECTED, 12, "")
    asked = within_budget([one, replace(one, label="b")], 15)
    assert [(q.label, q.max_calls) for q in asked] == [("a", 12), ("b", 3)]
    assert len(within_budget([one, one, one], None)) == 3


def test_thinned_frames_are_evenly_spaced_along_the_path() -> None:
    frames = path("Dimer", steps=60)
    kept = thinned(frames, 4)
    assert kept[-1] is frames[-1]
    assert frames[0] not in kept
    # Steps shrink by 0.4: evenly spaced in number they would all lie within 1e-5 Å of the end.
    assert [f.step for f in kept[:-1]] == [1, 2]
    assert thinned(frames[:1], 4) == ()
    assert thinned(frames, 0) == ()
