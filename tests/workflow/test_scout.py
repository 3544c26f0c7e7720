"""Scouting goes on with the surrogate that it began with, or not at all."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from ase import Atoms
from ase.build import bulk

import model_crystal
from defectscout.core.defect import Defect, DefectKind
from defectscout.core.errors import CampaignError, SettingsError
from defectscout.core.progress import SilentProgress
from defectscout.workflow.campaign import Source, open_campaign, source_of
from defectscout.workflow.record import Record
from defectscout.workflow.settings import SearchSettings, merge
from defectscout.workflow.settling import settled
from defectscout.workflow.stages.scout import load_recorded_surrogate, scout, surrogate_info
from listening import Listening


def test_weights_that_changed_since_are_noticed(tmp_path: Path, model_host: Path) -> None:
    file = tmp_path / "weights.py"
    shutil.copy(model_crystal.__file__, file)
    settings = merge(SearchSettings(), {"surrogate": {"name": f"ase:{file}:surrogate"}}, "test")
    crystal = Atoms("MgS", positions=[[0, 0, 0], [2.9, 0, 0]], cell=[12, 12, 12], pbc=True)
    defect = Defect("v_Mg", 0, DefectKind.VACANCY, crystal, crystal, crystal.positions[0], 1, "Oh", 2)
    with open_campaign(tmp_path / "out", settings, source_of(str(model_host))) as campaign:
        assert surrogate_info(campaign) is None
        scout(campaign, [defect], SilentProgress())  # without sampling structures: only what scouts is recorded
        known = surrogate_info(campaign)
        assert known is not None
        assert load_recorded_surrogate(campaign, [defect]).info == known
        file.write_text(file.read_text() + "# trained further\n")
        with pytest.raises(CampaignError, match="other weights"):
            load_recorded_surrogate(campaign, [defect])
        assert surrogate_info(campaign) == known
    assert Record(tmp_path / "out" / "campaign.db").tasks("scout") == []


def test_a_lattice_far_from_the_surrogates_own_is_said_and_can_be_left_to_it(tmp_path: Path, model_host: Path) -> None:
    crystal = bulk("MgS", "rocksalt", a=model_crystal.LATTICE_PARAMETER) * 3
    defect = Defect("v_Mg", 0, DefectKind.VACANCY, crystal, crystal, crystal.positions[0], 1, "Oh", 2)
    name = f"ase:{model_crystal.__file__}:surrogate"
    scales = {}
    for lattice in ("host", "own"):
        progress = Listening()
        settings = merge(SearchSettings(), {"surrogate": {"name": name, "lattice": lattice}}, "test")
        with open_campaign(tmp_path / lattice, settings, source_of(str(model_host))) as campaign:
            scout(campaign, [defect], progress)
            known = surrogate_info(campaign)
            assert known is not None
            assert load_recorded_surrogate(campaign, [defect]).info == known
            scales[lattice] = known.lattice_scale
        said = " ".join(progress.warnings if lattice == "host" else progress.messages)
        assert ("+1.8 % in every length: as it is, it feels +17" in said) == (lattice == "host")
        assert ("sees the host in its own lattice, +1.8 %" in said) == (lattice == "own")
    assert scales["host"] == 1.0
    assert scales["own"] == pytest.approx(1.0185, abs=2e-4)


def test_a_search_that_learns_keeps_to_the_hosts_lattice(tmp_path: Path) -> None:
    overrides = {"surrogate": {"name": "chgnet", "lattice": "own"}, "strategy": "learn"}
    with pytest.raises(SettingsError, match=r"surrogate\.lattice = own"):
        settled(merge(SearchSettings(), overrides, "test"), Source("x", ""), tmp_path, True, SilentProgress())
