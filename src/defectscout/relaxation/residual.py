"""What the reference adds to the surrogate: a Gaussian process over the difference of the two.

The surrogate is the mean of the process and every evaluated point, energy and gradient, an
observation of the difference. So the surrogate's own anharmonic shape is kept, and where it
is wrong, curvature is learned as a quasi-Newton method learns it: to second order in the
displacements the process is the symmetric correction of the Hessian of least norm that
explains the changes of the gradient (Powell's symmetric Broyden update for all pairs at
once), and farther away than the length scale it forgets. A surrogate that is constantly zero
leaves the optimiser of Garijo del Río, Mortensen and Jacobsen (DOI 10.1103/PhysRevB.100.104103).

All derivatives of the kernel lie along differences of the points. In the space that these
span, at most one dimension for each point, the equations are solved densely; across it they
fall apart into one small system that is the same for every coordinate. That costs O(m² n)
for m points of n coordinates, instead of O(m³ n³).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from defectscout.core.frames import FloatArray

SLOPE: Final = 1.0
"""eV/Å. Spread that is expected of the difference of the gradients, of one coordinate. The result
depends only on its ratio to the noise."""

ENERGY_NOISE: Final = 1e-3
"""eV. References converge energies, and networks in single precision sum them, no better."""

GRADIENT_NOISE: Final = 2e-3
"""eV/Å, of one coordinate."""

CONSTANT: Final = 10.0
"""Spread of the constant between the two energies in units of the kernel's: nothing is known of it."""


@dataclass(frozen=True, slots=True, eq=False)
class Residual:
    """The expected difference between reference and surrogate, up to a constant.

    Attributes:
        points: shape (m, k), where both are known, Å.
        energies: shape (m,), weights of the kernel.
        gradients: shape (m, k), weights of its derivatives, Å.
        length: length scale, Å.
    """

    points: FloatArray
    energies: FloatArray
    gradients: FloatArray
    length: float

    def at(self, x: FloatArray) -> tuple[float, FloatArray]:
        """Difference in energy (eV) and gradient (eV/Å), reference less surrogate, at `x`, shape (k,)."""
        away = x - self.points
        kernel = np.exp(-0.5 * np.einsum("ij,ij->i", away, away) / self.length**2)
        along = np.einsum("ij,ij->i", away, self.gradients) / self.length**2
        value = float(kernel @ (self.energies + along))
        gradient = (kernel @ self.gradients - (kernel * (self.energies + along)) @ away) / self.length**2
        return value, gradient


def fit_residual(points: FloatArray, energies: FloatArray, gradients: FloatArray, length: float) -> Residual:
    """The difference between reference and surrogate from where both are known.

    Args:
        points: shape (m, k), Å.
        energies: shape (m,), reference less surrogate, eV; a constant in them has no effect.
        gradients: shape (m, k), reference less surrogate, eV/Å.
        length: length scale of the process, Å, in the norm of all coordinates.
    """
    m = len(points)
    away = points[:, None, :] - points[None, :, :]
    kernel = np.exp(-0.5 * (away**2).sum(axis=2) / length**2)
    basis = _span(points - points[-1])
    p = len(basis)
    inside = gradients @ basis.T
    z = away @ basis.T / length  # (m, m, p), in units of the length
    scale = SLOPE * length  # eV, the kernel's spread; gradients in units of SLOPE
    matrix = np.zeros((m, 1 + p, m, 1 + p))
    matrix[:, 0, :, 0] = kernel + CONSTANT**2
    matrix[:, 0, :, 1:] = kernel[:, :, None] * z
    matrix[:, 1:, :, 0] = -np.moveaxis(kernel[:, :, None] * z, 2, 1)
    matrix[:, 1:, :, 1:] = np.einsum("ij,ijab->iajb", kernel, np.eye(p) - z[..., :, None] * z[..., None, :])
    noise = np.array([ENERGY_NOISE / scale] + [GRADIENT_NOISE / SLOPE] * p) ** 2
    flat = matrix.reshape(m * (1 + p), m * (1 + p)) + np.diag(np.tile(noise, m))
    observed = np.concatenate([((energies - energies[-1]) / scale)[:, None], inside / SLOPE], axis=1)
    solved = np.linalg.solve(flat, observed.ravel()).reshape(m, 1 + p)
    outside = (gradients - inside @ basis) / SLOPE
    across = np.linalg.solve(kernel + (GRADIENT_NOISE / SLOPE) ** 2 * np.eye(m), outside)
    weights = solved[:, 1:] @ basis + across
    return Residual(points, scale * solved[:, 0], scale * length * weights, length)


def _span(differences: FloatArray) -> FloatArray:
    """Orthonormal rows that span `differences`, shape (m, k)."""
    _, values, rows = np.linalg.svd(differences, full_matrices=False)
    return np.asarray(rows[values > 1e-8 * max(float(values[0]), 1e-12)])
