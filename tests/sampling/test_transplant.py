"""What one host's defect relaxed to, carried over to another host's."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk
from ase.build.tools import sort
from hypothesis import given, settings
from hypothesis import strategies as st

from defectscout.core.defect import Defect
from defectscout.sampling.transplant import carried_over, correspondence
from sampling.defect_examples import antisite, cdte, interstitial, selenide, vacancy

SELENIDE = {"Cd": "Cd", "Te": "Se"}
SCALE = 6.05 / 6.62


def distorted(defect: Defect, seed: int = 0) -> Atoms:
    """Every atom displaced by up to some 0.5 Å, and one across the cell's face."""
    atoms = defect.atoms.copy()
    atoms.positions += np.random.default_rng(seed).normal(scale=0.3, size=atoms.positions.shape)
    return atoms


def distances(atoms: Atoms) -> np.ndarray:
    """Shape (n, n): by atom, so that order matters, and orientation does not."""
    return np.asarray(atoms.get_all_distances(mic=True))


@pytest.mark.parametrize("make", [vacancy, antisite, interstitial])
def test_bonds_scale_with_the_lattice(make: object) -> None:
    there = make()  # type: ignore[operator]
    here = selenide(there, SCALE)
    found = correspondence(there.atoms, here, SELENIDE)
    assert found is not None
    assert found.distance == pytest.approx(0, abs=1e-9)
    relaxed = distorted(there)
    carried = carried_over(found, there.atoms, relaxed, here)
    assert list(carried.symbols) == list(here.atoms.symbols)
    assert np.allclose(distances(carried), SCALE * distances(relaxed))


@settings(max_examples=15)
@given(
    seed=st.integers(0, 10**6),
    shift=st.tuples(*3 * [st.floats(-20, 20)]),
    axis=st.tuples(*3 * [st.floats(0.1, 1)]),
    angle=st.floats(-180, 180),
    vectors=st.permutations([0, 1, 2]),
)
def test_order_origin_and_orientation_do_not_matter(
    seed: int, shift: tuple[float, ...], axis: tuple[float, ...], angle: float, vectors: list[int]
) -> None:
    here = selenide(vacancy(), SCALE)
    order = np.random.default_rng(seed).permutation(len(here.atoms))
    there = vacancy()
    ideal, relaxed = there.atoms.copy(), distorted(there, seed)
    plain = carried_over(correspondence(ideal, here, SELENIDE), ideal, relaxed, here)  # type: ignore[arg-type]
    moved = []
    for atoms in (ideal, relaxed):
        other = atoms[order]
        other.positions += shift
        other.rotate(angle, axis, rotate_cell=True)
        other.set_cell(other.cell.array[vectors])
        moved.append(other)
    found = correspondence(moved[0], here, SELENIDE)
    assert found is not None
    carried = carried_over(found, moved[0], moved[1], here)
    # A vacancy's site has symmetries, any of which may be taken: the structures are the same, not their atoms' order.
    assert np.allclose(_sorted_distances(carried), _sorted_distances(plain), atol=1e-6)


def _sorted_distances(atoms: Atoms) -> np.ndarray:
    return np.sort(distances(atoms)[np.triu_indices(len(atoms), 1)])


def test_a_little_strain_and_other_internal_coordinates_are_no_obstacle() -> None:
    here = selenide(vacancy(), SCALE)
    strained = here.atoms.copy()
    strained.set_cell(strained.cell.array @ np.diag([1.02, 1.0, 0.97]), scale_atoms=True)
    strained.positions += np.random.default_rng(1).normal(scale=0.05, size=strained.positions.shape)
    found = correspondence(vacancy().atoms, replace(here, atoms=strained), SELENIDE)
    assert found is not None
    assert 0.02 < found.distance < 0.2


def rocksalt() -> Atoms:
    return sort(bulk("CdTe", "rocksalt", a=6.62, cubic=True) * (2, 2, 2))


def test_other_defects_structures_and_supercells_do_not_correspond() -> None:
    here = selenide(vacancy(), SCALE)
    tellurium = vacancy(index=len(cdte()) - 1).atoms
    assert correspondence(tellurium, here, SELENIDE) is None
    assert correspondence(tellurium, here, {"Te": "Cd", "Cd": "Se"}) is not None  # an anion in the place of a cation
    assert correspondence(vacancy(host=rocksalt()).atoms, here, SELENIDE) is None
    assert correspondence(vacancy(host=cdte(3)).atoms, here, SELENIDE) is None
    assert correspondence(vacancy().atoms, here, {"Cd": "Cd"}) is None
    longer = vacancy().atoms
    longer.set_cell(longer.cell.array @ np.diag([1, 1, 1.3]), scale_atoms=True)
    assert correspondence(longer, here, SELENIDE) is None


def test_sites_that_are_not_equivalent_do_not_correspond() -> None:
    """Two tellurium sites of a crystal in which one cadmium atom is zinc."""
    alloy = cdte()
    alloy.symbols[0] = "Zn"
    apart = alloy.get_distances(0, np.arange(len(alloy)), mic=True)
    near, far = (
        int(index)
        for index in (
            np.argsort(np.where(alloy.symbols == "Te", apart, 99))[0],
            np.where(alloy.symbols == "Te", apart, 0).argmax(),
        )
    )
    same = {"Cd": "Cd", "Te": "Te", "Zn": "Zn"}
    here = vacancy(host=alloy, index=near)
    assert correspondence(vacancy(host=alloy, index=near).atoms, here, same) is not None
    assert correspondence(vacancy(host=alloy, index=far).atoms, here, same) is None
