"""Whether the lowest minimum stands on the slope of a soft valley."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from ase import Atoms

from defectscout.core.defect import UNPERTURBED, Defect
from defectscout.core.frames import Frame, Prediction, RelaxationState
from defectscout.relaxation.corrected import CorrectedState, corrected_init
from defectscout.relaxation.pool import Stop
from defectscout.relaxation.records import Checkpoint
from defectscout.relaxation.settings import RelaxationSettings
from defectscout.surrogates.base import SurrogateInfo
from defectscout.workflow.campaign import Campaign
from defectscout.workflow.learn.confirming import (
    LEFT_MINIMUM,
    UNFOUNDED,
    confirmation,
    has_left,
    over_where_unfounded,
    paused_where_left,
    settle,
)
from defectscout.workflow.learn.judging import unforeseen
from defectscout.workflow.learn.questions import CONFIRMED, Kind, Question
from defectscout.workflow.learn.rounds import LearnRecord, Round
from defectscout.workflow.learn.stopping import NOT_THERE
from defectscout.workflow.learn.view import read_answers
from defectscout.workflow.record import TaskKey
from minima.vacancy_cases import breathing, dimer
from workflow.learn_rounds import answered, asked, frame
from workflow.learning_crystal import begun, gone_on, records, small, tasks

ORIGIN = "Dimer_from_r1"
TRUST_AT_REST = 0.01
"""Å. What is left of the trust radius where a relaxation came to rest."""


class Valley:
    """A surrogate with a soft valley along one coordinate of one atom, and springs along all others.

    The floor lies 0.35 Å and 0.13 eV away from the ridge at `top`.
    """

    def __init__(self, top: Atoms, depth: float = 2.0) -> None:
        self.top, self.depth = top, depth
        self.info = SurrogateInfo("valley", "tests", "", "", frozenset())

    def predict(self, structures: Sequence[Atoms]) -> list[Prediction]:
        return [self.said(atoms) for atoms in structures]

    def said(self, atoms: Atoms) -> Prediction:
        away = atoms.positions - self.top.positions
        along = away[0, 0]
        away[0, 0] = 0.0
        forces = -2.0 * away
        forces[0, 0] = 2 * self.depth * along - 32 * along**3
        return Prediction(float((away**2).sum()) - self.depth * along**2 + 8 * along**4, forces)


def on_the_slope(top: Atoms, along: float = 0.006) -> Frame:
    """At rest by the usual criterion, 0.03 eV/Å."""
    atoms = top.copy()
    atoms.positions[0, 0] += along
    return Frame(atoms, Valley(top).said(atoms), 0)


def relaxed(campaign: Campaign, defect: Defect, label: str, frame: Frame, stage: str = "reference") -> None:
    """A relaxation that a surrogate has led to `frame`, its only one."""
    key = TaskKey(stage, defect.label, label)
    settings = RelaxationSettings().corrected.model_copy(update={"trust_start": TRUST_AT_REST})
    checkpoint = Checkpoint(frame, corrected_init(len(frame.atoms), settings), frame.prediction.energy)
    campaign.record.add_tasks(stage, defect.label, [(label, frame.atoms)])
    campaign.record.write_steps([(key, checkpoint)], seconds=0.0)
    campaign.record.finish(key, RelaxationState.CONVERGED, "", 1)


LOOP = LearnRecord(
    rounds=(Round(1, "m", 0, (), (asked("reference", ORIGIN, members=("Dimer", "Rattled")),), answered=True),),
    model="m",
)


def asks(campaign: Campaign, defect: Defect, surrogate: Valley, record: LearnRecord = LOOP) -> Question | None:
    return confirmation(campaign, defect, record, read_answers(campaign, defect), surrogate)


def test_a_minimum_on_the_slope_of_a_soft_valley_is_asked_about(campaign: Campaign, defect: Defect) -> None:
    top = dimer(defect)
    frame = on_the_slope(top)
    assert frame.prediction.fmax < RelaxationSettings().force
    relaxed(campaign, defect, ORIGIN, frame)
    question = asks(campaign, defect, Valley(top))
    assert question is not None
    assert (question.label, question.kind) == (ORIGIN, Kind.CONFIRM)
    np.testing.assert_allclose(question.atoms.positions, frame.atoms.positions)
    assert "meV beside the lowest minimum" in question.reason
    # A surrogate that sees no valley promises nothing; nor does one that has learned nothing have a say.
    assert asks(campaign, defect, Valley(top, depth=-2.0)) is None
    assert asks(campaign, defect, Valley(top), replace(LOOP, model="")) is None


def test_the_lowest_is_asked_about_and_once(campaign: Campaign, defect: Defect) -> None:
    top, other = dimer(defect), dimer(defect, length=2.3)
    relaxed(campaign, defect, ORIGIN, on_the_slope(top))
    answered(campaign, defect, "reference", "Lower_from_r2", other, -5.0)  # by FIRE: no surrogate has led it
    assert asks(campaign, defect, Valley(top)) is None
    campaign.record.finish(TaskKey("reference", defect.label, "Lower_from_r2"), RelaxationState.FAILED, "", 1)
    assert asks(campaign, defect, Valley(top)) is not None
    # What it came to is not asked about again, nor is the minimum that it began from.
    item = Round(2, "m", 0, (), (asked("reference", f"{ORIGIN}{CONFIRMED}", Kind.CONFIRM),), of_check=True)
    relaxed(campaign, defect, f"{ORIGIN}{CONFIRMED}", on_the_slope(dimer(defect, length=2.5)))
    assert asks(campaign, defect, Valley(top), LOOP.with_round(item)) is None


def test_one_that_has_not_come_to_its_end_goes_on(campaign: Campaign, defect: Defect) -> None:
    top = dimer(defect)
    relaxed(campaign, defect, ORIGIN, on_the_slope(top))
    label = f"{ORIGIN}{CONFIRMED}"
    answered(campaign, defect, "reference", label, top, -0.1, RelaxationState.RUNNING)
    item = Round(2, "m", 0, (), (asked("reference", label, Kind.CONFIRM, label=ORIGIN),), of_check=True)
    question = asks(campaign, defect, Valley(top, depth=-2.0), LOOP.with_round(item))
    assert question is not None
    assert (question.label, question.kind) == (ORIGIN, Kind.CONFIRM)


def test_where_one_that_left_its_minimum_has_ended_is_asked_about_like_any_other(
    campaign: Campaign, defect: Defect
) -> None:
    top, label = dimer(defect), f"{ORIGIN}{CONFIRMED}"
    relaxed(campaign, defect, label, on_the_slope(top))
    confirm = Round(2, "m", 0, (), (asked("reference", label, Kind.CONFIRM, label=ORIGIN),), of_check=True, news=True)
    assert asks(campaign, defect, Valley(top), LOOP.with_round(confirm)) is None
    on = Round(3, "m", 0, (), (asked("reference", label, calls_before=4),), answered=True)
    question = asks(campaign, defect, Valley(top), LOOP.with_round(confirm).with_round(on))
    assert question is not None
    assert question.label == label


def test_a_confirmation_is_no_check_and_no_surprise(defect: Defect, campaign: Campaign) -> None:
    label = f"{ORIGIN}{CONFIRMED}"
    confirm = asked("reference", label, Kind.CONFIRM, label=ORIGIN)
    check = Round(2, "m", 0, (), (confirm, asked("check", "-40%", Kind.ALONE)), lowest_before=0.0, of_check=True)
    assert (check.confirming, [one.task for one in check.checking]) == (confirm, ["-40%"])
    assert LearnRecord(rounds=(check,)).last_checked == {"-40%"}
    relaxed(campaign, defect, label, on_the_slope(dimer(defect)))
    found = read_answers(campaign, defect).found
    assert [minimum.members for minimum in found] == [(label,)]
    assert unforeseen(defect, check, found, campaign.settings.minima) == ()


@pytest.mark.parametrize("ending", [RelaxationState.CONVERGED, RelaxationState.FAILED, RelaxationState.UNCONVERGED])
@pytest.mark.parametrize("fall", [0.01, -0.001])
def test_only_one_that_came_down_to_its_end_takes_the_place_of_the_minimum(
    campaign: Campaign, defect: Defect, ending: RelaxationState, fall: float
) -> None:
    top, label = dimer(defect), f"{ORIGIN}{CONFIRMED}"
    answered(campaign, defect, "reference", ORIGIN, top, -1.0)
    answered(campaign, defect, "check", "Rattled", top, -0.99, RelaxationState.MERGED, ORIGIN)
    answered(campaign, defect, "reference", label, dimer(defect, length=2.5), -1.0 - fall, ending)
    if ending is RelaxationState.FAILED:
        relaxed(campaign, defect, label, Frame(top, Prediction(-2.0, np.zeros((len(top), 3))), 0))
        campaign.record.finish(TaskKey("reference", defect.label, label), ending, "no electrons", 1)
    confirm = asked("reference", label, Kind.CONFIRM, label=ORIGIN)
    settle(campaign, defect, LearnRecord(rounds=(Round(2, "m", 0, (), (confirm,), of_check=True),)))
    ends = {task.key.label: (task.state, task.reason) for task in campaign.record.tasks("reference")}
    ends |= {task.key.label: (task.state, task.reason) for task in campaign.record.tasks("check")}
    if ending is RelaxationState.CONVERGED and fall > 0:
        assert ends[ORIGIN] == ends["Rattled"] == (RelaxationState.MERGED, label)
    else:
        assert ends[ORIGIN] == (RelaxationState.CONVERGED, "")
        assert ends["Rattled"] == (RelaxationState.MERGED, ORIGIN)


def test_the_unperturbed_structure_stays_what_energies_are_measured_from(campaign: Campaign, defect: Defect) -> None:
    label = f"{UNPERTURBED}{CONFIRMED}"
    answered(campaign, defect, "reference", UNPERTURBED, breathing(defect), 0.0)
    answered(campaign, defect, "reference", label, breathing(defect, 0.2), -0.1)
    confirm = asked("reference", label, Kind.CONFIRM, label=UNPERTURBED)
    settle(campaign, defect, LearnRecord(rounds=(Round(2, "m", 0, (), (confirm,), of_check=True),)))
    assert {task.state for task in campaign.record.tasks("reference")} == {RelaxationState.CONVERGED}


@pytest.mark.parametrize(("energy", "lower"), [(-0.01, False), (-0.09, False), (-0.11, True)])
def test_one_that_leaves_its_minimum_pauses_and_is_news(
    campaign: Campaign, defect: Defect, energy: float, lower: bool
) -> None:
    label = f"{ORIGIN}{CONFIRMED}"
    answered(campaign, defect, "reference", label, dimer(defect), energy)
    confirm = asked("reference", label, Kind.CONFIRM, label=ORIGIN)
    check = Round(2, "m", 0, (), (confirm,), lowest_before=0.0, of_check=True)
    assert has_left(campaign, defect, check) == lower
    (task,) = campaign.record.tasks("reference")
    told = paused_where_left(0.0)(campaign.record.frames(task.key)[-1])
    assert told == (Stop(RelaxationState.RUNNING, LEFT_MINIMUM) if lower else None)
    assert not has_left(campaign, defect, replace(check, asked=()))


@pytest.mark.parametrize("earlier", range(UNFOUNDED))
def test_one_that_finds_itself_above_its_minimum_again_and_again_is_over(defect: Defect, earlier: int) -> None:
    """Also where an interruption came in between; what comes down counts for nothing."""
    frames = [frame(dimer(defect), energy) for energy in (0.05, 0.02, -0.001, 0.004, 0.001)]
    rule = over_where_unfounded(0.0, frames[:earlier])
    told = [rule(one) for one in frames[earlier:]]
    end = Stop(RelaxationState.UNCONVERGED, NOT_THERE)
    assert told == [None] * (UNFOUNDED - earlier) + [end, end]


def test_where_what_was_promised_is_not_there_the_minimum_stands(campaign: Campaign, defect: Defect) -> None:
    top, label = dimer(defect), f"{ORIGIN}{CONFIRMED}"
    answered(campaign, defect, "reference", ORIGIN, top, -1.0)
    over = RelaxationState.UNCONVERGED
    answered(campaign, defect, "reference", label, dimer(defect, length=2.5), -0.99, over, NOT_THERE)
    confirm = asked("reference", label, Kind.CONFIRM, label=ORIGIN)
    record = LearnRecord(rounds=(Round(2, "m", 0, (), (confirm,), of_check=True),))
    settle(campaign, defect, record)
    (found,) = read_answers(campaign, defect).found
    assert (found.representative, found.members, found.energy) == (ORIGIN, (ORIGIN,), -1.0)
    assert asks(campaign, defect, Valley(top), record) is None


def test_a_search_confirms_its_ground_state(template: Path, tmp_path: Path) -> None:
    """Anything that the surrogate promises is looked for: its bond is not quite the reference's."""
    eager = small(refinement={"corrected": {"promise_learned": 1e-6}})
    result = gone_on(begun(template, tmp_path / "mgs", eager))
    (told,) = records(result.folder).values()
    (one,) = [item.confirming for item in told.rounds if item.confirming is not None]
    by_label = {task.key.label: task for task in tasks(result.folder)}
    origin, confirmed = by_label[one.label], by_label[f"{one.label}{CONFIRMED}"]
    assert one.task == confirmed.key.label
    assert confirmed.state is RelaxationState.CONVERGED
    # It knew what the relaxation before it had been told, and has frames of its own from 0 on.
    assert confirmed.evaluations >= 1
    assert confirmed.checkpoint is not None
    assert origin.checkpoint is not None
    states = [task.checkpoint.optimiser for task in (confirmed, origin) if task.checkpoint is not None]
    known = [len(state.known.energies) for state in states if isinstance(state, CorrectedState)]
    assert known[0] > known[1]
    assert confirmed.checkpoint.frame.step == confirmed.evaluations - 1
    assert result.funnel.reference_calls == sum(task.evaluations for task in tasks(result.folder))
    # It went down: the slope is no minimum any more, and what led to the one before led to this.
    assert confirmed.checkpoint.frame.prediction.energy < origin.checkpoint.frame.prediction.energy
    assert (origin.state, origin.reason) == (RelaxationState.MERGED, confirmed.key.label)
    assert one.label not in {label for minimum in result["v_Mg_0"].minima for label in minimum.candidates}
    assert confirmed.key.label in result["v_Mg_0"].minima[0].candidates
    merged = {task.reason for task in by_label.values() if task.state is RelaxationState.MERGED}
    assert all(by_label[label].state is RelaxationState.CONVERGED for label in merged)
    assert set(one.members) <= set(result["v_Mg_0"].minima[0].sampled_by)
    assert result["v_Mg_0"].trust is not None
    assert result["v_Mg_0"].trust.converged
