"""Frames of another code in the order and orientation of a defect's supercell."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from ase import Atoms
from numpy.typing import NDArray

from defectscout.core.defect import Defect
from defectscout.core.errors import SamplingError
from defectscout.core.frames import FloatArray, Frame, Prediction
from defectscout.learning.readers.steps import Step
from defectscout.sampling.folder import fit_to_supercell
from defectscout.sampling.geometry import bare_atoms, minimum_image

_MATCH = 1e-3  # Å


@dataclass(frozen=True, slots=True, eq=False)
class Fit:
    """How a relaxation's structures lie in the defect's supercell; worked out once, on its first frame.

    Attributes:
        order: atom of the code that is each atom of the supercell.
        strain: shape (3, 3); positions of the code, as rows, times this are those in the supercell.
        rotation: shape (3, 3); the rotation in it. Lattice parameters may differ by hundredths of an Å, which must not
            stretch forces.
        shift: translation as a whole, shape (3,), Å.
    """

    order: NDArray[np.int64]
    strain: FloatArray
    rotation: FloatArray
    shift: FloatArray


def fit_frames(steps: tuple[tuple[int, Step], ...], defect: Defect) -> list[Frame]:
    """The steps of a relaxation as frames with the atoms in the order of `defect.atoms`.

    Atoms are assigned to sites once, for the first step: later on they may move far, and the code keeps their order.

    Raises:
        SamplingError: composition, cell or sites are not those of the defect.
    """
    first = steps[0][1].atoms
    fitted = fit_to_supercell(first, defect)
    fit = _fit(first, fitted)
    return [_frame(number, step, fit, defect) for number, step in steps]


def _fit(atoms: Atoms, fitted: Atoms) -> Fit:
    cell = fitted.cell.array
    strain = np.linalg.solve(atoms.cell.array, cell)
    left, _, right = np.linalg.svd(strain)
    turned = atoms.positions @ strain
    numbers, counts = np.unique(atoms.numbers, return_counts=True)
    rarest = numbers[counts.argmin()]
    anchor = fitted.positions[np.flatnonzero(fitted.numbers == rarest)[0]]
    for index in np.flatnonzero(atoms.numbers == rarest):
        shift = anchor - turned[index]
        distances = _distances(fitted.positions, turned + shift, cell)
        distances[fitted.numbers[:, None] != atoms.numbers[None, :]] = np.inf
        order = distances.argmin(axis=1)
        if distances.min(axis=1).max() < _MATCH and len(set(order)) == len(order):
            return Fit(order, strain, left @ right, shift)
    raise SamplingError("its atoms cannot be told apart: two of them lie in one place")


def _distances(here: FloatArray, there: FloatArray, cell: FloatArray) -> FloatArray:
    scaled = (here[:, None, :] - there[None, :, :]) @ np.linalg.inv(cell)
    return np.asarray(np.linalg.norm((scaled - np.round(scaled)) @ cell, axis=2))


def _frame(number: int, step: Step, fit: Fit, defect: Defect) -> Frame:
    target = defect.atoms
    positions = (step.atoms.positions @ fit.strain + fit.shift)[fit.order]
    # Every atom in the image nearest to its site, as in the defect supercell.
    positions = target.positions + minimum_image(positions - target.positions, target)
    atoms = bare_atoms(target, positions)
    forces = step.forces[fit.order] @ fit.rotation
    stress = _turned(step.stress, fit.rotation) if step.stress is not None else None
    return Frame(atoms, Prediction(float(step.energy), forces, stress), number)


def _turned(stress: FloatArray, rotation: FloatArray) -> FloatArray:
    xx, yy, zz, yz, zx, xy = stress
    full = rotation.T @ np.array([[xx, xy, zx], [xy, yy, yz], [zx, yz, zz]]) @ rotation
    return np.array([full[0, 0], full[1, 1], full[2, 2], full[1, 2], full[0, 2], full[0, 1]])
