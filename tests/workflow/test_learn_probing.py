"""Whether the lowest minimum is one: probes of the reference's curvature, and what leads off a saddle point."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from ase import Atoms

from defectscout.core.defect import UNPERTURBED, Defect, Minimum
from defectscout.core.frames import Frame, Prediction, RelaxationState
from defectscout.evaluation.trust import Ending, sentences
from defectscout.relaxation.curvature import Curvature, Products
from defectscout.surrogates.base import SurrogateInfo
from defectscout.workflow.campaign import Campaign
from defectscout.workflow.learn import learner, loop
from defectscout.workflow.learn.ending import Spent, decide
from defectscout.workflow.learn.probing import DESCENT, Neighbourhood, probe, probed
from defectscout.workflow.learn.questions import CONFIRMED, DESCENDED, Kind, Question
from defectscout.workflow.learn.rounds import LearnRecord, Round
from defectscout.workflow.learn.settings import LearnSettings
from defectscout.workflow.learn.view import read_answers
from defectscout.workflow.record import ASK, REFERENCE, Record
from defectscout.workflow.settings import merge
from listening import Listening
from minima.vacancy_cases import dimer
from workflow.interrupting import Kill, check_same, interrupt
from workflow.learn_rounds import answered, answered_with, asked
from workflow.learn_rounds import record as record_of
from workflow.learning_crystal import begun, gone_on, own, records, small, tasks

ORIGIN = "Dimer_from_r1"
CALLS = 12


class Surface:
    """Springs about a structure, and along one direction of four atoms another curvature, eV/Å²."""

    def __init__(self, top: Atoms, curvature: float) -> None:
        self.top, self.curvature = top, curvature
        self.info = SurrogateInfo("surface", "tests", "", "", frozenset())
        self.soft = np.zeros((len(top), 3))
        self.soft[[3, 8, 20, 40], [0, 1, 2, 0]] = [0.5, -0.5, 0.5, -0.5]

    def predict(self, structures: Sequence[Atoms]) -> list[Prediction]:
        return [self.said(atoms) for atoms in structures]

    def said(self, atoms: Atoms) -> Prediction:
        away = atoms.positions - self.top.positions
        stiffness = np.linspace(1.0, 6.0, away.size).reshape(away.shape)
        along = float(np.sum(away * self.soft))
        rest = away - along * self.soft
        pull = stiffness * rest
        pull -= np.sum(pull * self.soft) * self.soft
        energy = float(np.sum(stiffness * rest**2) + self.curvature * along**2) / 2
        return Prediction(energy, -pull - self.curvature * along * self.soft)


def asking(campaign: Campaign, calls: int = CALLS) -> Campaign:
    settings = merge(campaign.settings, {"learn": {"curvature_calls": calls}}, "test")
    return replace(campaign, settings=settings)


def at_rest(defect: Defect, surface: Surface) -> Frame:
    """Not quite on the top."""
    atoms = dimer(defect)
    atoms.positions += 0.004 * surface.soft
    return Frame(atoms, surface.said(atoms), 0)


def quiet(number: int = 1) -> LearnRecord:
    done = Round(number, "m", 0, (), (asked(REFERENCE, ORIGIN, members=("Dimer",)),), answered=True)
    return LearnRecord(rounds=(done,), model="m")


def with_probe(record: LearnRecord, question: Question) -> tuple[LearnRecord, str]:
    number = len(record.rounds) + 1
    task = f"r{number:02d}/{question.label}"
    one = asked(ASK, task, question.kind, label=question.label)
    return record.with_round(Round(number, "m", 0, (), (one,), of_check=True, cut=True, answered=True)), task


def probed_to_the_end(
    campaign: Campaign, defect: Defect, surface: Surface, surrogate: Surface
) -> tuple[LearnRecord, Question | None]:
    """As the loop does: each probe is answered before the next is asked."""
    record = quiet()
    answered_with(campaign, defect, REFERENCE, ORIGIN, at_rest(defect, surface))
    while True:
        question = probe(campaign, defect, record, read_answers(campaign, defect), surrogate)
        if question is None or question.kind is not Kind.PROBE:
            return record, question
        assert question.label == ORIGIN
        assert question.max_calls == 1
        record, task = with_probe(record, question)
        answered_with(campaign, defect, ASK, task, Frame(question.atoms, surface.said(question.atoms), 0))


def known(campaign: Campaign, defect: Defect, record: LearnRecord) -> Neighbourhood:
    told = probed(campaign, defect, record, read_answers(campaign, defect))
    assert told is not None
    return told


def test_nothing_is_spent_unless_it_is_asked_for(campaign: Campaign, defect: Defect) -> None:
    surface = Surface(dimer(defect), -0.5)
    answered_with(campaign, defect, REFERENCE, ORIGIN, at_rest(defect, surface))
    assert LearnSettings().curvature_calls == 0
    assert probe(campaign, defect, quiet(), read_answers(campaign, defect), surface) is None


def test_where_nothing_was_found_there_is_nothing_to_probe(campaign: Campaign, defect: Defect) -> None:
    surface = Surface(dimer(defect), -0.5)
    assert probe(asking(campaign), defect, quiet(), read_answers(campaign, defect), surface) is None
    assert probed(campaign, defect, quiet(), read_answers(campaign, defect)) is None


def test_a_relaxation_is_led_off_a_saddle_point_that_the_surrogate_takes_for_a_minimum(
    campaign: Campaign, defect: Defect
) -> None:
    surface, surrogate = Surface(dimer(defect), -0.4), Surface(dimer(defect), 1.0)
    record, question = probed_to_the_end(asking(campaign, 40), defect, surface, surrogate)
    told = known(campaign, defect, record)
    assert told.is_saddle
    assert told.lowest is not None
    assert -0.4 - 1e-6 <= told.lowest.value < -0.05
    assert question is not None
    assert (question.label, question.kind) == (ORIGIN, Kind.DESCEND)
    assert question.reason == f"the reference's curvature there is {told.lowest.value:.2f} eV/Å² along one direction"
    move = question.atoms.positions - told.origin.atoms.positions
    assert np.linalg.norm(move, axis=1).max() == pytest.approx(DESCENT)
    assert surface.said(question.atoms).energy < told.origin.prediction.energy
    # Where that has ended without anything lower the question is not asked again, and the answer says so.
    item = Round(99, "m", 0, (), (asked(REFERENCE, f"{ORIGIN}{DESCENDED}", Kind.DESCEND, label=ORIGIN),), of_check=True)
    answers = read_answers(campaign, defect)
    assert probe(asking(campaign, 40), defect, record.with_round(item), answers, surrogate) is None


def test_around_a_minimum_it_ends_when_the_lowest_curvature_is_found(campaign: Campaign, defect: Defect) -> None:
    surface = Surface(dimer(defect), 0.6)
    record, question = probed_to_the_end(asking(campaign, 40), defect, surface, Surface(dimer(defect), 1.0))
    told = known(campaign, defect, record)
    assert question is None
    assert told.is_settled
    assert not told.is_saddle
    assert told.lowest is not None
    assert told.lowest.value >= 0.6 - 1e-6
    assert 4 < told.calls < 25
    assert told.calls == len([item for item in record.rounds if item.probing])


def known_of(
    defect: Defect, curvature: float, residual: float, force: float, before: float = math.inf
) -> Neighbourhood:
    direction = np.zeros((len(defect.atoms), 3))
    direction[:4, 0] = 0.5
    frame = Frame(defect.atoms, Prediction(0.0, force * direction), 0)
    minimum = Minimum("Dimer", ("Dimer",), defect.atoms, 0.0)
    nothing = Products(np.zeros((0, direction.size)), np.zeros((0, direction.size)))
    return Neighbourhood(minimum, frame, nothing, 5, Curvature(curvature, residual, direction), before)


@pytest.mark.parametrize(
    ("curvature", "force", "fall"),
    [
        (-0.1, 0.0, 0.05 * 0.4**2),  # 0.2 Å of the atom that moves most are 0.4 of all four
        (0.0, 0.02, 0.02 * 0.4),
        (0.0, -0.02, 0.02 * 0.4),
        (0.2, 0.02, 0.02**2 / 0.4),
    ],
)
def test_how_far_it_is_down(defect: Defect, curvature: float, force: float, fall: float) -> None:
    assert known_of(defect, curvature, 0.05, force).fall == pytest.approx(fall)


def test_on_a_slope_it_leads_down_as_well(defect: Defect) -> None:
    """Small forces end a relaxation where curvatures vanish, between a saddle point and a minimum."""
    slope = known_of(defect, 0.0, 0.03, 0.02)
    assert (slope.is_saddle, slope.is_settled, slope.leads_down) == (False, True, True)
    assert known_of(defect, 0.0, 0.03, 0.001).leads_down  # there what forces promise is too little to say
    assert not known_of(defect, 0.05, 0.03, 0.001).leads_down
    assert not known_of(defect, 0.2, 0.03, 0.02).leads_down
    # What is not found yet may come to be lower.
    open_ = known_of(defect, 0.0, 0.08, 0.02)
    assert (open_.is_settled, open_.leads_down) == (False, False)


@pytest.mark.parametrize(("before", "settled"), [(math.inf, False), (2.3, False), (2.1, True)])
def test_a_curvature_that_stands_is_found_however_noisy_forces_are(
    defect: Defect, before: float, settled: bool
) -> None:
    assert known_of(defect, 2.0, 0.9, 0.0, before).is_settled == settled


def test_no_more_is_spent_than_is_allowed(campaign: Campaign, defect: Defect) -> None:
    surface = Surface(dimer(defect), -0.4)
    record, question = probed_to_the_end(asking(campaign, 2), defect, surface, Surface(dimer(defect), 1.0))
    told = known(campaign, defect, record)
    assert question is None
    assert told.calls == 2
    assert not told.is_settled
    assert not told.is_saddle


def test_what_has_no_answer_is_not_asked_again(campaign: Campaign, defect: Defect) -> None:
    surface = Surface(dimer(defect), 0.6)
    answered_with(campaign, defect, REFERENCE, ORIGIN, at_rest(defect, surface))
    first = probe(asking(campaign), defect, quiet(), read_answers(campaign, defect), surface)
    assert first is not None
    record, task = with_probe(quiet(), first)
    answered(campaign, defect, ASK, task, first.atoms, 0.0, RelaxationState.FAILED, "no electrons")
    assert probe(asking(campaign), defect, record, read_answers(campaign, defect), surface) is None


def test_probes_are_no_check_and_come_before_it(defect: Defect) -> None:
    one = asked(ASK, f"r02/{ORIGIN}", Kind.PROBE, label=ORIGIN)
    item = Round(2, "m", 0, (), (one,), of_check=True, cut=True, answered=True)
    assert (item.probing, item.checking, item.confirming) == (one, (), None)
    descent = asked(REFERENCE, f"{ORIGIN}{DESCENDED}", Kind.DESCEND, label=ORIGIN)
    assert replace(item, asked=(descent,)).confirming == descent
    assert quiet().with_round(item).is_half_checked
    assert DESCENDED.startswith(CONFIRMED)  # so that what was carried over is still known as that


def test_without_checks_a_quiet_loop_is_probed_all_the_same() -> None:
    record, spent = record_of("fqqq"), Spent(0, 0.0)
    without = LearnSettings(checks=0)
    assert decide(record, False, spent, 3, without).ending is Ending.QUIET
    assert decide(record, False, spent, 3, without.model_copy(update={"curvature_calls": 8})).check


def test_a_search_says_that_its_ground_state_is_a_minimum(template: Path, tmp_path: Path) -> None:
    progress = Listening()
    result = gone_on(begun(template, tmp_path / "mgs", small(learn={"curvature_calls": 20})), progress)
    (told,) = records(result.folder).values()
    probes = [item.probing for item in told.rounds if item.probing]
    trust = result["v_Mg_0"].trust
    assert trust is not None
    assert trust.converged
    assert trust.probed is not None
    assert trust.probed.settled
    assert not trust.probed.saddle
    assert trust.probed.calls == len(probes) > 1
    assert sentences(trust)[-1].startswith("The ground state is a minimum: the reference's lowest curvature there is ")
    assert {one.label for one in probes} <= set(result["v_Mg_0"].minima[0].candidates)
    assert told.rounds[-1].checking  # the check came after it
    assert result.funnel.reference_calls == sum(task.evaluations for task in tasks(result.folder))
    assert any("lowest curvature so far" in text for text in progress.messages)


RIDGE = {"reference": {"name": own("ridge")}, "sampling": {"distortions": None, "none": True}}
ASKS = {"learn": {"curvature_calls": 20, "checks": 0}}


def test_a_search_is_led_off_a_ridge(template: Path, tmp_path: Path) -> None:
    """The symmetric structure lies on it, and there its forces vanish. No other start leads anywhere else."""
    kept = gone_on(begun(template, tmp_path / "kept", small(**RIDGE)))
    (stuck,) = kept["v_Mg_0"].minima
    assert stuck.candidates == (UNPERTURBED,)
    progress = Listening()
    result = gone_on(begun(template, tmp_path / "off", small(**RIDGE, **ASKS)), progress)
    lowest = result["v_Mg_0"].minima[0]
    assert lowest.candidates[0] == f"{UNPERTURBED}{DESCENDED}"
    assert lowest.minimum.energy < stuck.minimum.energy - 0.005
    trust = result["v_Mg_0"].trust
    assert trust is not None
    assert trust.converged
    assert trust.probed is not None
    assert not trust.probed.saddle
    assert any("along one direction" in text for text in progress.messages)
    assert not any("surprise" in text for text in progress.messages)  # nothing was checked


KILLS: tuple[Kill, ...] = (
    ("before the first probe", loop, "probe", 1, False),
    ("between the probe and its round", loop, "write_record", 1, False),
    ("before its answer", loop, "answer_round", 1, False),
    ("between its frame and its end", Record, "finish", 1, False),
    ("in the tuning before the descent", learner, "tune", 1, False),
    ("in the descent", Record, "write_steps", 2, True),
    ("among the probes of where that led", loop, "probe", 2, True),
    ("in the last tuning", loop, "write_frames", 1, False),
)


def test_it_goes_on_from_wherever_it_is_killed(template: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    expected = gone_on(begun(template, tmp_path / "whole", small(**RIDGE, **ASKS)))
    folder = begun(template, tmp_path / "killed", small(**RIDGE, **ASKS))
    interrupt(folder, KILLS, monkeypatch)
    check_same(folder, gone_on(folder), expected)
