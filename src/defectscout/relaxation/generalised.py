"""Positions and strain of a crystal as one set of coordinates."""

from __future__ import annotations

from typing import Final

import numpy as np
from ase import Atoms
from scipy.linalg import expm

from defectscout.core.frames import FloatArray

FORCE_CONSTANT: Final = 12.0
"""eV/Å². First guess for moving an atom, between soft (5) and stiff (30) bonds."""

ELASTIC_CONSTANT: Final = 0.75
"""eV/Å³ (120 GPa). First guess for straining the cell: three times the bulk modulus of a soft semiconductor."""

STRAIN_LENGTH: Final = 5.0
"""Å. A strain coordinate is a strain times this length, so that the longest step of 0.15 Å is a strain of 3 %."""

_MANDEL: Final = np.array([1.0, 1.0, 1.0, np.sqrt(2), np.sqrt(2), np.sqrt(2)])
_VOIGT: Final = ([0, 1, 2, 1, 0, 0], [0, 1, 2, 2, 2, 1])


def gradient(crystal: Atoms, forces: FloatArray, stress: FloatArray) -> FloatArray:
    """Gradient of the energy, shape (n_atoms + 2, 3), eV/Å: atoms first, then the six strains.

    Args:
        crystal: the cell that the energy belongs to.
        forces: shape (n_atoms, 3), eV/Å.
        stress: shape (3, 3), eV/Å³, ASE's sign.
    """
    virial = crystal.get_volume() * to_mandel(stress) / STRAIN_LENGTH
    return np.concatenate([-forces, virial.reshape(2, 3)])


def stiffness(crystal: Atoms) -> FloatArray:
    """First guess of the second derivatives, shape (n_atoms + 2, 1), eV/Å²."""
    values = np.full((len(crystal) + 2, 1), FORCE_CONSTANT)
    values[-2:] = ELASTIC_CONSTANT * crystal.get_volume() / STRAIN_LENGTH**2
    return values


def moved(crystal: Atoms, step: FloatArray) -> Atoms:
    """`crystal` after a step, shape (n_atoms + 2, 3), Å: first the atoms move, then all is strained."""
    deformation = expm(from_mandel(step[-2:].ravel() / STRAIN_LENGTH))
    result = crystal.copy()
    result.set_cell(crystal.cell.array @ deformation)
    result.positions = (crystal.positions + step[:-2]) @ deformation
    return result


def to_mandel(tensor: FloatArray) -> FloatArray:
    """Symmetric tensor, shape (3, 3), as a vector of six with the same norm."""
    return np.asarray(tensor[_VOIGT] * _MANDEL)


def from_mandel(vector: FloatArray) -> FloatArray:
    """The symmetric tensor, shape (3, 3), of such a vector."""
    tensor = np.zeros((3, 3))
    tensor[_VOIGT] = vector / _MANDEL
    return np.asarray(tensor + tensor.T - np.diag(np.diag(tensor)))
