"""Reference and surrogates of a model crystal with a reconstructing vacancy."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from ase import Atoms
from ase.build import bulk
from ase.calculators.calculator import Calculator
from ase.calculators.emt import EMT

from defectscout.core.errors import CalculationError
from defectscout.core.frames import Prediction
from defectscout.surrogates.base import SurrogateInfo
from model_crystal import ModelCrystal

Predict = Callable[[Atoms], Prediction]


def of(calculator: Callable[[], Calculator]) -> Predict:
    """A calculator as a function, a fresh one for each structure."""

    def predict(atoms: Atoms) -> Prediction:
        copy = atoms.copy()
        copy.calc = calculator()
        return Prediction(float(copy.get_potential_energy()), copy.get_forces())

    return predict


emt = of(EMT)
crystal = of(ModelCrystal)
similar_crystal = of(lambda: ModelCrystal(bond=2.5, length=2.3))
"""A surrogate of `crystal`: its bond between sulfur atoms is too weak and too long."""


def zero(atoms: Atoms) -> Prediction:
    """Knows nothing."""
    return Prediction(0.0, np.zeros((len(atoms), 3)))


def scaled(predict: Predict, factor: float) -> Predict:
    """Wrong in every second derivative by the same factor."""

    def wrong(atoms: Atoms) -> Prediction:
        said = predict(atoms)
        return Prediction(factor * said.energy, factor * said.forces)

    return wrong


class Surface:
    """A function behind the surrogate's Protocol. Counts structures."""

    def __init__(self, predict: Predict) -> None:
        self._predict = predict
        self.n = 0

    @property
    def info(self) -> SurrogateInfo:
        return SurrogateInfo("surface", "tests", "", "", None)

    def predict(self, structures: Sequence[Atoms]) -> list[Prediction]:
        self.n += len(structures)
        return [self._predict(atoms) for atoms in structures]


class Holes(Surface):
    """Fails where an atom is farther than `reach` from its place in all of `known`, to which structures may be added.

    In turn with an error, an energy and a force that are no numbers.
    """

    def __init__(self, predict: Predict, reach: float) -> None:
        super().__init__(predict)
        self.known: list[Atoms] = []
        self.reach = reach
        self.fallen = 0

    def predict(self, structures: Sequence[Atoms]) -> list[Prediction]:
        return [self._one(atoms, said) for atoms, said in zip(structures, super().predict(structures), strict=True)]

    def _one(self, atoms: Atoms, said: Prediction) -> Prediction:
        away = [np.linalg.norm(atoms.positions - other.positions, axis=1).max() for other in self.known]
        if min(away, default=np.inf) <= self.reach:
            return said
        self.fallen += 1
        if self.fallen % 3 == 0:
            raise CalculationError("too far out")
        if self.fallen % 3 == 1:
            return Prediction(np.nan, said.forces)
        return Prediction(said.energy, np.full_like(said.forces, np.nan))


def copper(seed: int = 1, stdev: float = 0.1) -> Atoms:
    """Rattled copper with a vacancy, 31 atoms."""
    atoms = bulk("Cu", cubic=True).repeat(2)
    del atoms[0]
    atoms.rattle(stdev, seed=seed)
    return atoms


def vacancy(seed: int = 1, stdev: float = 0.15) -> Atoms:
    """Rattled MgS with a magnesium vacancy, 63 atoms."""
    atoms = bulk("MgS", "rocksalt", a=5.8, cubic=True).repeat(2)
    del atoms[0]
    atoms.rattle(stdev, seed=seed)
    return atoms
