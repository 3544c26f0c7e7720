"""The surface that a corrected relaxation minimises: the surrogate's and what the reference adds to it.

Some networks have kinks: the force on an atom jumps where a pair of atoms comes within the
cutoff of the graph (by 0.04 to 0.09 eV/Å in M3GNet). Over a large step that is a detail, over
the last small ones it would be a valley that the surrogate alone sees. So the surrogate is
asked at displacements that are stretched to at least `REACH`, and what it says of the change of
its forces is shrunk as much: exact for a parabola, and a kink is smaller by that factor.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from ase import Atoms

from defectscout.core.errors import CalculationError
from defectscout.core.frames import FloatArray, Prediction
from defectscout.relaxation.checks import finite
from defectscout.relaxation.inner import Surface
from defectscout.relaxation.metric import Metric, bond_metric
from defectscout.relaxation.residual import Residual, fit_residual
from defectscout.surrogates.base import Surrogate

REACH: Final = 0.15
"""Å. Steps, largest displacement of an atom, are stretched to this length: well within what is harmonic."""

MAX_STRETCH: Final = 15.0
"""Largest factor."""


@dataclass(frozen=True, slots=True, eq=False)
class Known:
    """Points at which both the reference and the surrogate are known.

    Attributes:
        positions: shape (m, n_atoms, 3), Å.
        energies: shape (m,), the reference's, eV.
        forces: shape (m, n_atoms, 3), the reference's, eV/Å.
        surrogate_energies: shape (m,), eV.
        surrogate_forces: shape (m, n_atoms, 3), eV/Å.
        best: index of the point that displacements count from.
    """

    positions: FloatArray
    energies: FloatArray
    forces: FloatArray
    surrogate_energies: FloatArray
    surrogate_forces: FloatArray
    best: int

    @property
    def anchor(self) -> FloatArray:
        """Positions of the best point."""
        return np.asarray(self.positions[self.best])

    @property
    def model(self) -> Prediction:
        """What the surrogate says of the best point."""
        return Prediction(float(self.surrogate_energies[self.best]), self.surrogate_forces[self.best])


@dataclass(frozen=True, slots=True, eq=False)
class Correction:
    """What the reference adds to the surrogate, up to a constant.

    Attributes:
        residual: in the coordinates of the metric.
        metric: of the bonds at the best point.
    """

    residual: Residual
    metric: Metric

    def at(self, positions: FloatArray) -> tuple[float, FloatArray]:
        """Energy (eV) and gradient (eV/Å), shape (n_atoms, 3), at `positions` of that shape, Å."""
        energy, gradient = self.residual.at(self.metric.points(positions.ravel()))
        return energy, self.metric.gradients_back(gradient).reshape(-1, 3)


def predict(surrogate: Surrogate, atoms: Atoms, positions: FloatArray) -> list[Prediction]:
    """What the surrogate says of `positions`, shape (m, n_atoms, 3), of the atoms of `atoms`.

    Raises:
        CalculationError: if it says nothing, or nothing finite, of any of them.
    """
    structures = []
    for rows in positions:
        moved = atoms.copy()
        moved.positions = rows
        structures.append(moved)
    predictions = list(surrogate.predict(structures))
    for prediction in predictions:
        reason = finite(prediction)
        if reason:
            raise CalculationError(f"The surrogate cannot evaluate this structure: {reason}.")
    return predictions


def stretch_of(displacement: FloatArray) -> float:
    """The factor by which a displacement, shape (n_atoms, 3), Å, is stretched."""
    longest = float(np.linalg.norm(displacement, axis=1).max())
    return float(np.clip(REACH / max(longest, 1e-12), 1.0, MAX_STRETCH))


def learned(known: Known, surrogate: Surrogate, atoms: Atoms, length: float) -> Correction:
    """What the reference adds to the surrogate, from the known points.

    Where the surrogate cannot be asked at stretched displacements, what it says at the points themselves serves.
    """
    away = known.positions - known.anchor
    models = [Prediction(float(e), f) for e, f in zip(known.surrogate_energies, known.surrogate_forces, strict=True)]
    stretches = [stretch_of(rows) for rows in away]
    near = [i for i, stretch in enumerate(stretches) if stretch > 1.0 and i != known.best]
    if near:
        stretched = known.anchor + np.array([stretches[i] for i in near])[:, None, None] * away[near]
        try:
            said = predict(surrogate, atoms, stretched)
        except CalculationError:
            return _fitted(known, atoms, models, length)
        for i, prediction in zip(near, said, strict=True):
            models[i] = shrunk(prediction, known.model, away[i], stretches[i])
    return _fitted(known, atoms, models, length)


def _fitted(known: Known, atoms: Atoms, models: Sequence[Prediction], length: float) -> Correction:
    m = len(models)
    there = atoms.copy()
    there.positions = known.anchor
    metric = bond_metric(there)
    gradients = np.array([model.forces for model in models]) - known.forces
    residual = fit_residual(
        metric.points(known.positions.reshape(m, -1)),
        known.energies - np.array([model.energy for model in models]),
        metric.gradients(gradients.reshape(m, -1)),
        length,
    )
    return Correction(residual, metric)


def shrunk(said: Prediction, at_rest: Prediction, displacement: FloatArray, stretch: float) -> Prediction:
    """What the surrogate means for `displacement`, from what it said of it stretched.

    Args:
        said: at the displacement times `stretch`.
        at_rest: without any.
        displacement: shape (n_atoms, 3), Å.
        stretch: the factor.
    """
    linear = -float(np.vdot(at_rest.forces, displacement))
    bend = (said.energy - at_rest.energy - stretch * linear) / stretch**2
    return Prediction(at_rest.energy + linear + bend, at_rest.forces + (said.forces - at_rest.forces) / stretch)


def corrected_surface(
    known: Known, surrogate: Surrogate, atoms: Atoms, correction: Correction, stretch: float
) -> Surface:
    """The surrogate's surface around the best point, displacements stretched by `stretch`, with the correction."""

    def surface(positions: FloatArray) -> tuple[float, FloatArray]:
        displacement = positions - known.anchor
        (said,) = predict(surrogate, atoms, (known.anchor + stretch * displacement)[None])
        model = shrunk(said, known.model, displacement, stretch)
        energy, gradient = correction.at(positions)
        return model.energy + energy, gradient - model.forces

    return surface
