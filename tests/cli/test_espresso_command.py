"""Quantum ESPRESSO on the command line: calculations as the reference, and by hand from inputs to the answer."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from ase import Atoms
from typer.testing import CliRunner

from defectscout.cli.main import app
from defectscout.learning.frames import LabelledFrame
from defectscout.references.registry import available_references
from defectscout.workflow.campaign_frames import read_campaign
from references.espresso_runs import needs_espresso, run, soft_hydrogen

RUNNER = CliRunner()
DEFECT = "v_H_Cs_H0.75H2.65H3.01a"
FOLDER = f"{DEFECT}_+1"


@pytest.fixture
def search(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """A search for two hydrogen molecules, one of which has lost an atom and its electron: a molecule and a proton."""
    pseudos = tmp_path / "pseudos"
    pseudos.mkdir()
    soft_hydrogen(pseudos / "H.UPF")
    monkeypatch.setenv("DEFECTSCOUT_PSEUDO", str(pseudos))
    positions = [[0.1, 0.1, 0.1], [0.1, 0.1, 0.85], [3.1, 0.3, 0.2], [3.1, 0.3, 0.95]]
    host = tmp_path / "H2.vasp"
    Atoms("H4", positions=positions, cell=[6, 3.2, 3.4], pbc=True).write(host)
    return [
        *("search", str(host), "--defect", DEFECT, "--charge", "1", "--reference-only", "--keep-host"),
        *("--supercell-as-given", "--sampling", "none", "--set", "supercell.min_image_distance=3"),
        *("--workers", "1", "-o", str(tmp_path / "out")),
    ]


def command(*arguments: str) -> str:
    result = RUNNER.invoke(app, list(arguments))
    assert result.exit_code == 0, result.output
    return " ".join(result.output.split())


@needs_espresso
def test_by_hand(search: list[str], tmp_path: Path) -> None:
    command(*search, "--reference", "none")
    campaign = tmp_path / "out"
    settings = tmp_path / "mine.toml"
    settings.write_text('preset = "quick"\nforce = 0.05\nmax_steps = 3\n')
    folder = campaign / "inputs" / FOLDER / "Unperturbed"
    assert str(folder) in command("inputs", str(campaign), "--engine", "espresso", "--preset", str(settings), "-q")
    run(folder)
    assert f"{FOLDER}/Unperturbed: unfinished; 3 ionic steps" in command("collect", str(campaign))
    assert command("restart", str(campaign), "-q") == str(folder)
    settings.unlink()  # what stands in the inputs counts
    shutil.rmtree(folder / "out")  # left on the cluster, say
    path = folder / "espresso.pwi"
    path.write_text(path.read_text().replace("nstep = 3", "nstep = 30"))
    run(folder)
    result = RUNNER.invoke(app, ["collect", str(campaign), "--json", "-q"])
    (minimum,) = json.loads(result.stdout)["defects"][FOLDER]["minima"]
    assert minimum["converged"]


@needs_espresso
@pytest.mark.skipif("espresso" not in available_references(), reason="installed without Quantum ESPRESSO's entry point")
def test_as_the_reference(search: list[str], tmp_path: Path) -> None:
    command(*search, "--reference", "espresso:quick", "--set", "refinement.force=0.1")
    frames = [frame for frame in read_campaign(tmp_path / "out") if isinstance(frame, LabelledFrame)]
    energies = [frame.prediction.energy for frame in frames]
    assert energies[-1] < energies[0]
    assert frames[-1].prediction.fmax < 0.1
    assert {(frame.origin.method, frame.origin.charge) for frame in frames} == {("espresso:quick", 1)}
