"""When a geometry has exploded: nothing comes back from there."""

from __future__ import annotations

from typing import Final

from ase import Atoms

LARGEST_FORCE: Final = 1e3
"""eV/Å. Sampling structures begin with a few tens; nothing comes back from more than this."""

CLOSEST: Final = 0.5
"""Shortest distance over the sum of covalent radii; bonds have more than 0.8."""


def closest_contact(atoms: Atoms) -> float:
    """Shortest distance over the sum of covalent radii; 1 where all are well above `CLOSEST`."""
    from ase.data import covalent_radii
    from ase.neighborlist import neighbor_list

    radii = covalent_radii[atoms.numbers]
    first, second, distances = neighbor_list("ijd", atoms, list(radii * CLOSEST * 1.01))
    return float((distances / (radii[first] + radii[second])).min()) if len(distances) else 1.0
