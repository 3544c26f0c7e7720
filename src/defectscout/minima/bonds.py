"""Short bonds that a reconstruction makes."""

from __future__ import annotations

import numpy as np
from ase import Atoms
from ase.data import covalent_radii
from ase.neighborlist import neighbor_list

from defectscout.core.defect import Bond, Defect
from defectscout.core.frames import FloatArray
from defectscout.minima.site import track_site

BOND_FACTOR = 1.15
"""A pair is bonded up to this many times the sum of its covalent radii (DOI 10.1039/b801115j).

Te–Te 3.17 Å, Se–Se 2.76 Å, In–In 3.27 Å: between the longest bonds of the elements and
the shortest distances of atoms that are not bonded in crystals.
"""

MIN_SHORTENING = 0.9
"""A bond is new if it is shorter than this fraction of the shortest such distance in the host."""

NEAR_SITE = 5.0
"""At least one of a bond's atoms lies within this distance of the site, Å."""

NONMETALS = frozenset(("H", "B", "C", "N", "O", "F", "Si", "P", "S", "Cl", "Ge", "As", "Se", "Br", "Sb", "Te", "I"))
"""Elements that bond to themselves in compounds (non-metals and metalloids)."""

_Pairs = dict[tuple[int, int], float]


def new_bonds(defect: Defect, atoms: Atoms) -> tuple[Bond, ...]:
    """Short bonds near the site that neither the host nor the unperturbed defect has.

    Judged by the kind of pair, as a chemist would:

    - a kind that is not bonded in the pristine or the unperturbed supercell (Te–Te
      in CdTe) is new wherever it is bonded now, and clearly (`MIN_SHORTENING`)
      shorter than there;
    - a kind that is bonded there is ordinary, so a cation that changes its
      neighbours makes no new bond; only between two non-metal atoms of one
      element that were not bonded to each other (a further S–S bond in a
      polysulfide) does it count.

    Returns:
        Each pair of atoms once, at its nearest image, sorted by kind and then by length.

    Raises:
        SamplingError: `atoms` has other atoms, another order or another cell than the defect.
    """
    site = track_site(defect, atoms)
    numbers = atoms.numbers
    before = _bonded_pairs(defect.atoms)
    shortest = _shortest_by_kind(defect)
    near = _distances_to(atoms, site) <= NEAR_SITE
    found = []
    for (i, j), length in _bonded_pairs(atoms).items():
        if not (near[i] or near[j]):
            continue
        usual = shortest.get(_kind(numbers, i, j), np.inf)
        if usual > bond_limit(numbers[i], numbers[j]):
            is_new = length <= MIN_SHORTENING * usual
        else:
            is_new = numbers[i] == numbers[j] and atoms.symbols[i] in NONMETALS and (i, j) not in before
        if is_new:
            first, second = sorted((str(atoms.symbols[i]), str(atoms.symbols[j])))
            found.append(Bond(species=(first, second), length=length, atoms=(i, j)))
    return tuple(sorted(found, key=lambda bond: (bond.species, bond.length, bond.atoms)))


def new_nonmetal_bonds(defect: Defect, atoms: Atoms) -> tuple[Bond, ...]:
    """Those of `new_bonds` whose atoms are both non-metals: the dimers of the anions, and bonds to impurities.

    Raises:
        SamplingError: `atoms` has other atoms, another order or another cell than the defect.
    """
    return tuple(bond for bond in new_bonds(defect, atoms) if NONMETALS.issuperset(bond.species))


def has_bond_unlike_host(defect: Defect, atoms: Atoms) -> bool:
    """Whether two non-metals near the site are bonded whose kinds are not bonded in the pristine supercell.

    The atom of an interstitial may be made with such bonds; `new_bonds` has those only that the unperturbed structure
    has not.

    Raises:
        SamplingError: `atoms` has other atoms, another order or another cell than the defect.
    """
    near = _distances_to(atoms, track_site(defect, atoms)) <= NEAR_SITE
    usual = {_kind(defect.bulk.numbers, i, j) for i, j in _bonded_pairs(defect.bulk)}
    return any(
        (near[i] or near[j])
        and NONMETALS.issuperset((atoms.symbols[i], atoms.symbols[j]))
        and _kind(atoms.numbers, i, j) not in usual
        for i, j in _bonded_pairs(atoms)
    )


def bond_limit(first: int, second: int) -> float:
    """Longest bond between two elements (atomic numbers), Å."""
    return float(BOND_FACTOR * (covalent_radii[first] + covalent_radii[second]))


def _kind(numbers: FloatArray, i: int, j: int) -> tuple[int, int]:
    low, high = sorted((int(numbers[i]), int(numbers[j])))
    return low, high


def _pairs(atoms: Atoms, reach: float) -> _Pairs:
    """Length of each pair of different atoms at its nearest image, up to `reach` times the sum of radii."""
    elements = sorted(set(atoms.symbols))
    radii = {symbol: float(covalent_radii[Atoms(symbol).numbers[0]]) for symbol in elements}
    cutoffs = {(a, b): reach * (radii[a] + radii[b]) for a in elements for b in elements}
    pairs: _Pairs = {}
    for i, j, length in zip(*neighbor_list("ijd", atoms, cutoffs), strict=True):
        if i < j:
            pair = (int(i), int(j))
            pairs[pair] = min(float(length), pairs.get(pair, np.inf))
    return pairs


def _bonded_pairs(atoms: Atoms) -> _Pairs:
    return _pairs(atoms, BOND_FACTOR)


def _shortest_by_kind(defect: Defect) -> dict[tuple[int, int], float]:
    """Shortest distance of each kind of pair in the pristine and the unperturbed supercell, Å.

    Looked for as far out as it can decide anything; a kind without an entry is farther apart.
    """
    shortest: dict[tuple[int, int], float] = {}
    for atoms in (defect.bulk, defect.atoms):
        for (i, j), length in _pairs(atoms, BOND_FACTOR / MIN_SHORTENING).items():
            kind = _kind(atoms.numbers, i, j)
            shortest[kind] = min(length, shortest.get(kind, np.inf))
    return shortest


def _distances_to(atoms: Atoms, point: FloatArray) -> FloatArray:
    probe = Atoms("X", positions=[point], cell=atoms.cell, pbc=True) + atoms
    return np.asarray(probe.get_distances(0, list(range(1, len(probe))), mic=True), dtype=float)
