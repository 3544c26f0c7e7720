"""Scouting goes on with the surrogate that it began with, or not at all."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from ase import Atoms

import model_crystal
from defectscout.core.defect import Defect, DefectKind
from defectscout.core.errors import CampaignError
from defectscout.core.progress import SilentProgress
from defectscout.workflow.campaign import open_campaign, source_of
from defectscout.workflow.record import Record
from defectscout.workflow.settings import SearchSettings, merge
from defectscout.workflow.stages.scout import load_recorded_surrogate, scout, surrogate_info


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
