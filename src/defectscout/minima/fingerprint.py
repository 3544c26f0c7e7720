"""SOAP fingerprints of the defect site, and the distances between them.

SOAP: Bartók, Kondor, Csányi, DOI 10.1103/PhysRevB.87.184115; settings of the
paper, section IV A. The power spectrum does not change under rotation,
reflection, translation or exchange of like atoms, so symmetry-equivalent copies
of one minimum (a dimer between one pair of neighbours or another) coincide.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from ase import Atoms

from defectscout.core.errors import CalculationError
from defectscout.core.frames import FloatArray
from defectscout.minima.settings import MinimaSettings

MAX_DISTANCE = 2.0
"""The largest value a cosine distance can take."""


def site_fingerprints(
    structures: Sequence[Atoms], centres: Sequence[FloatArray], settings: MinimaSettings
) -> FloatArray:
    """SOAP power spectrum at one point of each structure, shape (n_structures, n_features), not normalised.

    Fingerprints can be compared only within one call: the elements of all its
    structures together set the meaning of the features.

    Args:
        structures: periodic structures, wrapped in any way.
        centres: for each the point that it is described from, shape (3,), Å.
        settings: cutoff, basis and width of the Gaussians.

    Raises:
        ValueError: unequal numbers of structures and centres.
        CalculationError: no atom near a centre.
    """
    if len(structures) != len(centres):
        raise ValueError(f"{len(structures)} structures, but {len(centres)} centres")
    if not structures:
        return np.empty((0, 0))
    from dscribe.descriptors import SOAP

    soap = SOAP(
        species=sorted({symbol for atoms in structures for symbol in atoms.symbols}),
        r_cut=settings.cutoff,
        n_max=settings.n_max,
        l_max=settings.l_max,
        sigma=settings.sigma,
        periodic=True,
    )
    rows = []
    for atoms, centre in zip(structures, centres, strict=True):
        # dscribe lays periodic images around the cell, so atoms and centre must be inside it.
        cell = Atoms(numbers=atoms.numbers, positions=atoms.positions - centre, cell=atoms.cell, pbc=True)
        middle = atoms.cell.cartesian_positions(np.full(3, 0.5))
        cell.positions += middle
        cell.wrap()
        row = soap.create(cell, centers=[middle])[0]
        if not np.any(row):
            raise CalculationError(
                f"No atom of {atoms.get_chemical_formula()} lies within reach of the defect site (cutoff "
                f"{settings.cutoff} Å), so that the site has no fingerprint. Choose a larger cutoff."
            )
        rows.append(row)
    return np.asarray(rows, dtype=float)


def cosine_distances(features: FloatArray) -> FloatArray:
    """1 − cos of the angle between each pair of fingerprints, shape (n, n); 0 for the same, at most 2."""
    if len(features) == 0:
        return np.zeros((0, 0))
    unit = features / np.linalg.norm(features, axis=1, keepdims=True)
    # |a − b|²/2 equals 1 − a·b for unit vectors, without losing the small distances to rounding.
    distances = np.array([0.5 * ((unit - row) ** 2).sum(axis=1) for row in unit])
    distances = 0.5 * (distances + distances.T)
    return np.asarray(np.clip(distances, 0.0, MAX_DISTANCE), dtype=float)
