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
    """Operations of the host's space group that keep the defect site.

    Attributes:
        rotations: shape (n, 3, 3), acting on columns of fractional vectors from the site.
    """

    rotations: FloatArray


def site_operations(defect: Defect) -> SiteOperations:
    """The operations of the pristine supercell that keep the site; at least the identity."""
    kept = [np.eye(3)]
    for rotation, translation in zip(*space_group_operations(defect.bulk), strict=True):
        moved = rotation @ defect.site + translation - defect.site
        moved -= np.round(moved)
        if np.linalg.norm(moved @ defect.bulk.cell.array) < 2 * HOST_SYMPREC and not np.array_equal(rotation, kept[0]):
            kept.append(rotation)
    return SiteOperations(np.array(kept))


def deviation(defect: Defect, operations: SiteOperations, reference: Atoms, other: Atoms) -> Deviation:
    """How far `other` lies from `reference` near the site, in the most favourable equivalent copy.

    Each atom of `reference` within `SITE_RADIUS` of the site is given an atom of its element, under
    each operation that keeps the site; the one with the smallest RMSD counts. Drift of the whole
    cell is taken out of both.

    Raises:
        SamplingError: a structure that is not of this defect.
    """
    fixed = aligned_positions(defect, reference)
    near = site_distances(defect, fixed) <= SITE_RADIUS
    cell = reference.cell
    site = cell.cartesian_positions(defect.site)
    vectors = (aligned_positions(defect, other) - site) @ np.linalg.inv(other.cell.array)
    best = Deviation(np.inf, np.inf, int(near.sum()))
    for rotation in operations.rotations:
        turned = site + (vectors @ rotation.T) @ cell.array
        lengths = np.concatenate(
            [
                assigned(fixed[near & (reference.numbers == number)], turned[other.numbers == number], cell)[2]
                for number in np.unique(reference.numbers[near])
            ]
        )
        rmsd = float(np.sqrt((lengths**2).mean()))
        if rmsd < best.rmsd:
            best = Deviation(float(lengths.max()), rmsd, len(lengths))
    return best
