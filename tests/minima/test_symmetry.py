from __future__ import annotations

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk, molecule

from defectscout.core.errors import CalculationError
from defectscout.minima.settings import MinimaSettings
from defectscout.minima.symmetry import SCHOENFLIES, site_symmetry
from minima.vacancy_cases import CUBIC, FCC, breathing, dimer, vacancy

SYMPREC = MinimaSettings().symprec


@pytest.mark.parametrize("matrix", [FCC, CUBIC])
def test_a_vacancy_in_zincblende_and_its_dimer(matrix: tuple[tuple[int, int, int], ...]) -> None:
    defect = vacancy(matrix)
    assert site_symmetry(defect.atoms, SYMPREC) == "Td"
    assert site_symmetry(breathing(defect), SYMPREC) == "Td"
    assert site_symmetry(dimer(defect), SYMPREC) == "C2v"


def test_noise_of_a_relaxation_is_forgiven_by_the_default_and_not_by_a_tight_tolerance() -> None:
    atoms = dimer(vacancy(CUBIC))
    atoms.positions += np.random.default_rng(0).normal(scale=0.01, size=atoms.positions.shape)
    assert site_symmetry(atoms, SYMPREC) == "C2v"
    assert site_symmetry(atoms, 0.001) == "C1"


def test_off_centre_by_less_than_a_bond_is_seen() -> None:
    defect = vacancy(CUBIC)
    assert site_symmetry(dimer(defect, length=4.0), SYMPREC) == "C2v"


@pytest.mark.parametrize(
    ("atoms", "expected"),
    [
        (bulk("NaCl", "rocksalt", a=5.6), "Oh"),
        (bulk("ZnS", "wurtzite", a=3.8, c=6.2), "C6v"),
        (bulk("Mg", "hcp"), "D6h"),
        (molecule("H2O", vacuum=5, pbc=True), "C2v"),
        (Atoms("HCF", [[0, 0, 0], [1, 0.1, 0], [0, 1.3, 0]], cell=[9, 10, 11], pbc=True), "Cs"),
        (Atoms("HCFCl", [[0, 0, 0], [1, 0.1, 0], [0, 1.3, 0.2], [0.1, 0, 1.7]], cell=[9, 10, 11], pbc=True), "C1"),
    ],
)  # fmt: skip
def test_known_point_groups(atoms: Atoms, expected: str) -> None:
    assert site_symmetry(atoms, 0.01) == expected


def test_every_crystallographic_point_group_has_its_symbol() -> None:
    assert len(set(SCHOENFLIES.values())) == 32


def test_atoms_on_top_of_each_other() -> None:
    atoms = Atoms("Te2", positions=[[0, 0, 0], [0, 0, 0]], cell=[5, 5, 5], pbc=True)
    with pytest.raises(CalculationError, match="on top of each other"):
        site_symmetry(atoms, SYMPREC)
