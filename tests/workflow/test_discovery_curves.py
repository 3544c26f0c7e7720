"""Reading back what finished searches found and what each force call told."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ase import Atoms
from ase.io import write

from conftest import model
from defectscout.core.defect import UNPERTURBED
from defectscout.core.errors import CampaignError, DatasetError
from defectscout.core.frames import Frame, Prediction, RelaxationState
from defectscout.evaluation.discovery import DiscoverySettings, judge_discovery
from defectscout.learning.readers import SourceDefaults
from defectscout.relaxation.fire import FireState
from defectscout.relaxation.records import Checkpoint
from defectscout.workflow.campaign import Source, open_campaign
from defectscout.workflow.discovery import (
    campaign_curves,
    is_finished,
    learned_surrogate,
    log_seconds,
    read_finished,
    read_reference_frames,
)
from defectscout.workflow.record import Record, TaskKey
from defectscout.workflow.results import SearchResult
from defectscout.workflow.search import search
from defectscout.workflow.serial import defects_to_json
from defectscout.workflow.settings import SearchSettings, merge
from minima.vacancy_cases import CUBIC, breathing, dimer, vacancy

DEFECT = vacancy(CUBIC)
SYMMETRIC, DIMER = breathing(DEFECT), dimer(DEFECT)
QUICK: dict[str, Any] = {
    "sampling": {"distortions": (-0.6,)},
    "reference": {"name": model("reference"), "workers": 1},
    "refinement": {"force": 0.1},
}


@pytest.fixture(scope="module")
def result(tmp_path_factory: pytest.TempPathFactory) -> SearchResult:
    from ase.build import bulk

    folder = tmp_path_factory.mktemp("model")
    write(folder / "MgS.cif", bulk("MgS", "rocksalt", a=5.8))
    settings = merge(SearchSettings(), QUICK | {"strategy": "reference-only"}, "test")
    return search(folder / "MgS.cif", folder / "campaign", settings)


def test_a_campaign_is_read_back_as_it_answered(result: SearchResult) -> None:
    campaign = read_finished(result.folder)
    assert is_finished(result.folder)
    assert campaign.surrogate == ""
    (found,) = campaign.defects.values()
    answered = result["v_Mg_0"]
    assert found.confidence == answered.confidence.level
    assert found.outcome.calls == answered.funnel.reference_calls == len(found.energies)
    assert found.outcome.check_calls == 0
    assert found.fresh_calls == answered.funnel.reference_relaxations
    for read, item in zip(found.outcome.minima, answered.minima, strict=True):
        assert read.energy == item.minimum.energy
        assert read.new_bonds == item.minimum.new_bonds
        assert read.members == item.sampled_by
        moved = read.atoms.get_scaled_positions() - item.minimum.atoms.get_scaled_positions()
        assert np.abs(moved - np.round(moved)).max() < 1e-8
    assert found.outcome.unperturbed is not None
    assert found.outcome.unperturbed == pytest.approx(
        answered.ground_state.minimum.energy - (answered.ground_state.lowering or 0)
    )
    judged = judge_discovery(found.outcome, found.outcome, DiscoverySettings(window=100.0))
    assert (judged.found, judged.missed) == ("yes", 0)


def test_its_curve_ends_at_the_ground_state(result: SearchResult) -> None:
    (curve,) = campaign_curves(result.folder).values()
    assert curve.lowest == pytest.approx(0.0, abs=1e-9)
    assert curve.calls[-1] == result.funnel.reference_calls
    (shifted,) = campaign_curves(result.folder, {"v_Mg_0": result.ground_state.minimum.energy - 1.0}).values()
    assert shifted.lowest == pytest.approx(1.0)


def test_reading_works_beside_a_running_search_and_changes_nothing(result: SearchResult) -> None:
    before = (result.folder / "campaign.db").read_bytes()
    from defectscout.workflow.campaign import reopen_campaign

    with reopen_campaign(result.folder):
        read_finished(result.folder)
    assert (result.folder / "campaign.db").read_bytes() == before


def step(
    record: Record, key: TaskKey, number: int, energy: float, atoms: Atoms = SYMMETRIC, first: float | None = None
) -> None:
    zeros = np.zeros((len(atoms), 3))
    frame = Frame(atoms, Prediction(energy, zeros), number)
    record.write_steps([(key, Checkpoint(frame, FireState(zeros, 0.1, 0.1, 0), first or energy))], seconds=0.0)


def learned(folder: Path) -> Path:
    """What a learning loop records, one call after the other."""
    with open_campaign(folder, SearchSettings(), Source("mp-406", "")) as opened:
        record = opened.record
        record.write_document("defects", defects_to_json((DEFECT,)))
        record.write_document("learn", json.dumps({"v_Cd_0": {"model": "learn/v_Cd_0/final"}}))
        keys = {
            name: TaskKey(stage, "v_Cd_0", name)
            for stage, name in (
                ("ask", "r00/Dimer"), ("reference", UNPERTURBED), ("ask", "r01/Dimer"),
                ("reference", "Dimer_r1"), ("check", "Bond_Distortion_-60.0%"),
            )
        }  # fmt: skip
        for key in keys.values():
            record.add_tasks(key.stage, "v_Cd_0", [(key.label, DEFECT.atoms)])
        melted = DEFECT.atoms.copy()
        melted.rattle(1.5, seed=0)
        step(record, keys["r00/Dimer"], 0, -5.0)
        step(record, keys[UNPERTURBED], 0, -9.0)
        step(record, keys["r01/Dimer"], 0, -10.5, DIMER)
        step(record, keys["Dimer_r1"], 0, -10.8, DIMER)
        step(record, keys[UNPERTURBED], 1, -10.0, first=-9.0)
        step(record, keys["Bond_Distortion_-60.0%"], 0, -99.0, melted)
        step(record, keys["Dimer_r1"], 1, -11.0, DIMER, first=-10.8)
        record.finish(keys[UNPERTURBED], RelaxationState.CONVERGED, "", 2)
        record.finish(keys["Dimer_r1"], RelaxationState.CONVERGED, "", 2)
        # Its second call failed.
        record.finish(keys["Bond_Distortion_-60.0%"], RelaxationState.FAILED, "no SCF convergence", 2)
    structures = folder / "structures" / "v_Cd_0"
    structures.mkdir(parents=True)
    write(structures / "ground_state.POSCAR", DIMER, format="vasp", sort=True)
    minimum = {
        "rank": 0, "energy_eV": -11.0, "energy_lowering_eV": -1.0, "new_bonds": [], "symmetry_after": "C2v",
        "converged": True, "representative": "Dimer_r1", "sampled_by": ["Dimer"],
    }  # fmt: skip
    defects = {"v_Cd_0": {"minima": [minimum], "confidence": {"level": "moderate"}}}
    (folder / "summary.json").write_text(json.dumps({"surrogate": "chgnet", "defects": defects}))
    return folder


def test_force_calls_of_a_loop_count_in_the_order_in_which_they_were_made(tmp_path: Path) -> None:
    found = read_finished(learned(tmp_path / "loop")).defects["v_Cd_0"]
    nan = float("nan")
    assert found.energies == pytest.approx([-5.0, -9.0, -10.5, -10.8, -10.0, nan, nan, -11.0], nan_ok=True)
    assert (found.outcome.calls, found.outcome.check_calls, found.fresh_calls) == (6, 2, 5)
    assert found.outcome.unperturbed == -10.0
    curve = found.curve(-11.0)
    assert curve.calls_to(0.3) == 4
    assert curve.calls_to(0.0) == 8


def test_the_surrogate_that_a_loop_left(tmp_path: Path) -> None:
    folder = learned(tmp_path / "loop")
    assert learned_surrogate(folder, "v_Cd_0") == folder / "learn" / "v_Cd_0" / "final"
    with pytest.raises(CampaignError, match="tuned no surrogate on v_Te_0"):
        learned_surrogate(folder, "v_Te_0")


def test_steps_that_were_not_kept_count_as_calls(tmp_path: Path) -> None:
    folder = learned(tmp_path / "loop")
    record = Record(folder / "campaign.db")
    for stage, label in (("ask", "r00/Dimer"), ("reference", "Dimer_r1"), ("reference", UNPERTURBED)):
        record.forget_frames(TaskKey(stage, "v_Cd_0", label))
    found = read_finished(folder).defects["v_Cd_0"]
    assert len(found.energies) == 8
    # Of a relaxation without its steps it is known where it began and where it ended.
    known = [energy for energy in found.energies if np.isfinite(energy)]
    assert sorted(known) == [-11.0, -10.8, -10.5, -10.0, -9.0, -5.0]
    assert found.curve(0.0).lowest == -11.0


def test_what_cannot_be_read_is_said(tmp_path: Path) -> None:
    with pytest.raises(CampaignError, match="holds no campaign"):
        read_finished(tmp_path)
    folder = learned(tmp_path / "loop")
    (folder / "structures" / "v_Cd_0" / "ground_state.POSCAR").unlink()
    with pytest.raises(CampaignError, match="ground_state"):
        read_finished(folder)
    write(folder / "structures" / "v_Cd_0" / "ground_state.POSCAR", DIMER[1:], format="vasp", sort=True)
    with pytest.raises(CampaignError, match="numbers of atoms differ"):
        read_finished(folder)
    (folder / "summary.json").write_text('{"surrogate": null, "defects": {"v_Cd_0": {"minima": []}}}')
    assert not is_finished(folder)
    with pytest.raises(CampaignError, match="no answer yet"):
        read_finished(folder)


def test_pauses_between_runs_are_no_work(tmp_path: Path) -> None:
    log = tmp_path / "defectscout.log"
    log.write_text(
        "2026-11-22 23:59:50,500 INFO stage host begins, 2 units\n"
        "2026-11-23 00:00:10,000 ERROR the search has stopped\n"
        "Traceback (most recent call last):\n"
        "2026-11-23 05:00:00,000 INFO stage host begins, 2 units\n"
        "2026-11-23 05:00:30,250 INFO stage host has ended\n"
    )
    assert log_seconds(log) == pytest.approx(49.75)
    assert log_seconds(log, longest_pause=25.0) == pytest.approx(19.5)
    assert np.isnan(log_seconds(tmp_path / "none.log"))


def test_a_search_that_somebody_ran_elsewhere(shared_data: Path) -> None:
    found = read_reference_frames(shared_data / "gfn1-xtb" / "CdSe_v_Cd_0", SourceDefaults(method="gfn1-xtb"))
    assert found.outcome.calls == len(found.energies) == 1057
    assert found.outcome.unperturbed == pytest.approx(-3118.8168, abs=1e-3)
    assert found.energies[0] == pytest.approx(-3118.6567, abs=1e-3)  # Unperturbed comes first
    assert found.energies[27] == pytest.approx(-3096.5502, abs=1e-3)  # then -60 %
    assert found.curve(found.outcome.minima[0].energy).lowest == pytest.approx(0.0, abs=1e-6)
    with pytest.raises(DatasetError, match="relaxations of one defect"):
        read_reference_frames(shared_data / "dft" / "InP_LDA_64at.extxyz.gz", SourceDefaults(method="LDA"))
