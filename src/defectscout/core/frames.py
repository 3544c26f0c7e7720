"""Configurations with their energies, and the state of a relaxation."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from ase import Atoms
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class Prediction:
    """Energy, forces and stress of one configuration, from a model or a reference.

    Attributes:
        energy: potential energy of the cell, eV.
        forces: shape (n_atoms, 3), eV/Å.
        stress: shape (6,), Voigt order xx yy zz yz xz xy, eV/Å³, ASE's sign
            (positive when the cell wants to contract); None where not computed.
    """

    energy: float
    forces: FloatArray
    stress: FloatArray | None = None

    @property
    def fmax(self) -> float:
        """Largest force on any atom, eV/Å."""
        return float(np.sqrt((self.forces**2).sum(axis=1).max()))

    @property
    def fmean(self) -> float:
        """Mean magnitude of the force on an atom, eV/Å (the paper's criterion)."""
        return float(np.sqrt((self.forces**2).sum(axis=1)).mean())


@dataclass(frozen=True, slots=True, eq=False)
class Frame:
    """One ionic step: a configuration (without calculator) and its prediction."""

    atoms: Atoms
    prediction: Prediction
    step: int


class RelaxationState(StrEnum):
    """How a relaxation stands."""

    PENDING = "pending"
    RUNNING = "running"
    CONVERGED = "converged"
    UNCONVERGED = "unconverged"  # reached the step limit
    FAILED = "failed"
    MERGED = "merged"  # fell into a minimum that is known already

    @property
    def is_finished(self) -> bool:
        return self in (self.CONVERGED, self.UNCONVERGED, self.FAILED, self.MERGED)


@dataclass(frozen=True, slots=True, eq=False)
class Relaxation:
    """The end of one relaxation.

    Attributes:
        label: the sampling structure that it started from.
        final: last frame that was evaluated; None if the first evaluation failed.
        initial_energy: energy of the first frame, eV; None if that evaluation failed.
        state: converged, unconverged (step limit), failed or merged; still running if it was paused.
        reason: why it failed or stopped short; empty if it converged.
        n_evaluations: force calls spent, over all interruptions.
    """

    label: str
    final: Frame | None
    initial_energy: float | None
    state: RelaxationState
    reason: str
    n_evaluations: int
