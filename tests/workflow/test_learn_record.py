"""What the loop records of its rounds, what it reads from that, and when it ends."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from ase import Atoms
from hypothesis import given
from hypothesis import strategies as st

from conftest import model
from defectscout.core.defect import UNPERTURBED, Bond, Defect, Minimum, SamplingStructure
from defectscout.core.frames import Frame, Prediction, RelaxationState
from defectscout.evaluation.trust import Ending
from defectscout.minima.places import fingerprint_distances
from defectscout.minima.settings import MinimaSettings
from defectscout.relaxation.fire import FireState
from defectscout.relaxation.pool import Stop
from defectscout.relaxation.records import Checkpoint
from defectscout.relaxation.settings import RelaxationSettings
from defectscout.surrogates.base import SurrogateInfo
from defectscout.workflow.campaign import Campaign, open_campaign, source_of
from defectscout.workflow.learn.answering import settings_for
from defectscout.workflow.learn.candidates import leave_unfinished, record_candidates, take_up_again
from defectscout.workflow.learn.checks import by_doubt, was_led
from defectscout.workflow.learn.ending import Decision, Spent, calls_left, decide, wanted_patience
from defectscout.workflow.learn.foreseen import FORESEEN
from defectscout.workflow.learn.judging import is_news, judged, unforeseen, within_window
from defectscout.workflow.learn.questions import Kind
from defectscout.workflow.learn.rounds import (
    Asked,
    LearnRecord,
    Predicted,
    Round,
    read_records,
    write_record,
)
from defectscout.workflow.learn.scouting import Scouted
from defectscout.workflow.learn.settings import LearnSettings
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
    far_above,
    first_of,
    furthest_fall,
    lowest_known,
    merged_by_fingerprint,
    paused_at_rest,
    paused_where_wrong,
    rule_of_height,
)
from defectscout.workflow.learn.view import LEFT, found_before, is_unfinished, read_answers, round_view
from defectscout.workflow.record import TaskKey
from defectscout.workflow.settings import SearchSettings, merge
from minima.vacancy_cases import CUBIC, breathing, dimer, vacancy

APART = MinimaSettings()
SETTINGS = merge(SearchSettings(), {"strategy": "learn", "reference": {"name": model("reference")}}, "test")


@pytest.fixture(scope="module")
def defect() -> Defect:
    return vacancy(CUBIC)


@pytest.fixture
def campaign(tmp_path: Path, model_host: Path) -> Iterator[Campaign]:
    with open_campaign(tmp_path / "out", SETTINGS, source_of(str(model_host))) as campaign:
        yield campaign


def asked(stage: str, task: str, kind: Kind = Kind.CORRECTED, **more: object) -> Asked:
    plain = Asked(stage, task, task.rpartition("/")[2], (task,), kind, "asked", None, None, 0, 12)
    return replace(plain, **more)  # type: ignore[arg-type]


def rounds(kinds: str) -> tuple[Round, ...]:
    """A letter for each round: first, news, quiet, empty (nothing to ask), check, surprise, half a check (cut)."""
    one = (asked("ask", "r01/Dimer", Kind.POINT),)
    made = []
    for number, kind in enumerate(kinds):
        made.append(
            Round(
                number=number,
                model="" if kind == "f" else f"learn/v_Cd_0/round-{number:02d}",
                surrogate_calls=0,
                predicted=(),
                asked=() if kind == "e" else one,
                answered=True,
                news=kind in "fns",
                of_check=kind in "csh",
                cut=kind == "h",
            )
        )
    return tuple(made)


def record(kinds: str) -> LearnRecord:
    return LearnRecord(rounds=rounds(kinds))


LOOPS = st.text("nqecsh", max_size=8).map(lambda text: "f" + text)


# the record


def test_a_relaxation_that_goes_on_to_its_end_is_nothing_new(campaign: Campaign, defect: Defect) -> None:
    answered(campaign, defect, "reference", "Dimer_from_r1", dimer(defect), -1.1)
    first = Round(1, "m", 0, (), (asked("reference", "Dimer_from_r1"),), lowest_before=-1.0)
    assert is_news(campaign, defect, first, -1.1)
    assert not is_news(campaign, defect, first, -1.015)  # by less than counts
    assert is_news(campaign, defect, replace(first, lowest_before=None), -1.1)
    assert not is_news(campaign, defect, replace(first, lowest_before=None), None)
    (task,) = campaign.record.tasks("reference")
    frames = campaign.record.frames(task.key)
    energies = [one.prediction.energy for one in frames]
    again = replace(first, asked=(asked("reference", "Dimer_from_r1", calls_before=len(frames)),))
    lowest_before = min(energies)
    assert not is_news(campaign, defect, replace(again, lowest_before=lowest_before), lowest_before)
    on = replace(frames[-1], step=frames[-1].step + 1, prediction=replace(frames[-1].prediction, energy=-1.2))
    campaign.record.write_steps(
        [(task.key, Checkpoint(on, FireState(np.zeros((len(on.atoms), 3)), 0.1, 0.1, 0), energies[0]))], seconds=0.0
    )
    assert not is_news(campaign, defect, replace(again, lowest_before=lowest_before), -1.2)
    assert is_news(campaign, defect, replace(again, lowest_before=-1.15), -1.2)  # another one was the lowest
    assert is_news(campaign, defect, replace(again, lowest_before=lowest_before), -1.5)  # too far for its last part


def test_a_check_has_news_only_near_the_ground_state(defect: Defect) -> None:
    """A minimum high above is told, and the loop does not go on for it."""
    check = Round(5, "", 0, (), (asked("check", "Rattled", Kind.ALONE), asked("check", "-40%", Kind.ALONE)))
    found = [
        Minimum("Dimer", ("Dimer", "Rattled"), defect.atoms, -3.0),
        Minimum("-40%", ("-40%",), defect.atoms, -2.6),
        Minimum("20%", ("20%",), defect.atoms, -1.0),
    ]
    (surprise,) = unforeseen(defect, check, found, MinimaSettings())
    assert surprise.representative == "-40%"
    assert within_window([surprise], found, 0.5) == (surprise,)
    assert within_window([surprise], found, 0.3) == ()
    assert within_window([], [], 0.3) == ()


@pytest.mark.parametrize(
    ("energy", "length", "bonds", "is_one"),
    [
        (-2.995, 3.0, 1, False),
        (-3.01, 3.0, 1, False),  # lower by less than what would be news
        (-2.9, 3.0, 1, True),  # too high to be the same
        (-3.1, 3.0, 1, True),
        (-2.995, 3.0, 0, True),  # other bonds
        (-2.995, 3.3, 1, True),  # another place
    ],
)
def test_a_known_motif_that_tilts_is_no_surprise(
    defect: Defect, energy: float, length: float, bonds: int, is_one: bool
) -> None:
    check = Round(5, "", 0, (), (asked("check", "-40%", Kind.ALONE),))
    bond = Bond(("Te", "Te"), 2.7, (0, 1))
    found = [
        Minimum("Dimer", ("Dimer",), dimer(defect, length=2.7), -3.0, (bond,)),
        Minimum("-40%", ("-40%",), dimer(defect, length=length), energy, (bond,) * bonds),
    ]
    settings = MinimaSettings()
    apart = fingerprint_distances(defect, [one.atoms for one in found], settings)[0, 1]
    assert apart > settings.threshold
    surprises = unforeseen(defect, check, found, settings)
    assert [one.representative for one in surprises] == ["-40%"] * is_one


@given(LOOPS, st.sampled_from([None, *Ending]), st.floats(allow_nan=False) | st.just(float("nan")))
def test_a_record_is_read_as_it_was_written(kinds: str, ending: Ending | None, spread: float) -> None:
    from defectscout.workflow.learn.rounds import _RECORDS

    item = replace(rounds(kinds)[-1], asked=(asked("reference", "Dimer", spread=spread, predicted=-1.5),))
    predicted = (Predicted("Dimer", ("Dimer", "Rattled"), -1.5, ("S–S 2.10 Å",), ""),)
    told = replace(record(kinds), ending=ending, model="learn/v_Cd_0/final-03").with_round(
        replace(item, predicted=predicted)
    )
    again = _RECORDS.validate_json(_RECORDS.dump_json({"v_Cd_0": told}))["v_Cd_0"]
    assert repr(again) == repr(told)  # NaN is not equal to itself


def test_records_of_several_defects_stand_beside_each_other(campaign: Campaign) -> None:
    assert read_records(campaign) == {}
    write_record(campaign, "v_Cd_0", record("fn"))
    write_record(campaign, "v_Cd_-2", record("f"))
    write_record(campaign, "v_Cd_0", record("fnq"))
    assert read_records(campaign) == {"v_Cd_0": record("fnq"), "v_Cd_-2": record("f")}


def test_a_round_replaces_the_one_of_its_number() -> None:
    told = record("fn")
    done = replace(told.rounds[1], news=False)
    assert told.with_round(done).rounds == (told.rounds[0], done)
    assert len(told.with_round(replace(done, number=2)).rounds) == 3


@given(LOOPS)
def test_quiet_rounds_are_those_since_the_last_news_that_were_no_checks(kinds: str) -> None:
    since = kinds[max(kinds.rfind(letter) for letter in "fns") + 1 :]
    assert record(kinds).quiet_rounds == sum(letter in "qe" for letter in since)


@given(LOOPS)
def test_a_whole_check_is_one_that_comes_last_without_a_surprise(kinds: str) -> None:
    assert record(kinds).is_checked == kinds.endswith("c")
    trailing = len(kinds) - len(kinds.rstrip("ch"))
    assert bool(record(kinds).last_checked) == bool(trailing)


# the end


@given(
    LOOPS,
    st.booleans(),
    st.integers(0, 20),
    st.floats(0, 5),
    st.integers(1, 4),
    st.integers(1, 6),
    st.sampled_from([None, 5, 10]),
    st.sampled_from([None, 2.0]),
    st.integers(0, 2),
)
def test_the_loop_ends_when_it_should(
    kinds: str,
    unfinished: bool,
    calls: int,
    hours: float,
    patience: int,
    max_rounds: int,
    max_calls: int | None,
    max_hours: float | None,
    checks: int,
) -> None:
    settings = LearnSettings(
        patience=patience, max_rounds=max_rounds, max_force_calls=max_calls, max_hours=max_hours, checks=checks
    )
    told = record(kinds)
    decision = decide(told, unfinished, Spent(calls, hours), patience, settings)
    is_spent = (max_calls is not None and calls >= max_calls) or (max_hours is not None and hours >= max_hours)
    quiet = told.quiet_rounds >= patience and not unfinished
    settled = quiet or kinds[-1] in "eh"  # half a check is gone on with before anything else
    if decision.ending in (Ending.QUIET, Ending.NOTHING_LEFT):
        assert told.is_checked or (settled and not checks)
        assert (decision.ending is Ending.QUIET) or "e" in kinds
    if decision.check:
        assert settled
        assert not is_spent
        assert checks
    if is_spent:
        assert decision.ending is not None
    if decision.ending is Ending.MAX_ROUNDS:
        assert sum(letter in "nqe" for letter in kinds) >= max_rounds
        assert not settled
    if decision == Decision():
        assert sum(letter in "nqe" for letter in kinds) < max_rounds
        assert not told.is_checked
        assert not settled


def test_what_a_related_host_ended_in_needs_fewer_quiet_rounds(defect: Defect) -> None:
    settings = LearnSettings(patience=3, related_patience=2)
    assert (wanted_patience(True, settings), wanted_patience(False, settings)) == (2, 3)
    assert wanted_patience(True, LearnSettings(patience=1, related_patience=2)) == 1


def test_a_loop_that_has_not_begun() -> None:
    nothing = LearnRecord()
    assert decide(nothing, False, Spent(0, 0.0), 3, LearnSettings()) == Decision()
    spent = LearnSettings(max_force_calls=3)
    assert decide(nothing, False, Spent(3, 0.0), 3, spent).ending is Ending.MAX_FORCE_CALLS


@given(st.integers(0, 20), st.integers(1, 20))
def test_the_budget_is_never_below_nothing(calls: int, most: int) -> None:
    assert calls_left(Spent(calls, 0.0), LearnSettings()) is None
    left = calls_left(Spent(calls, 0.0), LearnSettings(max_force_calls=most))
    assert left == max(0, most - calls)


# what the record says of the answers


def frame(atoms: Atoms, energy: float, force: float = 0.01, step: int = 0) -> Frame:
    forces = np.zeros((len(atoms), 3))
    forces[0, 0] = force
    return Frame(atoms, Prediction(energy, forces), step)


def answered(
    campaign: Campaign,
    defect: Defect,
    stage: str,
    label: str,
    end: Atoms,
    energy: float,
    state: RelaxationState = RelaxationState.CONVERGED,
    reason: str = "",
    force: float = 0.01,
) -> None:
    """A task with one frame, at rest by default."""
    key = TaskKey(stage, defect.label, label)
    campaign.record.add_tasks(stage, defect.label, [(label, end)])
    if state is not RelaxationState.FAILED:
        zeros = np.zeros((len(end), 3))
        checkpoint = Checkpoint(frame(end, energy, force), FireState(zeros, 0.1, 0.1, 0), energy)
        campaign.record.write_steps([(key, checkpoint)], seconds=0.0)
    if state.is_finished:
        campaign.record.finish(key, state, reason, 1)


def test_answers(campaign: Campaign, defect: Defect) -> None:
    answered(campaign, defect, "reference", UNPERTURBED, breathing(defect), 0.0)
    answered(campaign, defect, "reference", "Dimer_from_r1", dimer(defect), -1.0)
    answered(campaign, defect, "check", "Rattled", dimer(defect), -1.0)
    answered(campaign, defect, "reference", "a_from_r1", dimer(defect, length=2.4), -0.2, RelaxationState.RUNNING)
    answered(campaign, defect, "reference", "b_from_r1", dimer(defect, length=2.5), 0.1, RelaxationState.FAILED)
    answered(campaign, defect, "ask", "r01/c", dimer(defect, length=3.3), 0.3)
    answered(campaign, defect, "ask", "r01/d", dimer(defect, length=3.4), 0.3, RelaxationState.FAILED)
    answers = read_answers(campaign, defect)
    assert [minimum.members for minimum in answers.found] == [("Dimer_from_r1", "Rattled"), (UNPERTURBED,)]
    assert (len(answers.frames), answers.calls) == (5, 7)
    assert (list(answers.unfinished), list(answers.ended), len(answers.refused)) == (["a_from_r1"], ["b_from_r1"], 1)
    assert (answers.lowest, answers.lowest_relaxed) == (-1.0, -1.0)
    check = Round(5, "", 0, (), (asked("check", "Rattled", Kind.ALONE),), of_check=True)
    assert [minimum.members for minimum in found_before(campaign, defect, check)] == [
        ("Dimer_from_r1",),
        (UNPERTURBED,),
    ]
    assert is_unfinished(answers, None, window=1.0)
    assert not is_unfinished(answers, None, window=0.5)


def test_a_minimum_that_was_not_relaxed_keeps_the_loop_going(campaign: Campaign, defect: Defect) -> None:
    answered(campaign, defect, "reference", UNPERTURBED, breathing(defect), 0.0)
    answers = read_answers(campaign, defect)
    minimum = Predicted("Dimer", ("Dimer",), 0.3, (), "")
    point = asked("ask", "r01/Dimer", Kind.POINT)
    last = Round(1, "m", 0, (minimum,), (point,), answered=True)
    assert is_unfinished(answers, last, window=0.5)
    assert not is_unfinished(answers, last, window=0.2)
    assert not is_unfinished(answers, replace(last, predicted=(replace(minimum, known_as=UNPERTURBED),)), window=0.5)
    assert is_unfinished(answers, replace(last, asked=()), window=0.5)
    relaxed = asked("reference", "Dimer_2_from_r1", predicted=0.3)
    assert not is_unfinished(answers, replace(last, asked=(point, relaxed)), window=0.5)


def test_a_point_below_everything_relaxed_keeps_the_loop_going(campaign: Campaign, defect: Defect) -> None:
    answered(campaign, defect, "reference", UNPERTURBED, breathing(defect), 0.0)
    answered(campaign, defect, "ask", "r01/Dimer", dimer(defect), -0.1)
    answered(campaign, defect, "ask", "r01/a", dimer(defect, length=3.3), -0.01)
    answers = read_answers(campaign, defect)
    assert answers.low_point is not None
    assert (answers.low_point.task, answers.low_point.energy) == ("r01/Dimer", -0.1)
    assert is_unfinished(answers, None, window=0.0)
    # Whatever comes of the relaxation from there settles it, and so does something lower.
    answered(campaign, defect, "reference", "Dimer_from_r2", dimer(defect), 0.0, RelaxationState.FAILED)
    assert read_answers(campaign, defect).low_point is None


def test_a_point_above_what_was_relaxed_does_not(campaign: Campaign, defect: Defect) -> None:
    answered(campaign, defect, "ask", "r01/Dimer", dimer(defect), -0.1)
    assert read_answers(campaign, defect).low_point is None  # nothing to be below of
    answered(campaign, defect, "reference", UNPERTURBED, breathing(defect), -0.11)
    assert read_answers(campaign, defect).low_point is None


def predicted_as(campaign: Campaign, defect: Defect, *minima: Minimum) -> list[tuple[str, bool]]:
    """What each is known as, and whether it was asked, in the order of the energies."""
    scouted = Scouted({}, minima, (), 0)
    answers = read_answers(campaign, defect)
    view = round_view(campaign, defect, 2, scouted, answers, lambda structures: np.zeros(len(structures)), None)
    return [(one.known_as, one.asked) for one in view.predicted]


def test_what_is_known_of_predicted_minima(campaign: Campaign, defect: Defect) -> None:
    answered(campaign, defect, "reference", UNPERTURBED, breathing(defect), 0.0)
    answered(campaign, defect, "reference", "Dimer_from_r1", dimer(defect), -1.0)
    answered(campaign, defect, "reference", "b_from_r1", dimer(defect, length=2.3), 0.1, RelaxationState.FAILED)
    answered(campaign, defect, "ask", "r01/d", dimer(defect, length=3.4), 0.3, RelaxationState.FAILED)
    home = Minimum("Dimer_from_r1", ("Dimer_from_r1",), dimer(defect), -1.1)
    alike = Minimum("Dimer", ("Dimer",), dimer(defect, (2, 3)), -1.05)
    assert predicted_as(campaign, defect, home, alike) == [("Dimer_from_r1", True)] * 2
    assert predicted_as(campaign, defect, alike) == [("Dimer_from_r1", True)]
    failed = Minimum("b", ("b",), dimer(defect, length=2.3), -0.9)
    refused = Minimum("d", ("d",), dimer(defect, length=3.4), -0.5)
    new = Minimum("n", ("n",), breathing(defect, 0.25), -0.4)
    assert predicted_as(campaign, defect, failed, refused, new) == [("b_from_r1", False), ("", True), ("", False)]


def test_two_minima_of_the_surrogate_are_two_however_alike_they_look(campaign: Campaign, defect: Defect) -> None:
    """Their energies are of one surface, and one of them is where it takes the known one."""
    answered(campaign, defect, "reference", "Dimer_from_r1", dimer(defect), -1.0)
    home = Minimum("Dimer_from_r1", ("Dimer_from_r1",), dimer(defect), -1.1)
    other = Minimum("Rattled", ("Rattled",), dimer(defect, (2, 3)), -0.8)
    assert predicted_as(campaign, defect, home, other) == [("Dimer_from_r1", True), ("", True)]


# relaxations that stop early


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
    def told(error: float, distance: float) -> Stop | None:
        surrogate = Springs([(dimer(defect), 0.0)], error)
        return paused_where_wrong(surrogate, defect.charge)(towards(dimer(defect), distance))

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
        rule = rule_of_height(item, one, lowest, 0.5, RELAXATION, ())
        return rule is not None and rule(high) is not None

    assert stops(item, one, 0.0)
    assert not stops(item, replace(one, label=UNPERTURBED), 0.0)  # energy lowerings are measured from it
    assert not stops(item, replace(one, calls_before=1), 0.0)  # it has come down from there
    assert not stops(item, one, math.inf)
    assert not stops(replace(item, number=0), one, 0.0)
    check = rule_of_height(replace(item, of_check=True), one, 0.0, 0.5, RELAXATION, ())
    assert isinstance(check, AfterFrames)
    assert check.stop == Stop(RelaxationState.UNCONVERGED, HIGH)


def test_how_low_there_is_something_is_told_by_relaxations_that_wait_as_well(defect: Defect) -> None:
    """In V_Cd of CdSe one that stood 3.6 eV above the carried-over ground state, which waited, took 12 force calls."""
    item = Round(1, "m", 0, (), (), lowest_before=-3.0)
    unperturbed = [Minimum(UNPERTURBED, (UNPERTURBED,), defect.atoms, 0.0)]
    assert lowest_known(item, unperturbed) == -3.0
    assert lowest_known(replace(item, lowest_before=1.0), unperturbed) == 0.0
    assert lowest_known(replace(item, lowest_before=None), unperturbed) == 0.0
    assert lowest_known(item, []) == math.inf  # single points alone lie anywhere


def test_the_first_round_pauses_sampling_structures_at_rest_and_nothing_else() -> None:
    first, down = Round(0, "", 0, (), ()), path((9.0, 2.0), (2.0, 0.1), (2.1, 0.6), (1.9, 0.14), (1.8, 0.04))
    rule = rule_of_height(first, asked("reference", "Dimer"), math.inf, 0.5, RELAXATION, ())
    assert rule is not None
    told = [rule(one) for one in down[:4]]
    assert told[:3] == [None] * 3
    assert told[3] is not None
    assert told[3].state is RelaxationState.RUNNING
    assert rule_of_height(first, asked("reference", UNPERTURBED), math.inf, 0.5, RELAXATION, ()) is None
    # Once is enough where the forces are small enough for an end: the next round's surrogate may know better.
    assert paused_at_rest(RELAXATION)(path((1.8, 0.009))[0]) is not None
    assert paused_at_rest(RELAXATION)(path((1.8, 0.011))[0]) is None
    # An interruption forgets nothing.
    assert paused_at_rest(RELAXATION, down[:3])(down[3]) is not None
    assert paused_at_rest(RELAXATION, down[2:3])(down[3]) is None


def path(*points: tuple[float, float]) -> list[Frame]:
    """Frames with these energies (eV) and largest forces (eV/Å)."""
    return [frame(Atoms("H"), energy, force=force) for energy, force in points]


def test_a_check_that_cannot_come_down_far_enough_is_stopped() -> None:
    high = Stop(RelaxationState.UNCONVERGED, HIGH)
    # 2.9 eV with 0.6 eV/Å may fall below 0, 2.6 with 0.2 to 1.4; once is not enough, and trial steps do not matter.
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
    assert furthest_fall(0.0) == furthest_fall(0.08) == 0.5  # on a shelf the force says nothing
    assert furthest_fall(0.3) == pytest.approx(1.8)
    assert furthest_fall(0.69) == pytest.approx(4.14)
    assert furthest_fall(0.7) == math.inf


def test_an_interrupted_check_goes_on_counting() -> None:
    down = path((2.0, 0.15), (1.9, 0.3), (1.85, 0.5), (1.8, 0.06))
    assert far_above(1.0, down[:-1])(down[-1]) is not None
    assert far_above(1.0, down[2:-1])(down[-1]) is None


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


@pytest.mark.parametrize(("reason", "foreseen"), [(HIGH, 0), (FORESEEN, 1)])
def test_what_was_stopped_far_above_is_no_minimum_and_no_candidate(
    campaign: Campaign, defect: Defect, reason: str, foreseen: int
) -> None:
    answered(campaign, defect, "reference", "Dimer", dimer(defect), -1.0)
    answered(campaign, defect, "check", "Rattled", breathing(defect), 2.0, RelaxationState.UNCONVERGED)
    (task,) = campaign.record.tasks("check")
    campaign.record.finish(task.key, RelaxationState.UNCONVERGED, reason, task.evaluations)
    questions = (asked("reference", "Dimer"), asked("check", "Rattled", Kind.ALONE))
    item = Round(1, "m", 0, (), questions, answered=True)
    write_record(campaign, defect.label, LearnRecord(rounds=(item,), ending=Ending.QUIET))
    assert [minimum.representative for minimum in read_answers(campaign, defect).found] == ["Dimer"]
    found = record_candidates(campaign, [defect])[defect.label]
    assert [candidate.label for candidate in found.candidates] == ["Dimer"]
    told = judged(campaign, defect)
    assert told is not None
    assert (told.checks, told.foreseen) == (1, foreseen)


def test_a_check_that_went_on_from_rest_was_led(campaign: Campaign, defect: Defect) -> None:
    answered(campaign, defect, "check", "Rattled", breathing(defect), 0.0, force=0.05)
    key = TaskKey("check", defect.label, "Rattled")
    assert not was_led(campaign.record.frames(key))
    (last,) = campaign.record.frames(key)
    state = FireState(np.zeros((len(last.atoms), 3)), 0.1, 0.1, 0)
    for step, force in enumerate((0.3, 0.2), start=1):
        checkpoint = Checkpoint(frame(breathing(defect), -0.1, force, step), state, 0.0)
        campaign.record.write_steps([(key, checkpoint)], seconds=0.0)
        assert was_led(campaign.record.frames(key))
    answered(campaign, defect, "check", "Dimer", dimer(defect), 0.0, force=0.3)
    assert not was_led(campaign.record.frames(TaskKey("check", defect.label, "Dimer")))


def test_checks_begin_where_the_rounds_disagreed(defect: Defect) -> None:
    def item(number: int, **energies: float) -> Round:
        minima = tuple(Predicted(label, (label,), energy, (), "") for label, energy in energies.items())
        return replace(rounds("fn")[1], number=number, predicted=minima)

    told = LearnRecord(rounds=(item(1, a=0.0, b=-1.0, c=0.5), item(2, a=0.1, b=-3.0, c=0.5)))
    starts = [SamplingStructure(label, defect.atoms) for label in "dcba"]
    assert [start.label for start in by_doubt(told, starts)] == ["b", "a", "c", "d"]
    # What the last surrogate leads b to is known: the reference has been there.
    last = replace(told.rounds[1], predicted=tuple(
        replace(minimum, known_as="b_from_r1" if minimum.label == "b" else "") for minimum in told.rounds[1].predicted
    ))  # fmt: skip
    assert [start.label for start in by_doubt(told.with_round(last), starts)] == ["a", "c", "d", "b"]
    # Te atoms 0.54 and 0.69 of the sum of their radii apart, and one sum.
    lengths = {"a": 1.5, "b": 1.9, "c": 2.76, "d": 2.76}
    crowded = [SamplingStructure(start.label, dimer(defect, length=lengths[start.label])) for start in starts]
    assert [start.label for start in by_doubt(told, crowded)] == ["c", "d", "b", "a"]


# what is left, and what an answer is made of


def test_what_is_left_can_be_taken_up_again(campaign: Campaign, defect: Defect) -> None:
    running = RelaxationState.RUNNING
    answered(campaign, defect, "reference", "a_from_r1", dimer(defect), -1.0, running, force=0.1)
    answered(campaign, defect, "check", "Rattled", dimer(defect), -0.9, running, force=0.1)
    answered(campaign, defect, "reference", "b_from_0", dimer(defect), -0.8, running)  # of another charge state
    campaign.record.add_tasks("reference", defect.label, [("c_from_r1", defect.atoms)])
    questions = (asked("reference", "a_from_r1"), asked("reference", "c_from_r1"), asked("check", "Rattled"))
    told = LearnRecord(rounds=(Round(1, "m", 0, (), questions, answered=True),), ending=Ending.MAX_FORCE_CALLS)

    def states() -> list[tuple[str, RelaxationState, str]]:
        found = [*campaign.record.tasks("reference"), *campaign.record.tasks("check")]
        return [(task.key.label, task.state, task.reason) for task in found]

    before = states()
    for _ in range(2):
        leave_unfinished(campaign, defect, told)
        assert [(label, reason) for label, _, reason in states()] == [
            ("a_from_r1", LEFT), ("b_from_0", ""), ("c_from_r1", LEFT), ("Rattled", LEFT)
        ]  # fmt: skip
    assert read_answers(campaign, defect).found == ()
    write_record(campaign, defect.label, told)
    said = judged(campaign, defect)
    assert said is not None
    assert said.checks == 0
    take_up_again(campaign, defect, told)
    assert states() == before


@pytest.mark.parametrize(("force", "calls_before", "learned"), [(0.01, 1, True), (0.1, 1, False), (0.01, 0, False)])
def test_what_was_at_rest_before_goes_on_for_less(
    campaign: Campaign, defect: Defect, force: float, calls_before: int, learned: bool
) -> None:
    """Not what stands higher on the slope, and not what came to rest in this very round."""
    answered(campaign, defect, "reference", "Dimer", dimer(defect), -1.0, RelaxationState.RUNNING, force=force)
    one = asked("reference", "Dimer", calls_before=calls_before)
    plain = campaign.settings.refinement
    promise = settings_for(campaign, one, TaskKey("reference", defect.label, "Dimer")).corrected.promise
    assert promise == (plain.corrected.promise_learned if learned else plain.corrected.promise)
    assert plain.corrected.promise_learned < plain.corrected.promise


def test_what_only_waited_to_be_confirmed_is_a_minimum(campaign: Campaign, defect: Defect) -> None:
    """A relaxation of the first round that came to rest pauses; the budget may end the loop there."""
    answered(campaign, defect, "reference", "Dimer", dimer(defect), -1.0, RelaxationState.RUNNING)
    first = Round(0, "", 0, (), (asked("reference", "Dimer"),), answered=True)
    leave_unfinished(campaign, defect, LearnRecord(rounds=(first,), ending=Ending.MAX_FORCE_CALLS))
    (task,) = campaign.record.tasks("reference")
    assert (task.state, task.reason, task.evaluations) == (RelaxationState.CONVERGED, "", 1)
    assert [minimum.representative for minimum in read_answers(campaign, defect).found] == ["Dimer"]


def test_a_check_that_failed_is_none(campaign: Campaign, defect: Defect) -> None:
    answered(campaign, defect, "reference", UNPERTURBED, breathing(defect), 0.0)
    answered(campaign, defect, "check", "Rattled", breathing(defect), 0.0)
    answered(campaign, defect, "check", "Dimer", dimer(defect), 0.0, RelaxationState.FAILED)
    questions = (asked("check", "Rattled", Kind.ALONE), asked("check", "Dimer", Kind.ALONE))
    checked = Round(2, "m", 0, (), questions, answered=True, of_check=True)
    write_record(campaign, defect.label, replace(record("fq").with_round(checked), ending=Ending.QUIET))
    said = judged(campaign, defect)
    assert said is not None
    assert (said.checks, said.rounds, said.minima) == (1, 1, 1)


def test_a_relaxation_over_several_rounds_keeps_where_it_came_from(campaign: Campaign, defect: Defect) -> None:
    """And what was predicted when it was asked for first."""
    campaign.record.add_tasks("sampling", defect.label, [("Dimer", dimer(defect)), ("Rattled", defect.atoms)])
    answered(campaign, defect, "reference", "Dimer_from_r1", dimer(defect), -1.0)
    answered(campaign, defect, "check", "Rattled", dimer(defect), -1.0, RelaxationState.MERGED, "Dimer_from_r1")
    first = asked("reference", "Dimer_from_r1", members=("Dimer",), predicted=-0.4)
    again = asked("reference", "Dimer_from_r1", calls_before=12)
    minimum = Predicted("Dimer", ("Dimer", "Dimer_from_r1"), -1.0, (), "Dimer_from_r1")
    check = asked("check", "Rattled", Kind.ALONE)
    told = LearnRecord(
        rounds=(
            Round(1, "m", 0, (), (first,), answered=True),
            Round(2, "m", 0, (minimum,), (again,), answered=True),
            Round(3, "m", 0, (), (check,), answered=True, of_check=True),
        ),
        ending=Ending.QUIET,
    )
    write_record(campaign, defect.label, told)
    (candidate,) = record_candidates(campaign, [defect])[defect.label].candidates
    assert candidate.label == "Dimer_from_r1"
    assert candidate.members == ("Dimer", "Rattled")
    assert candidate.surrogate_energy == -0.4
