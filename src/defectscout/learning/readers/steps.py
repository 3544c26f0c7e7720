"""What a parser reads of one ionic step, before it is known of which defect."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from ase import Atoms

from defectscout.core.frames import FloatArray, Prediction
from defectscout.learning.frames import FrameOrigin, LabelledFrame


@dataclass(frozen=True, slots=True, eq=False)
class Step:
    """One ionic step.

    Attributes:
        atoms: the configuration, without calculator, periodic.
        energy: the energy whose gradient the forces are (free energy where electrons are smeared), eV.
        forces: shape (n_atoms, 3), eV/Å.
        stress: shape (6,), Voigt order xx yy zz yz xz xy, eV/Å³, ASE's sign; None where not given.
        scf_converged: whether the electronic structure converged; None where the source does not say.
    """

    atoms: Atoms
    energy: float
    forces: FloatArray
    stress: FloatArray | None
    scf_converged: bool | None = None

    @property
    def fmax(self) -> float:
        """Largest force on an atom, eV/Å."""
        return float(np.linalg.norm(self.forces, axis=1).max())


@dataclass(frozen=True, slots=True)
class Rest:
    """The part of a file that gave no step, and why."""

    reason: str


def problem_of(step: Step) -> str:
    """Why a step cannot be used; empty if it can."""
    if len(step.atoms) == 0:
        return "it holds no atoms"
    if step.forces.shape != (len(step.atoms), 3):
        return f"it has {len(step.atoms)} atoms and forces of shape {step.forces.shape}"
    if step.atoms.cell.rank < 3 or not step.atoms.pbc.all():
        return "it is not periodic in three dimensions"
    numbers = (step.energy, step.forces, step.atoms.positions, step.atoms.cell.array)
    if not all(np.isfinite(item).all() for item in numbers):
        return "its energy, forces or positions are not finite"
    if step.stress is not None and not (step.stress.shape == (6,) and np.isfinite(step.stress).all()):
        return "its stress is not six finite numbers"
    return ""


def labelled(step: Step, origin: FrameOrigin) -> LabelledFrame:
    """A step as a frame that knows where it comes from."""
    return LabelledFrame(
        atoms=step.atoms,
        prediction=Prediction(float(step.energy), step.forces, step.stress),
        origin=origin,
        scf_converged=step.scf_converged,
    )


def voigt(stress: FloatArray) -> FloatArray:
    """A stress tensor of shape (3, 3), (9,) or (6,) in Voigt order, symmetrised."""
    if stress.shape == (6,):
        return stress
    full = stress.reshape(3, 3)
    full = (full + full.T) / 2
    return np.array([full[0, 0], full[1, 1], full[2, 2], full[1, 2], full[0, 2], full[0, 1]])
