"""Calculators for the tests of relaxations; also loaded by path, in worker processes."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from ase import Atoms
from ase.build import bulk
from ase.calculators.calculator import Calculator
from ase.calculators.emt import EMT

from defectscout.core.errors import CalculationError
from defectscout.core.frames import Prediction
from defectscout.surrogates.base import SurrogateInfo

CALLS = "DEFECTSCOUT_TEST_CALLS"
"""Environment variable with the file that `counting` writes a line to for each calculation."""


class Counting(EMT):
    """EMT that leaves a trace of each calculation: process id and threads."""

    def calculate(self, *args: object, **kwargs: object) -> None:
        super().calculate(*args, **kwargs)
        with Path(os.environ[CALLS]).open("a") as file:
            file.write(f"{os.getpid()} {os.environ['OMP_NUM_THREADS']}\n")


class Sleeping(Counting):
    """Counts first, then takes very long."""

    def calculate(self, *args: object, **kwargs: object) -> None:
        super().calculate(*args, **kwargs)
        time.sleep(60)


class Crashing(EMT):
    """Ends its process in the third calculation of a structure with an odd number of atoms."""

    n = 0

    def calculate(self, atoms: Atoms, *args: object, **kwargs: object) -> None:
        self.n += 1
        if self.n >= 3 and len(atoms) % 2:
            print("no way back", flush=True)
            os._exit(7)
        super().calculate(atoms, *args, **kwargs)


class Raising(EMT):
    """Fails with an ordinary exception on an odd number of atoms."""

    def calculate(self, atoms: Atoms, *args: object, **kwargs: object) -> None:
        if len(atoms) % 2:
            raise ZeroDivisionError("one too many")
        super().calculate(atoms, *args, **kwargs)


def emt() -> Calculator:
    return EMT()


def counting() -> Calculator:
    return Counting()


def sleeping() -> Calculator:
    return Sleeping()


def crashing() -> Calculator:
    return Crashing()


def raising() -> Calculator:
    return Raising()


def charged(charge: int, multiplicity: int) -> Calculator:
    """Energy says with which charge and multiplicity it was made."""
    return Constant(100.0 * charge + multiplicity)


class Constant(Calculator):
    implemented_properties = ("energy", "forces")

    def __init__(self, energy: float) -> None:
        super().__init__()
        self.energy = energy

    def calculate(self, atoms: Atoms | None = None, properties: object = None, system_changes: object = None) -> None:
        super().calculate(atoms, ["energy"], [])
        self.results = {"energy": self.energy, "forces": np.zeros((len(self.atoms), 3))}


def name(engine: str) -> str:
    """The reference's name of one of the functions above."""
    return f"ase:{Path(__file__).resolve()}:{engine}"


class EmtSurrogate:
    """EMT behind the surrogate's Protocol; refuses batches with the formula `poison`."""

    def __init__(self, poison: str = "") -> None:
        self.poison = poison
        self.batches: list[int] = []

    @property
    def info(self) -> SurrogateInfo:
        return SurrogateInfo("emt", "ase", "", "", None)

    def predict(self, structures: Sequence[Atoms]) -> list[Prediction]:
        self.batches.append(len(structures))
        if any(str(atoms.symbols) == self.poison for atoms in structures):
            raise CalculationError("poisoned")
        return [predict(atoms) for atoms in structures]


def predict(atoms: Atoms) -> Prediction:
    """EMT's prediction."""
    copy = atoms.copy()
    copy.calc = EMT()
    return Prediction(copy.get_potential_energy(), copy.get_forces(), copy.get_stress())


def vacancy(seed: int = 1, stdev: float = 0.1, n: int = 2) -> Atoms:
    """Rattled copper with a vacancy."""
    atoms = bulk("Cu", cubic=True).repeat(n)
    del atoms[0]
    atoms.rattle(stdev, seed=seed)
    return atoms
