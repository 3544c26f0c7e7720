"""What the loop records of its rounds, and when it ends."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from defectscout.core.defect import Bond, Defect, Minimum
from defectscout.evaluation.trust import Ending
from defectscout.minima.places import fingerprint_distances
from defectscout.minima.settings import MinimaSettings
from defectscout.relaxation.fire import FireState
from defectscout.relaxation.records import Checkpoint
from defectscout.workflow.campaign import Campaign
from defectscout.workflow.learn.ending import Decision, Spent, calls_left, decide, wanted_patience
from defectscout.workflow.learn.judging import is_news, unforeseen, within_window
from defectscout.workflow.learn.questions import Kind
from defectscout.workflow.learn.rounds import LearnRecord, Predicted, Round, read_records, write_record
from defectscout.workflow.learn.settings import LearnSettings
from minima.vacancy_cases import dimer
from workflow.learn_rounds import LOOPS, answered, asked, record, rounds


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
