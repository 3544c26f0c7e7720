"""What the record says of the answers, what is left, and what the loop's own answer is made of."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from defectscout.core.defect import UNPERTURBED, Defect, Minimum, SamplingStructure
from defectscout.core.frames import RelaxationState
from defectscout.evaluation.trust import Ending
from defectscout.relaxation.fire import FireState
from defectscout.relaxation.records import Checkpoint
from defectscout.workflow.campaign import Campaign
from defectscout.workflow.learn.candidates import leave_unfinished, record_candidates, take_up_again
from defectscout.workflow.learn.checks import by_doubt, was_led
from defectscout.workflow.learn.foreseen import FORESEEN
from defectscout.workflow.learn.judging import judged
from defectscout.workflow.learn.questions import Kind
from defectscout.workflow.learn.rounds import LearnRecord, Predicted, Round, write_record
from defectscout.workflow.learn.scouting import Scouted
from defectscout.workflow.learn.stopping import HIGH
from defectscout.workflow.learn.view import LEFT, found_before, is_unfinished, read_answers, round_view
from defectscout.workflow.record import TaskKey
from minima.vacancy_cases import breathing, dimer
from workflow.learn_rounds import answered, asked, frame, record, rounds


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
    answered(campaign, defect, "check", "Rattled", breathing(defect), 0.0, force=0.02)
    key = TaskKey("check", defect.label, "Rattled")
    assert not was_led(campaign.record.frames(key), campaign.settings.refinement)
    (last,) = campaign.record.frames(key)
    state = FireState(np.zeros((len(last.atoms), 3)), 0.1, 0.1, 0)
    for step, force in enumerate((0.3, 0.2), start=1):
        checkpoint = Checkpoint(frame(breathing(defect), -0.1, force, step), state, 0.0)
        campaign.record.write_steps([(key, checkpoint)], seconds=0.0)
        assert was_led(campaign.record.frames(key), campaign.settings.refinement)
    answered(campaign, defect, "check", "Dimer", dimer(defect), 0.0, force=0.3)
    assert not was_led(campaign.record.frames(TaskKey("check", defect.label, "Dimer")), campaign.settings.refinement)


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
