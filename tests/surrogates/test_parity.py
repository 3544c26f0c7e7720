"""Each adapter gives what the model's own ASE calculator gives."""

from __future__ import annotations

import numpy as np
import pytest
from ase import Atoms

from defectscout.surrogates.batched import BatchedSurrogate
from surrogates.own_calculators import own_calculator

# All models work in single precision: seven digits of an energy of a few eV/atom. Sums
# in another order, and CHGNet's forces by way of fractional coordinates, change the last of them.
ENERGY_TOLERANCE = 2e-6  # eV/atom
FORCE_TOLERANCE = 1e-4  # eV/Å
STRESS_TOLERANCE = 1e-6  # eV/Å³


@pytest.mark.parametrize("mode", ["alone", "together"])
def test_parity_with_own_calculator(
    surrogate: BatchedSurrogate, together: BatchedSurrogate, structures: list[Atoms], mode: str
) -> None:
    predictions = (surrogate if mode == "alone" else together).predict(structures)
    calculator = own_calculator(surrogate)
    assert max(prediction.fmax for prediction in predictions) > 0.01  # there is something to compare
    for atoms, prediction in zip(structures, predictions, strict=True):
        reference = atoms.copy()
        reference.calc = calculator
        assert prediction.energy == pytest.approx(
            reference.get_potential_energy(), rel=0, abs=ENERGY_TOLERANCE * len(atoms)
        )
        np.testing.assert_allclose(prediction.forces, reference.get_forces(), rtol=0, atol=FORCE_TOLERANCE)
        stress = reference.get_stress()
        np.testing.assert_allclose(prediction.stress, stress, rtol=0, atol=STRESS_TOLERANCE)


def test_shapes_and_types(surrogate: BatchedSurrogate, structures: list[Atoms]) -> None:
    for atoms, prediction in zip(structures, surrogate.predict(structures), strict=True):
        assert isinstance(prediction.energy, float)
        assert prediction.forces.shape == (len(atoms), 3)
        assert prediction.forces.dtype == np.float64
        assert prediction.stress is not None
        assert prediction.stress.shape == (6,)
        assert prediction.stress.dtype == np.float64


def test_no_structures(surrogate: BatchedSurrogate) -> None:
    assert surrogate.predict([]) == []


def test_structures_are_left_alone(surrogate: BatchedSurrogate, rattled: Atoms) -> None:
    before = rattled.copy()
    surrogate.predict([rattled])
    assert rattled == before
    assert rattled.calc is None
