"""Wrong units are found from the frames themselves, and right ones are left in peace."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from ase import Atoms
from ase.units import Bohr, GPa, Hartree, Rydberg

from defectscout.core.frames import Prediction
from defectscout.learning.frames import LabelledFrame, Unreadable
from defectscout.learning.readers import SourceDefaults, read_source
from defectscout.learning.readers.plausibility import check_units
from learning.relaxations import bulk_relaxation, vacancy_relaxation


def scaled(
    frames: tuple[LabelledFrame, ...], energy: float = 1, forces: float = 1, stress: float = 1, length: float = 1
) -> list[LabelledFrame]:
    changed = []
    for frame in frames:
        known, atoms = frame.prediction, frame.atoms
        assert known.stress is not None
        prediction = Prediction(known.energy * energy, known.forces * forces, known.stress * stress)
        larger = Atoms(atoms.numbers, atoms.positions * length, cell=atoms.cell.array * length, pbc=True)
        changed.append(replace(frame, atoms=larger, prediction=prediction))
    return changed


def test_right_units_are_left_in_peace() -> None:
    assert check_units(vacancy_relaxation()) == ""
    assert check_units(bulk_relaxation()) == ""
    assert check_units([]) == ""


def test_too_little_evidence_decides_nothing() -> None:
    assert check_units(scaled(vacancy_relaxation(), energy=1 / Hartree)[:3]) == ""
    still = [vacancy_relaxation()[0]] * 8
    assert check_units(scaled(tuple(still), energy=1 / Hartree)) == ""


@pytest.mark.parametrize(
    ("factors", "says"),
    [
        ({"energy": 1 / Hartree}, "energies are in hartree rather"),
        ({"energy": 1 / Rydberg}, "energies are in rydberg rather"),
        ({"forces": Bohr / Hartree}, "forces are in hartree/bohr"),
        ({"forces": Bohr / Rydberg}, "forces are in rydberg/bohr"),
        ({"energy": 1 / Hartree, "forces": Bohr / Hartree}, "energies are in hartree (or rydberg) and forces"),
        ({"length": 1 / Bohr}, "lengths are in bohr"),
        ({"forces": -1}, "opposite sign"),
        ({"energy": 1 / 53}, "per atom"),
        ({"energy": 1000}, "meV"),
        ({"energy": 7}, "No usual unit"),
    ],
)
def test_units_of_energies_and_forces(factors: dict[str, float], says: str) -> None:
    # Steps longer than 0.15 Å are not looked at: those in bohr are kept below.
    assert says in check_units(scaled(vacancy_relaxation(), **factors))


@pytest.mark.parametrize(
    ("factor", "says"),
    [
        (-1, "opposite sign"),
        (1 / GPa, "in GPa"),
        (-10 / GPa, "in kbar rather than eV/Å³, with the opposite sign"),
        (Bohr**3 / Hartree, "hartree/bohr³"),
    ],
)
def test_units_of_stresses(factor: float, says: str) -> None:
    assert says in check_units(scaled(bulk_relaxation(), stress=factor))


@pytest.mark.parametrize("folder", ["dft", "dft_raw", "gfn1-xtb"])
def test_no_false_alarm_on_real_data(shared_data: Path, folder: str) -> None:
    defaults = SourceDefaults(method="gfn1-xtb") if folder == "gfn1-xtb" else SourceDefaults()
    found = list(read_source(shared_data / folder, defaults))
    assert [item for item in found if isinstance(item, Unreadable)] == []
    assert (
        sum(isinstance(item, LabelledFrame) for item in found)
        == {"dft": 1194, "dft_raw": 410, "gfn1-xtb": 2055}[folder]
    )


def test_vasps_files_against_what_others_made_of_them(shared_data: Path) -> None:
    """The free energies, forces and stresses of OUTCAR and vasprun.xml are those that pymatgen and ASE read."""
    same = SourceDefaults(method="HSE")

    def frames(path: Path) -> list[LabelledFrame]:
        return [item for item in read_source(path, same) if isinstance(item, LabelledFrame)]

    for raw, made in (("GaN_PBEsol", "GaN_PBEsol"), ("CdTe_HSE", "CdTe_v_Cd_charged_HSE")):
        others = {
            (f.origin.defect_id, round(f.prediction.energy, 7)): f
            for f in frames(shared_data / "dft" / f"{made}.extxyz.gz")
        }
        ours = frames(shared_data / "dft_raw" / raw)
        assert ours
        for frame in ours:
            other = others[frame.origin.defect_id, round(frame.prediction.energy, 7)].prediction
            assert frame.prediction.forces == pytest.approx(other.forces, abs=1e-8)
            assert frame.prediction.stress == pytest.approx(other.stress, abs=1e-8)
