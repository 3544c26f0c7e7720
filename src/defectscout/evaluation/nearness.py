"""How far two relaxed structures of one defect lie apart, whichever of the equivalent copies they are."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from ase import Atoms

from defectscout.core.defect import Defect
from defectscout.core.frames import FloatArray
from defectscout.evaluation.placing import assigned
from defectscout.minima.alignment import aligned_positions, site_distances
from defectscout.minima.symmetry import HOST_SYMPREC, space_group_operations

SITE_RADIUS: Final = 5.0
"""Å around the site within which atoms are compared: the cutoff of the fingerprints."""

MOVED: Final = 0.2
"""Å, of an RMSD from which on two structures may be copies of each other at different places."""


@dataclass(frozen=True, slots=True)
class Deviation:
    """Distances of the atoms near the defect site from their places in another structure.

    Attributes:
        largest: Å.
        rmsd: root of their mean square, Å.
        n_atoms: atoms compared.
    """

    largest: float
    rmsd: float
    n_atoms: int


@dataclass(frozen=True, slots=True, eq=False)
class SiteOperations:
    """Operations of the host's space group that keep the defect site, or bring it to an equivalent place nearby.

    Attributes:
        rotations: of those that keep it, shape (n, 3, 3), acting on columns of fractional vectors from the site.
        moves: rotation and translation, shape (3,), of the others.
    """

    rotations: FloatArray
    moves: tuple[tuple[FloatArray, FloatArray], ...]


def site_operations(defect: Defect) -> SiteOperations:
    """The operations of the pristine supercell that leave the site within `SITE_RADIUS`; at least the identity."""
    cell = defect.bulk.cell
    kept, moves = [np.eye(3)], []
    for rotation, translation in zip(*space_group_operations(defect.bulk), strict=True):
        moved = rotation @ defect.site + translation - defect.site
        moved -= np.round(moved)
        length = np.linalg.norm(moved @ cell.array)
        if length >= 2 * HOST_SYMPREC and length <= SITE_RADIUS:
            moves.append((rotation, moved))
        elif length < 2 * HOST_SYMPREC and not np.array_equal(rotation, kept[0]):
            kept.append(rotation)
    return SiteOperations(np.array(kept), tuple(moves))


def deviation(defect: Defect, operations: SiteOperations, reference: Atoms, other: Atoms) -> Deviation:
    """How far `other` lies from `reference` near the site, in the most favourable equivalent copy.

    Each atom of `reference` within `SITE_RADIUS` of the site is given an atom of its element, under
    each operation that keeps the site; the one with the smallest RMSD counts. Where none brings the two closer than
    `MOVED`, the defect may have moved, and the operations that move the site are tried as well. Drift of the whole
    cell is taken out of both.

    Raises:
        SamplingError: a structure that is not of this defect.
    """
    fixed = aligned_positions(defect, reference)
    near = site_distances(defect, fixed) <= SITE_RADIUS
    cell = reference.cell
    site = cell.cartesian_positions(defect.site)
    vectors = (aligned_positions(defect, other) - site) @ np.linalg.inv(other.cell.array)

    def under(rotation: FloatArray, shift: FloatArray) -> Deviation:
        turned = site + (vectors @ rotation.T + shift) @ cell.array
        lengths = np.concatenate(
            [
                assigned(fixed[near & (reference.numbers == number)], turned[other.numbers == number], cell)[2]
                for number in np.unique(reference.numbers[near])
            ]
        )
        return Deviation(float(lengths.max()), float(np.sqrt((lengths**2).mean())), len(lengths))

    best = min((under(rotation, np.zeros(3)) for rotation in operations.rotations), key=_rmsd)
    if best.rmsd > MOVED:
        best = min((best, *(under(*move) for move in operations.moves)), key=_rmsd)
    return best


def _rmsd(found: Deviation) -> float:
    return found.rmsd
