"""The host's relaxation by hand: written, run by a stand-in for VASP, read back."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from ase import Atoms
from ase.io import read, write
from typer.testing import CliRunner

from defectscout.cli.main import app
from defectscout.core.errors import CampaignError, InputFileError, SettingsError
from defectscout.core.progress import SilentProgress
from defectscout.hosts.settings import HostSettings
from defectscout.references.engines.base import RunState
from defectscout.workflow.host_runs import HostStanding, read_host_run, restart_host_run, write_host_run
from defectscout.workflow.inputs import InputChoices
from learning.vasp_files import IonicStep, VaspSettings
from references.vasp_runs import outcar_text
from workflow.cp2k_stand_in import data_files

SETTINGS = HostSettings()
PRESSURE = 0.01  # eV/Å³, any


def written(host: Path, folder: Path) -> Path:
    write_host_run(str(host), folder, InputChoices(preset="paper"), SETTINGS)
    return folder / "bulk"


def run(folder: Path, scales: tuple[float, ...] = (1.0, 1.01, 1.02), *, reached: bool = True, end: bool = True) -> None:
    """What VASP leaves of a relaxation in which the cell grows by these factors."""
    start = read(folder / "POSCAR", format="vasp")
    steps = []
    for number, scale in enumerate(scales):
        atoms = start.copy()
        atoms.set_cell(start.cell.array * scale, scale_atoms=True)
        forces = np.zeros((len(atoms), 3))
        steps.append(IonicStep(atoms, -9.0 - 0.1 * number, forces, np.full(6, PRESSURE), 8))
    settings = VaspSettings(nelect=8, hybrid=True, aexx=0.25, hfscreen=0.2, valences={"Mg": 2.0, "S": 6.0}, gga="PE")
    text = outcar_text(steps, reached=reached, nsw=len(scales), settings=settings)
    (folder / "OUTCAR").write_text(text if end else text.partition(" General timing")[0])
    write(folder / "CONTCAR", steps[-1].atoms, format="vasp", direct=True)


def standing(folder: Path) -> HostStanding:
    return read_host_run(folder, SETTINGS, SilentProgress())


def test_the_whole_crystal_is_relaxed(model_host: Path, tmp_path: Path) -> None:
    bulk = written(model_host, tmp_path / "out")
    incar = (bulk / "INCAR").read_text()
    assert "ISIF = 3" in incar
    assert "ENCUT = 585" in incar
    assert "LHFCALC = True" in incar
    assert len(read(bulk / "POSCAR", format="vasp")) == 2


def test_an_engine_of_the_gamma_point_relaxes_a_supercell(
    model_host: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CP2K_DATA_DIR", str(data_files(tmp_path / "data")))
    folder = tmp_path / "out"
    write_host_run(str(model_host), folder, InputChoices("cp2k", "quick"), SETTINGS)
    start = read(folder / "start.vasp", format="vasp")
    assert len(start) >= 50
    assert min(start.cell.lengths()) >= 10
    (text,) = [path.read_text() for path in (folder / "bulk").glob("*.inp")]
    assert "CELL_OPT" in text


def test_a_relaxed_crystal_comes_back_with_its_changes(model_host: Path, tmp_path: Path) -> None:
    folder = tmp_path / "out"
    bulk = written(model_host, folder)
    assert standing(folder).run.state is RunState.NOT_RUN
    run(bulk, end=False, reached=False)
    assert standing(folder).run.state is RunState.RUNNING
    assert standing(folder).relaxed is None
    run(bulk)
    found = standing(folder)
    assert (found.run.state, found.run.steps, found.run.fmax) == (RunState.FINISHED, 3, 0.0)
    np.testing.assert_allclose(found.length_changes, 0.02, atol=1e-6)
    assert found.space_groups == ("Fm-3m", "Fm-3m")
    assert found.relaxed is not None
    relaxed = read(found.relaxed, format="vasp")
    np.testing.assert_allclose(relaxed.cell.array, 1.02 * read(bulk / "POSCAR", format="vasp").cell.array, atol=1e-6)
    assert [text for text in found.concerns if "volume changes by +6.1 %" in text]  # of the basis set


def test_what_would_spoil_the_defects_is_said(model_host: Path, tmp_path: Path) -> None:
    folder = tmp_path / "out"
    run(written(model_host, folder), (1.0, 1.08))
    assert any("lattice parameter a changes by +8.0 % (limit 6 %)" in text for text in standing(folder).concerns)


def test_a_crystal_that_loses_its_symmetry_is_said(model_host: Path, tmp_path: Path) -> None:
    folder = tmp_path / "out"
    bulk = written(model_host, folder)
    run(bulk, (1.0,))
    text = (bulk / "OUTCAR").read_text()
    atoms: Atoms = read(bulk / "POSCAR", format="vasp")
    atoms.positions[1] += 0.2
    step = IonicStep(atoms, -9.0, np.zeros((2, 3)), np.zeros(6), 8)
    settings = VaspSettings(nelect=8, hybrid=True, aexx=0.25, hfscreen=0.2, valences={"Mg": 2.0, "S": 6.0}, gga="PE")
    (bulk / "OUTCAR").write_text(outcar_text([step], reached=True, settings=settings))
    assert text != (bulk / "OUTCAR").read_text()
    found = standing(folder)
    assert found.space_groups[0] == "Fm-3m"
    assert found.space_groups[1] != "Fm-3m"
    assert any("space group changes from Fm-3m to" in text for text in found.concerns)


def test_it_goes_on_from_where_it_ended(model_host: Path, tmp_path: Path) -> None:
    folder = tmp_path / "out"
    bulk = written(model_host, folder)
    assert restart_host_run(folder, running_too=False) == ""
    run(bulk, reached=False)
    assert standing(folder).run.state is RunState.UNFINISHED
    assert restart_host_run(folder, running_too=False)
    now, before = (read(bulk / name, format="vasp").cell.array for name in ("POSCAR", "POSCAR.1"))
    np.testing.assert_allclose(now, 1.02 * before, atol=1e-6)
    run(bulk, (1.0, 1.001))
    np.testing.assert_allclose(standing(folder).length_changes, 1.02 * 1.001 - 1, atol=1e-6)


def test_bad_folders_and_presets(model_host: Path, tmp_path: Path) -> None:
    taken = tmp_path / "taken"
    taken.mkdir()
    (taken / "notes.txt").write_text("mine")
    with pytest.raises(CampaignError, match="holds other files"):
        write_host_run(str(model_host), taken, InputChoices(), SETTINGS)
    with pytest.raises(SettingsError, match="no preset 'cheap'"):
        write_host_run(str(model_host), tmp_path / "new", InputChoices(preset="cheap"), SETTINGS)
    with pytest.raises(InputFileError, match="relax-host"):
        standing(taken)
    folder = tmp_path / "out"
    run(written(model_host, folder))
    with pytest.raises(CampaignError, match="A relaxation has run"):
        write_host_run(str(model_host), folder, InputChoices(), SETTINGS)


def test_from_the_command_line_to_a_search_and_a_dataset(model_host: Path, tmp_path: Path) -> None:
    folder, commands = tmp_path / "host", CliRunner()
    job = tmp_path / "job.sh"
    job.write_text("#!/bin/bash\n#SBATCH -J {name}\n")
    first = commands.invoke(app, ["relax-host", str(model_host), "-o", str(folder), "--job", str(job)])
    assert first.exit_code == 0, first.output
    assert "MgS_bulk" in (folder / "bulk" / "job.sh").read_text()
    run(folder / "bulk", (1.0, 1.005))
    read_back = commands.invoke(app, ["collect", str(folder)])
    assert read_back.exit_code == 0, read_back.output
    assert "finished; 2 ionic steps" in read_back.output
    assert "a +0.50 %" in read_back.output
    relaxed = folder / "relaxed.vasp"
    assert f"defectscout search {relaxed} --reference none" in read_back.output
    sampled = commands.invoke(
        app, ["sample", str(relaxed), "-d", "v_Mg", "-r", "none", "-o", str(tmp_path / "c"), "-q"]
    )
    assert sampled.exit_code == 0, sampled.output
    built = commands.invoke(app, ["dataset", "build", str(folder), "-o", str(tmp_path / "set.db")])
    assert built.exit_code == 0, built.output
    shown = commands.invoke(app, ["dataset", "inspect", str(tmp_path / "set.db")])
    assert "bulk" in shown.output
