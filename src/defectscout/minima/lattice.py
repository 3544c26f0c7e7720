"""Whether the host around a defect kept its lattice."""

from __future__ import annotations

import numpy as np
from ase import Atoms
from ase.geometry import get_distances
from scipy.optimize import linear_sum_assignment

from defectscout.core.defect import Defect
from defectscout.core.frames import FloatArray
from defectscout.minima.alignment import aligned_positions, site_distances
from defectscout.minima.settings import MinimaSettings


def fell_apart(defect: Defect, atoms: Atoms, settings: MinimaSettings) -> str:
    """Why the host around the defect no longer is its crystal; empty if it is.

    Looks at the host's sites outside the cutoff (see `far_displacements`). One
    or two of them may be left by a proper reconstruction, such as a dimer with
    an anion of the second shell, so what counts is the fraction that was left:
    more than `settings.far_fraction` of them by more than
    `settings.far_displacement`. A lattice that melts or changes its phase moves
    most of its atoms.

    Raises:
        SamplingError: `atoms` has other atoms, another order or another cell than the defect.
    """
    displacements = far_displacements(defect, atoms, settings.cutoff)
    left = int((displacements > settings.far_displacement).sum())
    if left <= settings.far_fraction * len(displacements):
        return ""
    return (
        f"the host fell apart: {left} of the {len(displacements)} sites farther than {settings.cutoff:g} Å from the "
        f"defect were left by more than {settings.far_displacement:g} Å (largest {displacements.max():.2f} Å)"
    )


def far_displacements(defect: Defect, atoms: Atoms, cutoff: float) -> FloatArray:
    """How far the nearest arrangement of atoms lies from the host's sites outside `cutoff`, Å, shape (n_far,).

    Each site of the pristine supercell farther than `cutoff` (Å) from the defect
    is given one atom of its element such that the sum of squared displacements is
    least (Hungarian method), with the cell's drift removed. So atoms of one
    element that changed places do not count as displaced.

    Raises:
        SamplingError: `atoms` has other atoms, another order or another cell than the defect.
    """
    relaxed = aligned_positions(defect, atoms)
    bulk = defect.bulk
    far = site_distances(defect, bulk.get_positions()) > cutoff
    sites = atoms.cell.cartesian_positions(bulk.get_scaled_positions(wrap=False))
    displacements: list[float] = []
    for number in np.unique(bulk.numbers[far]):
        wanted = sites[far & (bulk.numbers == number)]
        present = relaxed[atoms.numbers == number]
        lengths = get_distances(wanted, present, cell=atoms.cell, pbc=True)[1]
        rows, columns = linear_sum_assignment(lengths**2)
        displacements += lengths[rows, columns].tolist()
    return np.asarray(displacements, dtype=float)
