"""Sites of an alloy told apart by their surroundings.

No two sites of a random alloy are equivalent by symmetry; those with the same neighbours behave alike. Shells are
those of the parent's ideal sites, so that no relaxation moves a site from one environment into another.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from defectscout.core.errors import AlloyError
from defectscout.core.quiet import quiet
from defectscout.hosts.symmetry import symmetry_dataset

if TYPE_CHECKING:
    from pymatgen.core import Structure

    from defectscout.hosts.arrangement import AlloySupercell

_SHELL_GAP: Final = 0.25
"""Å; neighbours whose distances lie closer together belong to one shell."""

_SHELL_WIDTH: Final = 0.5
"""Å; no shell is wider."""

_SYMPREC: Final = 0.01
"""Å; sites are ideal, so that the tolerance decides nothing."""

Shell = tuple[tuple[str, int], ...]
"""Elements and their numbers."""


class SiteChoice(StrEnum):
    """Which sites of an alloy get a defect."""

    ENVIRONMENTS = "environments"  # one of each environment
    ALL = "all"  # every site that symmetry does not map onto another one


@dataclass(frozen=True, slots=True)
class SiteEnvironment:
    """Sites of one element with the same surroundings.

    Attributes:
        element: that stands on them.
        shells: elements and their numbers in each shell, nearest first.
        sites: indices in the supercell.
        orbits: first index and number of each set of sites that the supercell's symmetry maps onto each other.
        share: of all sites of the element in the supercell, 0 to 1.
    """

    element: str
    shells: tuple[Shell, ...]
    sites: tuple[int, ...]
    orbits: tuple[tuple[int, int], ...]
    share: float

    @property
    def name(self) -> str:
        """Such as `Te3Se`, or `Te3Se-Te7Se5` for two shells."""
        return "-".join("".join(f"{s}{n if n > 1 else ''}" for s, n in shell) for shell in self.shells)


def site_environments(alloy: AlloySupercell, element: str, shells: int = 1) -> tuple[SiteEnvironment, ...]:
    """The environments of an element's sites in an alloy supercell.

    The first shell is that of the bonded neighbours (pymatgen's CrystalNN, DOI 10.1021/acs.inorgchem.0c02996, on the
    parent crystal). Further shells are those of the other atoms on mixed sublattices, by distance: what stands on
    the remaining sublattices is alike everywhere.

    Args:
        alloy: supercell on its ideal sites.
        element: whose sites.
        shells: number of shells that tell sites apart.

    Returns:
        By descending number of sites, then by name; empty if the supercell has no such element.

    Raises:
        AlloyError: a site has no bonded neighbours.
        HostError: the supercell's symmetry cannot be determined.
    """
    from pymatgen.core import Structure

    structure, is_mixed = alloy.structure, alloy.is_mixed
    atoms = [index for index, site in enumerate(structure) if site.specie.symbol == element]
    if not atoms:
        return ()
    parent = Structure(structure.lattice, list(alloy.parents), structure.frac_coords)
    rank = {symbol: number for number, symbol in enumerate(_in_order(alloy))}
    orbits = np.asarray(symmetry_dataset(structure, _SYMPREC).equivalent_atoms)
    found: dict[tuple[Shell, ...], list[int]] = {}
    for atom in atoms:
        described: list[Shell] = []
        for shell in _shells(parent, atom, is_mixed, shells):
            counted = Counter(structure[index].specie.symbol for index in shell)
            described.append(tuple(sorted(counted.items(), key=lambda item: rank[item[0]])))
        found.setdefault(tuple(described), []).append(atom)
    groups = [
        SiteEnvironment(
            element=element,
            shells=key,
            sites=tuple(sites),
            orbits=_orbits(sites, [int(orbits[site]) for site in sites]),
            share=len(sites) / len(atoms),
        )
        for key, sites in found.items()
    ]
    return tuple(sorted(groups, key=lambda group: (-len(group.sites), group.name)))


def _in_order(alloy: AlloySupercell) -> list[str]:
    """Elements by sublattice, the most electropositive first; on each of them the parent's own first."""
    from pymatgen.core import Element

    shares = {item.element: [symbol for symbol, _ in item.counts] for item in alloy.occupations}
    parents = sorted(Element(symbol) for symbol in set(alloy.parents))  # pymatgen's order is by electronegativity
    return [symbol for element in parents for symbol in shares.get(element.symbol, [element.symbol])]


def _orbits(sites: Sequence[int], labels: Sequence[int]) -> tuple[tuple[int, int], ...]:
    first: dict[int, int] = {}
    for site, label in zip(sites, labels, strict=True):
        first.setdefault(label, site)
    return tuple((site, list(labels).count(label)) for label, site in first.items())


Neighbour = tuple[int, tuple[int, int, int]]
"""Index in the supercell, and the periodic image."""


def _shells(parent: Structure, atom: int, is_mixed: Sequence[bool], number: int) -> list[list[int]]:
    """Atoms of each shell, periodic images counted as often as they are neighbours."""
    bonded = _bonded(parent, atom)
    shells = [[index for index, _ in bonded]]
    radius = 6.0
    while len(shells) < number and any(is_mixed):
        found = _further(parent, atom, bonded, is_mixed, radius)
        # The last shell within the radius may not be whole yet.
        shells = [shells[0], *found[:-1]]
        radius += 2.0
    return shells[:number]


def _bonded(parent: Structure, atom: int) -> list[Neighbour]:
    from pymatgen.analysis.local_env import CrystalNN

    with quiet():
        found: Any = CrystalNN().get_nn_info(parent, atom)
    if not found:
        raise AlloyError(
            f"The atom {atom} ({parent[atom].specie.symbol}) of {parent.composition.reduced_formula} has no bonded "
            "neighbours, so that no environment tells its sites apart. Check the host's lattice parameters."
        )
    return [(int(info["site_index"]), _image(info["image"])) for info in found]


def _image(image: Sequence[float]) -> tuple[int, int, int]:
    a, b, c = (round(float(value)) for value in image)
    return a, b, c


def _further(
    parent: Structure, atom: int, bonded: Sequence[Neighbour], is_mixed: Sequence[bool], radius: float
) -> list[list[int]]:
    """Atoms of mixed sublattices that are not bonded to `atom`, up to `radius`, Å, by shells."""
    near = [
        (float(site.nn_distance), int(site.index))
        for site in parent.get_neighbors(parent[atom], radius)
        if is_mixed[site.index] and (int(site.index), _image(site.image)) not in bonded
    ]
    shells: list[list[int]] = []
    first = last = -np.inf
    for distance, index in sorted(near):
        # Distances of crystals of low symmetry follow each other without a gap, farther out.
        if distance - last > _SHELL_GAP or distance - first > _SHELL_WIDTH:
            shells.append([])
            first = distance
        shells[-1].append(index)
        last = distance
    return shells
