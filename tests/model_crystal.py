"""A crystal with a known defect landscape, cheap enough for whole searches in tests.

Rocksalt MgS from screened Coulomb and Born–Mayer terms, with a Morse bond between
sulfur atoms that is out of reach in the host (S–S 4.2 Å there) and holds a dimer of
about 2.1 Å together once two neighbours of a magnesium vacancy meet: so v_Mg has a
symmetric minimum and reconstructed ones below it, as chalcogenides have. Selenium takes
sulfur's sites with a larger radius and weaker, longer bonds.
"""

from __future__ import annotations

import os
import time
from typing import Any, ClassVar

import numpy as np
from ase.calculators.calculator import Calculator, all_changes

LATTICE_PARAMETER = 5.8
"""Å, of the conventional cell that the tests start from; close to the model's own."""

_COULOMB = 14.399645  # eV Å
_CHARGE = 1.2
_SCREENING = 2.5  # Å
_REPULSION = {
    (12, 16): (2800.0, 0.32),
    (16, 16): (100.0, 0.36),
    (12, 12): (200.0, 0.30),
    (12, 34): (2800.0, 0.35),
    (16, 34): (100.0, 0.375),
    (34, 34): (100.0, 0.39),
}
_CATION = 12
_BONDS = {(16, 16): (1.0, 0.0), (16, 34): (0.85, 0.12), (34, 34): (0.7, 0.24)}
"""Share of the depth of the S–S bond, and what is added to its length, Å."""
_CUTOFF = 6.0
_IMAGES = np.array(list(np.ndindex(3, 3, 3))) - 1


class ModelCrystal(Calculator):
    """Energy, forces and stress of the model.

    Args:
        bond: depth of the S–S bond, eV.
        length: its length, Å.
    """

    implemented_properties: ClassVar[list[str]] = ["energy", "free_energy", "forces", "stress"]

    def __init__(self, bond: float = 4.5, length: float = 2.1) -> None:
        super().__init__()
        self.bond, self.length = bond, length

    def calculate(self, atoms: Any = None, properties: Any = ("energy",), system_changes: Any = all_changes) -> None:
        super().calculate(atoms, properties, system_changes)
        time.sleep(float(os.environ.get("MODEL_CRYSTAL_DELAY", "0")))  # so that a test can interrupt a search
        first, second, distance, vector = _pairs_within(self.atoms, _CUTOFF)
        numbers = self.atoms.numbers
        energy, slope = self._pairs(numbers[first], numbers[second], distance)
        taper, taper_slope = _taper(distance)
        slope = slope * taper + energy * taper_slope
        energy = energy * taper
        pull = (slope / distance)[:, None] * vector
        forces = np.zeros((len(self.atoms), 3))
        np.add.at(forces, first, pull)
        virial = np.einsum("ni,nj->ij", vector, pull) / 2
        stress = virial / self.atoms.get_volume()
        total = float(energy.sum() / 2)
        self.results = {
            "energy": total,
            "free_energy": total,
            "forces": forces,
            "stress": stress.ravel()[[0, 4, 8, 5, 2, 1]],
        }

    def _pairs(self, a: np.ndarray, b: np.ndarray, r: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        signs = np.where((a == _CATION) == (b == _CATION), 1.0, -1.0)
        coulomb = signs * _CHARGE**2 * _COULOMB * np.exp(-r / _SCREENING) / r
        energy, slope = coulomb.copy(), -coulomb * (1 / r + 1 / _SCREENING)
        for (one, other), (height, range_) in _REPULSION.items():
            pair = ((a == one) & (b == other)) | ((a == other) & (b == one))
            term = np.where(pair, height * np.exp(-r / range_), 0.0)
            energy += term
            slope -= term / range_
        for (one, other), (share, longer) in _BONDS.items():
            pair = ((a == one) & (b == other)) | ((a == other) & (b == one))
            depth, decay = share * self.bond, np.exp(-4.0 * (r - self.length - longer))
            energy += np.where(pair, depth * (decay**2 - 2 * decay), 0.0)
            slope += np.where(pair, depth * 4.0 * (2 * decay - 2 * decay**2), 0.0)
        return energy, slope


def _pairs_within(atoms: Any, cutoff: float) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Pairs both ways round, for cells wider than the cutoff (ASE's neighbour list is ten times slower)."""
    if min(1 / np.linalg.norm(np.linalg.inv(atoms.cell.array), axis=0)) < cutoff:
        raise ValueError("the model crystal needs a supercell wider than its cutoff")
    first, second = np.triu_indices(len(atoms), 1)
    scaled = atoms.get_scaled_positions(wrap=False)
    difference = scaled[second] - scaled[first]
    difference -= np.round(difference)
    between, shifts = difference @ atoms.cell.array, _IMAGES @ atoms.cell.array
    squares = (between**2).sum(axis=1)[:, None] + 2 * between @ shifts.T + (shifts**2).sum(axis=1)
    pair, image = np.nonzero(squares < cutoff**2)
    first, second, vectors = first[pair], second[pair], between[pair] + shifts[image]
    distances = np.linalg.norm(vectors, axis=1)
    both = np.concatenate
    return both([first, second]), both([second, first]), both([distances, distances]), both([vectors, -vectors])


def _taper(r: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    x = np.clip((r - (_CUTOFF - 1.0)), 0.0, 1.0)
    return 1 - x**3 * (10 - 15 * x + 6 * x**2), -30 * x**2 * (1 - x) ** 2


def reference() -> ModelCrystal:
    """The model itself."""
    return ModelCrystal()


def surrogate() -> ModelCrystal:
    """A model that has the bonds, a little too weak and too long."""
    return ModelCrystal(bond=4.2, length=2.2)


def blind_surrogate() -> ModelCrystal:
    """A model without the bonds, as universal force fields trained on bulk crystals can be."""
    return ModelCrystal(bond=0.0)


def weak() -> ModelCrystal:
    """A model with bonds so weak that Mg(S,Se) holds out against several vacancies' worth of them."""
    return ModelCrystal(bond=2.5)


class FailingCalculator(ModelCrystal):
    """Fails at every call, as a reference whose self-consistent field never converges."""

    def calculate(self, atoms: Any = None, properties: Any = ("energy",), system_changes: Any = all_changes) -> None:
        raise RuntimeError("the self-consistent field did not converge")


def failing() -> FailingCalculator:
    """A reference that never answers."""
    return FailingCalculator()
