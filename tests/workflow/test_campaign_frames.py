"""The relaxations of a campaign as frames."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from ase import Atoms
from pymatgen.io.ase import AseAtomsAdaptor

from defectscout.core.defect import Defect, Host
from defectscout.core.errors import CampaignError
from defectscout.core.frames import Frame, Prediction, RelaxationState
from defectscout.learning.frames import DefectId, LabelledFrame, SiteRecord, Unreadable
from defectscout.relaxation.fire import FireState
from defectscout.relaxation.records import Checkpoint
from defectscout.workflow.campaign import Source, open_campaign
from defectscout.workflow.campaign_frames import is_campaign, read_campaign
from defectscout.workflow.record import Record, TaskKey
from defectscout.workflow.serial import defects_to_json, host_to_json
from defectscout.workflow.settings import SearchSettings, merge
from minima.vacancy_cases import CUBIC, vacancy

DEFECT = vacancy(CUBIC)


def steps(record: Record, key: TaskKey, atoms: Atoms, energies: list[float]) -> None:
    record.add_tasks(key.stage, key.defect, [(key.label, atoms)])
    for number, energy in enumerate(energies):
        forces = np.full((len(atoms), 3), 0.1 * number)
        frame = Frame(atoms, Prediction(energy, forces, np.arange(6.0)), number)
        zeros = np.zeros((len(atoms), 3))
        record.write_steps([(key, Checkpoint(frame, FireState(zeros, 0.1, 0.1, 0), energies[0]))], seconds=0.0)


def fill(record: Record, defect: Defect) -> None:
    bulk = AseAtomsAdaptor.get_structure(defect.bulk)
    record.write_document("host", host_to_json(Host(bulk, bulk, np.eye(3), "mp-406")))
    record.write_document("defects", defects_to_json((defect,)))
    steps(record, TaskKey("host", "bulk", "relax"), defect.bulk, [-12.0, -13.0])
    steps(record, TaskKey("reference", defect.label, "Bond_Distortion_-60.0%"), defect.atoms, [-10.0, -10.5, -11.0])
    steps(record, TaskKey("scout", defect.label, "Unperturbed"), defect.atoms, [-99.0])
    record.add_tasks("reference", defect.label, [("Dimer", defect.atoms)])
    record.finish(TaskKey("reference", defect.label, "Dimer"), RelaxationState.FAILED, "no SCF convergence", 1)


def test_reference_and_host_relaxations(tmp_path: Path) -> None:
    settings = merge(SearchSettings(), {"reference": {"name": "gfn1-xtb"}}, "test")
    assert not is_campaign(tmp_path)
    with open_campaign(tmp_path, settings, Source("mp-406", "")) as campaign:
        fill(campaign.record, DEFECT)
        assert is_campaign(tmp_path)
        found = list(read_campaign(tmp_path))  # while it is locked
    frames = [item for item in found if isinstance(item, LabelledFrame)]
    identity = DefectId("CdTe", "v_Cd", 0, "gfn1-xtb")
    listed = [(str(f.origin.relaxation), f.origin.step, f.prediction.energy) for f in frames]
    assert listed == [
        ("CdTe bulk relax", 0, -12.0),
        ("CdTe bulk relax", 1, -13.0),
        ("CdTe v_Cd_0 Bond_Distortion_-60.0%", 0, -10.0),
        ("CdTe v_Cd_0 Bond_Distortion_-60.0%", 1, -10.5),
        ("CdTe v_Cd_0 Bond_Distortion_-60.0%", 2, -11.0),
    ]
    assert frames[-1].origin.defect_id == identity
    np.testing.assert_allclose(frames[-1].prediction.forces, 0.2)
    np.testing.assert_allclose(frames[-1].prediction.stress, np.arange(6.0))
    assert {frame.origin.source for frame in frames} == {str(tmp_path)}
    (site,) = (item for item in found if isinstance(item, SiteRecord))
    assert (site.defect_id, site.kind) == (identity, "vacancy")
    assert site.fractional == pytest.approx(DEFECT.site)
    (failed,) = (item for item in found if isinstance(item, Unreadable))
    assert "no SCF convergence" in failed.reason


def test_what_a_learning_loop_asked(tmp_path: Path) -> None:
    settings = merge(SearchSettings(), {"reference": {"name": "gfn1-xtb"}, "strategy": "learn"}, "test")
    with open_campaign(tmp_path, settings, Source("mp-406", "")) as campaign:
        fill(campaign.record, DEFECT)
        label, atoms = DEFECT.label, DEFECT.atoms
        steps(campaign.record, TaskKey("ask", label, "r00/Bond_Distortion_-60.0%"), atoms, [-9.0])
        steps(campaign.record, TaskKey("ask", label, "r02/Bond_Distortion_-60.0%"), atoms, [-11.5])
        steps(campaign.record, TaskKey("check", label, "Bond_Distortion_-60.0%"), atoms, [-9.0, -9.5])
    found = [item for item in read_campaign(tmp_path) if isinstance(item, LabelledFrame) and not item.origin.is_bulk]
    relaxations: dict[str, list[float]] = {}
    for frame in found:
        relaxations.setdefault(frame.origin.start, []).append(frame.prediction.energy)
    assert relaxations == {
        "Bond_Distortion_-60.0%": [-10.0, -10.5, -11.0],
        "ask/r00/Bond_Distortion_-60.0%": [-9.0],
        "ask/r02/Bond_Distortion_-60.0%": [-11.5],
        "check/Bond_Distortion_-60.0%": [-9.0, -9.5],
    }
    assert len({frame.origin.relaxation for frame in found}) == 4


def test_a_campaign_without_a_reference_has_nothing_to_learn(tmp_path: Path) -> None:
    settings = merge(SearchSettings(), {"reference": {"name": "none"}}, "test")
    with open_campaign(tmp_path, settings, Source("mp-406", "")) as campaign:
        fill(campaign.record, DEFECT)
    (nothing,) = read_campaign(tmp_path)
    assert isinstance(nothing, Unreadable)
    with pytest.raises(CampaignError, match="holds no campaign"):
        read_campaign(tmp_path / "nowhere")
