"""Several surrogates that answer as one, and say how far they disagree."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from ase import Atoms

from defectscout.core.frames import FloatArray, Prediction
from defectscout.surrogates.base import Surrogate, SurrogateInfo


@dataclass(frozen=True, slots=True, eq=False)
class Spread:
    """How far the members of an ensemble disagree on one structure.

    Attributes:
        energy: standard deviation of their energies, eV.
        forces: shape (n_atoms,), standard deviation of their forces on each atom, eV/Å: the root of
            the mean squared distance from the mean force.
    """

    energy: float
    forces: FloatArray


@dataclass(frozen=True, slots=True, eq=False)
class EnsembleSurrogate:
    """The mean of several surrogates, which is the gradient of a mean energy: a force field as its members are.

    Attributes:
        info: what is recorded of it.
        members: at least one.
    """

    info: SurrogateInfo
    members: tuple[Surrogate, ...]

    def predict(self, structures: Sequence[Atoms]) -> list[Prediction]:
        """Mean energies (eV), forces (eV/Å) and stresses (eV/Å³).

        Raises:
            CalculationError: as the members do.
        """
        answers = [member.predict(structures) for member in self.members]
        return [_mean(predictions) for predictions in zip(*answers, strict=True)]

    def spread(self, structures: Sequence[Atoms]) -> list[Spread]:
        """How far the members disagree on each structure.

        Raises:
            CalculationError: as the members do.
        """
        answers = [member.predict(structures) for member in self.members]
        return [_spread(predictions) for predictions in zip(*answers, strict=True)]


def _mean(predictions: tuple[Prediction, ...]) -> Prediction:
    stresses = [prediction.stress for prediction in predictions if prediction.stress is not None]
    return Prediction(
        energy=float(np.mean([prediction.energy for prediction in predictions])),
        forces=np.mean([prediction.forces for prediction in predictions], axis=0),
        stress=np.mean(stresses, axis=0) if len(stresses) == len(predictions) else None,
    )


def _spread(predictions: tuple[Prediction, ...]) -> Spread:
    forces = np.stack([prediction.forces for prediction in predictions])
    squared = ((forces - forces.mean(axis=0)) ** 2).sum(axis=2)
    return Spread(
        energy=float(np.std([prediction.energy for prediction in predictions])),
        forces=np.sqrt(squared.mean(axis=0)),
    )
