from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from ase.stress import voigt_6_to_full_3x3_stress
from hypothesis import given, settings
from hypothesis import strategies as st

from defectscout.core.errors import HostError
from defectscout.relaxation.symmetry import fold, symmetry_operations
from relaxation.crystals import copper, host, layered
from relaxation.engines import predict


def primitive(crystal):  # type: ignore[no-untyped-def]
    folding = fold(crystal)
    return folding.primitive(folding.supercell(crystal.primitive.to_ase_atoms()))


def test_the_supercell_and_back() -> None:
    crystal = layered()
    folding = fold(crystal)
    assert folding.n_cells == 18
    atoms = folding.supercell(crystal.primitive.to_ase_atoms())
    np.testing.assert_allclose(atoms.positions, crystal.supercell.cart_coords, atol=1e-9)
    assert atoms.get_chemical_symbols() == [site.specie.symbol for site in crystal.supercell]
    back = folding.primitive(atoms)
    np.testing.assert_allclose(back.positions, crystal.primitive.cart_coords, atol=1e-12)
    np.testing.assert_allclose(back.cell.array, crystal.primitive.lattice.matrix, atol=1e-12)


def test_images_may_lie_in_any_cell() -> None:
    crystal = layered()
    moved = crystal.supercell.copy()
    shifts = np.random.default_rng(0).integers(-2, 3, size=(len(moved), 3))
    for i, shift in enumerate(shifts):
        moved.translate_sites([i], shift, frac_coords=True, to_unit_cell=False)
    folding = fold(replace(crystal, supercell=moved))
    atoms = folding.supercell(crystal.primitive.to_ase_atoms())
    np.testing.assert_allclose(atoms.positions, moved.cart_coords, atol=1e-9)
    np.testing.assert_allclose(folding.primitive(atoms).positions, crystal.primitive.cart_coords, atol=1e-9)


def test_energy_and_forces_fold() -> None:
    """E and forces of the supercell are those of the primitive cell, repeated."""
    crystal = layered()
    folding = fold(crystal)
    atoms = crystal.primitive.to_ase_atoms()
    small, large = predict(atoms), predict(folding.supercell(atoms))
    assert large.energy == pytest.approx(folding.n_cells * small.energy, abs=1e-9)
    np.testing.assert_allclose(folding.mean(large.forces), small.forces, atol=1e-9)


def test_what_has_the_symmetry_stays_and_projections_are_projections() -> None:
    crystal = layered()
    atoms = crystal.primitive.to_ase_atoms()
    symmetry = symmetry_operations(atoms, 0.01, "")
    assert symmetry.symbol == "P4/mmm"
    prediction = predict(atoms)
    np.testing.assert_allclose(symmetry.vectors(prediction.forces), prediction.forces, atol=1e-10)
    stress = voigt_6_to_full_3x3_stress(prediction.stress)
    np.testing.assert_allclose(symmetry.tensor(stress), stress, atol=1e-10)
    noise = np.random.default_rng(1).normal(size=(3, 3))
    once = symmetry.vectors(noise)
    np.testing.assert_allclose(symmetry.vectors(once), once, atol=1e-12)
    assert np.abs(once[:, :2]).max() < 1e-12  # P4/mmm leaves z of the two copper atoms free, nothing else
    assert np.abs(once[0]).max() < 1e-12
    assert once[1, 2] == pytest.approx(-once[2, 2])
    squeezed = symmetry.tensor(noise + noise.T)
    np.testing.assert_allclose(squeezed, np.diag([squeezed[0, 0], squeezed[0, 0], squeezed[2, 2]]), atol=1e-12)


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 10_000))
def test_symmetrised_vectors_do_not_depend_on_the_orientation(seed: int) -> None:
    rng = np.random.default_rng(seed)
    rotation, _ = np.linalg.qr(rng.normal(size=(3, 3)))
    atoms = layered().primitive.to_ase_atoms()
    turned = atoms.copy()
    turned.set_cell(atoms.cell.array @ rotation)
    turned.positions = atoms.positions @ rotation
    noise = rng.normal(size=(3, 3))
    plain = symmetry_operations(atoms, 0.01, "").vectors(noise)
    rotated = symmetry_operations(turned, 0.01, "").vectors(noise @ rotation)
    np.testing.assert_allclose(rotated, plain @ rotation, atol=1e-9)


def test_lattice_parameters_are_the_conventional_ones() -> None:
    atoms = copper(3.5).primitive.to_ase_atoms()
    symmetry = symmetry_operations(atoms, 0.01, "")
    np.testing.assert_allclose(symmetry.lengths(atoms.cell.array), 3.5)
    np.testing.assert_allclose(symmetry.lengths(1.02 * atoms.cell.array), 1.02 * 3.5)


def test_another_supercell_is_refused() -> None:
    crystal = layered()
    with pytest.raises(HostError, match="lattice vectors do not match"):
        fold(replace(crystal, supercell_matrix=2 * crystal.supercell_matrix))
    other = host(crystal.primitive.to_ase_atoms(), [[3, 0, 0], [0, 3, 0], [0, 0, 2]]).supercell
    other.translate_sites([4], [0.1, 0, 0])
    with pytest.raises(HostError, match="atom 4 of the supercell has no counterpart"):
        fold(replace(crystal, supercell=other))
