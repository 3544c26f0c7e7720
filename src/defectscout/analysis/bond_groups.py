"""Groups of atoms that a reconstruction has bonded to each other, and their names."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from ase import Atoms
from ase.neighborlist import neighbor_list

from defectscout.analysis.words import in_words, listed
from defectscout.core.defect import Bond, Defect, Minimum
from defectscout.core.frames import FloatArray
from defectscout.minima.bonds import NONMETALS, bond_limit

_Pair = tuple[int, int]


@dataclass(frozen=True, slots=True)
class BondedGroup:
    """Atoms bonded to each other in a relaxed structure, at least one of whose bonds is new.

    Attributes:
        atoms: indices in the defect supercell, ascending.
        symbols: their elements.
        bonds: pairs of them, new ones and those that were there.
    """

    atoms: tuple[int, ...]
    symbols: tuple[str, ...]
    bonds: tuple[_Pair, ...]

    def __len__(self) -> int:
        return len(self.atoms)


def joins_likes(bond: Bond) -> bool:
    """Whether a bond joins two non-metals or two metals: one that shares electrons, not one of cation and anion."""
    return len({symbol in NONMETALS for symbol in bond.species}) == 1


def bonded_groups(defect: Defect, minimum: Minimum) -> tuple[BondedGroup, ...]:
    """What the new bonds of a minimum between non-metals, or between metals, have made, the largest first.

    A bond that a group's atoms had to a non-metal atom of the same element before, and still have, belongs to the
    group: a sulfur atom that binds to an S2 pair of the host makes a trimer. So it does to the antisite or impurity
    atom. But where such bonds run through the whole host (chains of selenium, layers of phosphorus, diamond), they are
    the host, and only the new bonds count.
    """
    made = [(bond.atoms[0], bond.atoms[1]) for bond in minimum.new_bonds if joins_likes(bond)]
    if not made:
        return ()
    kept = _kept_bonds(defect, minimum.atoms)
    groups = []
    for members in _components([*made, *kept]):
        if not any(i in members for i, _ in made):
            continue
        atoms = tuple(sorted(members))
        symbols = tuple(str(minimum.atoms.symbols[i]) for i in atoms)
        bonds = tuple(sorted((min(pair), max(pair)) for pair in (*made, *kept) if pair[0] in members))
        groups.append(BondedGroup(atoms, symbols, bonds))
    return tuple(sorted(groups, key=lambda group: (-len(group), group_words(group), group.atoms)))


def group_words(group: BondedGroup) -> tuple[str, str]:
    """Name and noun of a group: `Te–Te` and `dimer`, `S–S–Cl` and `trimer`, `Te4` and `cluster`."""
    if len(group) == 2:
        return "–".join(sorted(group.symbols)), "dimer"
    if len(group) == 3:
        return "–".join(_along(group)), "trimer"
    counts = sorted(Counter(group.symbols).items())
    return "".join(f"{symbol}{count if count > 1 else ''}" for symbol, count in counts), "cluster"


def name_of(groups: Sequence[BondedGroup]) -> str:
    """All groups in words: `Te–Te dimer`, `two Te–Te dimers`, `one Se–Te and one Te–Te dimer`."""
    counts = Counter(group_words(group) for group in groups)
    if len(counts) == 1 and len(groups) == 1:
        return " ".join(group_words(groups[0]))
    nouns: dict[str, list[tuple[str, int]]] = defaultdict(list)
    for (kind, noun), count in counts.items():
        nouns[noun].append((kind, count))
    parts = []
    for noun, kinds in nouns.items():
        plural = "s" if kinds[-1][1] > 1 else ""
        parts.append(f"{listed([f'{in_words(count)} {kind}' for kind, count in kinds])} {noun}{plural}")
    return listed(parts)


def _along(group: BondedGroup) -> list[str]:
    """Elements of a trimer from end to end, the atom with two bonds in the middle; of a ring, sorted."""
    degrees = Counter(i for pair in group.bonds for i in pair)
    centres = [k for k, i in enumerate(group.atoms) if degrees[i] == 2]
    if len(centres) != 1:
        return sorted(group.symbols)
    ends = sorted(symbol for k, symbol in enumerate(group.symbols) if k != centres[0])
    return [ends[0], group.symbols[centres[0]], ends[1]]


def _kept_bonds(defect: Defect, atoms: Atoms) -> list[_Pair]:
    """Pairs of one non-metal that are bonded before and after, without those that run through the host."""
    before, after = _like_pairs(defect.atoms), _like_pairs(atoms)
    through = {symbol for symbol in set(defect.bulk.symbols) & NONMETALS if _runs_through(defect.bulk, symbol)}
    return sorted(pair for pair in before.keys() & after.keys() if atoms.symbols[pair[0]] not in through)


def _like_pairs(atoms: Atoms) -> Mapping[_Pair, FloatArray]:
    """Bonded pairs of one non-metal, each with the shift of its second atom in cells, shape (3,)."""
    number = {str(symbol): int(z) for symbol, z in zip(atoms.symbols, atoms.numbers, strict=True)}
    cutoffs = {(symbol, symbol): bond_limit(z, z) for symbol, z in number.items() if symbol in NONMETALS}
    if not cutoffs:
        return {}
    first, second, shifts = neighbor_list("ijS", atoms, cutoffs)
    return {(int(i), int(j)): shift for i, j, shift in zip(first, second, shifts, strict=True) if i < j}


def _runs_through(bulk: Atoms, symbol: str) -> bool:
    """Whether bonds between the atoms of one element lead from an atom to its own periodic image."""
    own = bulk[bulk.symbols == symbol]
    limit = bond_limit(int(own.numbers[0]), int(own.numbers[0]))
    steps = defaultdict(list)
    for i, j, shift in zip(*neighbor_list("ijS", own, {(symbol, symbol): limit}), strict=True):
        steps[int(i)].append((int(j), shift))
    places: dict[int, FloatArray] = {}
    for start in range(len(own)):
        if start in places:
            continue
        places[start], to_visit = np.zeros(3), [start]
        while to_visit:
            i = to_visit.pop()
            for j, shift in steps[i]:
                place = places[i] + shift
                if j not in places:
                    places[j] = place
                    to_visit.append(j)
                elif np.any(places[j] != place):
                    return True
    return False


def _components(pairs: Iterable[_Pair]) -> list[set[int]]:
    groups: list[set[int]] = []
    for pair in pairs:
        touching = [group for group in groups if group & set(pair)]
        groups = [group for group in groups if group not in touching]
        groups.append(set(pair).union(*touching))
    return groups
