"""VASP's input files, against those of ShakeNBreak and doped."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk

from defectscout.core.defect import Defect
from defectscout.core.errors import SettingsError, UnsupportedElementError
from defectscout.references.base import ElectronicState
from defectscout.references.engines.base import Calculation, Purpose
from defectscout.references.engines.vasp import load
from sampling.defect_examples import antisite, vacancy

POTCAR = """  PAW_PBE {symbol} 01Jan2000
  {electrons:.4f}
 parameters from PSCTR are:
   VRHFIN ={symbol}: made up for a test
   LEXCH  = PE
   EATOM  =   100.0000 eV,    7.0000 Ry
   TITEL  = PAW_PBE {symbol} 01Jan2000
   LULTRA =        F    use ultrasoft PP ?
   POMASS =  100.000; ZVAL   =  {electrons:6.3f}    mass and valenz
   ENMAX  =  200.000; ENMIN  =  150.000 eV
END of PSCTR-controll parameters
 local part
 0.10000000E+01 0.20000000E+01
 End of Dataset
"""
ELECTRONS = {"Cd": 12, "Te": 6, "Dy_3": 9}
VASP = load("vasp")


@pytest.fixture
def no_potcars(monkeypatch: pytest.MonkeyPatch) -> None:
    from pymatgen.core import SETTINGS

    for key in [key for key in SETTINGS if "VASP_PSP_DIR" in key]:
        monkeypatch.delitem(SETTINGS, key)


@pytest.fixture
def potcars(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Path]:
    """A folder of potentials that hold nothing but the numbers of electrons."""
    from doped.vasp import _get_potcar
    from pymatgen.core import SETTINGS

    folder = tmp_path / "potentials"
    for name, electrons in ELECTRONS.items():
        path = folder / "POT_GGA_PAW_PBE" / name / "POTCAR"
        path.parent.mkdir(parents=True)
        path.write_text(POTCAR.format(symbol=name, electrons=electrons))
    monkeypatch.setitem(SETTINGS, "PMG_VASP_PSP_DIR", str(folder))
    _get_potcar.cache_clear()
    yield folder
    _get_potcar.cache_clear()


def written(folder: Path, defect: Defect, preset: str = "shakenbreak") -> tuple[str, ...]:
    state = VASP.electronic_state(defect.atoms, defect.charge)
    return VASP.write(folder, Calculation(f"{defect.label} start", defect.atoms, state), preset)


def lines(folder: Path) -> set[str]:
    return {line for line in (folder / "INCAR").read_text().splitlines() if not line.startswith("#")}


def tag(folder: Path, name: str) -> str | None:
    match = re.search(rf"^{name} *= *(\S+)", (folder / "INCAR").read_text(), re.MULTILINE)
    return match[1] if match else None


def test_neutral_without_potcars(no_potcars: None, tmp_path: Path) -> None:
    missing = written(tmp_path, vacancy())
    assert {path.name for path in tmp_path.iterdir()} == {"POSCAR", "INCAR", "KPOINTS", "POTCAR.spec"}
    assert (tmp_path / "POTCAR.spec").read_text().split() == ["Cd", "Te"]
    assert tag(tmp_path, "NELECT") is None
    assert tag(tmp_path, "LHFCALC") == "True"
    assert tag(tmp_path, "LREAL") == "Auto"
    assert tag(tmp_path, "NSW") == "300"
    assert float(tag(tmp_path, "NUPDOWN") or "nan") == 0
    (sentence,) = missing
    assert "POTCAR is missing (PMG_VASP_PSP_DIR" in sentence


def test_charged_without_potcars_says_what_to_add(no_potcars: None, tmp_path: Path) -> None:
    missing = written(tmp_path, vacancy(charge=-1))
    assert tag(tmp_path, "NELECT") is None
    incar = (tmp_path / "INCAR").read_text()
    assert "# NELECT is missing and must be set" in incar
    assert all(f"# {sentence}\n" in incar for sentence in missing)
    assert any("the charge, -1" in sentence for sentence in missing)
    assert float(tag(tmp_path, "NUPDOWN") or "nan") == 1


@pytest.mark.parametrize("charge", [-2, -1, 0, 1])
def test_with_potcars(potcars: Path, tmp_path: Path, charge: int) -> None:
    folder = tmp_path / "out"
    assert written(folder, vacancy(charge=charge)) == ()
    assert not (folder / "POTCAR.spec").exists()
    potcar = (folder / "POTCAR").read_text()
    assert re.findall(r"TITEL  = PAW_PBE (\w+)", potcar) == ["Cd", "Te"]
    electrons = 31 * ELECTRONS["Cd"] + 32 * ELECTRONS["Te"] - charge
    nelect = tag(folder, "NELECT")
    assert nelect is None if charge == 0 else float(nelect or "nan") == electrons
    assert float(tag(folder, "NUPDOWN") or "nan") == electrons % 2


def test_potcar_goes_nowhere_else(potcars: Path, tmp_path: Path) -> None:
    before = {path for path in tmp_path.rglob("*") if path.is_file()}
    written(tmp_path / "out", vacancy())
    new = {path for path in tmp_path.rglob("*") if path.is_file()} - before
    assert [path for path in new if "VRHFIN" in path.read_text()] == [tmp_path / "out" / "POTCAR"]


@pytest.mark.parametrize("charge", [-1, 0, 2])
def test_same_files_as_shakenbreak(potcars: Path, tmp_path: Path, charge: int) -> None:
    from pymatgen.core import Structure
    from shakenbreak.input import _create_vasp_input

    defect = vacancy(charge=charge)
    ours = tmp_path / "ours"
    written(ours, defect)
    structure = Structure.from_ase_atoms(defect.atoms)
    start = {"Defect Structure": structure, "Charge State": charge, "POSCAR Comment": "start"}
    _create_vasp_input(defect.label, {"Unperturbed": start}, output_path=str(tmp_path / "theirs"))
    theirs = tmp_path / "theirs" / defect.label / "Unperturbed"
    assert {path.name for path in ours.iterdir()} == {path.name for path in theirs.iterdir()}
    for name in ("INCAR", "KPOINTS", "POTCAR"):
        assert (ours / name).read_text().split() == (theirs / name).read_text().split()
    found, expected = (Structure.from_file(folder / "POSCAR") for folder in (ours, theirs))
    assert [site.specie for site in found] == [site.specie for site in expected]
    assert np.abs(found.frac_coords - expected.frac_coords).max() < 1e-6


DIFFERS_FROM_DOPED = {
    "shakenbreak": {"LREAL", "LCHARG", "LWAVE", "NELM", "NSW", "ROPT"},
    "paper": {"LREAL", "LCHARG", "LWAVE", "NELM", "NSW", "ROPT", "ENCUT", "EDIFF"},
    "pbesol": {"LREAL", "LCHARG", "LWAVE", "NELM", "NSW", "ROPT", "LHFCALC", "GGA", "AEXX", "HFSCREEN", "PRECFOCK"},
    "pbe": {"LREAL", "LCHARG", "LWAVE", "NELM", "NSW", "ROPT", "LHFCALC", "AEXX", "HFSCREEN", "PRECFOCK"},
}


@pytest.mark.parametrize("preset", list(DIFFERS_FROM_DOPED))
def test_what_differs_from_doped(potcars: Path, tmp_path: Path, preset: str) -> None:
    """Each of these is explained in docs/howto/vasp.md."""
    from doped.vasp import DefectDictSet
    from pymatgen.core import Structure
    from pymatgen.io.vasp.inputs import Kpoints

    assert set(VASP.info.presets) == set(DIFFERS_FROM_DOPED)
    defect = vacancy(charge=-1)
    written(tmp_path / "ours", defect, preset)
    gamma = Kpoints.from_dict({"comment": "vasp_gam", "generation_style": "Gamma"})
    theirs = DefectDictSet(Structure.from_ase_atoms(defect.atoms), charge_state=-1, user_kpoints_settings=gamma)
    ours = _tags((tmp_path / "ours" / "INCAR").read_text())
    doped = _tags(str(theirs.incar))
    differ = {name for name in ours.keys() | doped.keys() if ours.get(name) != doped.get(name)}
    # `AUTO` and `Auto` are one to VASP; both say LREAL = Auto.
    assert ours["LREAL"].lower() == doped["LREAL"].lower()
    assert differ - {"LREAL"} == DIFFERS_FROM_DOPED[preset] - {"LREAL"}
    assert (tmp_path / "ours" / "POTCAR").read_text() == str(theirs.potcar)
    kpoints = (tmp_path / "ours" / "KPOINTS").read_text().split()
    assert kpoints[-5:] == str(theirs.kpoints).split()[-5:] == ["0", "Gamma", "1", "1", "1"]
    page = (Path(__file__).parents[2] / "docs" / "howto" / "vasp.md").read_text()
    assert all(f"`{name}" in page for name in differ - {"LREAL"})


def _tags(incar: str) -> dict[str, str]:
    pairs = [line.split("#")[0].split("=") for line in incar.splitlines() if not line.startswith("#")]
    return {name.strip(): value.strip() for name, value in pairs}


def test_the_papers_settings(no_potcars: None, tmp_path: Path) -> None:
    written(tmp_path, vacancy(), "paper")
    assert {"ENCUT = 350.0", "EDIFF = 0.0001", "EDIFFG = -0.01", "LHFCALC = True", "AEXX = 0.25"} <= lines(tmp_path)
    assert (tmp_path / "KPOINTS").read_text().splitlines()[1:4] == ["0", "Gamma", "1 1 1"]


def test_the_papers_settings_for_hosts(no_potcars: None, tmp_path: Path) -> None:
    host = bulk("CdTe", "zincblende", a=6.62)
    VASP.write(tmp_path, Calculation("CdTe", host, ElectronicState(0, 1), Purpose.HOST), "paper")
    assert {"ENCUT = 585.0", "EDIFF = 1e-06", "EDIFFG = -1e-05", "ISIF = 3", "LREAL = False"} <= lines(tmp_path)
    assert tag(tmp_path, "NUPDOWN") is None
    mesh = [int(number) for number in (tmp_path / "KPOINTS").read_text().splitlines()[3].split()]
    # 900 points per reciprocal atom: the whole number next to the cube root of 450, in each direction.
    assert mesh == [7, 7, 7]


@pytest.mark.parametrize("preset", ["shakenbreak", "pbesol", "pbe"])
def test_cells_relax_with_a_higher_cutoff(no_potcars: None, tmp_path: Path, preset: str) -> None:
    host = bulk("CdTe", "zincblende", a=6.62)
    VASP.write(tmp_path, Calculation("CdTe", host, ElectronicState(0, 1), Purpose.HOST), preset)
    assert {"ENCUT = 390.0", "ISIF = 3"} <= lines(tmp_path)
    assert ("LHFCALC = True" in lines(tmp_path)) is (preset == "shakenbreak")


def test_spin_that_is_asked_for(potcars: Path, tmp_path: Path) -> None:
    defect = vacancy()
    VASP.write(tmp_path / "a", Calculation("triplet", defect.atoms, ElectronicState(0, 3)), "pbe")
    assert float(tag(tmp_path / "a", "NUPDOWN") or "nan") == 2


def test_spin_with_open_shells_in_the_core(potcars: Path, tmp_path: Path) -> None:
    """Dysprosium has 66 electrons, and nine of them in doped's potential Dy_3."""
    atoms = Atoms("DyTe", [(0, 0, 0), (0, 0, 3)], cell=[9, 9, 9], pbc=True)
    state = VASP.electronic_state(atoms, 0)
    assert state.multiplicity == 2
    VASP.write(tmp_path / "a", Calculation("DyTe", atoms, state), "pbe")
    assert "Dy_3" in (tmp_path / "a" / "POTCAR").read_text()
    assert float(tag(tmp_path / "a", "NUPDOWN") or "nan") == 1
    assert VASP.electronic_state(atoms, 1).multiplicity == 1


def test_a_potential_that_is_not_there(potcars: Path, tmp_path: Path) -> None:
    (potcars / "POT_GGA_PAW_PBE" / "Te" / "POTCAR").unlink()
    missing = written(tmp_path / "a", vacancy(charge=-1))
    assert (tmp_path / "a" / "POTCAR.spec").exists()
    assert "POTCAR is missing (pymatgen cannot give it" in missing[0]


def test_one_block_for_each_species(no_potcars: None, tmp_path: Path) -> None:
    """The antisite atom comes last in the supercell; POTCAR allows one block of Cd only."""
    written(tmp_path, antisite())
    assert (tmp_path / "POSCAR").read_text().splitlines()[5:7] == ["Cd Te", "33 31"]
    assert (tmp_path / "POTCAR.spec").read_text().split() == ["Cd", "Te"]


def test_what_cannot_be_written(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="VASP has no preset 'cheap'"):
        written(tmp_path, vacancy(), "cheap")
    polonium = Atoms("Po", cell=[5, 5, 5], pbc=True)
    with pytest.raises(UnsupportedElementError, match="Po"):
        VASP.write(tmp_path, Calculation("Po", polonium, ElectronicState(0, 1)), "pbe")
    assert not any(tmp_path.iterdir())
