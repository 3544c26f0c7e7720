"""Which elements share the sites of a crystal, and how many sites of a supercell each of them takes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil
from typing import TYPE_CHECKING, Final

from ase.data import atomic_numbers

from defectscout.core.errors import AlloyError

if TYPE_CHECKING:
    from pymatgen.core import Structure

_TOLERANCE: Final = 1e-6
"""For sums and products of fractions."""

_TYPED: Final = 5e-4
"""Fractions are typed with a few digits: 0.333 means a third, and a site more or less makes a larger difference."""


@dataclass(frozen=True, slots=True)
class Substitution:
    """Elements that take a share of the sites of one element of the parent crystal.

    Attributes:
        element: whose sites they take; what they leave stays its own.
        fractions: share of these sites for each new element, 0 to 1 in all.
    """

    element: str
    fractions: tuple[tuple[str, float], ...]

    @property
    def species(self) -> tuple[tuple[str, float], ...]:
        """Every element of the sublattice with its share, the parent's own first."""
        taken = sum(fraction for _, fraction in self.fractions)
        return ((self.element, max(0.0, 1.0 - taken)), *self.fractions)


@dataclass(frozen=True, slots=True)
class Occupation:
    """What stands on one sublattice of an alloy supercell.

    Attributes:
        element: of the parent crystal, whose sites these are.
        asked: share of the sites that was asked for, by element, the parent's own first; they sum to 1.
        counts: sites that each of them has.
    """

    element: str
    asked: tuple[tuple[str, float], ...]
    counts: tuple[tuple[str, int], ...]

    @property
    def sites(self) -> int:
        """Sites of the sublattice in the supercell."""
        return sum(count for _, count in self.counts)

    @property
    def fractions(self) -> tuple[tuple[str, float], ...]:
        """Share of the sites that each element has in the supercell."""
        return tuple((symbol, count / self.sites) for symbol, count in self.counts)

    @property
    def is_exact(self) -> bool:
        """Whether the supercell holds just what was asked for."""
        return all(
            abs(count / self.sites - asked) < _TYPED
            for (_, count), (_, asked) in zip(self.counts, self.asked, strict=True)
        )

    @property
    def in_words(self) -> str:
        """Such as `Te 22, Se 5 of 27 sites (Te 0.815, Se 0.185; asked for: Te 0.8, Se 0.2)`."""
        counts = ", ".join(f"{symbol} {count}" for symbol, count in self.counts)
        held = ", ".join(f"{symbol} {share:.3f}" for symbol, share in self.fractions)
        asked = ", ".join(f"{symbol} {share:g}" for symbol, share in self.asked)
        return f"{counts} of {self.sites} sites ({held}; asked for: {asked})"


def check_substitutions(parent: Structure, substitutions: Sequence[Substitution]) -> None:
    """Check that the substitutions make an alloy of `parent`.

    Args:
        parent: ordered crystal.
        substitutions: one for each mixed sublattice.

    Raises:
        AlloyError: nothing is substituted, an element is no element, not in the crystal, or named twice, or a
            fraction is out of range.
    """
    own = list(dict.fromkeys(site.specie.symbol for site in parent))
    formula = parent.composition.reduced_formula
    if not substitutions:
        raise AlloyError("No substitution is given. Say which element takes whose sites, as in --substitute Te:Se.")
    replaced = [item.element for item in substitutions]
    for symbol in replaced:
        if replaced.count(symbol) > 1:
            raise AlloyError(
                f"The sites of {symbol} are substituted twice. Name all elements that share them at once, as in "
                f"--substitute {symbol}:Se=0.3,S=0.2."
            )
        if symbol not in own:
            raise AlloyError(
                f"{formula} contains no {symbol}, so that nothing can take its sites. It contains {', '.join(own)}."
            )
    for item in substitutions:
        _check_fractions(item)
        foreign = {symbol for symbol, _ in item.fractions}
        for other in substitutions:
            if other is not item and (shared := foreign & {symbol for symbol, _ in other.species}):
                raise AlloyError(
                    f"{', '.join(sorted(shared))} would stand on the sites of both {item.element} and {other.element}. "
                    "An element that shares two sublattices is an antisite defect, not an alloy: leave one out."
                )
        if shared := foreign & (set(own) - {item.element}):
            raise AlloyError(
                f"{', '.join(sorted(shared))} has sites of its own in {formula} and cannot be alloyed onto those of "
                f"{item.element}. That is an antisite: search it as a defect (--defect antisites)."
            )


def _check_fractions(substitution: Substitution) -> None:
    symbols = [symbol for symbol, _ in substitution.fractions]
    if not symbols:
        raise AlloyError(
            f"Nothing is named that takes the sites of {substitution.element}. Write it after a colon: Te:Se."
        )
    for symbol in (substitution.element, *symbols):
        if atomic_numbers.get(symbol, 0) < 1:
            raise AlloyError(f"'{symbol}' is no chemical element: write its symbol, such as Se.")
        if symbols.count(symbol) > 1:
            raise AlloyError(f"{symbol} is named twice among those that take the sites of {substitution.element}.")
    if substitution.element in symbols:
        raise AlloyError(
            f"{substitution.element} cannot be substituted by itself: it keeps the sites that the others leave it."
        )
    for symbol, fraction in substitution.fractions:
        if not 0 <= fraction <= 1:
            raise AlloyError(
                f"A fraction of {fraction:g} for {symbol} is impossible: it is the share of the "
                f"{substitution.element} sites that {symbol} takes, from 0 to 1."
            )
    total = sum(fraction for _, fraction in substitution.fractions)
    if total > 1 + _TOLERANCE:
        listed = " + ".join(f"{symbol} {fraction:g}" for symbol, fraction in substitution.fractions)
        raise AlloyError(
            f"The shares of the {substitution.element} sites sum to {total:g}: {listed}. They can be 1 at most."
        )


def occupation(supercell: Structure, substitution: Substitution) -> Occupation:
    """Sites of a supercell for each element of a sublattice: what was asked for, or the nearest that is possible.

    Whole numbers of sites come nearest to the asked shares by the method of largest remainders.

    Args:
        supercell: of the parent crystal.
        substitution: one that `check_substitutions` has passed.

    Raises:
        AlloyError: if an element that was asked for would have no site; the message says what the supercell can hold.
    """
    sites = sum(site.specie.symbol == substitution.element for site in supercell)
    asked = substitution.species
    counts = _whole([share for _, share in asked], sites)
    held = tuple((symbol, count) for (symbol, _), count in zip(asked, counts, strict=True))
    for (symbol, share), count in zip(asked, counts, strict=True):
        if share > _TOLERANCE and count == 0:
            raise AlloyError(
                f"The supercell has {sites} sites of {substitution.element}, too few for {symbol} to have a share of "
                f"{share:g} of them: one site is {1 / sites:.3g}, and the nearest composition is "
                f"{', '.join(f'{name} {number / sites:.3g}' for name, number in held)}. Ask for at least "
                f"{1 / sites:.3g}, or for a supercell with {ceil(1 / share - _TOLERANCE)} of these sites or more "
                "(--min-image-distance)."
            )
    return Occupation(substitution.element, asked, held)


def _whole(shares: Sequence[float], total: int) -> list[int]:
    exact = [share * total for share in shares]
    counts = [int(value + _TOLERANCE) for value in exact]
    # Of equal remainders the first one gets the site, so that the same input always gives the same counts.
    by_remainder = sorted(range(len(shares)), key=lambda k: (round(counts[k] - exact[k], 9), k))
    for index in by_remainder[: total - sum(counts)]:
        counts[index] += 1
    return counts
