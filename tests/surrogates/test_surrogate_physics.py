"""What any energy surface obeys: derivatives, invariances, extensivity; and the same numbers again."""

from __future__ import annotations

import numpy as np
import pytest
from ase import Atoms
from scipy.spatial.transform import Rotation

from defectscout.core.frames import FloatArray
from defectscout.surrogates.batched import BatchedSurrogate

# Single precision again (see test_parity), here between different graphs.
ENERGY_TOLERANCE = 3e-6  # eV/atom
FORCE_TOLERANCE = 2e-4  # eV/Å
STRESS_TOLERANCE = 3e-6  # eV/Å³

# Energies of 15 atoms are exact to about 1e-5 eV. A step of 0.02 Å then gives slopes to
# 1e-3 eV/Å; the five-point formula keeps the error of the step itself below that. The slopes are of order 1.
STEP = 0.02
SLOPE_TOLERANCE = 5e-3


def _slope(surrogate: BatchedSurrogate, moved) -> float:
    """Derivative at 0 of the energy of `moved(x)`, by the five-point formula."""
    energy = [p.energy for p in surrogate.predict([moved(n * STEP) for n in (-2, -1, 1, 2)])]
    return (energy[0] - 8 * energy[1] + 8 * energy[2] - energy[3]) / (12 * STEP)


def _direction(n_atoms: int) -> FloatArray:
    direction = np.random.default_rng(5).normal(size=(n_atoms, 3))
    return direction / np.linalg.norm(direction) * 2


def test_forces_are_the_slope_of_the_energy(surrogate: BatchedSurrogate, rattled: Atoms) -> None:
    prediction = surrogate.predict([rattled])[0]
    # Along the forces, where the slope is largest, and along a direction that knows nothing of them.
    for direction in (prediction.forces / np.linalg.norm(prediction.forces), _direction(len(rattled))):

        def moved(x: float, direction: FloatArray = direction) -> Atoms:
            atoms = rattled.copy()
            atoms.positions += x * direction
            return atoms

        expected = -float((prediction.forces * direction).sum())
        assert _slope(surrogate, moved) == pytest.approx(expected, rel=2e-3, abs=SLOPE_TOLERANCE)


def test_stress_is_the_slope_of_the_energy_with_strain(surrogate: BatchedSurrogate, rattled: Atoms) -> None:
    stress = surrogate.predict([rattled])[0].stress
    assert stress is not None
    size = 0.2  # largest strain is then 0.8 %
    for component, (i, j) in enumerate([(0, 0), (1, 1), (2, 2), (1, 2), (0, 2), (0, 1)]):
        strain = np.zeros((3, 3))
        strain[i, j] += size / 2
        strain[j, i] += size / 2

        def strained(x: float, strain: FloatArray = strain) -> Atoms:
            atoms = rattled.copy()
            atoms.set_cell(atoms.cell.array @ (np.eye(3) + x * strain), scale_atoms=True)
            return atoms

        expected = size * rattled.cell.volume * stress[component]
        assert _slope(surrogate, strained) == pytest.approx(expected, rel=5e-3, abs=SLOPE_TOLERANCE)


def test_rotation(surrogate: BatchedSurrogate, rattled: Atoms) -> None:
    rotation = Rotation.from_euler("xyz", [0.4, -1.1, 2.0]).as_matrix()
    turned = rattled.copy()
    turned.set_cell(rattled.cell.array @ rotation.T)
    turned.positions = rattled.positions @ rotation.T
    first, second = surrogate.predict([rattled, turned])
    assert second.energy == pytest.approx(first.energy, rel=0, abs=ENERGY_TOLERANCE * len(rattled))
    np.testing.assert_allclose(second.forces, first.forces @ rotation.T, rtol=0, atol=FORCE_TOLERANCE)
    np.testing.assert_allclose(
        _full(second.stress), rotation @ _full(first.stress) @ rotation.T, rtol=0, atol=STRESS_TOLERANCE
    )


def test_translation_and_wrapping(surrogate: BatchedSurrogate, rattled: Atoms) -> None:
    moved, wrapped = rattled.copy(), rattled.copy()
    moved.positions += [1.3, -0.7, 2.9]
    wrapped.wrap()
    first, *others = surrogate.predict([rattled, moved, wrapped])
    for other in others:
        assert other.energy == pytest.approx(first.energy, rel=0, abs=ENERGY_TOLERANCE * len(rattled))
        np.testing.assert_allclose(other.forces, first.forces, rtol=0, atol=FORCE_TOLERANCE)
        np.testing.assert_allclose(other.stress, first.stress, rtol=0, atol=STRESS_TOLERANCE)


def test_permutation(surrogate: BatchedSurrogate, rattled: Atoms) -> None:
    order = np.random.default_rng(2).permutation(len(rattled))
    first, second = surrogate.predict([rattled, rattled[order]])
    assert second.energy == pytest.approx(first.energy, rel=0, abs=ENERGY_TOLERANCE * len(rattled))
    np.testing.assert_allclose(second.forces, first.forces[order], rtol=0, atol=FORCE_TOLERANCE)


def test_left_handed_cell(surrogate: BatchedSurrogate, rattled: Atoms) -> None:
    mirrored = rattled.copy()
    mirrored.set_cell(rattled.cell.array[[1, 0, 2]])  # the same lattice, vectors in another order
    first, second = surrogate.predict([rattled, mirrored])
    assert np.linalg.det(mirrored.cell.array) * np.linalg.det(rattled.cell.array) < 0
    assert second.energy == pytest.approx(first.energy, rel=0, abs=ENERGY_TOLERANCE * len(rattled))
    np.testing.assert_allclose(second.forces, first.forces, rtol=0, atol=FORCE_TOLERANCE)
    np.testing.assert_allclose(second.stress, first.stress, rtol=0, atol=STRESS_TOLERANCE)


def test_energy_is_extensive(surrogate: BatchedSurrogate, rattled: Atoms) -> None:
    first, second = surrogate.predict([rattled, rattled * (2, 1, 1)])
    assert second.energy == pytest.approx(2 * first.energy, rel=0, abs=ENERGY_TOLERANCE * 2 * len(rattled))
    np.testing.assert_allclose(second.forces, np.tile(first.forces, (2, 1)), rtol=0, atol=FORCE_TOLERANCE)
    np.testing.assert_allclose(second.stress, first.stress, rtol=0, atol=STRESS_TOLERANCE)


def test_forces_sum_to_zero(surrogate: BatchedSurrogate, rattled: Atoms) -> None:
    total = surrogate.predict([rattled])[0].forces.sum(axis=0)
    np.testing.assert_allclose(total, 0, atol=FORCE_TOLERANCE)


def test_batch_does_not_matter_on_a_cpu(surrogate: BatchedSurrogate, structures: list[Atoms]) -> None:
    """To the last bit, so that an interrupted search goes on as if it had not been."""
    everything = surrogate.predict(structures)
    for atoms, in_company in zip(structures, everything, strict=True):
        alone = surrogate.predict([atoms])[0]
        assert alone.energy == in_company.energy
        np.testing.assert_array_equal(alone.forces, in_company.forces)
        np.testing.assert_array_equal(alone.stress, in_company.stress)


def test_same_bits_again_with_threads(surrogate: BatchedSurrogate, rattled: Atoms) -> None:
    import torch

    before = torch.get_num_threads(), torch.are_deterministic_algorithms_enabled()
    large = rattled * (2, 1, 1)  # large enough for torch to share it out
    torch.set_num_threads(2)
    try:
        first = surrogate.predict([large])[0]
        for _ in range(2):
            again = surrogate.predict([large])[0]
            assert again.energy == first.energy
            np.testing.assert_array_equal(again.forces, first.forces)
            np.testing.assert_array_equal(again.stress, first.stress)
    finally:
        torch.set_num_threads(before[0])
    assert torch.are_deterministic_algorithms_enabled() == before[1]  # the caller's setting is put back


def test_order_in_one_graph(together: BatchedSurrogate, structures: list[Atoms]) -> None:
    forwards = together.predict(structures)
    backwards = together.predict(structures[::-1])[::-1]
    for atoms, first, second in zip(structures, forwards, backwards, strict=True):
        assert second.energy == pytest.approx(first.energy, rel=0, abs=ENERGY_TOLERANCE * len(atoms))
        np.testing.assert_allclose(second.forces, first.forces, rtol=0, atol=FORCE_TOLERANCE)


def _full(stress: FloatArray | None) -> FloatArray:
    assert stress is not None
    xx, yy, zz, yz, xz, xy = stress
    return np.array([[xx, xy, xz], [xy, yy, yz], [xz, yz, zz]])
