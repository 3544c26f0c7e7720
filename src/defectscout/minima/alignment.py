"""Lay a relaxed structure over the supercell that it came from.

A relaxation may move the whole cell rigidly (rattled starts have a net
displacement, and forces sum to zero only nearly) and a program may wrap atoms
back into the cell. Both leave the structure as it is, so both are taken out
here, once, for everything that compares a relaxed structure with its defect.
"""

from __future__ import annotations

import numpy as np
from ase import Atoms
from ase.geometry import find_mic

from defectscout.core.defect import Defect
from defectscout.core.errors import SamplingError
from defectscout.core.frames import FloatArray

_MAX_STRAIN = 0.1
_N_GUESSES = 12


def check_fits(defect: Defect, atoms: Atoms) -> None:
    """Check that `atoms` is a structure of `defect`.

    Raises:
        SamplingError: other elements or another order, or a cell of another shape.
    """
    if len(atoms) != len(defect.atoms) or not np.array_equal(atoms.numbers, defect.atoms.numbers):
        raise SamplingError(
            f"A structure of {defect.label} has the atoms {atoms.get_chemical_formula()} where the defect has "
            f"{defect.atoms.get_chemical_formula()}, or lists them in another order. Give the atoms in the order "
            f"of the defect supercell."
        )
    metric, expected = (np.asarray(a.cell[:] @ a.cell[:].T) for a in (atoms, defect.atoms))
    if np.abs(metric - expected).max() > 2 * _MAX_STRAIN * np.abs(expected).max():
        raise SamplingError(
            f"A structure of {defect.label} has the cell {atoms.cell.cellpar().round(3).tolist()} (Å, degrees) where "
            f"the defect supercell has {defect.atoms.cell.cellpar().round(3).tolist()}. Give structures in the "
            f"cell of the defect supercell."
        )


def site_distances(defect: Defect, positions: FloatArray) -> FloatArray:
    """Distance of each position (shape (n, 3), Å, frame of `defect.bulk`) from the defect site, Å, shape (n,)."""
    site = defect.bulk.cell.cartesian_positions(defect.site)
    return np.asarray(find_mic(positions - site, defect.bulk.cell, pbc=True)[1], dtype=float)


def drift(defect: Defect, atoms: Atoms) -> FloatArray:
    """Rigid displacement of a relaxed structure against the defect supercell, Å, shape (3,).

    The geometric median of the displacements of the half of the atoms that lies
    farthest from the site. The far half because the atoms near the site move for
    good reasons; the geometric median because a few far atoms may do so too, and
    because, unlike a median of components, it turns with the cell. Found up to
    a lattice vector, for atoms wrapped in any way and for a drift of any length.

    Raises:
        SamplingError: see `check_fits`.
    """
    check_fits(defect, atoms)
    fractional = atoms.get_scaled_positions(wrap=False) - defect.atoms.get_scaled_positions(wrap=False)
    displacements = np.asarray(fractional @ atoms.cell[:], dtype=float)
    distances = site_distances(defect, defect.atoms.get_positions())
    far = displacements[np.argsort(distances, kind="stable")[len(atoms) // 2 :]]
    # Displacements are known up to lattice vectors. Around a good guess of the drift
    # they are short, so that the nearest image is the right one: try the displacements
    # of several atoms as guesses and keep the one that leaves the rest shortest.
    guesses = far[np.linspace(0, len(far) - 1, min(_N_GUESSES, len(far))).astype(int)]
    best, residuals, least = guesses[0], far - guesses[0], np.inf
    for guess in guesses:
        vectors, lengths = find_mic(far - guess, atoms.cell, pbc=True)
        if np.median(lengths) < least - 1e-9:
            best, residuals, least = guess, np.asarray(vectors, dtype=float), float(np.median(lengths))
    return np.asarray(best + _geometric_median(residuals), dtype=float)


def aligned_positions(defect: Defect, atoms: Atoms) -> FloatArray:
    """Positions of a relaxed structure without its drift, shape (n, 3), Å, in the frame of its own cell.

    Raises:
        SamplingError: see `check_fits`.
    """
    return np.asarray(atoms.get_positions() - drift(defect, atoms), dtype=float)


def displacements(defect: Defect, atoms: Atoms) -> FloatArray:
    """How far each atom of a relaxed structure lies from its place in the defect supercell, without drift, Å.

    Shape (n_atoms,).

    Raises:
        SamplingError: see `check_fits`.
    """
    places = atoms.cell.cartesian_positions(defect.atoms.get_scaled_positions(wrap=False))
    return np.asarray(find_mic(aligned_positions(defect, atoms) - places, atoms.cell, pbc=True)[1], dtype=float)


def _geometric_median(points: FloatArray) -> FloatArray:
    """Point with the least sum of distances to `points` (Weiszfeld's iteration), shape (3,)."""
    centre = np.asarray(np.median(points, axis=0), dtype=float)
    for _ in range(200):
        weights = 1.0 / np.maximum(np.linalg.norm(points - centre, axis=1), 1e-6)
        moved = (weights[:, None] * points).sum(axis=0) / weights.sum()
        step = float(np.linalg.norm(moved - centre))
        centre = np.asarray(moved, dtype=float)
        if step < 1e-9:
            break
    return centre
