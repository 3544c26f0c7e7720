from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from ase import Atom, Atoms
from ase.build import bulk

from defectscout.core.defect import Defect, DefectKind
from defectscout.minima.bonds import has_bond_unlike_host, new_bonds, new_nonmetal_bonds
from minima.vacancy_cases import CUBIC, A, breathing, dimer, neighbours, reference_search, vacancy, vectors_from_site

DEFECT = vacancy(CUBIC)


def test_a_dimer_is_one_new_bond_with_its_length() -> None:
    (bond,) = new_bonds(DEFECT, dimer(DEFECT, (1, 3), length=2.74))
    assert str(bond) == "Te–Te 2.74 Å"
    assert set(bond.atoms) == {neighbours(DEFECT)[1], neighbours(DEFECT)[3]}
    assert bond.length == pytest.approx(2.74)


def test_the_unperturbed_defect_has_none() -> None:
    assert new_bonds(DEFECT, DEFECT.atoms) == ()


def test_neither_wrapping_nor_drift_changes_them() -> None:
    atoms = dimer(DEFECT)
    moved = atoms.copy()
    moved.positions += [4.0, -9.0, 0.3]
    moved.wrap()
    before, after = new_bonds(DEFECT, atoms), new_bonds(DEFECT, moved)
    assert [b.atoms for b in before] == [b.atoms for b in after]
    assert [b.length for b in before] == pytest.approx([b.length for b in after])


def test_a_dimer_far_from_the_defect_is_not_its_bond() -> None:
    atoms = DEFECT.atoms.copy()
    order = np.argsort(np.linalg.norm(vectors_from_site(DEFECT), axis=1))
    tellurium = [int(i) for i in order if atoms.symbols[i] == "Te"]
    first, second = tellurium[-1], tellurium[-2]
    vector = atoms.get_distance(first, second, mic=True, vector=True)
    atoms.positions[second] = atoms.positions[first] + 2.75 * vector / np.linalg.norm(vector)
    assert new_bonds(DEFECT, atoms) == ()


def test_a_bond_of_the_hosts_own_kind_is_ordinary() -> None:
    # A Cd atom that comes closer to a Te than any does in the host makes no new kind of bond.
    atoms = DEFECT.atoms.copy()
    te = neighbours(DEFECT)[0]
    cd = next(int(i) for i in np.argsort(atoms.get_distances(te, range(len(atoms)), mic=True))[1:])
    assert atoms.symbols[cd] == "Cd"
    atoms.set_distance(te, cd, 2.5, fix=0, mic=True)
    assert new_bonds(DEFECT, atoms) == ()


def test_kinds_come_in_order_and_short_bonds_first() -> None:
    atoms = dimer(DEFECT, (0, 1), 2.8)
    shell = neighbours(DEFECT)
    vectors = vectors_from_site(DEFECT)
    cadmium = [int(i) for i in np.argsort(np.linalg.norm(vectors, axis=1)) if atoms.symbols[i] == "Cd"]
    atoms.positions[cadmium[1]] = atoms.positions[cadmium[0]] + [0.0, 0.0, 2.9]
    atoms.positions[shell[3]] = atoms.positions[shell[2]] + [0.0, 2.7, 0.0]
    bonds = list(new_bonds(DEFECT, atoms))
    assert [b.species for b in bonds] == sorted(b.species for b in bonds)
    te = [b.length for b in bonds if b.species == ("Te", "Te")]
    assert te == sorted(te)
    assert te[0] == pytest.approx(2.7)
    assert ("Cd", "Cd") in {b.species for b in bonds}
    assert {b.species for b in new_nonmetal_bonds(DEFECT, atoms)} == {("Te", "Te")}


def test_an_impurity_bonded_from_the_start_makes_no_new_bond() -> None:
    atoms = DEFECT.bulk.copy()
    index = int(np.argmin(np.linalg.norm(atoms.positions, axis=1)))
    atoms.symbols[index] = "O"
    site = DEFECT.bulk.get_scaled_positions()[index]
    impurity = Defect("O_Cd", 0, DefectKind.SUBSTITUTION, atoms, DEFECT.bulk, site, 1, "Td", 4)
    close = atoms.copy()
    for other in np.argsort(atoms.get_distances(index, range(len(atoms)), mic=True))[1:3]:
        close.set_distance(index, int(other), 2.0, fix=0, mic=True)
    # O–Te at the host's distance is longer than a bond, so at 2.0 Å the bonds are new.
    assert [str(b) for b in new_bonds(impurity, close)] == ["O–Te 2.00 Å", "O–Te 2.00 Å"]
    bonded = Defect("O_Cd", 0, DefectKind.SUBSTITUTION, close, DEFECT.bulk, site, 1, "Td", 4)
    assert new_bonds(bonded, close) == ()


def test_a_further_bond_between_chalcogens_of_a_host_that_has_some() -> None:
    # Pairs of S atoms in a lattice of Na: S–S bonds are ordinary here, one more between two pairs is not.
    cell = bulk("Na", "sc", a=6.0, cubic=True) * (2, 2, 2)
    host = cell.copy()
    for site in cell.positions:
        for x in (2.0, 4.05):
            host.append(Atom("S", site + np.array([x, 3.0, 3.0])))
    atoms = host.copy()
    del atoms[0]
    defect = Defect("v_Na", 0, DefectKind.VACANCY, atoms, host, np.zeros(3), 1, "Oh", 1)
    assert new_bonds(defect, atoms) == ()
    sulphur = [int(i) for i in np.flatnonzero(atoms.symbols == "S")]
    reference = Atoms("X", cell=atoms.cell, pbc=True, positions=[[0, 0, 0]]) + atoms
    near = sorted(sulphur, key=lambda i: reference.get_distance(0, i + 1, mic=True))
    first = near[0]
    partner = next(i for i in near[1:] if atoms.get_distance(first, i, mic=True) > 3)
    relaxed = atoms.copy()
    relaxed.set_distance(first, partner, 2.1, fix=1, mic=True)
    pairs = {b.atoms for b in new_bonds(defect, relaxed)}
    assert (min(first, partner), max(first, partner)) in pairs
    assert all(b.species == ("S", "S") for b in new_bonds(defect, relaxed))


EXPECTED = {
    "CdTe": {"Dimer": [2.74], "Bond_Distortion_30.0%": [2.78], "Bond_Distortion_60.0%": [2.78] * 2,
             "Bond_Distortion_-40.0%": [2.72] * 2, "Unperturbed": []},
    "CdSe": {"Dimer": [2.33], "Bond_Distortion_-60.0%": [2.51] * 3, "Bond_Distortion_60.0%": [2.36, 2.37],
             "Unperturbed": []},
}  # fmt: skip


@pytest.mark.parametrize("host", ["CdTe", "CdSe"])
def test_bonds_of_real_minima(shared_data: Path, host: str) -> None:
    defect, ends = reference_search(shared_data / "gfn1-xtb" / f"{host}_v_Cd_0")
    found = {end.label: [b.length for b in new_bonds(defect, end.final.atoms)] for end in ends}
    for label, lengths in EXPECTED[host].items():
        assert found[label] == pytest.approx(lengths, abs=0.011)


def test_an_interstitial_may_be_made_with_bonds_that_the_host_has_not() -> None:
    pristine = vacancy().bulk
    beside = pristine.positions[pristine.symbols == "Te"][0] + [1.6, 1.6, 1.6]  # Å; 2.77 Å from that atom
    site = np.linalg.solve(pristine.cell.array.T, beside)
    atoms = pristine + Atoms("Te", positions=[beside])
    defect = Defect("Te_i", 0, DefectKind.INTERSTITIAL, atoms, pristine, site, 4, "C3v", 2)
    assert has_bond_unlike_host(defect, atoms)
    assert new_bonds(defect, atoms) == ()
    away = atoms.copy()
    away.positions[-1] = pristine.positions[pristine.symbols == "Te"][0] + [0.5 * A, 0.0, 0.0]
    assert not has_bond_unlike_host(defect, away)
    assert not has_bond_unlike_host(vacancy(), breathing(vacancy(), 0.05))
    assert has_bond_unlike_host(vacancy(), dimer(vacancy()))
