"""How random an alloy supercell is: short-range order after Warren and Cowley."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations_with_replacement, product
from typing import TYPE_CHECKING, Final

import numpy as np

from defectscout.core.frames import FloatArray
from defectscout.hosts.arrangement import AlloySupercell
from defectscout.hosts.symmetry import IntArray

if TYPE_CHECKING:
    from pymatgen.core import Structure

_SHELL_WIDTH: Final = 0.25
"""Å; pairs of sites that are longer than a shell's shortest by no more belong to it."""


@dataclass(frozen=True, slots=True)
class ShortRangeOrder:
    """Warren–Cowley parameter of a pair of elements in one shell (DOI 10.1103/PhysRev.77.669).

    Attributes:
        sublattices: elements of the parent crystal on whose sites the pair stands: the same one twice, or two.
        species: the pair of elements; the first stands on the first sublattice.
        shell: number of the shell, from 1 for the nearest pairs of sites of these sublattices.
        value: 1 − (number of pairs) / (number in a random alloy of infinite size): 0 is random, negative a preference
            for each other, positive avoidance, 1 no pair at all.
    """

    sublattices: tuple[str, str]
    species: tuple[str, str]
    shell: int
    value: float


@dataclass(frozen=True, slots=True, eq=False)
class PairShell:
    """Pairs of sites of one or two sublattices at about one distance.

    Attributes:
        sublattices: elements of the parent crystal whose sites these are.
        number: of the shell, from 1.
        reach: shortest and longest distance, Å.
        pairs: shape (n_atoms, n_atoms), how many images of the second atom the first one has in this shell; zero
            where the first is not of the first sublattice or the second not of the second.
    """

    sublattices: tuple[str, str]
    number: int
    reach: tuple[float, float]
    pairs: IntArray


def warren_cowley(alloy: AlloySupercell, shells: int = 2) -> tuple[ShortRangeOrder, ...]:
    """How far the pairs of an alloy supercell are from random.

    A supercell of n sites that are shared out at random has −1/(n − 1) on average for unlike elements, since no site
    is a neighbour of itself.

    Args:
        alloy: supercell; its ideal sites count, wherever atoms have relaxed to.
        shells: number of shells, for each pair of mixed sublattices.

    Returns:
        Unlike elements of each mixed sublattice (what they leave, like ones have), then every pair of elements of two
        mixed sublattices; empty where nothing is mixed.
    """
    symbols = np.array([site.specie.symbol for site in alloy.structure])
    shares = mixed_shares(alloy)
    found = pair_shells(alloy.structure, alloy.parents, list(shares), shells)
    return tuple(
        ShortRangeOrder(
            sublattices=shell.sublattices,
            species=(one, other),
            shell=shell.number,
            value=_order(
                shell, symbols, one, other, shares[shell.sublattices[0]][one], shares[shell.sublattices[1]][other]
            ),
        )
        for shell in found
        for one, other in species_pairs(shell.sublattices, shares)
    )


def _order(shell: PairShell, symbols: np.ndarray, one: str, other: str, share: float, other_share: float) -> float:
    held = shell.pairs[np.ix_(symbols == one, symbols == other)].sum()
    return float(1 - held / (shell.pairs.sum() * share * other_share))


def mixed_shares(alloy: AlloySupercell) -> dict[str, dict[str, float]]:
    """For each sublattice that holds more than one element: the elements that have sites, with their shares."""
    held = {item.element: {s: share for s, share in item.fractions if share > 0} for item in alloy.occupations}
    return {element: shares for element, shares in held.items() if len(shares) > 1}


def species_pairs(sublattices: tuple[str, str], shares: dict[str, dict[str, float]]) -> Iterator[tuple[str, str]]:
    """Unlike elements of one sublattice, each pair once, or every pair of elements of two."""
    first, second = (list(shares[name]) for name in sublattices)
    if sublattices[0] == sublattices[1]:
        return ((one, other) for number, one in enumerate(first) for other in first[number + 1 :])
    return product(first, second)


def pair_shells(
    structure: Structure, parents: Sequence[str], sublattices: Sequence[str], number: int
) -> tuple[PairShell, ...]:
    """The nearest shells of pairs of sites within sublattices and between them.

    Args:
        structure: atoms on their ideal sites.
        parents: for each atom, whose site it has.
        sublattices: those that count.
        number: shells of each pair of sublattices.

    Returns:
        By pair of sublattices, then by distance.
    """
    labels = np.array(parents)
    radius = 1.5 * (structure.volume / len(structure)) ** (1 / 3)
    kinds = list(combinations_with_replacement(sublattices, 2))
    while True:
        first, second, _, distances = structure.get_neighbor_list(radius)
        found: list[PairShell] = []
        for kind in kinds:
            chosen = (labels[first] == kind[0]) & (labels[second] == kind[1])
            reaches = _reaches(distances[chosen], number, radius)
            for rank, reach in enumerate(reaches, start=1):
                inside = chosen & (distances >= reach[0]) & (distances <= reach[1])
                pairs = np.zeros((len(labels), len(labels)), dtype=np.int64)
                np.add.at(pairs, (first[inside], second[inside]), 1)
                found.append(PairShell(kind, rank, reach, pairs))
        if len(found) == number * len(kinds):
            return tuple(found)
        radius *= 1.4


def _reaches(distances: FloatArray, number: int, radius: float) -> list[tuple[float, float]]:
    """Shortest and longest distance of the first shells, as far as they are whole within `radius`."""
    reaches: list[tuple[float, float]] = []
    left = np.sort(distances)
    while len(reaches) < number and len(left) and left[0] + _SHELL_WIDTH <= radius:
        shell = left[left <= left[0] + _SHELL_WIDTH]
        reaches.append((float(shell[0]), float(shell[-1])))
        left = left[len(shell) :]
    return reaches
