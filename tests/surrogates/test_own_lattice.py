"""A surrogate whose lattice is another than the host's: the model crystal seen through a lens."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk

from defectscout.core.errors import CalculationError
from defectscout.core.frames import Prediction
from defectscout.surrogates.base import Surrogate, SurrogateInfo
from defectscout.surrogates.own_lattice import InOwnLattice, own_scale, pressure, scaled
from model_crystal import LATTICE_PARAMETER, reference

LONGER = 1.025
OWN = 1.0185 * LATTICE_PARAMETER
"""The model's lattice parameter, Å: the one that other tests start from is too small for it, and it is stiff."""


class Model:
    """The model crystal; with `lens`, one whose lattice is so many times as long."""

    def __init__(self, lens: float = 1.0, stress: bool = True) -> None:
        self.lens, self.stress = lens, stress

    @property
    def info(self) -> SurrogateInfo:
        return SurrogateInfo("model", "ase", "", "", None)

    def predict(self, structures: Sequence[Atoms]) -> list[Prediction]:
        found = []
        for given in structures:
            atoms = scaled(given, 1 / self.lens)
            atoms.calc = reference()
            stress = atoms.get_stress() / self.lens**3 if self.stress else None
            found.append(Prediction(atoms.get_potential_energy(), atoms.get_forces() / self.lens, stress))
        return found


@pytest.fixture(scope="module")
def crystal() -> Atoms:
    return bulk("MgS", "rocksalt", a=OWN) * 3


@pytest.fixture(scope="module")
def rattled() -> Atoms:
    atoms = bulk("MgS", "rocksalt", a=LATTICE_PARAMETER) * 3
    atoms.rattle(0.1, seed=2)
    return atoms


def test_the_lattice_without_pressure_is_found(crystal: Atoms) -> None:
    own = own_scale(Model(), crystal)
    assert abs(pressure(Model(), scaled(crystal, own))) < 0.01
    # Only the lens is between the two.
    assert own_scale(Model(LONGER), crystal) == pytest.approx(LONGER * own, abs=1e-4)
    assert own == pytest.approx(1.0, abs=1e-4)
    assert pressure(Model(LONGER), crystal) > 10
    assert pressure(Model(), scaled(crystal, LONGER)) < -10
    assert own_scale(Model(), scaled(crystal, own)) == 1.0  # found at once


def test_the_lens_is_taken_off(crystal: Atoms, rattled: Atoms) -> None:
    """In its own lattice a surrogate that is the reference, but for its lattice, is the reference."""
    factor = own_scale(Model(LONGER), crystal) / own_scale(Model(), crystal)
    surrogate = InOwnLattice(Model(LONGER), factor)
    assert isinstance(surrogate, Surrogate)
    assert surrogate.info.lattice_scale == factor
    (found,), (expected,) = surrogate.predict([rattled]), Model().predict([rattled])
    assert found.energy == pytest.approx(expected.energy, abs=2e-3)
    assert found.stress is not None
    np.testing.assert_allclose(found.forces, expected.forces, atol=2e-3)
    np.testing.assert_allclose(found.stress, expected.stress, atol=1e-4)


def test_forces_and_stress_are_slopes_of_the_energy(rattled: Atoms) -> None:
    surrogate = InOwnLattice(Model(), LONGER)
    (found,) = surrogate.predict([rattled])
    size = 1e-4

    def slope(change: object) -> float:
        ends = []
        for sign in (-1, 1):
            atoms = rattled.copy()
            change(atoms, sign * size)  # type: ignore[operator]
            ends.append(surrogate.predict([atoms])[0].energy)
        return (ends[1] - ends[0]) / (2 * size)

    def move(atoms: Atoms, x: float) -> None:
        atoms.positions[3, 1] += x

    assert slope(move) == pytest.approx(-found.forces[3, 1], abs=1e-5)
    assert found.stress is not None
    for component, (i, j) in enumerate([(0, 0), (1, 1), (2, 2), (1, 2), (0, 2), (0, 1)]):

        def strain(atoms: Atoms, x: float, i: int = i, j: int = j) -> None:
            matrix = np.eye(3)
            matrix[i, j] += x / 2
            matrix[j, i] += x / 2
            atoms.set_cell(atoms.cell.array @ matrix, scale_atoms=True)

        assert slope(strain) == pytest.approx(rattled.get_volume() * found.stress[component], rel=1e-4, abs=1e-3)


def test_a_lattice_far_away_is_refused(crystal: Atoms) -> None:
    with pytest.raises(CalculationError, match="no lattice of its own within 8 %"):
        own_scale(Model(1.2), crystal)
    with pytest.raises(CalculationError, match="gives no stress"):
        own_scale(Model(stress=False), crystal)
