from __future__ import annotations

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk
from ase.stress import voigt_6_to_full_3x3_stress

from defectscout.relaxation.generalised import from_mandel, gradient, moved, to_mandel
from relaxation.engines import predict

STEP = 1e-4
"""Å. Finite difference; its error is of the order of its square."""


@pytest.fixture(scope="module")
def crystal() -> Atoms:
    atoms = bulk("Cu", "hcp", a=2.6, c=4.3)
    atoms.symbols[1] = "Au"
    atoms.rattle(0.1, seed=4)
    return atoms


@pytest.mark.parametrize("row", range(4))
@pytest.mark.parametrize("axis", range(3))
def test_the_gradient_is_that_of_the_energy(crystal: Atoms, row: int, axis: int) -> None:
    prediction = predict(crystal)
    analytic = gradient(crystal, prediction.forces, voigt_6_to_full_3x3_stress(prediction.stress))
    step = np.zeros((4, 3))
    step[row, axis] = STEP
    up, down = predict(moved(crystal, step)).energy, predict(moved(crystal, -step)).energy
    assert analytic[row, axis] == pytest.approx((up - down) / (2 * STEP), abs=1e-5)


def test_a_strain_keeps_fractional_coordinates(crystal: Atoms) -> None:
    step = np.zeros((4, 3))
    step[2:] = [[0.1, -0.05, 0.02], [0.03, 0.0, -0.04]]
    np.testing.assert_allclose(
        moved(crystal, step).get_scaled_positions(), crystal.get_scaled_positions(), rtol=0, atol=1e-12
    )


def test_mandel_vectors_have_the_tensors_norm() -> None:
    tensor = np.random.default_rng(0).normal(size=(3, 3))
    tensor += tensor.T
    assert np.linalg.norm(to_mandel(tensor)) == pytest.approx(np.linalg.norm(tensor))
    np.testing.assert_allclose(from_mandel(to_mandel(tensor)), tensor, atol=1e-14)
