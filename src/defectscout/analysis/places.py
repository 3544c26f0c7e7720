"""Which places of the host the atoms around a defect take: shared by two, left, or halfway between two."""

from __future__ import annotations

import numpy as np
from ase import Atoms
from ase.geometry import find_mic, get_distances

from defectscout.core.defect import Defect, DefectKind
from defectscout.core.frames import FloatArray
from defectscout.minima.alignment import aligned_positions, displacements, site_distances
from defectscout.minima.bonds import NEAR_SITE
from defectscout.minima.site import track_site
from defectscout.sampling.geometry import site_index

LEFT = 0.5
"""Å: an atom farther than this from a place has left it. Neighbours of a defect relax by 0.1 to 0.4 Å."""

SHARE = 0.6
"""Two atoms share a site if it is the nearest to both and both lie within this fraction of its nearest-neighbour
distance in the pristine crystal: the two of a dumbbell lie at about half of it on either side."""

HALFWAY = (0.3, 0.7)
"""Of the line from its own site to the vacant one: where the atom of a split vacancy lies."""

ASIDE = 0.35
"""How far off that line, as a fraction of its length."""

NEXT = 1.3
"""A site of the removed element is next to the vacant one if it is no farther than this many times the nearest one."""


def sharing_a_site(defect: Defect, atoms: Atoms) -> tuple[int, int] | None:
    """The two atoms on one site of the host around which neither sits; None if there are none.

    Not looked for at vacancies, whose neighbours may meet at the vacant site without sharing it.

    Raises:
        SamplingError: `atoms` has other atoms, another order or another cell than the defect.
    """
    if defect.kind is DefectKind.VACANCY:
        return None
    bulk = defect.bulk
    sites = atoms.cell.cartesian_positions(bulk.get_scaled_positions(wrap=False))
    apart = get_distances(aligned_positions(defect, atoms), sites, cell=atoms.cell, pbc=True)[1]
    nearest = apart.argmin(axis=1)
    found = []
    for site in np.flatnonzero(site_distances(defect, bulk.get_positions()) <= NEAR_SITE):
        owners = np.flatnonzero((nearest == site) & (apart[:, site] <= SHARE * _nearest_neighbour(bulk, int(site))))
        if len(owners) >= 2 and apart[owners, site].min() > LEFT:
            first, second = owners[np.argsort(apart[owners, site], kind="stable")][:2]
            found.append((float(apart[second, site]), int(first), int(second)))
    if not found:
        return None
    _, first, second = min(found)
    return min(first, second), max(first, second)


def between_two_sites(defect: Defect, atoms: Atoms) -> int | None:
    """The atom that has moved halfway into a vacancy of its own element, as a split vacancy has it; None without.

    Raises:
        SamplingError: `atoms` has other atoms, another order or another cell than the defect.
    """
    if defect.kind is not DefectKind.VACANCY:
        return None
    element = defect.bulk.symbols[int(site_distances(defect, defect.bulk.get_positions()).argmin())]
    likes = np.flatnonzero(defect.atoms.symbols == element)
    if not len(likes):
        return None
    cell = atoms.cell
    homes = cell.cartesian_positions(defect.atoms.get_scaled_positions(wrap=False)[likes])
    ways, lengths = find_mic(cell.cartesian_positions(defect.site) - homes, cell, pbc=True)
    moves, _ = find_mic(aligned_positions(defect, atoms)[likes] - homes, cell, pbc=True)
    along = (moves * ways).sum(axis=1) / lengths**2
    aside = np.linalg.norm(moves - along[:, None] * ways, axis=1) / lengths
    halfway = (along >= HALFWAY[0]) & (along <= HALFWAY[1]) & (aside <= ASIDE) & (lengths <= NEXT * lengths.min())
    if not halfway.any():
        return None
    return int(likes[np.flatnonzero(halfway)[np.abs(along[halfway] - 0.5).argmin()]])


def distance_off_centre(defect: Defect, atoms: Atoms) -> float:
    """How far the nearest atom of the element that was brought in lies from the site, Å; 0 for a vacancy.

    Not of one certain atom: after two atoms of one element have changed places the structure is the same.

    Raises:
        SamplingError: `atoms` has other atoms, another order or another cell than the defect.
    """
    brought_in = site_index(defect)
    if brought_in is None:
        return 0.0
    likes = atoms.get_positions()[atoms.numbers == defect.atoms.numbers[brought_in]]
    return float(find_mic(likes - track_site(defect, atoms), atoms.cell, pbc=True)[1].min())


def largest_displacement(defect: Defect, atoms: Atoms) -> float:
    """How far any atom lies from its place in the unperturbed defect, Å."""
    return float(displacements(defect, atoms).max())


def _nearest_neighbour(bulk: Atoms, site: int) -> float:
    others: FloatArray = np.delete(bulk.get_distances(site, range(len(bulk)), mic=True), site)
    return float(others.min())
