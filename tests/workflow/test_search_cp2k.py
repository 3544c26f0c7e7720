"""A whole search with CP2K: about half a minute on one core."""

from __future__ import annotations

from pathlib import Path

import pytest
from ase.build import bulk
from typer.testing import CliRunner

from defectscout.cli.main import app
from defectscout.learning.frames import LabelledFrame
from defectscout.references.registry import available_references
from defectscout.workflow.campaign_frames import read_campaign
from references.cp2k_runs import needs_cp2k

pytestmark = [
    needs_cp2k,
    pytest.mark.slow,
    pytest.mark.skipif("cp2k" not in available_references(), reason="installed without CP2K's entry point"),
]


def test_the_silicon_vacancy_relaxes_to_lower_symmetry(tmp_path: Path) -> None:
    """Seven atoms: the vacancy's half-filled level splits (Jahn and Teller)."""
    host, folder = tmp_path / "Si.vasp", tmp_path / "campaign"
    bulk("Si", cubic=True, a=5.43).write(host)
    arguments = ["search", str(host), "--defect", "v_Si", "--charge", "0", "--reference", "cp2k:quick"]
    arguments += ["--reference-only", "--keep-host", "--supercell-as-given", "--sampling", "none", "--workers", "1"]
    arguments += ["--set", "supercell.min_image_distance=5", "--set", "refinement.force=0.1", "-o", str(folder)]
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 0, result.output
    assert "Td → D2d" in result.output
    frames = [frame for frame in read_campaign(folder) if isinstance(frame, LabelledFrame)]
    assert len(frames) > 2
    energies = [frame.prediction.energy for frame in frames]
    assert energies[-1] < energies[0]
    assert frames[-1].prediction.fmax < 0.1
    assert {frame.origin.method for frame in frames} == {"cp2k:quick"}
