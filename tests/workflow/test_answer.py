"""The answer from what the record holds, on relaxations made by hand."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from ase import Atoms

from conftest import model
from defectscout.core.defect import UNPERTURBED, Defect, Host
from defectscout.core.frames import Frame, Prediction, RelaxationState
from defectscout.core.progress import SilentProgress
from defectscout.relaxation.fire import FireState
from defectscout.relaxation.records import Checkpoint
from defectscout.workflow.answer import answer
from defectscout.workflow.campaign import Campaign, open_campaign, source_of
from defectscout.workflow.record import TaskKey
from defectscout.workflow.results import DefectResult
from defectscout.workflow.settings import SearchSettings, merge
from defectscout.workflow.stages.candidates import choose_candidates
from defectscout.workflow.stages.host import HostReport
from minima.vacancy_cases import CUBIC, breathing, dimer, vacancy

LABELS = [UNPERTURBED, "Dimer", *(f"start {number}" for number in range(8))]
REPORT = HostReport("CdTe", "F-43m", ((1, 0, 0), (0, 1, 0), (0, 0, 1)), 64, 13.1, energy=0.0)
CONVERGED, UNCONVERGED, FAILED = RelaxationState.CONVERGED, RelaxationState.UNCONVERGED, RelaxationState.FAILED


@pytest.fixture
def defect() -> Defect:
    return vacancy(CUBIC)


@pytest.fixture
def campaign(tmp_path: Path, model_host: Path) -> Iterator[Campaign]:
    settings = merge(
        SearchSettings(), {"strategy": "reference-only", "reference": {"name": model("reference")}}, "test"
    )
    with open_campaign(tmp_path / "out", settings, source_of(str(model_host))) as campaign:
        yield campaign


def relax(
    campaign: Campaign, defect: Defect, label: str, atoms: Atoms, energy: float, state: RelaxationState = CONVERGED
) -> None:
    key = TaskKey("reference", defect.label, label)
    zeros = np.zeros((len(atoms), 3))
    checkpoint = Checkpoint(Frame(atoms, Prediction(energy, zeros), 0), FireState(zeros, 0.1, 0.1, 0), energy)
    campaign.record.write_steps([(key, checkpoint)], seconds=0.0)
    campaign.record.finish(key, state, "" if state is CONVERGED else "as told", 1)


def answered(campaign: Campaign, defect: Defect, ends: dict[str, tuple[Atoms, float, RelaxationState]]) -> DefectResult:
    """The answer when the named relaxations ended so, and all others in the dimer."""
    from pymatgen.io.ase import AseAtomsAdaptor

    starts = [(label, defect.atoms) for label in LABELS]
    campaign.record.add_tasks("sampling", defect.label, starts)
    choose_candidates(campaign, [defect], SilentProgress())
    campaign.record.add_tasks("reference", defect.label, starts)
    for label in LABELS:
        relax(campaign, defect, label, *ends.get(label, (dimer(defect), -1.0, CONVERGED)))
    bulk = AseAtomsAdaptor.get_structure(defect.bulk)
    host = Host(bulk, bulk, np.eye(3), "CdTe.cif")
    return answer(campaign, host, REPORT, [defect], {}, SilentProgress())[defect.label]


def molten(defect: Defect) -> Atoms:
    atoms = defect.atoms.copy()
    atoms.positions += np.random.default_rng(0).normal(scale=1.0, size=atoms.positions.shape)
    return atoms


def test_lowering_is_measured_from_the_relaxed_unperturbed_structure(campaign: Campaign, defect: Defect) -> None:
    result = answered(campaign, defect, {UNPERTURBED: (breathing(defect), -0.25, CONVERGED)})
    assert result.ground_state.lowering == pytest.approx(-0.75)
    assert result.ground_state.sampled_by == tuple(sorted(set(LABELS) - {UNPERTURBED}))
    assert result.confidence.level == "high"
    assert (result.funnel.failed, result.funnel.flagged, result.funnel.reference_calls) == (0, 0, len(LABELS))


def test_an_unperturbed_structure_that_lost_its_host_is_no_zero(campaign: Campaign, defect: Defect) -> None:
    result = answered(campaign, defect, {UNPERTURBED: (molten(defect), 3.0, CONVERGED)})
    assert result.ground_state.lowering is None
    assert (result.funnel.failed, result.funnel.flagged) == (0, 1)
    assert result.confidence.level == "moderate"
    assert any("lost the host" in reason for reason in result.confidence.reasons)


def test_what_failed_is_counted_once(campaign: Campaign, defect: Defect) -> None:
    result = answered(campaign, defect, {"start 1": (breathing(defect), 0.0, FAILED)})
    assert (result.funnel.failed, result.funnel.flagged) == (1, 0)
    assert result.set_aside == (("start 1", "as told"),)


def test_a_structure_set_aside_below_the_ground_state_is_called_out(campaign: Campaign, defect: Defect) -> None:
    result = answered(campaign, defect, {"start 1": (molten(defect), -5.0, CONVERGED)})
    assert result.ground_state.minimum.energy == -1.0
    assert result.confidence.level == "low"
    assert "lower in energy than the ground state" in result.confidence.reasons[0]


def test_a_minimum_above_that_did_not_converge_may_still_fall(campaign: Campaign, defect: Defect) -> None:
    result = answered(campaign, defect, {"start 1": (breathing(defect), -0.9, UNCONVERGED)})
    assert result.confidence.level == "moderate"
    assert any("may still fall below" in reason for reason in result.confidence.reasons)


def test_a_ground_state_that_only_its_own_start_led_to_may_be_a_saddle_point(
    campaign: Campaign, defect: Defect
) -> None:
    result = answered(campaign, defect, {UNPERTURBED: (breathing(defect), -2.0, CONVERGED)})
    assert result.ground_state.sampled_by == (UNPERTURBED,)
    assert any("saddle point" in reason for reason in result.confidence.reasons)


def test_candidates_that_have_not_run_yet_are_not_forgotten(campaign: Campaign, defect: Defect) -> None:
    result = answered(campaign, defect, {"start 3": (dimer(defect), -1.0, RelaxationState.RUNNING)})
    assert result.funnel.candidates == result.funnel.reference_relaxations + 1
    assert result.confidence.level == "low"
    assert "1 candidate not relaxed with the reference yet" in result.confidence.reasons[0]
