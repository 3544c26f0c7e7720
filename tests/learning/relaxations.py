"""Relaxations of a vacancy on the model crystal's surface, for files to be made of."""

from __future__ import annotations

from functools import cache

import numpy as np
from ase import Atoms
from ase.build import bulk

from defectscout.core.frames import Prediction
from defectscout.learning.frames import FrameOrigin, LabelledFrame
from model_crystal import ModelCrystal


def evaluated(atoms: Atoms) -> Prediction:
    atoms = atoms.copy()
    atoms.calc = ModelCrystal()
    return Prediction(atoms.get_potential_energy(), atoms.get_forces(), atoms.get_stress())


@cache
def vacancy_relaxation(steps: int = 8) -> tuple[LabelledFrame, ...]:
    """Steepest descent of a rattled v_Mg."""
    atoms = _supercell()
    del atoms[0]
    atoms.rattle(0.1, seed=1)
    return tuple(_descend(atoms, steps, "v_Mg", "Rattled", relax_cell=False))


@cache
def bulk_relaxation(steps: int = 8) -> tuple[LabelledFrame, ...]:
    """Steepest descent of the cell of the strained pristine crystal."""
    atoms = _supercell()
    atoms.set_cell(1.03 * atoms.cell.array, scale_atoms=True)
    return tuple(_descend(atoms, steps, "bulk", "as_run", relax_cell=True))


def _supercell() -> Atoms:
    return bulk("MgS", "rocksalt", a=5.8).repeat((3, 3, 3))


def _descend(atoms: Atoms, steps: int, defect: str, start: str, relax_cell: bool) -> list[LabelledFrame]:
    frames = []
    for number in range(steps):
        prediction = evaluated(atoms)
        origin = FrameOrigin("MgS", defect, 0, start, number, "model", "made here")
        frames.append(LabelledFrame(atoms.copy(), prediction, origin, True))
        if relax_cell:
            pressure = float(prediction.stress[:3].mean())
            atoms.set_cell(
                (1 - 0.05 * np.sign(pressure) * min(abs(pressure), 0.05)) * atoms.cell.array, scale_atoms=True
            )
        else:
            atoms.positions += np.clip(0.01 * prediction.forces, -0.05, 0.05)
    return frames
