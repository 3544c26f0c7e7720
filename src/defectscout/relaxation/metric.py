"""How far two structures are apart: not how far their atoms moved, but how much their bonds did.

A Gaussian process takes what it knows of one structure to hold for those near by. Counted in atoms, a whole
neighbourhood that moves together is as far away as atoms pushed into each other, though its energy hardly changes. Here
the distance is that of a network of springs between neighbours, stiff along a bond and soft across it, the stiffer the
shorter the bond is. For the correction it is what a preconditioner is for an optimiser, and the springs are those of
Packwood et al. (DOI 10.1063/1.4947024), who have them as stiff across as along.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from ase import Atoms
from ase.data import covalent_radii
from ase.neighborlist import neighbor_list
from scipy.linalg import solve_triangular

from defectscout.core.frames import FloatArray

REACH: Final = 1.5
"""Atoms are neighbours up to this many times the sum of their covalent radii."""

DECAY: Final = 3.0
"""A spring's stiffness falls by e to this power for each sum of the covalent radii that the bond is longer."""

STIFFEST: Final = float(np.exp(2.0))
"""Stiffness of the springs between atoms that are pushed into each other; 1 for a bond of ordinary length."""

ACROSS: Final = 0.15
"""Stiffness across a bond, as a fraction of that along it."""

FREE: Final = 0.06
"""Stiffness against moving an atom that has no neighbours, or all atoms together."""


@dataclass(frozen=True, slots=True, eq=False)
class Metric:
    """A change of coordinates after which the distance is that of the springs.

    Attributes:
        root: lower triangular, shape (k, k), the square root of the springs' matrix.
    """

    root: FloatArray

    def points(self, x: FloatArray) -> FloatArray:
        """New coordinates, Å, of structures with k coordinates, shape (..., k), Å."""
        return np.asarray(x @ self.root)

    def gradients(self, g: FloatArray) -> FloatArray:
        """Gradients with respect to the new coordinates from those with respect to the old ones, shape (..., k)."""
        rows = solve_triangular(self.root, np.atleast_2d(g).T, lower=True)
        return np.asarray(rows.T.reshape(g.shape))

    def gradients_back(self, g: FloatArray) -> FloatArray:
        """The inverse of `gradients`."""
        return np.asarray(g @ self.root.T)


def bond_metric(atoms: Atoms) -> Metric:
    """The metric of the bonds that a structure has.

    Args:
        atoms: the structure; k is three times the number of its atoms.
    """
    n = len(atoms)
    radii = covalent_radii[atoms.numbers]
    first, second, apart, distance = neighbor_list("ijDd", atoms, (REACH * radii).tolist())
    stretch = distance / (radii[first] + radii[second]) - 1
    stiffness = np.minimum(np.exp(-DECAY * stretch), STIFFEST)
    along = apart / np.maximum(distance, 1e-12)[:, None]
    springs = ACROSS * np.eye(3) + (1 - ACROSS) * along[:, :, None] * along[:, None, :]
    springs *= stiffness[:, None, None]
    matrix = np.zeros((n, n, 3, 3))
    np.subtract.at(matrix, (first, second), springs)
    np.add.at(matrix, (first, first), springs)
    flat = matrix.transpose(0, 2, 1, 3).reshape(3 * n, 3 * n)
    return Metric(np.asarray(np.linalg.cholesky(0.5 * (flat + flat.T) + FREE * np.eye(3 * n)), dtype=np.float64))
