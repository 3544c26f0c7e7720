"""Is this a crystal that a defect search can start from?"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from defectscout.core.errors import HostError
from defectscout.core.frames import FloatArray
from defectscout.hosts.settings import HostSettings
from defectscout.hosts.symmetry import primitive_cell, symmetrised

if TYPE_CHECKING:
    from pymatgen.core import PeriodicSite, Structure

_LISTED = 5
"""Sites named in one error message before it says `and n more`."""


def check_host(structure: Structure, settings: HostSettings, source: str) -> Structure:
    """The symmetrised primitive cell of a host, or an error that says why it is none.

    Orientation and origin stay as in `structure`, and so does the basis if the cell is
    primitive already. Atoms are grouped by element, in order of first appearance.

    Args:
        structure: what was read; oxidation states and site properties are ignored.
        settings: symmetry tolerance, overlap and vacuum limits.
        source: file name or identifier, for messages.

    Raises:
        HostError: no periodic cell, no volume, partial occupancy, unknown species,
            overlapping sites, or a molecule or slab in a box of vacuum.
    """
    check_crystal(structure, settings, source)
    try:
        primitive = primitive_cell(structure, settings.symprec)
        return symmetrised(primitive, settings.symprec)
    except HostError as error:
        raise HostError(f"{source}: {error}") from error


def check_crystal(structure: Structure, settings: HostSettings, source: str) -> None:
    """Check that defects can be made in a structure.

    Args:
        structure: what was read.
        settings: overlap and vacuum limits.
        source: file name or identifier, for messages.

    Raises:
        HostError: as `check_host`, but for its symmetry.
    """
    _check_cell(structure, source)
    _check_occupancy(structure, source)
    _check_species(structure, source)
    _check_overlap(structure, settings.min_distance, source)
    _check_vacuum(structure, settings.max_gap, source)


def _check_cell(structure: Structure, source: str) -> None:
    if len(structure) == 0:
        raise HostError(f"{source}: the structure has no atoms. Give a crystal structure.")
    if not np.isfinite(structure.lattice.matrix).all() or not np.isfinite(structure.frac_coords).all():
        raise HostError(f"{source}: lattice or coordinates hold values that are not finite numbers. Correct the file.")
    if abs(structure.lattice.volume) < 1e-3 * len(structure):
        raise HostError(
            f"{source}: the lattice vectors span a volume of {abs(structure.lattice.volume):.3g} Å³ for "
            f"{len(structure)} atoms, so that they are not a crystal's cell. Correct the lattice vectors (in Å)."
        )
    if not all(structure.lattice.pbc):
        open_axes = ", ".join(axis for axis, periodic in zip("abc", structure.lattice.pbc, strict=True) if not periodic)
        raise HostError(
            f"{source}: the structure is not periodic along {open_axes}. Defects are made in three-dimensional "
            "crystals: give a cell that is periodic along all three vectors."
        )


def _check_occupancy(structure: Structure, source: str) -> None:
    partial = [site for site in structure if not site.is_ordered]
    if partial:
        raise HostError(
            f"{source}: {len(partial)} of {len(structure)} sites do not hold exactly one atom of one element "
            f"(partial or shared occupancy): {_listed([_site_name(site) for site in partial])}. A defect search needs "
            "an ordered structure: give an ordered approximant or an alloy supercell with one atom on each site."
        )


def _check_species(structure: Structure, source: str) -> None:
    from ase.data import atomic_numbers

    unknown = [site for site in structure if atomic_numbers.get(site.specie.symbol, 0) < 1]
    if unknown:
        raise HostError(
            f"{source}: {_listed([_site_name(site) for site in unknown])} "
            f"{'is' if len(unknown) == 1 else 'are'} no chemical element. Replace placeholder and isotope symbols "
            "by element symbols."
        )


def _check_overlap(structure: Structure, fraction: float, source: str) -> None:
    from ase.data import covalent_radii

    radii = covalent_radii[list(structure.atomic_numbers)]
    cutoff = 2 * fraction * float(radii.max())
    first, second, _, distance = structure.get_neighbor_list(cutoff)
    limit = fraction * (radii[first] + radii[second])
    close = np.flatnonzero((distance < limit) & (first <= second))
    if len(close) == 0:
        return
    worst = int(close[np.argmin(distance[close] / limit[close])])
    i, j = int(first[worst]), int(second[worst])
    pairs = len({(int(first[k]), int(second[k])) for k in close})
    where = f"{_numbered(structure, i)} and {'its own image' if i == j else _numbered(structure, j)}"
    raise HostError(
        f"{source}: {where} are {distance[worst]:.3f} Å apart, closer than {fraction:g} times the sum of their "
        f"covalent radii ({limit[worst]:.2f} Å); {pairs} {'pair' if pairs == 1 else 'pairs'} of sites overlap in "
        "all. Remove duplicate atoms or correct coordinates and lattice (the limit is the setting min_distance)."
    )


def _check_vacuum(structure: Structure, max_gap: float, source: str) -> None:
    gaps = planar_gaps(structure)
    wide = [gap for gap in gaps if gap > max_gap]
    if not wide:
        return
    shape = {1: "a slab or layer", 2: "a wire or chain", 3: "a molecule or cluster"}[len(wide)]
    raise HostError(
        f"{source}: an empty gap of {max(wide):.1f} Å between parallel planes of atoms means {shape} in a box of "
        "vacuum, not a crystal. Give the bulk crystal (the widest gap that counts as a crystal's is the setting "
        f"max_gap, {max_gap:g} Å)."
    )


def planar_gaps(structure: Structure) -> FloatArray:
    """Widest empty layer between lattice planes along each reduced reciprocal axis.

    The gap is measured from nucleus to nucleus. Layered and molecular crystals reach
    about 4 Å; cages and pores, however wide, leave no empty plane.

    Args:
        structure: periodic structure.

    Returns:
        Shape (3,), Å.
    """
    lattice = structure.lattice.get_lll_reduced_lattice()
    coords = lattice.get_fractional_coords(structure.cart_coords)
    spacing = 1.0 / np.linalg.norm(np.linalg.inv(lattice.matrix), axis=0)
    gaps = np.empty(3)
    for axis in range(3):
        heights = np.sort(coords[:, axis] % 1.0)
        gaps[axis] = np.diff(heights, append=heights[0] + 1.0).max() * spacing[axis]
    return gaps


def _site_name(site: PeriodicSite) -> str:
    x, y, z = site.frac_coords
    name = site.specie.symbol if site.is_ordered else site.species_string
    return f"{name} at ({x:.3f}, {y:.3f}, {z:.3f})"


def _numbered(structure: Structure, index: int) -> str:
    return f"atom {index + 1} ({_site_name(structure[index])})"


def _listed(names: list[str]) -> str:
    more = len(names) - _LISTED
    return "; ".join(names[:_LISTED]) + (f"; and {more} more" if more > 0 else "")
