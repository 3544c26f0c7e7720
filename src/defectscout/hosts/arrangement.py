"""Alloy supercells: which element stands on which site."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

from defectscout.core.defect import Host
from defectscout.hosts.substitution import Occupation, Substitution, check_substitutions, occupation

if TYPE_CHECKING:
    from pymatgen.core import Structure

Arrangement = Literal["random", "sqs"]
"""How elements are shared out: at random, or so that the supercell is as random as its size allows (SQS)."""


@dataclass(frozen=True, slots=True, eq=False)
class AlloySupercell:
    """One supercell of an alloy, on the ideal sites of its parent crystal.

    Attributes:
        structure: one element on each site, atoms grouped by element.
        parents: for each atom, the element of the parent crystal whose site it has.
        occupations: of the mixed sublattices.
        arrangement: how it was made.
        realisation: number among those of its composition, from 1.
    """

    structure: Structure
    parents: tuple[str, ...]
    occupations: tuple[Occupation, ...]
    arrangement: Arrangement
    realisation: int

    @property
    def is_mixed(self) -> tuple[bool, ...]:
        """For each atom, whether it stands on a mixed sublattice."""
        mixed = {item.element for item in self.occupations}
        return tuple(parent in mixed for parent in self.parents)


def occupations_of(parent: Host, substitutions: Sequence[Substitution]) -> tuple[Occupation, ...]:
    """How many sites of the parent's supercell each element takes; see `substitution.occupation`.

    Raises:
        AlloyError: if no alloy can be made.
    """
    check_substitutions(parent.supercell, substitutions)
    return tuple(occupation(parent.supercell, item) for item in substitutions)


def random_alloy(parent: Host, substitutions: Sequence[Substitution], realisation: int, seed: int) -> AlloySupercell:
    """Share the sites out at random.

    The same arguments give the same supercell. Compositions and realisations have independent random numbers, so
    that a supercell does not depend on which others are made beside it.

    Args:
        parent: crystal with the supercell whose sites are shared out.
        substitutions: one for each mixed sublattice.
        realisation: number of the supercell, from 1.
        seed: the user's seed.

    Raises:
        AlloyError: if no alloy can be made.
    """
    held = occupations_of(parent, substitutions)
    generator = np.random.default_rng(arrangement_seed(held, realisation, seed))
    symbols = [site.specie.symbol for site in parent.supercell]
    shared = list(symbols)
    for item in held:
        sites = [index for index, symbol in enumerate(symbols) if symbol == item.element]
        stock = [symbol for symbol, count in item.counts for _ in range(count)]
        for index, drawn in zip(sites, generator.permutation(len(stock)), strict=True):
            shared[index] = stock[drawn]
    return arranged(parent, shared, held, "random", realisation)


def arranged(
    parent: Host, symbols: Sequence[str], held: tuple[Occupation, ...], arrangement: Arrangement, realisation: int
) -> AlloySupercell:
    """The supercell with `symbols` on the sites of `parent.supercell`, its atoms grouped by element.

    Elements stand in the order of the parent's, each followed by those that share its sites; atoms of one element
    stand in the order of the parent's sites.
    """
    from pymatgen.core import Structure

    parents = [site.specie.symbol for site in parent.supercell]
    shares = {item.element: [symbol for symbol, _ in item.counts] for item in held}
    order = [name for element in dict.fromkeys(parents) for name in shares.get(element, [element])]
    rank = {name: number for number, name in enumerate(order)}
    atoms = sorted(range(len(symbols)), key=lambda index: (rank[symbols[index]], index))
    coords = parent.supercell.frac_coords
    return AlloySupercell(
        structure=Structure(
            parent.supercell.lattice, [symbols[index] for index in atoms], [coords[index] for index in atoms]
        ),
        parents=tuple(parents[index] for index in atoms),
        occupations=held,
        arrangement=arrangement,
        realisation=realisation,
    )


def arrangement_seed(held: Sequence[Occupation], realisation: int, seed: int) -> int:
    """Seed of one supercell's random numbers: of the user's seed, its composition and its number."""
    composition = ";".join(f"{item.element}:" + ",".join(f"{s}{n}" for s, n in item.counts) for item in held)
    digest = hashlib.sha256(f"{seed}|{composition}|{realisation}".encode()).digest()
    return int.from_bytes(digest[:8], "big")
