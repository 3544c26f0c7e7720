import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from defectscout.core.defect import Defect, SamplingStructure
from defectscout.references.dft_inputs import missing_vasp_inputs, write_vasp_inputs
from defectscout.sampling.sample import sample
from defectscout.sampling.settings import SamplingSettings
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
ELECTRONS = {"Cd": 12, "Te": 6}


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
    for symbol, electrons in ELECTRONS.items():
        path = folder / "POT_GGA_PAW_PBE" / symbol / "POTCAR"
        path.parent.mkdir(parents=True)
        path.write_text(POTCAR.format(symbol=symbol, electrons=electrons))
    monkeypatch.setitem(SETTINGS, "PMG_VASP_PSP_DIR", str(folder))
    _get_potcar.cache_clear()
    yield folder
    _get_potcar.cache_clear()


def candidates(defect: Defect) -> tuple[SamplingStructure, ...]:
    return sample(defect, SamplingSettings(distortions=(-0.4,))).structures


def tag(folder: Path, name: str) -> str | None:
    match = re.search(rf"^{name} *= *(\S+)", (folder / "INCAR").read_text(), re.MULTILINE)
    return match[1] if match else None


def test_neutral_without_potcars(no_potcars: None, tmp_path: Path) -> None:
    defect = vacancy()
    folders = write_vasp_inputs(tmp_path, defect, candidates(defect))
    assert folders == (
        tmp_path / "v_Cd_0" / "Unperturbed",
        tmp_path / "v_Cd_0" / "Bond_Distortion_-40.0%",
    )
    for folder in folders:
        assert {path.name for path in folder.iterdir()} == {"POSCAR", "INCAR", "KPOINTS", "POTCAR.spec"}
        assert (folder / "POTCAR.spec").read_text().split() == ["Cd", "Te"]
        assert tag(folder, "NELECT") is None
        assert tag(folder, "LHFCALC") == "True"
        assert tag(folder, "LREAL") == "Auto"
        assert tag(folder, "NSW") == "300"
    missing = missing_vasp_inputs(defect)
    assert any("POTCAR is missing (PMG_VASP_PSP_DIR" in sentence for sentence in missing)
    assert not any("NELECT" in sentence for sentence in missing)


def test_charged_without_potcars_says_what_to_add(no_potcars: None, tmp_path: Path) -> None:
    defect = vacancy(charge=-1)
    (folder, *_) = write_vasp_inputs(tmp_path, defect, candidates(defect))
    assert tag(folder, "NELECT") is None
    incar = (folder / "INCAR").read_text()
    assert "# NELECT is missing and must be set" in incar
    assert all(f"# {sentence}\n" in incar for sentence in missing_vasp_inputs(defect))
    assert any("charge of v_Cd_-1, -1" in sentence for sentence in missing_vasp_inputs(defect))


@pytest.mark.parametrize("charge", [-2, -1, 0, 1])
def test_with_potcars(potcars: Path, tmp_path: Path, charge: int) -> None:
    defect = vacancy(charge=charge)
    (folder, *_) = write_vasp_inputs(tmp_path, defect, candidates(defect))
    assert missing_vasp_inputs(defect) == ()
    assert not (folder / "POTCAR.spec").exists()
    potcar = (folder / "POTCAR").read_text()
    assert re.findall(r"TITEL  = PAW_PBE (\w+)", potcar) == ["Cd", "Te"]
    electrons = 31 * ELECTRONS["Cd"] + 32 * ELECTRONS["Te"] - charge
    nelect = tag(folder, "NELECT")
    assert nelect is None if charge == 0 else float(nelect or "nan") == electrons
    assert float(tag(folder, "NUPDOWN") or "nan") == electrons % 2


def test_same_files_as_shakenbreak(potcars: Path, tmp_path: Path) -> None:
    from pymatgen.core import Structure
    from shakenbreak.input import _create_vasp_input

    defect = vacancy(charge=-1)
    (ours, *_) = write_vasp_inputs(tmp_path / "ours", defect, candidates(defect))
    structure = Structure.from_ase_atoms(defect.atoms)
    start = {"Defect Structure": structure, "Charge State": -1, "POSCAR Comment": "start"}
    _create_vasp_input("v_Cd_-1", {"Unperturbed": start}, output_path=str(tmp_path / "theirs"))
    theirs = tmp_path / "theirs" / "v_Cd_-1" / "Unperturbed"
    for name in ("INCAR", "KPOINTS", "POTCAR"):
        assert (ours / name).read_text().split() == (theirs / name).read_text().split()
    found, expected = (Structure.from_file(folder / "POSCAR") for folder in (ours, theirs))
    assert [site.specie for site in found] == [site.specie for site in expected]
    assert np.abs(found.frac_coords - expected.frac_coords).max() < 1e-6


def test_a_potential_that_is_not_there(potcars: Path, tmp_path: Path) -> None:
    (potcars / "POT_GGA_PAW_PBE" / "Te" / "POTCAR").unlink()
    defect = vacancy(charge=-1)
    (folder, *_) = write_vasp_inputs(tmp_path, defect, candidates(defect))
    assert (folder / "POTCAR.spec").exists()
    assert "POTCAR is missing (pymatgen cannot give it" in missing_vasp_inputs(defect)[0]


def test_one_block_for_each_species(no_potcars: None, tmp_path: Path) -> None:
    """The antisite atom comes last in the supercell; POTCAR allows one block of Cd only."""
    defect = antisite()
    (folder, *_) = write_vasp_inputs(tmp_path, defect, candidates(defect))
    assert (folder / "POSCAR").read_text().splitlines()[5:7] == ["Cd Te", "33 31"]
    assert (folder / "POTCAR.spec").read_text().split() == ["Cd", "Te"]
