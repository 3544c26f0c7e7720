"""Whether two supercells of a defect are the same, whatever the order of their atoms and their orientation."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from ase import Atoms

from defectscout.core.defect import Defect
from defectscout.workflow.compare import same_supercell
from minima.vacancy_cases import CUBIC, FCC, vacancy

Matrix = tuple[tuple[int, int, int], ...]


def alloyed(seed: int, matrix: Matrix = FCC, rattle: float = 0.0) -> Defect:
    """A vacancy in a supercell half of whose Te atoms are Se, at random."""
    defect = vacancy(matrix)
    atoms = defect.atoms.copy()
    tellurium = np.flatnonzero(atoms.symbols == "Te")
    atoms.symbols[np.random.default_rng(seed).permutation(tellurium)[: len(tellurium) // 2]] = "Se"
    atoms.positions += np.random.default_rng(seed + 1000).normal(scale=rattle, size=atoms.positions.shape)
    return replace(defect, atoms=atoms)


def moved(defect: Defect, atoms: Atoms, site: np.ndarray) -> Defect:
    return replace(defect, atoms=atoms, site=site)


@pytest.mark.parametrize("matrix", [FCC, CUBIC])
def test_realisations_of_one_composition_are_different_supercells(matrix: Matrix) -> None:
    assert same_supercell(alloyed(1, matrix), alloyed(1, matrix))
    assert not same_supercell(alloyed(1, matrix), alloyed(2, matrix))
    assert same_supercell(vacancy(matrix), vacancy(matrix))


def test_relaxed_hosts_are_the_same_supercell() -> None:
    assert same_supercell(alloyed(1), alloyed(1, rattle=0.1))
    assert not same_supercell(alloyed(1), alloyed(2, rattle=0.1))


def test_order_origin_and_orientation_do_not_matter() -> None:
    defect = alloyed(1)
    atoms = defect.atoms[np.random.default_rng(0).permutation(len(defect.atoms))]
    shift = np.array([1.0, 2.0, 3.0])
    atoms.positions += shift
    site = defect.site + np.linalg.solve(defect.atoms.cell.array.T, shift)
    atoms.rotate(33.0, (1.0, 2.0, 1.0), rotate_cell=True)
    assert same_supercell(defect, moved(defect, atoms, site))
    assert not same_supercell(alloyed(2), moved(defect, atoms, site))


def test_equivalent_cell_vectors_may_be_exchanged() -> None:
    """The threefold axis and a mirror plane of the lattice."""
    defect = alloyed(1)
    for order in ([1, 2, 0], [1, 0, 2]):
        atoms = defect.atoms.copy()
        atoms.set_scaled_positions(defect.atoms.get_scaled_positions()[:, order])
        assert same_supercell(defect, moved(defect, atoms, defect.site[order]))


def test_the_same_supercell_with_another_site_is_another_one() -> None:
    """No two sites of a random alloy are alike, though the defect has the same name at both."""
    defect = alloyed(1)
    bulk = defect.atoms + Atoms("Cd", cell=defect.atoms.cell, scaled_positions=[defect.site])
    atom = next(i for i, symbol in enumerate(bulk.symbols) if symbol == "Cd")
    atoms, site = bulk.copy(), bulk.get_scaled_positions()[atom]
    del atoms[atom]
    assert not same_supercell(defect, moved(defect, atoms, site))


def test_other_cells_and_other_atoms_are_other_supercells() -> None:
    defect = alloyed(1)
    swollen = defect.atoms.copy()
    swollen.set_cell(1.01 * swollen.cell.array, scale_atoms=True)
    assert not same_supercell(defect, moved(defect, swollen, defect.site))
    assert not same_supercell(defect, vacancy(FCC))
