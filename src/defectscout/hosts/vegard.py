"""Vegard's law: an alloy's lattice between those of its end members."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from defectscout.core.defect import Host
from defectscout.core.frames import FloatArray
from defectscout.hosts.substitution import Occupation

if TYPE_CHECKING:
    from pymatgen.core import Structure


def end_member(parent: Host, species: Mapping[str, str]) -> Structure:
    """The parent's primitive cell with other elements on its mixed sublattices, at the parent's lattice.

    Args:
        parent: crystal.
        species: element that stands on the sites of each of the parent's; others keep their own.
    """
    from pymatgen.core import Structure

    primitive = parent.primitive
    symbols = [species.get(site.specie.symbol, site.specie.symbol) for site in primitive]
    return Structure(primitive.lattice, symbols, primitive.frac_coords)


def weights(occupations: Sequence[Occupation], corners: Sequence[Mapping[str, str]]) -> FloatArray:
    """Share of each end member in a composition: the product of its elements' shares on their sublattices.

    Args:
        occupations: of the mixed sublattices.
        corners: element on every mixed sublattice, for each end member.

    Returns:
        Shape (n_corners,); they sum to 1 where all corners are given.
    """
    shares = {item.element: dict(item.fractions) for item in occupations}
    return np.array(
        [np.prod([shares[element].get(symbol, 0.0) for element, symbol in corner.items()]) for corner in corners]
    )


def vegard_lattice(lattices: Sequence[FloatArray], shares: FloatArray) -> FloatArray:
    """Lattice vectors by Vegard's law (DOI 10.1007/BF01349680), linear in the shares of the end members.

    Args:
        lattices: of the end members, shape (3, 3) each, rows in Å, all in one orientation and setting.
        shares: shape (n,), shares of the end members, which sum to 1.

    Returns:
        Shape (3, 3), rows in Å.
    """
    return np.asarray(np.tensordot(shares, np.array(lattices), axes=1))
