"""Every supercell of a given size: enumeration of sublattices.

A sublattice of index n is one integer matrix in Hermite normal form of determinant n
(Hart and Forcade, DOI 10.1103/PhysRevB.77.224115). Enumerating them is exact: the
smallest supercell that fulfils a condition is found, not approximated.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from defectscout.core.frames import FloatArray
from defectscout.hosts.symmetry import IntArray

_HERMITE_CONSTANT = 2.0 ** (1.0 / 6.0)
"""Largest possible ratio of a three-dimensional lattice's shortest vector to the cube root
of its volume, reached by the face-centred cubic lattice."""


def hermite_forms(index: int) -> IntArray:
    """All sublattices of index `index`.

    Returns:
        Shape (n, 3, 3): upper triangular, rows are the sublattice's basis vectors, entries
        above the diagonal not negative and smaller than the diagonal entry below them.
    """
    blocks: list[IntArray] = []
    for a in range(1, index + 1):
        if index % a:
            continue
        for d in range(1, index // a + 1):
            if (index // a) % d:
                continue
            f = index // a // d
            b, c, e = (grid.ravel() for grid in np.meshgrid(range(d), range(f), range(f), indexing="ij"))
            block = np.zeros((len(b), 3, 3), dtype=np.int64)
            block[:, 0, 0], block[:, 1, 1], block[:, 2, 2] = a, d, f
            block[:, 0, 1], block[:, 0, 2], block[:, 1, 2] = b, c, e
            blocks.append(block)
    return np.concatenate(blocks)


def contains(forms: IntArray, vectors: IntArray) -> NDArray[np.bool_]:
    """Whether each vector lies in each sublattice.

    Args:
        forms: shape (n, 3, 3), Hermite normal forms.
        vectors: shape (n, 3) or (3,), integers.

    Returns:
        Shape (n,).
    """
    x, y, z = vectors[..., 0], vectors[..., 1], vectors[..., 2]
    k1, r1 = np.divmod(x, forms[:, 0, 0])
    k2, r2 = np.divmod(y - k1 * forms[:, 0, 1], forms[:, 1, 1])
    r3 = (z - k1 * forms[:, 0, 2] - k2 * forms[:, 1, 2]) % forms[:, 2, 2]
    return np.asarray((r1 == 0) & (r2 == 0) & (r3 == 0))


def is_invariant(forms: IntArray, operations: IntArray) -> NDArray[np.bool_]:
    """Which operations map each sublattice onto itself.

    Args:
        forms: shape (n, 3, 3), Hermite normal forms.
        operations: shape (m, 3, 3), acting on columns of fractional coordinates.

    Returns:
        Shape (n, m).
    """
    kept = np.ones((len(forms), len(operations)), dtype=bool)
    for column, operation in enumerate(operations):
        turned = forms @ operation.T
        for row in range(3):
            kept[:, column] &= contains(forms, turned[:, row])
    return kept


def invariant(forms: IntArray, operations: IntArray) -> IntArray:
    """The sublattices that all operations map onto themselves."""
    for operation in operations:
        if np.array_equal(operation, np.eye(3)):
            continue
        turned = forms @ operation.T
        for row in range(3):
            kept = contains(forms, turned[:, row])
            forms, turned = forms[kept], turned[kept]
    return forms


def short_vectors(lattice: FloatArray, radius: float) -> tuple[IntArray, FloatArray]:
    """Lattice vectors no longer than `radius`, one of each ± pair, shortest first.

    Args:
        lattice: shape (3, 3), rows, Å.
        radius: Å.

    Returns:
        Integer coordinates, shape (n, 3), and lengths, shape (n,), Å.
    """
    reach = np.floor(radius * np.linalg.norm(np.linalg.inv(lattice), axis=0) + 1e-9).astype(int)
    grid = np.stack(np.meshgrid(*(np.arange(-r, r + 1) for r in reach), indexing="ij"), axis=-1).reshape(-1, 3)
    x, y, z = grid.T
    grid = grid[(x > 0) | ((x == 0) & ((y > 0) | ((y == 0) & (z > 0))))]
    length = np.linalg.norm(grid @ lattice, axis=1)
    near = length <= radius + 1e-9
    order = np.argsort(length[near], kind="stable")
    return grid[near][order], length[near][order]


def spaced(forms: IntArray, lattice: FloatArray, distance: float) -> IntArray:
    """The sublattices whose shortest vector is at least `distance` Å long."""
    vectors, lengths = short_vectors(lattice, distance)
    for vector in vectors[lengths < distance - 1e-6]:
        forms = forms[~contains(forms, vector)]
        if len(forms) == 0:
            break
    return forms


def shortest_vector(lattice: FloatArray) -> float:
    """Length of the shortest lattice vector, Å: the distance between periodic images."""
    from pymatgen.core import Lattice

    # LLL brings the vector within reach: its first basis vector bounds the shortest one.
    reduced = Lattice(lattice).get_lll_reduced_lattice().matrix
    _, lengths = short_vectors(reduced, float(np.linalg.norm(reduced, axis=1).min()))
    return float(lengths[0])


def least_index(volume: float, distance: float) -> int:
    """Lower bound of the index at which images can be `distance` apart.

    Args:
        volume: volume of the primitive cell, Å³.
        distance: Å.
    """
    return max(1, int(np.ceil((distance / _HERMITE_CONSTANT) ** 3 / volume - 1e-9)))
