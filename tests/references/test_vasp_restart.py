"""Preparing VASP runs to go on."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest
from ase.io import read

from defectscout.core.errors import CalculationError
from defectscout.references.engines.base import RunState
from defectscout.references.engines.retries import FILE_NAME, read_retries
from defectscout.references.engines.vasp import load
from defectscout.references.engines.vasp_incar import incar_tags, with_tags
from references.vasp_runs import INCAR, folder_with, ionic_steps, outcar_text, pair

VASP = load("vasp")
HALF_WAY = ionic_steps([0.5, 0.3, 0.2])
PRESET = "shakenbreak"


def tags(folder: Path) -> dict[str, str]:
    return incar_tags((folder / "INCAR").read_text())


def test_step_limit(tmp_path: Path) -> None:
    folder = folder_with(tmp_path / "a", outcar_text(HALF_WAY, nsw=3), "printed\n")
    (folder / "OSZICAR").write_text("DAV: 1\n")
    (folder / "STOPCAR").write_text("LSTOP = .TRUE.\n")
    before = (folder / "INCAR").read_text()
    changed = VASP.go_on(folder, PRESET)
    assert "nothing else changed" in changed
    assert read(folder / "POSCAR", format="vasp").get_distance(0, 1) == pytest.approx(2.75)
    assert read(folder / "POSCAR.1", format="vasp").get_distance(0, 1) == pytest.approx(2.8)
    assert (folder / "INCAR").read_text() == before
    names = {path.name for path in folder.iterdir()}
    assert {"OUTCAR.1", "OSZICAR.1", "vasp.out.1", "STOPCAR.1", "CONTCAR.1", "INCAR.1", FILE_NAME} <= names
    assert not {"OUTCAR", "OSZICAR", "vasp.out", "STOPCAR"} & names
    found = VASP.diagnose(folder)
    assert found.state is RunState.NOT_RUN
    assert "run 1" in found.reason


def test_the_readers_join_what_is_kept(tmp_path: Path) -> None:
    from defectscout.learning.readers.vasp import vasp_relaxations

    folder = folder_with(tmp_path / "a", outcar_text(HALF_WAY, nsw=3))
    VASP.go_on(folder, PRESET)
    (folder / "OUTCAR").write_text(outcar_text(HALF_WAY, nsw=3))
    (folder / "vasprun.xml").write_text("<modeling>")
    VASP.go_on(folder, PRESET)
    (folder / "OUTCAR.gz").write_bytes(gzip.compress(outcar_text(HALF_WAY).encode()))
    VASP.go_on(folder, PRESET)
    assert {"OUTCAR.1", "OUTCAR.2", "vasprun.xml.2", "OUTCAR.3.gz"} <= {path.name for path in folder.iterdir()}
    (relaxation,) = vasp_relaxations([path for path in folder.iterdir() if path.name.startswith(("OUTCAR", "vasprun"))])
    assert [len(run.files) for run in relaxation.runs] == [1, 2, 1]


def test_ladder_of_remedies_and_its_end(tmp_path: Path) -> None:
    folder = folder_with(tmp_path / "a")
    (folder / "CONTCAR").write_bytes((folder / "POSCAR").read_bytes())
    stuck = outcar_text(ionic_steps([0.5, 0.4], electronic=60), scf=False)
    seen = []
    for _ in range(3):
        (folder / "OUTCAR").write_text(stuck)
        VASP.go_on(folder, PRESET)
        seen.append((tags(folder)["ALGO"], tags(folder)["NELM"]))
    assert seen == [("All", "100"), ("Damped", "100"), ("Normal", "100")]
    assert tags(folder)["BMIX"] == "0.001"
    (folder / "OUTCAR").write_text(stuck)
    found = VASP.diagnose(folder)
    assert found.state is RunState.FAILED
    assert "3 remedies have been tried" in found.reason
    with pytest.raises(CalculationError, match="No remedy is left"):
        VASP.go_on(folder, PRESET)
    retries = read_retries(folder)
    assert [retry.failure for retry in retries] == ["scf"] * 3
    assert retries[0].settings == {"ALGO": "All", "ISEARCH": "1", "NELM": "100"}
    assert json.loads((folder / FILE_NAME).read_text())[1]["run"] == 2


def test_exploded_geometry_starts_over(tmp_path: Path) -> None:
    folder = folder_with(tmp_path / "a", outcar_text(ionic_steps([5.0, 2500.0])), contcar=pair(1.0))
    VASP.go_on(folder, PRESET)
    assert read(folder / "POSCAR", format="vasp").get_distance(0, 1) == pytest.approx(2.8)
    assert tags(folder)["POTIM"] == "0.25"
    assert tags(folder)["IBRION"] == "2"  # on the same line before


def test_zbrent(tmp_path: Path) -> None:
    cut = outcar_text(HALF_WAY).partition(" General timing")[0]
    folder = folder_with(tmp_path / "a", cut, " ZBRENT: fatal error in bracketing\n")
    VASP.go_on(folder, PRESET)
    assert (tags(folder)["EDIFF"], tags(folder)["NELMIN"]) == ("1e-06", "8")
    folder = folder_with(tmp_path / "a", cut, " ZBRENT: fatal error in bracketing\n")
    VASP.go_on(folder, PRESET)
    assert tags(folder)["IBRION"] == "1"


def test_a_killed_run_goes_on_when_asked(tmp_path: Path) -> None:
    folder = folder_with(tmp_path / "a", outcar_text(HALF_WAY).partition(" General timing")[0])
    assert VASP.diagnose(folder).state is RunState.RUNNING
    VASP.go_on(folder, PRESET)
    assert read(folder / "POSCAR", format="vasp").get_distance(0, 1) == pytest.approx(2.75)


def test_nothing_to_go_on_with(tmp_path: Path) -> None:
    done = folder_with(tmp_path / "a", outcar_text(ionic_steps([0.5, 0.005]), reached=True))
    with pytest.raises(CalculationError, match="has finished"):
        VASP.go_on(done, PRESET)
    with pytest.raises(CalculationError, match="has not run"):
        VASP.go_on(folder_with(tmp_path / "b"), PRESET)
    outputs = folder_with(tmp_path / "c", outcar_text(HALF_WAY, nsw=3))
    (outputs / "INCAR").unlink()
    with pytest.raises(CalculationError, match="no INCAR"):
        VASP.go_on(outputs, PRESET)
    cut = folder_with(tmp_path / "d", outcar_text(HALF_WAY, nsw=3))
    (cut / "CONTCAR").write_text((cut / "CONTCAR").read_text()[:60])
    with pytest.raises(CalculationError, match="no structure to go on from"):
        VASP.go_on(cut, PRESET)
    assert not (cut / FILE_NAME).exists()
    assert (cut / "OUTCAR").exists()


def test_a_damaged_list_of_retries(tmp_path: Path) -> None:
    folder = folder_with(tmp_path, outcar_text(HALF_WAY, nsw=3))
    (folder / FILE_NAME).write_text("[{")
    assert VASP.diagnose(folder).state is RunState.FAILED
    with pytest.raises(CalculationError, match="cannot be read"):
        VASP.go_on(folder, PRESET)


def test_incar_keeps_what_is_not_changed() -> None:
    changed = with_tags(INCAR, {"POTIM": "0.1", "SYMPREC": "1e-6", "ALGO": "All"})
    assert changed.splitlines()[:2] == ["# defects", "ALGO = All"]
    assert "IBRION = 2; POTIM = 0.1" in changed
    assert changed.endswith("NSW = 300\nSYMPREC = 1e-6\n")
    assert with_tags(INCAR, {}) == INCAR
    assert incar_tags("encut=300 ! eV\nENCUT = 400\n# NSW = 3\nNSW = 5 ; IBRION=1 # x") == {
        "ENCUT": "300",
        "NSW": "5",
        "IBRION": "1",
    }
    assert incar_tags(with_tags("ENCUT = 300\nENCUT = 400\n", {"ENCUT": "500"})) == {"ENCUT": "500"}
